"""`/alerts/`: the alerts that are active now, those of which nobody is told included, with what keeps them quiet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.roles import ENTER_ADMIN
from alerts import quiet, visible
from alerts.models import Alert
from alerts.models.alerts import State
from alerts.quiet import Quiet
from alerts.severity import RANK, Severity
from core.fragments import Fragments, rights_of
from core.pages import requires, shell

VIEW: Final = "alerts.view_alert"
INCIDENTS: Final = "alerts.view_incident"
RULES: Final = "alerts.view_alertrule"
SILENCE: Final = "alerts.add_silence"
PERMISSIONS: Final = (VIEW, INCIDENTS, RULES, SILENCE, ENTER_ADMIN)
ROWS_MAX: Final = 200
TEXT_MAX: Final = 200  # characters of a parameter
LOOKED_AT_MAX: Final = 2_000  # alerts that fire, the worst: of others it is not known whether they are kept quiet
# What `state` may be. An alert that fires and is kept quiet is of the last three, or several of them; of none else.
STATES: Final = (State.FIRING.value, State.PENDING.value, *quiet.By)


class Wanted(msgspec.Struct, frozen=True):
    """What an address asks for."""

    q: str = ""
    state: str = ""
    severity: str = ""


def parse(parameters: QueryDict) -> Wanted:
    """Never fails: what is not understood is left out, as in an old link."""
    given = {name: parameters.get(name, "").strip()[:TEXT_MAX] for name in Wanted.__struct_fields__}
    if given["state"] not in STATES:
        given["state"] = ""
    if given["severity"] not in Severity.values:
        given["severity"] = ""
    return Wanted(**given)


@require_safe
@never_cache
@requires(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    context = {
        "live": listed(request.GET, rights_of(request.user, PERMISSIONS)),
        "wanted": parse(request.GET),
        "severities": Severity.choices,
    }
    return render(request, "alerts/alerts.html", shell(request, "Active alerts") | context)


def listed(parameters: QueryDict, rights: frozenset[str]) -> Fragments:
    """A constant number of queries, however many alerts."""
    wanted = parse(parameters)
    found = _found(wanted)
    live = Fragments()
    states = [{"name": state, "count": found.counts[state], **_link(wanted, state)} for state in STATES]
    live.add("tally", "alerts/alerts.html#tally", {"states": states})
    shown = {
        "incidents": INCIDENTS in rights,
        "rules": {RULES, ENTER_ADMIN} <= rights,
        "silencing": SILENCE in rights,
    }
    rows = [
        (f"alert-{alert.pk}", shown | {"alert": alert, "quiet": why, "source": found.sources.get(_source(why))})
        for alert, why in found.rows
    ]
    live.add_list("rows", "alerts/alerts.html#row", rows)
    context = {"wanted": wanted, "rows": rows, "more": found.total - len(rows), "unknown": found.unknown}
    live.add("after", "alerts/alerts.html#after", context)
    return live


class _Found(msgspec.Struct, frozen=True):
    counts: Mapping[str, int]  # by state, whichever is wanted
    total: int  # of the state that is wanted
    unknown: int  # alerts that fire beyond those that were looked at: they count as not kept quiet
    rows: Sequence[tuple[Alert, Quiet]]  # the first of them: who is told, who waits, who is kept quiet
    sources: Mapping[int, Alert]  # that keep them quiet


def _found(wanted: Wanted) -> _Found:
    active = visible.alerts(Alert.objects.all())
    for word in wanted.q.split():
        active = active.filter(Q(labels__icontains=word) | Q(annotations__icontains=word))
    if wanted.severity:
        active = active.filter(severity=wanted.severity)
    active = active.order_by(RANK, "-active_at", "-pk")
    fires = active.filter(state=State.FIRING)
    firing = list(fires.only("labels", "severity", "rule")[:LOOKED_AT_MAX])
    unknown = max(fires.count() - LOOKED_AT_MAX, 0) if len(firing) == LOOKED_AT_MAX else 0
    whys = map(_without_names, quiet.of(firing, timezone.now()))
    why = {alert.pk: each for alert, each in zip(firing, whys, strict=True)}
    by_state: dict[str, Sequence[int]] = {by: [pk for pk, each in why.items() if by in each.by] for by in quiet.By}
    by_state[State.FIRING] = [pk for pk, each in why.items() if not each.by]
    by_state[State.PENDING] = list(active.filter(state=State.PENDING).values_list("pk", flat=True))
    kept_quiet = [pk for pk, each in why.items() if each.by]
    everything = [*by_state[State.FIRING], *by_state[State.PENDING], *kept_quiet]
    chosen = by_state[wanted.state] if wanted.state else everything
    rows = _read(Alert.objects.select_related("rule"), chosen[:ROWS_MAX])
    sources = _read(visible.alerts(Alert.objects.all()), {_source(why.get(pk, Quiet())) for pk in rows})
    counts = {state: len(pks) for state, pks in by_state.items()}
    counts[State.FIRING] += unknown
    total = counts[wanted.state] if wanted.state else len(everything) + unknown
    return _Found(counts, total, unknown, [(rows[pk], why.get(pk, Quiet())) for pk in rows], sources)


def _read(alerts: QuerySet[Alert], pks: Iterable[int]) -> dict[int, Alert]:
    """In that order; one that was deleted meanwhile is left out."""
    found = alerts.select_related("incident").in_bulk(list(pks))
    return {pk: visible.alert_without_hidden(found[pk]) for pk in pks if pk in found}


def _without_names(why: Quiet) -> Quiet:
    return msgspec.structs.replace(why, muted=visible.without_names(why.muted))


def _source(why: Quiet) -> int:
    """The alert that keeps another one quiet; 0 if none does."""
    return why.inhibition.source.id if why.inhibition else 0


def _link(wanted: Wanted, state: str) -> dict[str, Any]:
    """To the alerts of a state; a second click shows all again."""
    chosen = wanted.state == state
    view = {name: getattr(wanted, name) for name in Wanted.__struct_fields__} | {"state": "" if chosen else state}
    return {"chosen": chosen, "query": "?" + urlencode({name: value for name, value in view.items() if value})}
