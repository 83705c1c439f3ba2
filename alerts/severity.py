"""How bad it is. Five severities, the worst first; other names and the priorities P1 to P3 are mapped by rows."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Severity(TextChoices):
    CRITICAL = "critical", _("critical")
    HIGH = "high", _("high")
    MEDIUM = "medium", _("medium")
    LOW = "low", _("low")
    INFO = "info", _("info")

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(Severity).index(self)


class Priority(TextChoices):
    P1 = "P1", "P1"
    P2 = "P2", "P2"
    P3 = "P3", "P3"
