"""The forms of routes and what belongs to them: matchers one per line, times as `30s`, mute times as YAML."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from alerts import durations
from alerts.models import InhibitRule, MuteTime, Route
from core import yaml_text
from core.kind_fields import LinesField
from core.yaml_text import YamlError

DEPTH_MAX: Final = 20  # of the tree
INTERVALS_HELP: Final = _(
    "A list as alertmanager.yml has it: weekdays, times, days_of_month, months, years and location."
)


class NamesField(forms.CharField):
    """Names of labels with commas between them; nothing is None: it comes from the parent."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [name for part in (super().to_python(value) or "").split(",") if (name := part.strip())] or None


class DurationField(forms.CharField):
    """Seconds as `90s` or `1h30m`; nothing is None."""

    def prepare_value(self, value: Any) -> Any:
        return durations.write(value) if isinstance(value, (int, float)) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        try:
            return durations.read(text) if text else None
        except ValueError as error:
            raise ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


class YamlField(forms.CharField):
    """Lists and mappings of texts."""

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else yaml_text.write(value) if value else ""

    def to_python(self, value: Any) -> Any:
        try:
            root = yaml_text.compose(super().to_python(value) or "")
            return [] if root is None else yaml_text.texts(root)
        except YamlError as error:
            raise ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


def matchers_field(label: Any, *, required: bool = False) -> LinesField:
    """A list of texts, as rows keep them."""
    return LinesField(
        required=required,
        label=label,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 3, "spellcheck": "false", "placeholder": 'severity="critical"'}
        ),
        help_text=_("One per line: a label, one of = != =~ !~ and a value. All of them have to match."),
    )


def duration_field(label: Any, help_text: Any) -> DurationField:
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": "30s", "spellcheck": "false"})
    return DurationField(required=False, label=label, help_text=help_text, widget=widget)


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    matchers = matchers_field(_("Matchers"))
    group_by = NamesField(
        required=False,
        label=_("Group by"),
        help_text=_("Alerts with the same values of these labels come together. “...” is each by itself."),
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "alertname, service", "spellcheck": "false"}),
    )
    group_wait = duration_field(_("Group wait"), _("Before a new group is told, so that others can join."))
    group_interval = duration_field(_("Group interval"), _("Before news of a group that was told is told."))
    repeat_interval = duration_field(_("Repeat interval"), _("Before the same is told once more."))

    class Meta:
        model = Route
        fields = [
            "parent", "order", "name", "matchers", "receiver", "continues", "group_by", "group_wait", "group_interval",
            "repeat_interval", "mute_times", "active_times", "escalation",
        ]  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        parent: Route | None = cleaned.get("parent")
        if parent is None:
            self._check_root(cleaned)
        above, depth = parent, 0
        while above is not None:
            depth += 1
            if above.pk == self.instance.pk:
                self.add_error("parent", _("A route can't hang below itself."))
                break
            if depth >= DEPTH_MAX:
                self.add_error("parent", _("Expected at most %(max)d routes below each other.") % {"max": DEPTH_MAX})
                break
            above = above.parent
        return cleaned

    def _check_root(self, cleaned: dict[str, Any]) -> None:
        other = Route.objects.filter(parent=None).exclude(pk=self.instance.pk).first()
        if other:
            self.add_error("parent", _("Choose one: only %(root)s has none.") % {"root": other})
        elif "receiver" in cleaned and cleaned["receiver"] is None:
            self.add_error("receiver", _("The first route has a receiver: it is told what no other route takes."))
        elif cleaned.get("matchers"):
            self.add_error("matchers", _("The first route takes all alerts: it has no matchers."))


class InhibitRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    source_matchers = matchers_field(_("While an alert fires that matches"))
    target_matchers = matchers_field(_("nobody is told of those that match"))
    equal = NamesField(
        required=False,
        label=_("if these labels are equal"),
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "alertname, service", "spellcheck": "false"}),
    )

    class Meta:
        model = InhibitRule
        fields = ["name", "enabled", "source_matchers", "target_matchers", "equal", "from_parents"]

    def clean_equal(self) -> list[str]:
        return self.cleaned_data["equal"] or []

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for side in ("source_matchers", "target_matchers"):
            if side in cleaned and not cleaned[side] and not cleaned.get("from_parents"):
                self.add_error(side, _("Expected a matcher: without one these are all alerts."))
        return cleaned


class MuteTimeForm(forms.ModelForm):  # type: ignore[type-arg]
    intervals = YamlField(
        label=_("Intervals"),
        widget=UnfoldAdminTextareaWidget(
            attrs={
                "rows": 8,
                "spellcheck": "false",
                "placeholder": "- weekdays: [saturday, sunday]\n- times: [{start_time: '22:00', end_time: '24:00'}]",
            }
        ),
        help_text=INTERVALS_HELP,
    )

    class Meta:
        model = MuteTime
        fields = ["name", "intervals"]
