"""`/api/v2/`: what Prometheus and amtool ask an Alertmanager for, and `/-/ready` and `/-/healthy`.

Sending alerts needs a key with the scope "ingest", changing silences one with "admin"; reading one with "read", or a
session with the right to see alerts. What is wrong is answered as Alertmanager does: with a text in JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Final
from uuid import UUID

import msgspec
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from accounts import api
from accounts.api import json_response
from accounts.keys import Access
from accounts.models import Scope
from alerts import dispatch, matchers, silences, visible
from alerts.alertmanager import exporting, received, wire
from alerts.alertmanager.wire import WireError
from alerts.inhibition import Inhibitor
from alerts.labels import fingerprint
from alerts.matchers import MatcherError
from alerts.models import Alert, Receiver, Silence
from alerts.models.alerts import State
from alerts.routing import Match
from core.expressions import compiled

READ: Final = "alerts.view_alert"
BODY_MAX: Final = 4 << 20  # bytes
ALERTS_MAX: Final = 20_000  # of an answer
SILENCES_MAX: Final = 5_000
COMPLAINTS_MAX: Final = 10
ENDED_FOR: Final = timedelta(days=5)  # how long silences that are over are listed
STARTED: Final = timezone.now()  # this process
VERSION: Final = "0.25.0"  # of the API that this is like

View = Callable[..., HttpResponseBase]


def _refusing(view: View) -> View:
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except (WireError, MatcherError) as error:
            return json_response(str(error), 400)

    return checked


def for_readers(view: View) -> View:
    return api.for_readers(READ, "see alerts")(_refusing(view))


def for_keys(scope: Scope, method: str = "POST") -> Callable[[View], View]:
    return lambda view: api.for_keys(scope, method)(_refusing(view))


def _by_method(**views: View) -> View:
    """One address, several methods."""

    @csrf_exempt
    def chosen(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        method = "GET" if request.method == "HEAD" else str(request.method)
        view = views.get(method)
        return view(request, *args, **kwargs) if view else api.wrong_method(*views)

    return chosen


def _body(request: HttpRequest) -> bytes:
    """Raises WireError."""
    content: bytes = request.read(BODY_MAX + 1)
    if len(content) > BODY_MAX:
        raise WireError(f"expected at most {BODY_MAX:,} bytes: send fewer at once")
    return content


# --- Alerts ----------------------------------------------------------------------------------------------------------


@for_keys(Scope.INGEST)
def _post_alerts(request: HttpRequest) -> HttpResponse:
    """Those that can be used are taken, whatever the others are."""
    now = timezone.now()
    good, complaints = [], []
    access = api.access_of(request)
    for at, each in enumerate(wire.alerts(_body(request))):
        try:
            good.append(_allowed(wire.given(each, now), access))
        except WireError as error:
            complaints.append(f"alert {at}: {error}")
    try:
        received.take(good, now)
    except received.FullError as error:
        return json_response(str(error), 429)
    if complaints:
        more = len(complaints) - COMPLAINTS_MAX
        return json_response("; ".join(complaints[:COMPLAINTS_MAX]) + (f"; and {more} more" if more > 0 else ""), 400)
    return json_response({})


def _allowed(given: wire.Given, access: Access | None) -> wire.Given:
    """As `logs.allowed` does with lines: a key for some services sends alerts of these. Raises WireError."""
    if access is None or not access.services:
        return given
    if "service" not in given.labels and access.only_service:
        return msgspec.structs.replace(given, labels=given.labels | {"service": access.only_service})
    if (service := given.labels.get("service", "")) in access.services:
        return given
    got = f"not of {service[:100]!r}" if service else "and this one has no label service"
    raise WireError(f"the key {access.name!r} may send alerts of {access.services} only, {got}")


@for_readers
def _get_alerts(request: HttpRequest) -> HttpResponse:
    return json_response([each.shown for each in _found(request.GET, timezone.now())])


alerts = _by_method(GET=_get_alerts, POST=_post_alerts)


@for_readers
def groups(request: HttpRequest) -> HttpResponse:
    """As routing would group what fires now."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in _found(request.GET, timezone.now()):
        for match in each.matches:
            name = visible.without_names(match.options.receiver_name)
            group = {"labels": match.labels, "receiver": {"name": name}, "alerts": []}
            found.setdefault((match.group_key, name), group)["alerts"].append(each.shown)
    return json_response(
        sorted(found.values(), key=lambda group: (sorted(group["labels"].items()), group["receiver"]["name"]))
    )


class _Found(msgspec.Struct):
    shown: dict[str, Any]
    matches: list[Match]


def _found(params: QueryDict, now: datetime) -> list[_Found]:
    """What fires now and fits the filters of Alertmanager's API. Raises WireError and MatcherError."""
    wanted = [each for text in params.getlist("filter") for each in matchers.split(text)]
    receiver = _expression(params.get("receiver", ""))
    active, silenced, inhibited = (_flag(params, name) for name in ("active", "silenced", "inhibited"))
    rows = visible.alerts(Alert.objects.filter(state=State.FIRING)).order_by("-fired_at", "pk")
    firing = [visible.alert_without_hidden(row) for row in rows.iterator() if matchers.all_match(wanted, row.labels)][
        :ALERTS_MAX
    ]
    quiet, inhibitor = silences.active(now), Inhibitor.load()
    found = []
    for row, matches in zip(firing, dispatch.matches_of(firing), strict=True):
        names = list(dict.fromkeys(visible.without_names(match.options.receiver_name) for match in matches))
        silenced_by = [str(each.pk) for each in silences.by(quiet, row.labels)]
        inhibition = inhibitor.by(row.labels, row.severity)
        shown = (
            (silenced or not silenced_by)
            and (inhibited or not inhibition)
            and (active or silenced_by or inhibition)
            and (receiver is None or any(map(receiver.fullmatch, names)))
        )
        if shown:
            by = [fingerprint(inhibition.source.labels)] if inhibition else []
            found.append(
                _Found(wire.alert(row, now, receivers=names, silenced_by=silenced_by, inhibited_by=by), matches)
            )
    return found


def _flag(params: QueryDict, name: str) -> bool:
    """Raises WireError."""
    value = params.get(name, "true").lower()
    if value not in ("true", "false", "1", "0"):
        raise WireError(f"{name}: expected true or false, got {value[:20]!r}")
    return value in ("true", "1")


def _expression(text: str) -> Any:
    """Raises WireError."""
    try:
        return compiled(text) if text else None
    except ValueError as error:
        raise WireError(f"receiver: expected a regular expression of RE2: {error}") from None


# --- Silences --------------------------------------------------------------------------------------------------------


@for_readers
def _get_silences(request: HttpRequest) -> HttpResponse:
    """Those in force first, then those that begin later, then those that ended in the last days."""
    now = timezone.now()
    wanted = [each for text in request.GET.getlist("filter") for each in matchers.split(text)]
    there = visible.silences(Silence.objects.filter(ends_at__gt=now - ENDED_FOR))
    rows = there.order_by("ends_at", "pk")[:SILENCES_MAX]
    # As Alertmanager: a silence is looked at as if its matchers were labels.
    found = [row for row in rows if matchers.all_match(wanted, _as_labels(row))]
    order = ("active", "pending", "expired")
    shown = sorted((wire.silence_row(row, now) for row in found), key=lambda each: order.index(each["status"]["state"]))
    return json_response(shown)


def _as_labels(row: Silence) -> dict[str, str]:
    return {each.name: each.value for each in matchers.parse_all(row.matchers)}


@for_keys(Scope.ADMIN)
def _post_silence(request: HttpRequest) -> HttpResponse:
    """One that is given an id replaces the silence with that id, which ends."""
    now = timezone.now()
    posted, wanted = wire.silence(_body(request))
    if posted.ends_at <= now:
        return json_response("end time can't be in the past", 400)
    old = None
    if posted.id:
        old = _silence(posted.id)
        if old is None:
            return json_response(f"silence {posted.id[:60]} not found", 404)
    if not visible.are_own(matchers.parse_all(wanted)):
        return json_response('expected a matcher of a service that the key is for, like service="shop"', 403)
    try:
        with transaction.atomic():
            if old:
                silences.expire(old, now=now)
            made = silences.create(
                wanted, posted.starts_at, posted.ends_at, created_by=posted.created_by or "API", comment=posted.comment,
                now=now,
            )  # fmt: skip
    except ValidationError as error:
        return json_response("; ".join(f"{field}: {' '.join(said)}" for field, said in error.message_dict.items()), 400)
    return json_response({"silenceID": str(made.pk)})


silence_list = _by_method(GET=_get_silences, POST=_post_silence)


def _silence(given: str) -> Silence | None:
    try:
        return visible.silences(Silence.objects.all()).filter(pk=UUID(given)).first()
    except ValueError:
        return None


@for_readers
def _get_silence(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = visible.silences(Silence.objects.all()).filter(pk=pk).first()
    return json_response(wire.silence_row(row, timezone.now())) if row else _no_silence(pk)


@for_keys(Scope.ADMIN, "DELETE")
def _delete_silence(request: HttpRequest, pk: UUID) -> HttpResponse:
    """It ends now. One that is over already is as wanted."""
    row = visible.silences(Silence.objects.all()).filter(pk=pk).first()
    if row is None:
        return _no_silence(pk)
    silences.expire(row)
    return json_response({})


def _no_silence(pk: UUID) -> HttpResponse:
    return json_response(f"silence {pk} not found", 404)


silence = _by_method(GET=_get_silence, DELETE=_delete_silence)


# --- What else is asked for ------------------------------------------------------------------------------------------


@for_readers
def receivers(request: HttpRequest) -> HttpResponse:
    return json_response([{"name": name} for name in Receiver.objects.values_list("name", flat=True)])


@for_readers
def status(request: HttpRequest) -> HttpResponse:
    """`config.original` is what `amtool config` reads: routes and receivers, without secrets."""
    return json_response(
        {
            "cluster": {"status": "disabled", "peers": []},
            "config": {"original": exporting.export().text},
            "uptime": wire.time(STARTED),
            "versionInfo": dict.fromkeys(("branch", "buildDate", "buildUser", "goVersion"), "")
            | {"version": VERSION, "revision": "Pharos"},
        }
    )


@require_safe
def healthy(request: HttpRequest) -> HttpResponse:
    return HttpResponse("OK", content_type="text/plain")


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Whether alerts would be taken: the database answers."""
    try:
        Receiver.objects.exists()
    except DatabaseError:
        return HttpResponse("the database is away", content_type="text/plain", status=503)
    return HttpResponse("OK", content_type="text/plain")
