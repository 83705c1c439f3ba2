"""`/incidents/<pk>/acknowledge/<token>/`: where the link in a mail leads, without a login.

Programs that look through mail open every link: opening it changes nothing. Whoever got the mail clicks a second time.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from alerts import incidents, links
from alerts.models import Incident
from alerts.models.incidents import Via
from core.pages import shell


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def acknowledge(request: HttpRequest, pk: int, token: str) -> HttpResponse:
    receiver = links.receiver_of(pk, token)
    incident = Incident.objects.filter(pk=pk).first() if receiver is not None else None
    if incident is None:
        return _page(request, status=404)
    first = False
    if request.method == "POST":
        by = request.user if request.user.is_authenticated else f"a mail to {receiver}"
        first = incidents.acknowledge(incident, by=by, via=Via.MAIL)
        incident.refresh_from_db()
    return _page(request, incident=incident, first=first)


def _page(request: HttpRequest, status: int = 200, **context: object) -> HttpResponse:
    answer = render(request, "alerts/acknowledge.html", shell(request, "Acknowledge", **context), status=status)
    # The address is a key: it goes nowhere with a link. To ourselves it does: with "no-referrer" a browser doesn't say
    # either where the form came from, and Django refuses it.
    answer["Referrer-Policy"] = "same-origin"
    return answer
