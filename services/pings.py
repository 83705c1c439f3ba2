"""The addresses that jobs ping: those of Healthchecks and of Uptime Kuma, so that a crontab changes its host only.

/ping/<uuid>[/start|/fail|/log|/<exit code>][?rid=<uuid>]      GET, HEAD or POST; the body is kept
/ping/<ping key>/<slug>[/…]
/api/push/<token>[?status=up|down&msg=…&ping=<ms>]             any method
"""

from __future__ import annotations

import math
import uuid
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, re_path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from services import heartbeats
from services.heartbeats import BODY_MAX, Kind, Ping, TooManyError
from services.models import Heartbeat

EXIT_MAX: Final = 255
PING_MAX: Final = 1e9  # ms


@never_cache
@csrf_exempt
def ping(
    request: HttpRequest, token: str = "", key: str = "", slug: str = "", signal: str | None = None
) -> HttpResponse:
    """Answers as Healthchecks does."""
    if request.method not in ("GET", "HEAD", "POST"):
        return _text("expected GET, HEAD or POST", 405, Allow="GET, HEAD, POST")
    run = request.GET.get("rid")
    if run is not None and not _is_uuid(run):
        return _text("expected a UUID as rid", 400)
    kind, code = Kind.SUCCESS, None
    if signal and signal.isdigit():
        code = int(signal)
        if code > EXIT_MAX:
            return _text(f"expected an exit code from 0 to {EXIT_MAX}", 400)
        kind = Kind.FAIL if code else Kind.SUCCESS
    elif signal:
        kind = Kind(signal)
    known = (
        Heartbeat.objects.filter(token=token.lower()) if token else Heartbeat.objects.filter(ping_key=key, slug=slug)
    )
    heartbeat = known.filter(service_check__kind="heartbeat").first()
    if heartbeat is None:
        return _text("not found", 404)
    body = request.read(BODY_MAX) if request.method == "POST" else b""
    try:
        heartbeats.take(heartbeat, _ping(request, kind, code, run and uuid.UUID(run), body), timezone.now())
    except TooManyError:
        return _text("pinged too often", 429, **{"Retry-After": "60"})
    return _text("OK", 200, **{"Ping-Body-Limit": str(BODY_MAX)})


@never_cache
@csrf_exempt
def push(request: HttpRequest, token: str) -> HttpResponse:
    """Answers as Uptime Kuma does."""
    heartbeat = Heartbeat.objects.filter(token=token, service_check__kind="heartbeat").first()
    if heartbeat is None:
        return JsonResponse({"ok": False, "msg": "Monitor not found or not active."}, status=404)
    kind = Kind.SUCCESS if request.GET.get("status", "up") == "up" else Kind.FAIL
    body = request.GET.get("msg", "").encode(errors="replace")[:BODY_MAX]
    found = _ping(request, kind, None, None, body, _milliseconds(request.GET.get("ping", "")))
    try:
        heartbeats.take(heartbeat, found, timezone.now())
    except TooManyError:
        return JsonResponse({"ok": False, "msg": "Pinged too often."}, status=429, headers={"Retry-After": "60"})
    return JsonResponse({"ok": True})


def _ping(
    request: HttpRequest, kind: str, code: int | None, run: Any, body: bytes, duration: float | None = None
) -> Ping:
    return Ping(
        kind, code, run or None, duration, request.method or "", request.META.get("REMOTE_ADDR") or None,
        request.headers.get("User-Agent", ""), body,
    )  # fmt: skip


def _milliseconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= PING_MAX else None


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _text(text: str, status: int, **headers: str) -> HttpResponse:
    return HttpResponse(text, content_type="text/plain; charset=utf-8", status=status, headers=headers)


_UUID: Final = r"(?P<token>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
_SIGNAL: Final = r"(?:/(?P<signal>start|fail|log|[0-9]{1,5}))?/?$"

urlpatterns = [
    re_path(rf"^ping/{_UUID}{_SIGNAL}", ping, name="ping"),
    re_path(rf"^ping/(?P<key>[\w-]{{1,64}})/(?P<slug>[-\w]{{1,100}}){_SIGNAL}", ping, name="ping-slug"),
    path("api/push/<str:token>", push, name="push"),
]
