"""What the room counts, for /metrics; docs/operations.md says what each number means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from core.meters import Counter, Histogram

if TYPE_CHECKING:
    from alerts.notifiers import NotifierError

EVALUATIONS: Final = Counter("pharos_rule_evaluations", "Rules that were evaluated.", "outcome")
EVALUATION_TIMES: Final = Histogram("pharos_rule_evaluation_duration_seconds", "How long a rule took.")
EVALUATION_LATENESS: Final = Histogram(
    "pharos_rule_lateness_seconds", "How much later than their time rules were evaluated."
)
NOTIFICATIONS: Final = Counter("pharos_notifications", "Tries to tell somebody.", "kind", "outcome")
NOTIFICATION_TIMES: Final = Histogram("pharos_notification_duration_seconds", "How long receivers took.")


def count_notification(kind: str, error: NotifierError | None, seconds: float) -> None:
    NOTIFICATIONS.add(1, kind, "delivered" if error is None else "refused" if error.permanent else "failed")
    NOTIFICATION_TIMES.observe(seconds)
