"""One message about many that the rate cap held back. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from alerts.models.deliveries import Reason
from alerts.notifications import ALERTS_MAX, Notification, Told
from alerts.severity import Severity


def of(held: Sequence[tuple[str, Mapping[str, Any]]]) -> Notification:
    """`held`: reason and stored notification of each, in order of time; one at least."""
    said = [msgspec.convert(stored, Notification) for _, stored in held]
    # Of an alert that several tell of, what was told last.
    latest = {alert.fingerprint: alert for each in said for alert in each.alerts}
    alerts = sorted(latest.values(), key=_worst_first)
    counts = Counter(Reason(reason).label for reason, _ in held)
    titles = Counter(each.incident_title or each.title for each in said)
    return Notification(
        reason=Reason.SUMMARY,
        receiver=said[0].receiver,
        title=f"{len(held)} more messages in one",
        text=f"{', '.join(f'{count} × {reason}' for reason, count in counts.most_common())}: "
        + ", ".join(title for title, _ in titles.most_common(10) if title)
        + (" and others" if len(titles) > 10 else ""),
        alerts=alerts[:ALERTS_MAX],
        left_out=max(len(alerts) - ALERTS_MAX, 0) + sum(each.left_out for each in said),
        severity=min((each.severity for each in said), key=rank),
        external_url=said[0].external_url,
    )


def rank(severity: object) -> int:
    """0 is the worst; what is no severity is the least."""
    return Severity(severity).rank if severity in Severity.values else len(Severity)


def _worst_first(alert: Told) -> tuple[bool, int]:
    return (not alert.firing, rank(alert.severity))
