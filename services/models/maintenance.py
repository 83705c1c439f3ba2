"""Planned work: while a window is open its services are blue, and the time doesn't count."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from services.models.watched import Service


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
