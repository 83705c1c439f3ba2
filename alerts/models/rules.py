"""What is wrong, as data: a condition, when it counts, and what people are told."""

from __future__ import annotations

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts import conditions, templating, thresholds
from alerts.labels import valid_labels
from alerts.models.receivers import EscalationPolicy, Receiver
from alerts.severity import Priority, Severity
from core.kept import Kept

DAY = 86_400


class NoData(models.TextChoices):
    """What it means when a condition finds nothing to measure."""

    OK = "ok", _("all is well: its alerts resolve")
    KEEP = "keep", _("nothing changes")
    ALERT = "alert", _("that is an alert itself")


class Operator(models.TextChoices):
    GREATER = ">", ">"
    AT_LEAST = ">=", "≥"
    LESS = "<", "<"
    AT_MOST = "<=", "≤"
    EQUAL = "==", "="
    UNEQUAL = "!=", "≠"


class AlertRule(Kept):
    """One condition. Its alerts have the label `alertname` with this name. Evaluated by `alerts.evaluating` alone."""

    name = models.CharField(max_length=100, unique=True)
    enabled = models.BooleanField(default=True)
    kind = models.CharField(max_length=30, choices=conditions.choices)
    config = models.JSONField(default=dict, blank=True)
    # With thresholds, a value is compared, and each one that it passes is an alert with that severity. Without,
    # whatever the condition finds is an alert.
    operator = models.CharField(max_length=2, choices=Operator.choices, default=Operator.GREATER)
    thresholds = models.JSONField(default=list, blank=True)  # [{"severity": "critical", "value": 10}, …]
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.HIGH)

    interval = models.FloatField(default=15, validators=[MinValueValidator(1), MaxValueValidator(DAY)])  # seconds
    pending_for = models.FloatField(
        _("for"),
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(30 * DAY)],
        help_text=_("Seconds for which it is true before somebody is told."),
    )
    keep_firing_for = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(30 * DAY)],
        help_text=_("Seconds for which an alert stays after it was true last."),
    )
    no_data = models.CharField(max_length=5, choices=NoData.choices, default=NoData.OK)
    alerts_max = models.PositiveSmallIntegerField(
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(1_000)],
        help_text=_("Alerts at once; a sentence says how many more there would be."),
    )

    labels = models.JSONField(default=dict, blank=True, validators=[valid_labels])
    summary = models.CharField(max_length=500, blank=True)  # templates, see alerts.templating
    description = models.TextField(max_length=5_000, blank=True)

    receivers = models.ManyToManyField(
        Receiver, blank=True, related_name="+", help_text=_("Told as well, whatever the routes say.")
    )
    escalation = models.ForeignKey(EscalationPolicy, models.SET_NULL, null=True, blank=True, related_name="rules")

    # The runbook, in Markdown.
    what = models.TextField(_("what it means"), max_length=10_000, blank=True)
    impact = models.TextField(max_length=10_000, blank=True)
    diagnosis = models.TextField(max_length=10_000, blank=True)
    resolution = models.TextField(max_length=10_000, blank=True)
    escalating = models.TextField(_("escalation"), max_length=10_000, blank=True)

    pack = models.CharField(max_length=40, blank=True, editable=False)  # where it came from …
    pack_key = models.CharField(max_length=60, blank=True, editable=False)  # … and as what
    comment = models.TextField(max_length=2_000, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # When it is due (µs), and who evaluates it now: as with checks.
    due_at = models.BigIntegerField(default=0, editable=False)
    claim = models.CharField(max_length=32, blank=True, editable=False)
    evaluated_at = models.BigIntegerField(null=True, editable=False)  # µs
    took_us = models.BigIntegerField(null=True, editable=False)
    error = models.CharField(max_length=500, blank=True, editable=False)  # "" or why it could not be evaluated
    note = models.CharField(max_length=500, blank=True, editable=False)  # "no data since …", "120 alerts, 20 left out"
    values = models.JSONField(default=list, editable=False)  # the last [[labels, value], …], at most 20

    KEPT = frozenset({"due_at", "claim", "evaluated_at", "took_us", "error", "note", "values"})

    class Meta:
        ordering = ["name"]
        indexes = [
            # "What is due?", asked each second.
            models.Index(fields=["due_at"], condition=models.Q(enabled=True), name="rule_by_due"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["pack", "pack_key"], condition=~models.Q(pack=""), name="rule_of_a_pack_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        errors = conditions.problems(self) | self._problems()
        if errors:
            raise ValidationError(errors)

    def _problems(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        try:
            limits = thresholds.parse(self.thresholds)
            if not limits and self.kind in conditions.CONDITIONS and conditions.condition(self.kind).MEASURES:
                raise ValueError("what this condition measures needs at least one limit")
        except (msgspec.ValidationError, ValueError) as error:
            found["thresholds"] = [f"Expected severities with their values: {error}."]
        for name in ("summary", "description"):
            try:
                templating.parse(getattr(self, name))
            except templating.TemplateError as error:
                found[name] = [f"{str(error)[:1].upper()}{str(error)[1:]}."]
        return found


class SeverityName(models.Model):
    """What a label `severity` may say, and what it means here: "warning" is medium, and P2."""

    name = models.CharField(max_length=40, unique=True)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    priority = models.CharField(max_length=2, choices=Priority.choices)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
