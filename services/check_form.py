"""The form of a check: the same for all kinds, and the fields of its own kind."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext_lazy as _

from core import kind_fields
from services import probes
from services.kind_help import help_for
from services.models import Check

COMMON: Final = (
    "service", "name", "role", "kind", "target", "interval", "timeout", "slow_ms", "failure_threshold",
    "success_threshold", "initial_delay", "failing_means", "enabled",
)  # fmt: skip


class CheckForm(forms.ModelForm):  # type: ignore[type-arg]
    """Made for one kind by `form_for`."""

    options_struct: type[msgspec.Struct]
    secrets_struct: type[msgspec.Struct]

    class Meta:
        model = Check
        fields = COMMON

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        stored = self.instance.secrets if self.instance.pk and self._before("kind") == cleaned.get("kind") else {}
        secrets, kept = kind_fields.secrets_of(self.secrets_struct, cleaned, stored)
        before = Check(kind=self._before("kind"), target=self._before("target"))
        if moves(before, cleaned.get("kind", ""), cleaned.get("target", "")):
            for name in sorted(kept):
                message = _("The target is another server now: enter this again, or remove it.")
                self.add_error(kind_fields.SECRET + name, message)
        self.instance.options = kind_fields.options_of(self.options_struct, cleaned)
        self.instance.secrets = secrets
        return cleaned

    def _before(self, field: str) -> str:
        return str(self.initial.get(field, ""))

    def _update_errors(self, errors: ValidationError) -> None:
        """Of `probes.validate`: options and secrets are many fields here."""
        if not hasattr(errors, "error_dict"):
            super()._update_errors(errors)  # type: ignore[misc]
            return
        mapped: dict[str, list[ValidationError]] = {}
        for field, said in errors.error_dict.items():
            mapped.setdefault(self._field_of(field), []).extend(said)
        super()._update_errors(ValidationError(mapped))  # type: ignore[misc]

    def _field_of(self, field: str) -> str:
        name = field.replace("options.", kind_fields.OPTION).replace("secrets.", kind_fields.SECRET)
        return name if name in self.fields else NON_FIELD_ERRORS


def moves(check: Check, kind: str, target: str) -> bool:
    """Whether secrets would go to somebody else. Who may change a check may not read its secrets: neither by having
    them sent to a server of his own."""
    return kind != check.kind or _place(target) != _place(check.target)


def _place(target: str) -> str:
    """An address of a database may name another server in its parameters: all of it counts."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else target


def form_for(kind: str, row: Check | None) -> type[CheckForm]:
    """`row` gives the values to begin with, if it is of that kind. Raises ProbeError for a kind that there is not."""
    probe = probes.probe(kind)
    same = row is not None and row.kind == kind
    options = kind_fields.option_fields(kind, probe.Options, row.options if row and same else {}, help_for)
    secrets = kind_fields.secret_fields(kind, probe.Secrets, row.secrets if row and same else {}, help_for)
    body = {"options_struct": probe.Options, "secrets_struct": probe.Secrets}
    return type("CheckForm", (CheckForm,), {**body, **options, **secrets})
