"""How bad it is. Five severities, the worst first; other names and the priorities P1 to P3 are mapped by rows."""

from __future__ import annotations

from typing import Final

from django.db.models import Case, IntegerField, TextChoices, Value, When
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


# The rank of a row's `severity`, to order by.
RANK: Final = Case(
    *(When(severity=severity, then=Value(severity.rank)) for severity in Severity),
    default=Value(len(Severity)),
    output_field=IntegerField(),
)


class Priority(TextChoices):
    P1 = "P1", "P1"
    P2 = "P2", "P2"
    P3 = "P3", "P3"
