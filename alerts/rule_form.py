"""The form of a rule: the same for all kinds, and the settings of its own condition."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from alerts import conditions, durations
from alerts.condition_help import help_for
from alerts.models import AlertRule
from alerts.models.rules import DAY
from alerts.severity import Severity
from core import kind_fields
from services.admin import LabelsField

LIMIT: Final = "limit_"  # the beginning of a threshold's field: limit_critical
LIMITS: Final = [LIMIT + severity for severity in Severity.values]
DURATIONS: Final = ("interval", "pending_for", "keep_firing_for")
RUNBOOK: Final = ("what", "impact", "diagnosis", "resolution", "escalating")
COMMON: Final = (
    "name", "kind", "severity", "operator", *DURATIONS, "no_data", "alerts_max", "labels", "summary", "description",
    "receivers", "escalation", *RUNBOOK, "comment",
)  # fmt: skip


class DurationField(forms.CharField):
    """Seconds, as `90s` or `1h30m`."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        attributes = {"spellcheck": "false", "placeholder": "5m"}
        super().__init__(widget=UnfoldAdminTextInputWidget(attrs=attributes), **options)
        self._low, self._high = low, high

    def prepare_value(self, value: Any) -> Any:
        return durations.write(value) if isinstance(value, (int, float)) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or "0"
        try:
            seconds = float(text) if text.replace(".", "", 1).isdecimal() else durations.read(text)
        except ValueError as error:
            raise ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        if not self._low <= seconds <= self._high:
            raise ValidationError(
                _("Expected a time from %(low)s to %(high)s."),
                params={"low": durations.write(self._low), "high": durations.write(self._high)},
            )
        return seconds


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Made for one kind by `form_for`. Whether the rule is on is not in it: see `alerts.rules`."""

    config_struct: type[msgspec.Struct]
    measures: bool

    labels = LabelsField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("One name=value per line, like team=payments. Its alerts have them; routes look at them."),
    )
    interval = DurationField(1, DAY, label=_("Every"), initial=15, help_text=_("How often it is looked at."))
    pending_for = DurationField(
        0, 30 * DAY, label=_("For"), required=False, help_text=_("So long it is true before somebody is told.")
    )
    keep_firing_for = DurationField(
        0, 30 * DAY, label=_("Keep firing for"), required=False, help_text=_("So long after it was true last.")
    )

    class Meta:
        model = AlertRule
        fields = COMMON

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for each in self.instance.thresholds if self.measures else ():
            if (name := f"{LIMIT}{each['severity']}") in self.fields:
                self.initial.setdefault(name, each["value"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        self.instance.config = kind_fields.options_of(self.config_struct, cleaned)
        self.instance.thresholds = [
            {"severity": severity, "value": value}
            for severity in Severity.values
            if self.measures and (value := cleaned.get(LIMIT + severity)) is not None
        ]
        return cleaned

    def _update_errors(self, errors: ValidationError) -> None:
        """Of the model: its config and its thresholds are many fields here."""
        if hasattr(errors, "error_dict"):
            said: dict[str, list[ValidationError]] = {}
            for field, several in errors.error_dict.items():
                said.setdefault(field if field in self.fields else NON_FIELD_ERRORS, []).extend(several)
            errors = ValidationError(said)
        super()._update_errors(errors)  # type: ignore[misc]


def form_for(kind: str, row: AlertRule | None) -> type[RuleForm]:
    """`row` gives the values to begin with, if it is of that kind. Raises ConditionError."""
    condition = conditions.condition(kind)
    stored = row.config if row and row.kind == kind else {}
    own: dict[str, Any] = kind_fields.option_fields(kind, condition.Config, stored, help_for)
    if condition.MEASURES:
        own |= {LIMIT + severity: _limit(severity) for severity in Severity}
    return type("RuleForm", (RuleForm,), {"config_struct": condition.Config, "measures": condition.MEASURES, **own})


def _limit(severity: Severity) -> forms.FloatField:
    return forms.FloatField(
        required=False,
        label=str(severity.label).capitalize(),
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
    )
