"""What was known when an incident began, frozen into it: it stays when the lines themselves are gone.

Collected after the incident was opened, by a task of its own, so that it delays nobody; and once more five minutes
later, with what was said meanwhile. Each kind is a row, and one that can't be had costs none of the others. Log lines
are kept as the store has them: what was redacted stays so.

Shapes of `Evidence.data`; times are ISO 8601, `lines.records` reads lines:

    matches     {"query", "start", "end", "total", "complete", "lines": […]}      of the rule's query, the oldest first
    lines       {"services": [name, …], "start", "end", "total", "complete",
                 "lines": […],                                                    the nearest, and warnings before
                 "step": seconds, "counts": [[time, [lines by level, trace … fatal]], …]}
    changes     {"changes": [{"at", "service", "old", "new", "reason"}, …]}       of the service and what it needs
    containers  {"events": [{"at", "service", "container", "kind", "detail"}, …]} likewise
    deploy      {"deploys": [{"at", "service", "what"}, …]}                       likewise, the newest first
    series      {"series": [{"labels": {…}, "points": [[time, value], …]}, …], "unit", "operator", "thresholds"}
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from django.db import transaction

from alerts import events
from alerts.events import Act
from alerts.evidence import happened, lines, series
from alerts.evidence.scene import LATE, Scene, Taken
from alerts.models import Evidence, Incident
from alerts.models.incidents import Verb, Via
from core import clock

LEASE: Final = 60 * clock.SECOND
DUE_MAX: Final = 50  # incidents of one run
BUDGET: Final = 0.3  # seconds of one run: in a storm whoever must be told goes first

KINDS: Final[dict[Evidence.Kind, Callable[[Scene], Taken]]] = {
    Evidence.Kind.MATCHES: lines.matches,
    Evidence.Kind.LINES: lines.around,
    Evidence.Kind.CHANGES: happened.changes,
    Evidence.Kind.CONTAINERS: happened.containers,
    Evidence.Kind.DEPLOY: happened.deploy,
    Evidence.Kind.SERIES: series.values,
}

log = logging.getLogger(__name__)


_running = threading.Lock()  # of this process


def run_due(now: datetime) -> int:
    """Collects what is due, for as long as one run may take. The number of incidents."""
    if not _running.acquire(blocking=False):
        return 0
    try:
        return _run_due(now)
    finally:
        _running.release()


def _run_due(now: datetime) -> int:
    until, at, done = time.monotonic() + BUDGET, clock.micros(now), 0
    due = Incident.objects.filter(evidence_at__lte=at).order_by("evidence_at", "pk")
    for pk, seen in list(due.values_list("pk", "evidence_at")[:DUE_MAX]):
        if time.monotonic() > until:
            break
        # Ours until a lease ends: of a worker that dies another one takes it over.
        if Incident.objects.filter(pk=pk, evidence_at=seen).update(evidence_at=at + LEASE):
            freeze(Incident.objects.select_related("rule", "service").get(pk=pk), now)
            done += 1
    return done


def freeze(incident: Incident, now: datetime) -> None:
    """Collects all kinds, up to `now` or five minutes after the incident was opened."""
    scene = Scene.of(incident, now)
    found = []
    for kind, collect in KINDS.items():
        try:
            taken = collect(scene)
        except Exception:
            log.exception("No evidence of the kind %s for incident %d", kind, incident.pk)
            continue
        if taken:
            found.append(Evidence(incident=incident, kind=kind, taken_at=now, data=taken[0], note=taken[1][:300]))
    due = None if now >= scene.end + LATE else clock.micros(scene.end + LATE)
    with transaction.atomic():
        first = not incident.evidence.exists()
        Evidence.objects.bulk_create(
            found, update_conflicts=True, unique_fields=["incident", "kind"],
            update_fields=["taken_at", "data", "note"],
        )  # fmt: skip
        Incident.objects.filter(pk=incident.pk).update(evidence_at=due)
        if first and found:
            words = ", ".join(each.note for each in found if each.note)
            kinds = [each.kind for each in found]
            events.note(incident.pk, Verb.EVIDENCE, Act(None, Via.SYSTEM, now, words), {"kinds": kinds})
