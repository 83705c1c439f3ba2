"""The way of a line: ingest, streams, dead letters."""

from __future__ import annotations

from core import clock, reporting
from logs import stream, usage
from logs.models import DeadLetter
from logs.store import log_stores
from monitor import health
from monitor.doctor.broker import TIMEOUT
from monitor.doctor.findings import CannotTell, Finding, ok, problem, warning

SECTION = "lines-dont-appear"


def ingest() -> Finding:
    with stream.connect(TIMEOUT) as client:
        ingesters = stream.ingesters(client)
        reports = [each for each in reporting.reports(client) if each.alive and each.process == "ingest"]
    if not ingesters:
        newest = log_stores["default"].stats()["newest"]
        since = f"the newest line that is stored is of {clock.iso(newest)[:19]} UTC" if newest else "no line is stored"
        return problem(f"No ingester runs; {since}.", "Start manage.py ingest; make up does so.", SECTION)
    if troubles := sorted({*filter(None, ingesters)}):
        return problem(f"{'. '.join(troubles)}: lines wait in Redis.", "Nothing is lost; mend that.", SECTION)
    commits = [at for each in reports if (at := each.value("pharos_ingest_last_commit_time_seconds"))]
    count = f"{len(ingesters)} ingester{'s' * (len(ingesters) > 1)}"
    if not commits:
        return ok(f"{count}; nothing was stored since the start.")
    return ok(f"{count}; the last commit was {max(clock.now() / clock.SECOND - max(commits), 0):,.0f} s ago.")


def streams() -> Finding:
    states, error = usage.stream_states()
    if error:
        raise CannotTell(f"{error}.")
    slowest = max(states, key=lambda each: each.wait)
    waiting = sum(each.backlog + each.pending for each in states)
    if slowest.wait > health.LAG_MAX:
        return problem(
            f"{waiting:,} entries wait to be stored; the oldest, in {slowest.name}, for {slowest.wait:,.0f} s.",
            "See what ingest says. If it can't keep up, start more of them.", SECTION,
        )  # fmt: skip
    return ok(f"{waiting:,} entries wait to be stored; the oldest for {slowest.wait:.1f} s.")


def dead_letters() -> Finding:
    waiting = DeadLetter.objects.filter(replayed_at=None)
    if count := waiting.count():
        last = waiting.order_by("-pk").first()
        why = f": {last.reason[:150].rstrip('.')}" if last else ""
        said = f"{count:,} dead letter{'s' * (count > 1)}, the last{why}."
        return warning(said, "Look at them in the admin; send them again or delete them.", "there-are-dead-letters")
    return ok("None waits.")
