"""Planned work: while a window is open its services are blue, and the time doesn't count."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from services import cron
from services.models.watched import Service

WEEK: Final = 7 * 24 * 60  # minutes
HOUR: Final = timedelta(hours=1)


class MaintenanceWindow(models.Model):
    """Once, from `starts_at` to `ends_at`; or again and again: at each time of `cron` for `minutes`, in between."""

    name = models.CharField(max_length=100)
    services = models.ManyToManyField(Service, related_name="maintenance_windows", blank=True)
    everything = models.BooleanField(default=False, help_text=_("All services, also those to come."))
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, help_text=_("Empty for one that comes again for ever."))
    cron = models.CharField(max_length=100, blank=True, help_text=_("For example 0 3 * * SUN: each Sunday at 03:00."))
    minutes = models.PositiveIntegerField(default=60, help_text=_("How long it lasts each time, with cron."))
    zone = models.CharField(_("time zone"), max_length=60, default="UTC", help_text=_("Of cron."))
    comment = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-starts_at"]
        indexes = [models.Index(fields=["ends_at"], name="window_by_end")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": _("Expected an end after the start.")})
        if self.cron:
            self._clean_cron()
        elif self.ends_at is None:
            raise ValidationError({"ends_at": _("Expected an end: only a window with cron comes again for ever.")})

    def _clean_cron(self) -> None:
        if not self.starts_at or self.minutes is None:
            return  # the field says what is wrong with it
        if not 1 <= self.minutes <= WEEK:
            raise ValidationError({"minutes": _("Expected a minute to a week.")})
        try:
            cron.check_zone(self.zone)
        except ValueError as error:
            raise ValidationError({"zone": _sentence(error)}) from None
        try:
            cron.check(self.cron, self.zone, self.starts_at)
            gap = cron.shortest_gap(self.cron, self.zone, self.starts_at)
            first = next(cron.occurrences(self.cron, self.zone, self.starts_at - cron.INSTANT))
        except ValueError as error:
            raise ValidationError({"cron": _sentence(error)}) from None
        if gap < HOUR:
            raise ValidationError({"cron": _("Expected a window that comes once an hour at most.")})
        if gap < timedelta(minutes=self.minutes):
            raise ValidationError({"minutes": _("Expected a window that closes before it opens again.")})
        if self.ends_at and first >= self.ends_at:
            raise ValidationError({"cron": _("Expected a time between start and end, but it never comes there.")})


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."
