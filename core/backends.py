"""The BACKEND + OPTIONS pattern of Django's CACHES and STORAGES, for our own exchangeable parts."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

T = TypeVar("T")


class Backends(Generic[T]):
    """`Backends("LOG_STORES")["default"]` is one instance of the class that the setting names, made on first use.

    The setting: `{alias: {"BACKEND": "dotted.path", "OPTIONS": {…}}}`; the options are the class's keyword arguments.
    An unknown alias, a path that can't be imported and options that don't fit are an ImproperlyConfigured that
    names them.
    """

    def __init__(self, setting: str) -> None:
        self.setting = setting
        self._made: dict[str, T] = {}
        setting_changed.connect(self._forget, weak=False)

    def _forget(self, *, setting: str, **_: Any) -> None:
        if setting == self.setting:
            self._made.clear()

    def __getitem__(self, alias: str) -> T:
        if alias not in self._made:
            self._made[alias] = self._make(alias)
        return self._made[alias]

    def _make(self, alias: str) -> T:
        where = f"{self.setting}[{alias!r}]"
        configured = getattr(settings, self.setting)
        if alias not in configured:
            raise ImproperlyConfigured(f"{where} is not set. There is: {', '.join(sorted(configured)) or 'nothing'}.")
        path = configured[alias].get("BACKEND", "")
        try:
            backend = import_string(path)
        except ImportError as error:
            raise ImproperlyConfigured(f"{where}: BACKEND {path!r} can't be imported: {error}.") from error
        try:
            made: T = backend(**configured[alias].get("OPTIONS", {}))
        except TypeError as error:
            raise ImproperlyConfigured(f"{where}: OPTIONS don't fit {path}: {error}.") from error
        return made
