"""Who may do what: API keys. People are Django's users and groups."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    INGEST = "ingest", _("Ingest: send logs and alerts")
    READ = "read", _("Read: see what there is")
    ADMIN = "admin", _("Admin: everything the API can do")


def valid_scopes(value: object) -> None:
    from django.core.exceptions import ValidationError

    if not isinstance(value, list) or not value or set(value) - set(Scope.values):
        raise ValidationError(_("Expected at least one of: %(scopes)s.") % {"scopes": ", ".join(Scope.values)})


class ApiKey(models.Model):
    """A program's access. The key itself is shown once and never stored; its hash finds the row."""

    name = models.CharField(max_length=100, help_text=_("Who uses it: “checkout in production”."))
    scopes = models.JSONField(default=list, validators=[valid_scopes])
    prefix = models.CharField(max_length=20, editable=False, help_text=_("The key's first characters."))
    hash = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256, hex
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)  # to the minute
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
