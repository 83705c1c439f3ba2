"""`/services/heartbeat/<check>/`: where a job pings, and what it told.

For those who may change the check: whoever knows the address can ping, and what jobs print may hold secrets.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import visibility
from core import clock
from core.pages import requires, shell
from services import heartbeats
from services.models import Check, Heartbeat, HeartbeatPing


@require_safe
@never_cache
@requires("services.change_check")
def page(request: HttpRequest, pk: int) -> HttpResponse:
    check = get_object_or_404(Check.objects.defer("secrets").select_related("service"), pk=pk, kind="heartbeat")
    if not visibility.current().shows(check.service.name):
        raise Http404
    heartbeat = heartbeats.of(check)
    pings = HeartbeatPing.objects.filter(service_check=check).order_by("-at", "-pk")[: heartbeats.KEPT]
    context = {
        "check": check,
        "addresses": [request.build_absolute_uri(address) for address in _addresses(heartbeat)],
        "pings": [(clock.moment(ping.at), ping) for ping in pings],
    }
    return render(request, "services/heartbeat.html", shell(request, str(check), **context))


def _addresses(heartbeat: Heartbeat) -> list[str]:
    found = [reverse("push", args=[heartbeat.token])]
    if len(heartbeat.token) == 36:  # a UUID
        found.insert(0, reverse("ping", args=[heartbeat.token]))
    if heartbeat.ping_key and heartbeat.slug:
        found.append(reverse("ping-slug", args=[heartbeat.ping_key, heartbeat.slug]))
    return found
