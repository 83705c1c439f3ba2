"""Who may do what: API keys, and which teams see which services. People are Django's users, teams its groups."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import ClassVar

from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.names import LENGTH_MAX, valid_pattern, valid_patterns
from core.kept import Kept


class Scope(models.TextChoices):
    INGEST = "ingest", _("Ingest: send logs and alerts")
    READ = "read", _("Read: see what there is")
    ADMIN = "admin", _("Admin: everything the API can do")


def valid_scopes(value: object) -> None:
    from django.core.exceptions import ValidationError

    if not isinstance(value, list) or not value or set(value) - set(Scope.values):
        raise ValidationError(_("Expected at least one of: %(scopes)s.") % {"scopes": ", ".join(Scope.values)})


class Secret(models.Model):
    """What opens: the key's text is shown once and never stored; its hash finds the row."""

    prefix = models.CharField(max_length=20, editable=False, help_text=_("The key's first characters."))
    hash = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256, hex
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)  # to the minute
    last_used_from = models.CharField(max_length=64, blank=True, editable=False)  # the client's address

    class Meta:
        abstract = True


class ApiKey(Kept, Secret):
    """A program's access."""

    KEPT: ClassVar = frozenset({"prefix", "hash", "last_used_at", "last_used_from", "revoked_at", "warned_on"})

    name = models.CharField(max_length=100, help_text=_("Who uses it: “checkout in production”."))
    scopes = models.JSONField(default=list, validators=[valid_scopes])
    services = models.JSONField(default=list, blank=True, validators=[valid_patterns])  # empty: all
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_on = models.DateField(
        null=True, blank=True, help_text=_("The last day on which it works, in UTC. Empty: until it is revoked.")
    )
    warned_on = models.DateField(null=True, blank=True, editable=False)  # when we last said that it expires soon
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def days_left(self, today: date) -> int | None:
        """0 on its last day, less than 0 once it is over; None if it never is."""
        return None if self.expires_on is None else (self.expires_on - today).days

    def has_expired(self, now: datetime) -> bool:
        left = self.days_left(now.astimezone(UTC).date())
        return left is not None and left < 0


class OldSecret(Secret):
    """The secret that a key had before it was rotated. It opens until its time is over."""

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="old_secrets")
    works_until = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ["-works_until", "-pk"]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class RoleGrant(models.Model):
    """What a built-in role was given once: it isn't given again. See accounts/roles.py."""

    role = models.CharField(max_length=150)
    permission = models.CharField(max_length=255)  # "alerts.view_incident"

    class Meta:
        default_permissions = ()
        permissions = [("enter_admin", _("Can enter the admin"))]
        constraints = [models.UniqueConstraint(fields=["role", "permission"], name="accounts_grant_once")]

    def __str__(self) -> str:
        return f"{self.role}: {self.permission}"


class TeamService(models.Model):
    """Services that not everybody sees. Read by `accounts.visibility`."""

    pattern = models.CharField(
        _("service"),
        max_length=LENGTH_MAX,
        unique=True,
        validators=[valid_pattern],
        help_text=_("checkout, or shop-* for all that begin so; services that only have lines, too."),
    )
    groups: models.ManyToManyField[Group, models.Model] = models.ManyToManyField(
        Group, blank=True, related_name="+", verbose_name=_("teams"), help_text=_("Who sees them. None: nobody.")
    )

    class Meta:
        verbose_name = _("team’s service")
        verbose_name_plural = _("teams’ services")
        ordering = ["pattern"]
        permissions = [("see_everything", _("Can see the services of all teams"))]

    def __str__(self) -> str:
        return self.pattern


from accounts.preferences import Preferences  # noqa: E402, F401 - a model is known when its application is
