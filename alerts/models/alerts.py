"""Alerts: one episode of one set of labels, from the first time that its condition was true to its end."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from alerts.models.incidents import Incident
from alerts.models.rules import AlertRule
from alerts.severity import Severity


class State(models.TextChoices):
    PENDING = "pending", _("pending")
    FIRING = "firing", _("firing")
    RESOLVED = "resolved", _("resolved")


class Alert(models.Model):
    """Written by `alerts.evaluating` for rules, and by `alerts.api_alerts` for alerts that others send."""

    rule = models.ForeignKey(AlertRule, models.SET_NULL, null=True, related_name="alerts", db_index=False)
    fingerprint = models.CharField(max_length=16)  # of the labels, as `alerts.labels.fingerprint` makes it
    labels = models.JSONField()
    annotations = models.JSONField(default=dict)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.HIGH)
    state = models.CharField(max_length=8, choices=State.choices)
    value = models.FloatField(null=True)
    active_at = models.DateTimeField()  # when it was true first …
    fired_at = models.DateTimeField(null=True)  # … had been for long enough …
    true_at = models.DateTimeField()  # … was true last …
    resolved_at = models.DateTimeField(null=True)  # … and ended
    ends_at = models.DateTimeField(null=True)  # of one that others send: ends by itself then, unless it is sent again
    generator_url = models.CharField(max_length=2_000, blank=True)
    incident = models.ForeignKey(Incident, models.SET_NULL, null=True, related_name="alerts")

    class Meta:
        default_permissions = ("view",)
        ordering = ["-active_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=~models.Q(state="resolved"), name="alert_active_once"
            ),
        ]
        indexes = [
            # "Which alerts are active?", by evaluation, inhibition and pages.
            models.Index(fields=["rule", "state"], condition=~models.Q(state="resolved"), name="alert_active"),
            # The history of a rule, and what is old.
            models.Index(fields=["rule", "active_at"], name="alert_by_rule"),
            models.Index(fields=["resolved_at"], name="alert_by_end"),
            # "Which have not been sent again in time?"
            models.Index(fields=["ends_at"], condition=models.Q(state="firing"), name="alert_by_timeout"),
        ]

    def __str__(self) -> str:
        return f"{self.labels.get('alertname', 'alert')} ({self.state})"
