"""What happened: results of checks, and changes of status. Rows are added, never changed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from services.models.watched import Check, Service
from services.status import COLOURS, Outcome, Status


class CheckResult(models.Model):
    """One answer. Kept for 30 days; `CheckHour` remembers longer."""

    service_check = models.ForeignKey(Check, models.CASCADE, related_name="results", db_index=False)
    at = models.BigIntegerField()  # µs: when it was asked
    outcome = models.SmallIntegerField(choices=Outcome.choices)
    latency_us = models.BigIntegerField(null=True)
    detail = models.CharField(max_length=300, blank=True)
    parts = models.JSONField(null=True)  # of `probes.Part`

    class Meta:
        default_permissions = ("view",)
        # Charts and lists ask for a check's results in a range of time; so does what removes old ones.
        indexes = [models.Index(fields=["service_check", "at"], name="result_by_check")]

    def __str__(self) -> str:
        return f"{self.get_outcome_display()} at {self.at}"


class CheckHour(models.Model):
    """The results of a check in an hour."""

    service_check = models.ForeignKey(Check, models.CASCADE, related_name="hours", db_index=False)
    hour = models.BigIntegerField()  # µs, its beginning
    up = models.PositiveIntegerField(default=0)
    degraded = models.PositiveIntegerField(default=0)
    failing = models.PositiveIntegerField(default=0)
    unreachable = models.PositiveIntegerField(default=0)
    p50_us = models.BigIntegerField(null=True)
    p95_us = models.BigIntegerField(null=True)
    max_us = models.BigIntegerField(null=True)
    parts = models.JSONField(null=True)  # path of a part → its median latency in ms

    class Meta:
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["service_check", "hour"], name="hour_once")]

    def __str__(self) -> str:
        return f"hour {self.hour}"


class StatusChange(models.Model):
    """A service went from one status to another. The history, the arithmetic of uptime, and what alerts read."""

    service = models.ForeignKey(Service, models.CASCADE, related_name="changes", db_index=False)
    at = models.DateTimeField()  # when it happened …
    noticed_at = models.DateTimeField(default=timezone.now)  # … and when we knew
    old = models.CharField(max_length=12, choices=Status.choices)
    new = models.CharField(max_length=12, choices=Status.choices)
    reason = models.CharField(max_length=500, blank=True)
    culprit = models.ForeignKey(Check, models.SET_NULL, null=True, related_name="+")
    explained_by = models.ForeignKey(Service, models.SET_NULL, null=True, related_name="+")

    class Meta:
        default_permissions = ("view",)
        ordering = ["-at", "-pk"]
        indexes = [
            # A service's history.
            models.Index(fields=["service", "at"], name="change_by_service"),
            # "What changed in the last hour?"
            models.Index(fields=["at"], name="change_by_time"),
        ]
        verbose_name = _("status change")

    def __str__(self) -> str:
        return f"{self.service}: {self.old} → {self.new}"

    @property
    def colour(self) -> str:
        return COLOURS[Status(self.new)]
