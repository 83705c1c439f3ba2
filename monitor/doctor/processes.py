"""Who runs."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from django.conf import settings

from core import clock, reporting
from logs import stream
from logs.models import LogSource
from logs.sources.listen import WAYS
from monitor.doctor.broker import TIMEOUT
from monitor.doctor.findings import Finding, ok, problem, warning

NEEDED: Final = ("web", "ingest", "worker", "beat")
QUEUE_MAX: Final = 1_000  # tasks
SECTION: Final = "a-process-is-missing"


def running() -> Finding:
    with stream.connect(TIMEOUT) as client:
        found = reporting.reports(client)
    count = Counter(each.process for each in found if each.alive)
    needed = [*NEEDED]
    if LogSource.objects.filter(enabled=True, kind__in=list(WAYS)).exists():
        needed.append("listen")
    shown = ", ".join(f"{number} {name}" for name, number in sorted(count.items())) or "none"
    if missing := [name for name in needed if not count[name]]:
        gone = reporting.gone(found)
        ages = [f"{name} (last heard of {gone[name]:,.0f} s ago)" if name in gone else name for name in missing]
        return problem(f"Not running: {', '.join(ages)}. Running: {shown}.", "Start them; make up does so.", SECTION)
    return ok(f"Running: {shown}.")


def beat() -> Finding:
    with stream.connect(TIMEOUT) as client:
        alive: Any = client.get(f"{stream.ALIVE}worker")
        ticked: Any = client.get(stream.TICKED)
        waiting: Any = client.llen(settings.CELERY_TASK_DEFAULT_QUEUE)
    since = (clock.now() - int(ticked)) / clock.SECOND if ticked else None
    if alive is None:
        last = f"the last came {since:,.0f} s ago" if since is not None else "none ever came"
        said = f"No tick of beat came through a worker in the last {stream.ALIVE_FOR} s; {last}."
        return problem(said, "Nothing is checked and nobody is told: start the worker and beat.", SECTION)
    if waiting > QUEUE_MAX:
        said = f"{waiting:,} tasks wait for a worker."
        return warning(said, "Start another worker, or see what keeps this one busy.", SECTION)
    return ok(f"The last tick came {max(since or 0, 0):.0f} s ago; {waiting:,} tasks wait.")
