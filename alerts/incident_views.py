"""`/incidents/`: the list, a page for each incident, and what people do there. Thin: `incident_list` finds,
`incident_page` says what is shown, and the verbs are those of `alerts.incidents`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.roles import ENTER_ADMIN
from alerts import incident_list, incident_page, incidents, silences, visible
from alerts.incident_list import Wanted
from alerts.incidents import VerbError
from alerts.matchers import Matcher
from alerts.models import Incident
from alerts.models.incidents import Status, Verb, Via
from alerts.severity import Severity
from core.fragments import Fragments, rights_of
from core.pages import BY_GROUPS, is_fragment, requires, shell

VIEW: Final = "alerts.view_incident"
RESPOND: Final = "alerts.respond_incident"
SILENCE: Final = "alerts.add_silence"
ADD_RULE: Final = "alerts.add_alertrule"
PERMISSIONS: Final = (VIEW, RESPOND, ADD_RULE, ENTER_ADMIN)

BULK_MAX: Final = 500
WHOM_MAX: Final = 50  # people to choose from
HOURS: Final = {1: "1 hour", 4: "4 hours", 24: "1 day", 72: "3 days", 168: "1 week"}  # of a silence


# --- The list --------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    wanted = incident_list.parse(request.GET)
    context = {
        "live": listed(request.GET, rights_of(request.user, PERMISSIONS)),
        "wanted": wanted,
        "severities": Severity.choices,
        "periods": [(name, title) for name, (title, _) in incident_list.PERIODS.items()],
        "may_respond": request.user.has_perm(RESPOND),
        "mine": _query(Wanted(assignee=request.user.get_username())),
        "view": _query(wanted).removeprefix("?"),
    }
    return render(request, "alerts/incidents.html", shell(request, "Incidents") | context)


_drawn: dict[Hashable, SafeString] = {}  # rows


def listed(parameters: QueryDict, rights: frozenset[str]) -> Fragments:
    """A constant number of queries, however many incidents."""
    wanted = incident_list.parse(parameters)
    found = incident_list.look(wanted, timezone.now())
    live = Fragments()
    live.add("tally", "alerts/incidents.html#tally", {"statuses": _statuses(found, wanted)})
    live.add("choices", "alerts/incidents.html#choices", {"choices": incident_list.choices(), "wanted": wanted})
    respond = RESPOND in rights
    rows = (
        (f"incident-{each.pk}", {"incident": each, "may_respond": respond, "facts": _facts(each, respond)})
        for each in found.rows
    )
    live.add_list("rows", "alerts/incidents.html#row", rows, _drawn)
    context = {
        "found": found,
        "wanted": wanted,
        "newer": _query(wanted, page=str(wanted.page - 1)) if 1 < wanted.page <= found.pages else "",
        "older": _query(wanted, page=str(wanted.page + 1)) if wanted.page < found.pages else "",
        "may_add": {ADD_RULE, ENTER_ADMIN} <= rights,
    }
    live.add("after", "alerts/incidents.html#after", context)
    return live


def _facts(incident: Incident, respond: bool) -> Hashable:
    """Another one when the row looks different."""
    return (
        incident.status, incident.severity, incident.title, incident.summary, incident.event_at, respond,
        timezone.localdate(), *map(str, (incident.service, incident.assignee, incident.acknowledged_by)),
    )  # fmt: skip


def _statuses(found: incident_list.Listing, wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {
            "name": status.value,
            "label": status.label,
            "count": found.counts[status],
            "chosen": status == wanted.status,
            "query": _query(wanted, status="" if status == wanted.status else status.value, page=""),
        }
        for status in Status
    ]


def _query(wanted: Wanted, **changes: str) -> str:
    """The present view with something changed, as the end of an address."""
    return "?" + urlencode({name: value for name, value in (wanted.parameters | changes).items() if value})


# --- One incident ----------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(VIEW)
def incident(request: HttpRequest, pk: int) -> HttpResponse:
    found = incident_page.incident(pk)
    rights = rights_of(request.user, incident_page.PERMISSIONS)
    context = {
        "live": incident_page.fragments(found, rights),
        "incident": found,
        "rights": rights,
        "may_respond": RESPOND in rights,
        "may_silence": SILENCE in rights,
        "whom": _whom() if RESPOND in rights else (),
        "hours": HOURS.items(),
        "matchers": silenced_by(found),
    }
    return render(request, "alerts/incident.html", shell(request, f"Incident {found.pk}") | context)


def _whom() -> list[Any]:
    """Those who may do something about incidents."""
    users = get_user_model().objects.with_perm(RESPOND, backend=BY_GROUPS).filter(is_active=True)
    return list(users.order_by("username")[:WHOM_MAX])


# --- What can be done ------------------------------------------------------------------------------------------------


@require_POST
@never_cache
@requires(RESPOND)
def acknowledge_some(request: HttpRequest) -> HttpResponse:
    """Those with the ids `incident`. What others acknowledged meanwhile stays theirs."""
    wanted = {int(pk) for pk in request.POST.getlist("incident")[:BULK_MAX] if pk.isdecimal() and len(pk) < 19}
    late = [
        found
        for found in visible.incidents(Incident.objects.filter(pk__in=wanted)).order_by("pk")
        if not incidents.acknowledge(found, by=_by(request), via=Via.PAGE)
    ]
    said = "" if wanted else "Expected at least one incident: tick those that you acknowledge."
    if len(late) == 1:
        said = _too_late(late[0], Verb.ACKNOWLEDGE)
    elif late:
        said = f"{len(late)} of {len(wanted)} were not open any more: somebody was faster."
    back = _query(incident_list.parse(QueryDict(request.POST.get("view", "")[:2_000])))
    return _answer(request, said, reverse("alerts:incidents") + back.rstrip("?"))


def _by_verb(verb: Verb, act: Callable[..., bool], *, words: bool = False) -> Callable[..., HttpResponse]:
    """The view that does it to an incident; with the words of the form, where it has some."""

    @require_POST
    @never_cache
    @requires(RESPOND)
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        return _done(request, pk, verb, act, **({"text": request.POST.get("text", "")} if words else {}))

    return view


acknowledge = _by_verb(Verb.ACKNOWLEDGE, incidents.acknowledge)
unacknowledge = _by_verb(Verb.UNACKNOWLEDGE, incidents.unacknowledge)
resolve = _by_verb(Verb.RESOLVE, incidents.resolve, words=True)
reopen = _by_verb(Verb.REOPEN, incidents.reopen)
escalate = _by_verb(Verb.ESCALATE, incidents.escalate, words=True)
comment = _by_verb(Verb.COMMENT, incidents.comment, words=True)


@require_POST
@never_cache
@requires(RESPOND)
def assign(request: HttpRequest, pk: int) -> HttpResponse:
    """`to` is the id of a user; "" is nobody."""
    wanted = request.POST.get("to", "")
    to = next((user for user in _whom() if str(user.pk) == wanted), None)
    if wanted and not to:
        return _answer(request, "Expected somebody who may respond to incidents.", _address(pk))
    return _done(request, pk, Verb.ASSIGN, incidents.assign, to=to)


@require_POST
@never_cache
@requires(RESPOND)
def tick(request: HttpRequest, pk: int) -> HttpResponse:
    """`step` is the number of a step of the runbook, `done` says whether it is."""
    step = incident_page.step(
        get_object_or_404(visible.incidents(Incident.objects.select_related("rule")), pk=pk),
        request.GET.get("step", ""),
    )
    if step is None:
        return _answer(
            request, "The runbook has no such step: it was changed meanwhile. Load the page anew.", _address(pk)
        )
    done = request.GET.get("done") == "1"
    return _done(request, pk, Verb.TICK, incidents.tick, step=step.number, done=done, text=step.text)


@require_POST
@never_cache
@requires(SILENCE)
def silence(request: HttpRequest, pk: int) -> HttpResponse:
    """Alerts like those of this incident tell nobody for `hours`."""
    found = get_object_or_404(visible.incidents(Incident.objects.all()), pk=pk)
    hours = request.POST.get("hours", "")
    if hours not in map(str, HOURS):
        return _answer(request, f"Expected one of these numbers of hours: {', '.join(map(str, HOURS))}.", _address(pk))
    now = timezone.now()
    comment = request.POST.get("text", "").strip()[:1_000] or f"Incident {found.pk}: {found.title}"
    try:
        silences.create(
            silenced_by(found), None, now + timedelta(hours=int(hours)), by=_by(request), comment=comment, now=now
        )
    except ValidationError as error:
        return _answer(request, " ".join(error.messages), _address(pk))
    return _answer(request, f"Silenced for {HOURS[int(hours)]}.", _address(pk), well=True)


def silenced_by(incident: Incident) -> list[str]:
    """Matchers of a silence for alerts like those of the incident."""
    return [str(Matcher(name, text)) for name, text in sorted(incident.labels.items()) if name != "severity"]


def _done(request: HttpRequest, pk: int, verb: Verb, act: Callable[..., bool], **what: Any) -> HttpResponse:
    found = get_object_or_404(visible.incidents(Incident.objects.all()), pk=pk)
    try:
        said = "" if act(found, by=_by(request), via=Via.PAGE, **what) else _too_late(found, verb)
    except VerbError as error:
        said = str(error)
    return _answer(request, said, _address(pk))


def _by(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _address(pk: int) -> str:
    return reverse("alerts:incident", args=[pk])


# What was asked for is so already, if somebody else has done the same.
BECOMES: Final = {
    Verb.ACKNOWLEDGE: Status.ACKNOWLEDGED,
    Verb.UNACKNOWLEDGE: Status.OPEN,
    Verb.RESOLVE: Status.RESOLVED,
    Verb.REOPEN: Status.OPEN,
}


def _too_late(incident: Incident, verb: Verb) -> str:
    """Who was faster. "" where it is no news: it is as it was to be, by the same person, or not worth a word."""
    if verb not in BECOMES:
        return ""
    status = Status(incident.status)
    made_so = {Status.ACKNOWLEDGED: Verb.ACKNOWLEDGE, Status.RESOLVED: Verb.RESOLVE, Status.OPEN: Verb.UNACKNOWLEDGE}
    actor = incidents.who(incident, made_so[status])
    return f"Somebody was faster: incident {incident.pk} is {status.label}{f' by {actor}' if actor else ''} already."


def _answer(request: HttpRequest, said: str, back: str, *, well: bool = False) -> HttpResponse:
    """For htmx a sentence, or nothing: the WebSocket brings what has changed. Else back to the page."""
    if is_fragment(request):
        return render(request, "alerts/_said.html", {"said": said, "well": well})
    if said:
        (messages.success if well else messages.warning)(request, said)
    return redirect(back)
