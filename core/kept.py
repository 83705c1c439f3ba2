"""Rows that people edit in forms, and processes write meanwhile."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class Kept(models.Model):
    """A model with fields that others write, in statements of their own: a form that was opened before they did shall
    not bring back old values. `save` writes them only when it adds the row, or is told to (`update_fields`)."""

    KEPT: ClassVar[frozenset[str]]

    class Meta:
        abstract = True

    def save(self, **options: Any) -> None:
        if not self._state.adding and options.get("update_fields") is None and not options.get("force_insert"):
            deferred = self.get_deferred_fields() | self.KEPT
            fields = [field for field in self._meta.concrete_fields if not field.primary_key]
            options["update_fields"] = [each.name for each in fields if not {each.name, each.attname} & deferred]
        super().save(**options)
