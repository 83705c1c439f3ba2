"""`/alerts/`: the alerts that are active now, those of which nobody is told included."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from alerts.models import Alert
from alerts.models.alerts import State
from alerts.severity import RANK, Severity
from core.fragments import Fragments, rights_of
from core.pages import requires, shell

VIEW: Final = "alerts.view_alert"
INCIDENTS: Final = "alerts.view_incident"
RULES: Final = "alerts.view_alertrule"
SILENCE: Final = "alerts.add_silence"
PERMISSIONS: Final = (VIEW, INCIDENTS, RULES, SILENCE)
ROWS_MAX: Final = 200
TEXT_MAX: Final = 200  # characters of a parameter
ACTIVE: Final = (State.FIRING, State.PENDING)


class Wanted(msgspec.Struct, frozen=True):
    """What an address asks for."""

    q: str = ""
    state: str = ""
    severity: str = ""


def parse(parameters: QueryDict) -> Wanted:
    """Never fails: what is not understood is left out, as in an old link."""
    given = {name: parameters.get(name, "").strip()[:TEXT_MAX] for name in Wanted.__struct_fields__}
    if given["state"] not in ACTIVE:
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
    """Two queries, however many alerts."""
    wanted = parse(parameters)
    found = Alert.objects.filter(state__in=ACTIVE)
    for word in wanted.q.split():
        found = found.filter(Q(labels__icontains=word) | Q(annotations__icontains=word))
    if wanted.severity:
        found = found.filter(severity=wanted.severity)
    counts = Counter(dict(found.order_by().values_list("state").annotate(Count("pk"))))
    shown = found.filter(state=wanted.state) if wanted.state else found
    # "firing" stands before "pending".
    alerts = shown.select_related("rule", "incident").order_by("state", RANK, "-active_at", "-pk")[:ROWS_MAX]
    live = Fragments()
    states = [
        {"name": state.value, "label": state.label, "count": counts[state], **_link(wanted, state)} for state in ACTIVE
    ]
    live.add("tally", "alerts/alerts.html#tally", {"states": states})
    rights_shown = {"incidents": INCIDENTS in rights, "rules": RULES in rights, "silencing": SILENCE in rights}
    rows = [(f"alert-{alert.pk}", rights_shown | {"alert": alert}) for alert in alerts]
    live.add_list("rows", "alerts/alerts.html#row", rows)
    total = counts[wanted.state] if wanted.state else sum(counts.values())
    live.add("after", "alerts/alerts.html#after", {"wanted": wanted, "rows": rows, "more": max(total - len(rows), 0)})
    return live


def _link(wanted: Wanted, state: State) -> dict[str, Any]:
    """To the alerts of a state; a second click shows all again."""
    chosen = wanted.state == state
    view = {name: getattr(wanted, name) for name in Wanted.__struct_fields__} | {"state": "" if chosen else state.value}
    return {"chosen": chosen, "query": "?" + urlencode({name: value for name, value in view.items() if value})}
