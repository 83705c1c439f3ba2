"""What the label `severity` says, and how bad that is here: rows, see `alerts.models.rules.SeverityName`."""

from __future__ import annotations

from collections.abc import Mapping

from alerts.labels import Labels
from alerts.models.rules import SeverityName
from alerts.severity import Severity

Names = Mapping[str, Severity]


def load() -> Names:
    """Name in small letters → severity."""
    rows = SeverityName.objects.values_list("name", "severity")
    return {name.lower(): Severity(severity) for name, severity in rows}


def severity_of(labels: Labels, names: Names) -> Severity:
    """An alert whose severity is missing or means nothing here is high: nobody shall overlook it."""
    return names.get(labels.get("severity", "").lower(), Severity.HIGH)
