"""What somebody is told: made once, when it is decided, and kept with the delivery. Every notifier words it its way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec


class Told(msgspec.Struct, frozen=True):
    """An alert as it was when somebody was told of it."""

    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]  # "summary", "description", "runbook_url", and what others send
    severity: str
    firing: bool
    starts_at: datetime
    ends_at: datetime | None = None
    value: float | None = None
    generator_url: str = ""


class Notification(msgspec.Struct, frozen=True):
    reason: str  # of `models.deliveries.Reason`
    receiver: str
    title: str = ""  # without a group of alerts: what it is about …
    text: str = ""  # … and what there is to say
    alerts: Sequence[Told] = ()  # firing ones first, the worst first; at most ALERTS_MAX
    left_out: int = 0  # alerts beyond that
    group_key: str = ""  # as Alertmanager words it: '{}/{severity="critical"}:{alertname="Down"}'
    group_labels: dict[str, str] = {}
    common_labels: dict[str, str] = {}
    common_annotations: dict[str, str] = {}
    severity: str = "info"  # the worst of the firing ones, or of those that ended
    incident: int | None = None
    incident_title: str = ""
    dedup_key: str = ""  # the same for all that is told of one group: PagerDuty and others join on it
    by: str = ""  # who acknowledged
    external_url: str = ""  # of this Pharos; links are made from it

    @property
    def firing(self) -> list[Told]:
        return [alert for alert in self.alerts if alert.firing]

    @property
    def resolved(self) -> list[Told]:
        return [alert for alert in self.alerts if not alert.firing]

    @property
    def status(self) -> str:
        """ "firing" while any of them is."""
        return "firing" if self.firing or not self.alerts else "resolved"


ALERTS_MAX = 100
