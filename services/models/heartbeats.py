"""Jobs that tell of themselves: the address of each, and what it told."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from services.models.watched import Check


def new_token() -> str:
    return str(uuid.uuid4())


class Heartbeat(models.Model):
    """The secret address of a check of the kind heartbeat, and the run that is under way."""

    service_check = models.OneToOneField(Check, models.CASCADE, primary_key=True, related_name="heartbeat")
    token = models.CharField(
        max_length=64,
        unique=True,
        default=new_token,
        help_text=_("Whoever has it can ping. To keep an address: the UUID of Healthchecks, the token of Uptime Kuma."),
    )
    ping_key = models.CharField(max_length=64, blank=True, help_text=_("For addresses of the form /ping/key/slug."))
    slug = models.SlugField(max_length=100, blank=True, db_index=False)
    started_at = models.BigIntegerField(null=True, editable=False)  # µs: the start that no end followed yet
    resumed_at = models.BigIntegerField(null=True, editable=False)  # µs: after a pause; the next ping counts from then

    class Meta:
        default_permissions = ("change", "view")
        constraints = [
            models.UniqueConstraint(
                fields=["ping_key", "slug"], condition=~models.Q(ping_key=""), name="heartbeat_slug_once"
            )
        ]

    def __str__(self) -> str:
        return f"heartbeat of {self.service_check}"

    def save(self, **options: Any) -> None:
        with suppress(ValueError):
            self.token = str(uuid.UUID(self.token))  # as addresses are looked up, whatever case they come in
        super().save(**options)


class HeartbeatPing(models.Model):
    """One ping. Rows are added, never changed; the newest 100 of a check are kept, for 30 days at most."""

    class Kind(models.TextChoices):
        SUCCESS = "success", _("success")
        START = "start", _("start")
        FAIL = "fail", _("fail")
        LOG = "log", _("log")

    service_check = models.ForeignKey(Check, models.CASCADE, related_name="pings", db_index=False)
    at = models.BigIntegerField()  # µs
    kind = models.CharField(max_length=10, choices=Kind.choices)
    exit_code = models.PositiveSmallIntegerField(null=True)
    run = models.UUIDField(null=True)  # "rid": tells runs apart that overlap
    duration_us = models.BigIntegerField(null=True)  # since the start of the run
    method = models.CharField(max_length=10)
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True)
    body = models.TextField(blank=True)  # may hold secrets: shown to those only who may change the check

    class Meta:
        default_permissions = ("view",)
        indexes = [
            # The newest of a check, and what is too many.
            models.Index(fields=["service_check", "at"], name="ping_by_check"),
            # What is too old.
            models.Index(fields=["at"], name="ping_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"

    @property
    def duration(self) -> timedelta | None:
        return None if self.duration_us is None else timedelta(microseconds=self.duration_us)
