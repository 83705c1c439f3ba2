"""What the page of a service shows. Each function answers one part of the page, with a number of queries of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.urls import reverse
from django.utils import timezone

from core import clock
from services import availability, charts, drawings, statuses, visible
from services.availability import Outage
from services.cards import percent
from services.containers import deploys
from services.durations import milliseconds, words
from services.models import Check, CheckResult, Container, Service
from services.status import Outcome, Role

RESULTS_SHOWN: Final = 12
OUTAGES_SHOWN: Final = 8
SPANS: Final = {"24 h": 1, "7 d": 7, "30 d": 30, "90 d": 90}  # days
COLOURS: Final = {
    None: "grey",
    Outcome.UP: "green",
    Outcome.DEGRADED: "yellow",
    Outcome.FAILING: "red",
    Outcome.UNREACHABLE: "red",
}
AROUND: Final = timedelta(minutes=2)  # log lines before an outage tell why
_ROLES: Final = (Role.READINESS, Role.HEALTH, Role.LIVENESS)


# --- Status, and why -------------------------------------------------------------------------------------------------


class Culprit(NamedTuple):
    """A check within the check that made the service what it is."""

    name: str
    word: str
    detail: str
    since: datetime | None


def head(service: Service, checks: Sequence[Check], now: datetime) -> dict[str, Any]:
    """`service` with culprit and explained_by at hand."""
    parts = service.culprit.parts if service.culprit and service.colour in {"red", "yellow"} else []
    leaves = [part for part in parts if not any(other["path"].startswith(part["path"] + ".") for other in parts)]
    ill = sorted((part for part in leaves if part["outcome"] != Outcome.UP), key=lambda part: -part["outcome"])
    return {
        "service": service,
        "for": words(now - service.status_since),
        "culprits": [
            Culprit(part["path"], _word(part["outcome"]), part.get("detail", ""), _moment(part.get("since")))
            for part in ill[:3]
        ],
        "expires": min((check.expires_at for check in checks if check.expires_at), default=None),
    }


def _word(outcome: int | None) -> str:
    return str(Outcome(outcome).label) if outcome is not None else "no result yet"


def _moment(micros: int | None) -> datetime | None:
    return clock.moment(micros) if micros else None


# --- The tree of checks ----------------------------------------------------------------------------------------------


class Leaf(NamedTuple):
    """A check, or a check within one."""

    name: str
    depth: int
    colour: str
    word: str
    detail: str
    since: datetime | None
    latency: str


class Branch(NamedTuple):
    check: Check
    top: Leaf
    parts: list[Leaf]
    stale: bool
    against: int  # results in a row that speak against what it is settled on


def tree(checks: Iterable[Check], now: datetime) -> list[Branch]:
    """What users wait for first, whether it runs at all last."""
    order = {role: rank for rank, role in enumerate(_ROLES)}
    return [_branch(check, now) for check in sorted(checks, key=lambda check: (order[Role(check.role)], check.pk))]


def _branch(check: Check, now: datetime) -> Branch:
    stale = statuses.is_stale(check, now)
    colour = COLOURS[Outcome(check.outcome)] if check.outcome is not None and not stale else "grey"
    word = "no recent result" if stale else _word(check.outcome)
    latency = milliseconds(check.latency_us)
    if stale:
        # What was true long ago would look as if it were so now.
        return Branch(check, Leaf(check.name, 0, colour, word, "", _moment(check.last_at), ""), [], stale, 0)
    top = Leaf(check.name, 0, colour, word, check.detail, _moment(check.outcome_since), latency)
    return Branch(check, top, _leaves(check.parts), stale, check.streak_count)


def _leaves(parts: Sequence[dict[str, Any]]) -> list[Leaf]:
    """By path, so that each stands under what it is a part of. A group without a result of its own is a name."""
    leaves: list[Leaf] = []
    before: list[str] = []
    for part in sorted(parts, key=lambda part: str(part["path"]).split(".")):
        names = str(part["path"]).split(".")
        shared = next((n for n, (a, b) in enumerate(zip(names, before, strict=False)) if a != b), len(before))
        shared = min(shared, len(names) - 1)
        leaves += [Leaf(name, n + 1, "", "", "", None, "") for n, name in enumerate(names[shared:-1], shared)]
        took = part.get("latency_ms")
        leaves.append(
            Leaf(
                names[-1], len(names), COLOURS[Outcome(part["outcome"])], _word(part["outcome"]),
                part.get("detail", ""), _moment(part.get("since")),
                milliseconds(took * 1_000) if took is not None else "",
            )
        )  # fmt: skip
        before = names
    return leaves


# --- Figures, outages ------------------------------------------------------------------------------------------------


def history(service: Service, now: datetime) -> dict[str, Any]:
    """Figures, strip and outages: all that changes only when the status does."""
    found = {
        name: availability.for_services([service], now - timedelta(days=days), now)[service.pk]
        for name, days in SPANS.items()
    }
    month, quarter = found["30 d"], found["90 d"]
    return {
        "month": month,
        "uptime": percent(month.uptime) or "–",
        "target": f"{service.sla_target.normalize():f} %",
        "budget_used": None if month.budget_used is None else f"{month.budget_used:.0f} %",
        "mttr": words(quarter.mttr) if quarter.mttr is not None else "–",
        "mtbf": words(quarter.mtbf) if quarter.mtbf is not None else "–",
        "outages_90": len(quarter.outages),
        "longest_without": words(quarter.longest_without),
        "uptimes": [(name, percent(each.uptime) or "–") for name, each in found.items()],
        "strip": drawings.strip(availability.strip([service.pk], now)[service.pk], pieces=True),
        "outages": [
            {"outage": outage, "lasted": words(outage.end - outage.start), "lines": lines_url(service, outage)}
            for outage in quarter.outages[::-1][:OUTAGES_SHOWN]
        ],
        "outages_left": max(len(quarter.outages) - OUTAGES_SHOWN, 0),
    }


def lines_url(service: Service, outage: Outage) -> str:
    """The log lines of the service from shortly before the outage to its end."""
    parameters = {"service": service.name, "from": _stamp(outage.start - AROUND)}
    if not outage.goes_on:
        parameters["to"] = _stamp(outage.end)
    return reverse("logs:page", query=parameters)


def _stamp(moment: datetime) -> str:
    return clock.iso(clock.micros(moment))


# --- Results, containers, neighbours ---------------------------------------------------------------------------------


class Result(NamedTuple):
    at: datetime
    check: str
    colour: str
    word: str
    detail: str
    latency: str


def results(checks: Sequence[Check]) -> list[Result]:
    """The newest of all checks. Only a few intervals are looked at: the index has them by check, not by time."""
    asked = [check for check in checks if check.last_at]
    if not asked:
        return []
    names = {check.pk: check.name for check in asked}
    newest = max(check.last_at or 0 for check in asked)
    shortest = min(check.interval for check in asked)
    since = newest - round(RESULTS_SHOWN * 2 * shortest * clock.SECOND)
    rows = CheckResult.objects.filter(service_check__in=names, at__gte=since).order_by("-at")
    return [
        Result(
            clock.moment(row.at), names[row.service_check_id], COLOURS[Outcome(row.outcome)], _word(row.outcome),
            row.detail, milliseconds(row.latency_us),
        )
        for row in rows.defer("parts")[:RESULTS_SHOWN]
    ]  # fmt: skip


def containers(service: Service) -> list[dict[str, Any]]:
    found = Container.objects.filter(service=service, removed_at=None).select_related("host")
    return [
        {
            "container": each,
            "colour": _colour(each),
            "said": "its host is away" if each.host.away else (statuses.describe(each) or each.health or each.state),
            "memory": each.memory_bytes,
        }
        for each in found[:50]
    ]


def _colour(container: Container) -> str:
    if container.host.away:
        return "grey"
    if container.state != "running":
        return "red"
    return {"unhealthy": "yellow", "starting": "grey"}.get(container.health, "green")


def chart(service: Service, checks: Sequence[Check], parameters: Any, now: datetime) -> dict[str, Any]:
    """What static/pharos/service.js draws. `parameters` may name a check and a range; others are as good as none."""
    shown = charts.RANGES.get(parameters.get("range", "")) or _usual(service, now)
    check = next((each for each in checks if str(each.pk) == parameters.get("check")), leading(checks))
    end = clock.micros(now)
    start = end - shown.span
    found = charts.latency(check, shown, end) if check else charts.Latency([], {}, shown.step)
    known = availability.for_services([service], clock.moment(start), now)[service.pk]
    return {
        "range": shown.name,
        "ranges": list(charts.RANGES),
        "asked": check,
        "points": found.points[::-1],
        "data": {
            "start": start // 1_000,
            "end": end // 1_000,
            "step": shown.step // 1_000,
            "points": found.points,
            "parts": found.parts,
            "parts_step": found.parts_step // 1_000,
            "deploys": [(clock.micros(at) // 1_000, what) for at, what in deploys(service, clock.moment(start), now)],
            "outages": [
                {
                    "from": clock.micros(outage.start) // 1_000,
                    "to": clock.micros(outage.end) // 1_000,
                    "why": outage.reason,
                    "lines": lines_url(service, outage),
                }
                for outage in known.outages
            ],
        },
    }


def _usual(service: Service, now: datetime) -> charts.Range:
    """A day; of a service that is younger the shortest range that shows all of it."""
    age = clock.micros(now) - clock.micros(service.created_at)
    usual = charts.RANGES[charts.USUAL]
    return next((each for each in charts.RANGES.values() if age <= each.span < usual.span), usual)


def leading(checks: Sequence[Check]) -> Check | None:
    """Whose latency stands for the service: what users wait for."""
    timed = [check for check in checks if check.latency_us is not None] or list(checks)
    return min(timed, key=lambda check: (_ROLES.index(Role(check.role)), check.pk), default=None)


def day(checks: Sequence[Check], now: datetime) -> charts.Figures | None:
    check = leading(checks)
    return charts.figures(check, clock.micros(now)) if check else None


def live(service: Service, checks: Sequence[Check], now: datetime) -> dict[str, Any]:
    """What may be another with each result."""
    return {
        **head(service, checks, now),
        "tree": tree(checks, now),
        "results": results(checks),
        "containers": containers(service),
        "parents": list(visible.services(service.parents.order_by("name"))[:50]),
        "children": list(visible.services(service.children.order_by("name"))[:50]),
        "today": timezone.localdate(now),
    }
