"""Reports that are read again and again: who gets them by mail, and what was ticked off on their page."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from alerts.models.receivers import Receiver
from core.kept import Kept
from services import cron


class Cadence(models.TextChoices):
    DAILY = "daily", _("daily")
    WEEKLY = "weekly", _("weekly")
    MONTHLY = "monthly", _("monthly")


class Digest(Kept):
    """A report that a receiver gets once it is complete: of the day, the week or the month before."""

    cadence = models.CharField(max_length=8, choices=Cadence.choices, default=Cadence.WEEKLY)
    receiver = models.ForeignKey(Receiver, models.CASCADE, related_name="digests")
    hour = models.PositiveSmallIntegerField(
        default=8, validators=[MaxValueValidator(23)], help_text=_("Of the day, in the time zone.")
    )
    zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    enabled = models.BooleanField(default=True)

    due_at = models.BigIntegerField(default=0, editable=False)  # µs; 0: it has no time yet
    KEPT = frozenset({"due_at"})

    class Meta:
        ordering = ["receiver", "cadence"]
        constraints = [models.UniqueConstraint(fields=["receiver", "cadence"], name="digest_once")]

    def __str__(self) -> str:
        return f"{self.get_cadence_display()} to {self.receiver}"

    def clean(self) -> None:
        try:
            cron.check_zone(self.zone)
        except ValueError as error:
            raise ValidationError({"zone": str(error)}) from None


class Review(models.Model):
    """What was ticked off of the report of one day, week or month."""

    cadence = models.CharField(max_length=8, choices=Cadence.choices)
    first = models.DateField()
    ticks = models.JSONField(default=dict)  # key of the section → {"by": name, "at": ISO 8601}

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["cadence", "first"], name="review_once")]

    def __str__(self) -> str:
        return f"{self.get_cadence_display()} {self.first}"
