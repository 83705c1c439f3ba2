"""Who is told, and by which ways; and who is told next if nobody answers."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from alerts import notifiers
from core.kept import Kept
from core.secrets import EncryptedJSONField


class Receiver(models.Model):
    """A name that routes point to. It may have several channels: each is told."""

    name = models.CharField(max_length=100, unique=True)
    comment = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Channel(Kept):
    """One way to one place: a Slack webhook, some mail addresses. `alerts.sending` alone writes what went wrong."""

    receiver = models.ForeignKey(Receiver, models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=20, choices=notifiers.choices)
    options = models.JSONField(default=dict, blank=True)
    secrets = EncryptedJSONField(default=dict, blank=True)
    templates = models.JSONField(default=dict, blank=True)  # by name of the part; what is missing is built in
    send_resolved = models.BooleanField(default=True)
    rate_max = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(1_000)],
        help_text=_("Messages in a minute; what is more comes as one summary."),
    )
    enabled = models.BooleanField(default=True)

    disabled_reason = models.CharField(max_length=500, blank=True, editable=False)  # a permanent error, as a sentence
    failing_since = models.DateTimeField(null=True, editable=False)
    delivered_at = models.DateTimeField(null=True, editable=False)
    KEPT = frozenset({"disabled_reason", "failing_since", "delivered_at"})

    class Meta:
        ordering = ["receiver", "pk"]
        permissions = [("test_channel", _("Can send a test message"))]

    def __str__(self) -> str:
        return f"{self.receiver} · {self.kind}"

    def clean(self) -> None:
        errors = notifiers.problems(self.kind, self.options, self.secrets, self.templates)
        if errors:
            raise ValidationError(errors)


class EscalationPolicy(models.Model):
    """Who is told next, and when, if an incident waits."""

    name = models.CharField(max_length=100, unique=True)
    remind_after = models.PositiveIntegerField(
        default=3_600,
        help_text=_("Seconds without events after which an acknowledged incident reminds; 0 is never."),
    )

    class Meta:
        ordering = ["name"]
        verbose_name_plural = _("escalation policies")

    def __str__(self) -> str:
        return self.name


class EscalationStep(models.Model):
    class Until(models.TextChoices):
        ACKNOWLEDGED = "acknowledged", _("nobody has acknowledged it")
        RESOLVED = "resolved", _("it is not resolved")

    policy = models.ForeignKey(EscalationPolicy, models.CASCADE, related_name="steps")
    after = models.PositiveIntegerField(help_text=_("Seconds after the incident was opened."))
    until = models.CharField(_("if"), max_length=12, choices=Until.choices, default=Until.ACKNOWLEDGED)
    receiver = models.ForeignKey(Receiver, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["policy", "after", "pk"]

    def __str__(self) -> str:
        return f"after {self.after} s: {self.receiver}"
