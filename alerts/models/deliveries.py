"""Deliveries: who is told what, when, with which answer."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models.incidents import Incident
from alerts.models.receivers import Channel
from alerts.models.routing import Group


class Reason(models.TextChoices):
    FIRING = "firing", _("firing")  # new alerts in the group
    REPEAT = "repeat", _("repeated")
    RESOLVED = "resolved", _("resolved")
    ACKNOWLEDGED = "acknowledged", _("acknowledged")  # for those who keep a state of their own: PagerDuty
    ESCALATION = "escalation", _("escalated")
    REMINDER = "reminder", _("reminder")
    SUMMARY = "summary", _("summary")  # of what the rate cap held back
    EXPIRY = "expiry", _("a silence ends soon")
    DIGEST = "digest", _("digest")
    TEST = "test", _("test")


class Outcome(models.TextChoices):
    DUE = "due", _("due")
    DELIVERED = "delivered", _("delivered")
    FAILED = "failed", _("failed")  # a permanent error, or too many tries
    HELD = "held", _("in a summary")  # by the rate cap


class Delivery(models.Model):
    """Written in the transaction that decides to tell somebody. Claimed, sent and finished by `alerts.sending`."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="deliveries", db_index=False)
    incident = models.ForeignKey(Incident, models.SET_NULL, null=True, related_name="deliveries")
    group = models.ForeignKey(Group, models.SET_NULL, null=True, related_name="deliveries")
    reason = models.CharField(max_length=12, choices=Reason.choices)
    notification = models.JSONField()  # what is told, as `alerts.notifications.Notification`
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.DUE)
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.BigIntegerField(null=True)  # µs; null: finished
    claim = models.CharField(max_length=32, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    took_ms = models.PositiveIntegerField(null=True)
    answer = models.CharField(max_length=500, blank=True)  # what the other side said, or why it could not be sent

    class Meta:
        default_permissions = ("view",)
        ordering = ["-created_at", "-pk"]
        verbose_name_plural = _("deliveries")
        indexes = [
            # "What is due?", asked each second.
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="delivery_by_due"),
            # "Is an earlier one of this group not finished yet?"
            models.Index(
                fields=["channel", "group"], condition=models.Q(due_at__isnull=False), name="delivery_unfinished"
            ),
            # The history of a channel.
            models.Index(fields=["channel", "-created_at"], name="delivery_by_channel"),
            # How many went to a channel in the last minute.
            models.Index(fields=["channel", "finished_at"], name="delivery_by_end"),
            # What is old.
            models.Index(fields=["created_at"], name="delivery_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.get_reason_display()} to {self.channel}: {self.get_outcome_display()}"
