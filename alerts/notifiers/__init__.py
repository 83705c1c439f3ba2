"""One file for each way to tell somebody. A new way is a file, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

from alerts.notifiers.base import Notifier, NotifierError, Target

__all__ = ["Notifier", "NotifierError", "Target", "choices", "notifier", "problems"]

# Kind → its label. The module of the same name is loaded when it is first needed.
NOTIFIERS: Final[dict[str, str]] = {}


def choices() -> list[tuple[str, str]]:
    """A callable, so that a new way needs no migration."""
    return list(NOTIFIERS.items())


def notifier(kind: str) -> Notifier:
    """Raises NotifierError."""
    if kind not in NOTIFIERS:
        raise NotifierError(
            f"there is no way {kind!r} to tell somebody; there is {', '.join(NOTIFIERS)}", permanent=True
        )
    return cast(Notifier, import_module(f"alerts.notifiers.{kind}"))


def problems(
    kind: str, options: Mapping[str, Any], secrets: Mapping[str, Any], templates: Mapping[str, str]
) -> dict[str, list[str]]:
    """By field, for people; empty if it can be tried."""
    return {}
