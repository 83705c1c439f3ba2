"""Keeps the block store's tables in a database of their own where there is one (SQLite)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model

STORE_MODELS = frozenset({"logblock", "logblockgrams", "logcommit"})


class LogRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return settings.LOG_DATABASE if self._stored(model._meta.app_label, model._meta.model_name) else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        stored = self._stored(app_label, model_name)
        if db == "default":
            return settings.LOG_DATABASE == "default" or not stored
        return stored

    @staticmethod
    def _stored(app_label: str, model_name: str | None) -> bool:
        return app_label == "logs" and model_name in STORE_MODELS
