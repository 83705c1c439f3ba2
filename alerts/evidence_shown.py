"""Frozen evidence, as the page of an incident shows it. `alerts.evidence` says how it is kept."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts import visibility
from alerts import visible
from alerts.evidence.lines import records
from alerts.models import AlertRule, Evidence, Incident
from core import clock
from logs.rows import render_rows
from logs.search import SearchError, parse_search
from services.durations import words
from services.glance import EVENT_COLOURS
from services.models import ContainerEvent
from services.status import COLOURS, Status

KEPT_MAX: Final = 32  # incidents that are kept drawn
CAUSE_MAX: Final = timedelta(minutes=15)  # before the incident: what happened earlier is hardly why
CAUSES: Final = (ContainerEvent.Kind.DIE, ContainerEvent.Kind.OOM, ContainerEvent.Kind.RESTART_LOOP)


class Lines(NamedTuple):
    title: str
    note: str  # how many there are
    rows: SafeString
    link: str  # to them on the Logs page, as the end of an address


class Happened(NamedTuple):
    at: datetime
    colour: str
    subject: str
    text: str
    may_be_why: bool = False


class Taken(NamedTuple):
    at: datetime | None = None  # when it was collected first; None if it wasn't yet
    series: dict[str, Any] | None = None  # for static/pharos/incidents.js
    lines: Sequence[Lines] = ()
    happened: Sequence[Happened] = ()  # the oldest first
    cause: Happened | None = None


_kept: dict[Hashable, Taken] = {}


def of(incident: Incident, *, reads: bool) -> Taken:
    """With `reads`, log lines included. Drawn once: it is frozen."""
    stamps = tuple(incident.evidence.order_by("kind").values_list("kind", "taken_at"))
    key = (
        visibility.current(),
        incident.pk,
        incident.rule_id,
        stamps,
        reads,
        timezone.get_current_timezone_name(),
        timezone.localdate(),
    )
    if key not in _kept:
        while len(_kept) >= KEPT_MAX:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = _of(incident, {each.kind: visible.evidence(each) for each in incident.evidence.all()}, reads)
    return _kept[key]


def _of(incident: Incident, found: Mapping[str, Evidence], reads: bool) -> Taken:
    if not found:
        return Taken()
    happened = sorted(_happened(found))
    before = [each for each in happened if incident.opened_at - CAUSE_MAX <= each.at <= incident.opened_at]
    return Taken(
        at=incident.opened_at,
        series=_series(incident, found),
        lines=list(_lines(found, reads)),
        happened=happened,
        cause=next((each for each in reversed(before) if each.may_be_why), None),
    )


# --- Log lines -------------------------------------------------------------------------------------------------------


def _lines(found: Mapping[str, Evidence], reads: bool) -> Iterator[Lines]:
    if taken := found.get(Evidence.Kind.MATCHES):
        link = _link(taken.data, q=taken.data["query"])
        yield Lines("Matching lines", taken.note, _rows(taken.data, link) if reads else SafeString(""), link)
    if taken := found.get(Evidence.Kind.LINES):
        link = _link(taken.data, service=",".join(taken.data["services"]))
        title = f"Lines of {', '.join(taken.data['services'])}"
        yield Lines(title, taken.note, _rows(taken.data, link) if reads else SafeString(""), link)


def _link(data: Mapping[str, Any], **asked: str) -> str:
    return urlencode(asked | {"from": data["start"], "to": data["end"]})


def _rows(data: Mapping[str, Any], link: str) -> SafeString:
    """The newest first, as on the Logs page; what the query looks for is marked."""
    now = clock.now()
    try:
        search = parse_search(QueryDict(link), now=now)
    except SearchError:
        # A query of a time when the language was another one: its lines are there all the same.
        search = parse_search(QueryDict(), now=now)
    return render_rows(records(data["lines"])[::-1], search, timezone.get_current_timezone())


# --- What happened ---------------------------------------------------------------------------------------------------


def _happened(found: Mapping[str, Evidence]) -> Iterator[Happened]:
    if changes := found.get(Evidence.Kind.CHANGES):
        for each in changes.data["changes"]:
            text = f"{each['old']} → {each['new']}" + (f": {each['reason']}" if each["reason"] else "")
            yield Happened(_moment(each["at"]), _colour(each["new"]), each["service"], text)
    deploys = found[Evidence.Kind.DEPLOY].data["deploys"] if Evidence.Kind.DEPLOY in found else []
    for each in deploys:
        yield Happened(_moment(each["at"]), "blue", each["service"], f"deploy {each['what']}", True)
    if events := found.get(Evidence.Kind.CONTAINERS):
        for each in events.data["events"]:
            # A deploy stands there already, with the name of its service.
            if each["kind"] != ContainerEvent.Kind.DEPLOY or not deploys:
                yield _of_container(each)


def _of_container(each: Mapping[str, str]) -> Happened:
    kind = ContainerEvent.Kind(each["kind"])
    text = f"{kind.label} ({each['detail']})" if each["detail"] else str(kind.label)
    colour = EVENT_COLOURS.get(kind, "grey")
    return Happened(_moment(each["at"]), colour, f"container {each['container']}", text, kind in CAUSES)


def _colour(status: str) -> str:
    return COLOURS[Status(status)] if status in Status.values else "grey"


def _moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)


# --- The value of the rule -------------------------------------------------------------------------------------------


def _series(incident: Incident, found: Mapping[str, Evidence]) -> dict[str, Any] | None:
    """Of the series that the alert is of; times in milliseconds."""
    taken = found.get(Evidence.Kind.SERIES)
    if taken is None or not taken.data["series"]:
        return None
    data = taken.data
    points = [[_milliseconds(at), value] for at, value in data["series"][0]["points"]]
    limits = [
        {"value": limit["value"], "name": f"limit {limit['value']:g}", "severity": limit["severity"]}
        for limit in data["thresholds"]
    ]
    deploys = found[Evidence.Kind.DEPLOY].data["deploys"] if Evidence.Kind.DEPLOY in found else []
    marks = [
        {"at": at, "text": f"deploy {each['what']}"}
        for each in deploys
        if points and points[0][0] <= (at := _milliseconds(each["at"])) <= points[-1][0]
    ]
    highest = max((value for _, value in points if value is not None), default=0)
    return {
        "title": incident.rule.name if incident.rule else incident.title,
        "unit": data["unit"],
        "rule": _limit(incident.rule, data),
        "points": points,
        "limits": limits,
        "marks": marks,
        "said": f"The rule's value over {len(points)} points, at most {highest:g} {data['unit']}.",
    }


def _limit(rule: AlertRule | None, data: Mapping[str, Any]) -> str:
    """ "> 5 lines for 2 min"."""
    values = ", ".join(f"{limit['value']:g}" for limit in data["thresholds"])
    limit = f"{data['operator']} {values} {data['unit']}".strip() if values else ""
    return f"{limit} for {words(rule.pending_for)}".strip() if rule and rule.pending_for else limit


def _milliseconds(iso: str) -> int:
    return clock.micros(_moment(iso)) // 1_000
