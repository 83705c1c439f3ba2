"""The page Connect: how each client is pointed at this Pharos, with the reader's own address and key, and whether its
first line has come.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import keys
from accounts.models import Scope
from core import clock
from core.pages import requires, shell
from logs import query
from logs.records import NAME_MAX, LogRecord
from logs.rows import render_rows
from logs.search import parse_search
from logs.store import log_stores

READ: Final = "logs.read_records"
SERVICE: Final = "my-app"
OURS: Final = "-service:pharos-*"
SPREAD: Final = clock.HOUR  # how old the first line may be by its own clock
LOOKED_AT: Final = 50  # newest lines among which the first is
PATIENCE: Final = 15 * clock.MINUTE  # then the page stops asking until somebody says to go on
SECONDS: Final = 1.0  # of one search


class Client(NamedTuple):
    """A client, with its instructions in templates/logs/connect/<slug>.html."""

    slug: str
    title: str
    group: str
    # What tells its lines from others; {service} stands for service:<the name on the page>.
    query: str = "{service}"
    needs_key: bool = True


CLIENTS: Final = (
    Client("curl", "Shell, curl", "HTTP"),
    Client("python", "Python logging", "Programs"),
    Client("structlog", "structlog", "Programs"),
    Client("pino", "Node.js, pino", "Programs"),
    Client("winston", "Node.js, winston", "Programs"),
    Client("other", "Any other language", "Programs"),
    Client("opentelemetry", "OpenTelemetry SDK", "Collectors"),
    Client("collector", "OpenTelemetry Collector", "Collectors"),
    Client("alloy", "Grafana Alloy", "Collectors"),
    Client("promtail", "Promtail", "Collectors"),
    Client("fluent-bit", "Fluent Bit", "Collectors"),
    Client("vector", "Vector", "Collectors"),
    Client("docker", "Docker containers", "Machines", f"exists:metadata.container {OURS}", needs_key=False),
    Client("files", "Files and Kubernetes pods", "Machines", f"exists:metadata.file {OURS}", needs_key=False),
    Client("syslog", "syslog", "Machines", f"exists:metadata.facility {OURS}", needs_key=False),
    Client("redis", "Redis stream", "Redis", needs_key=False),
)
_BY_SLUG: Final = {client.slug: client for client in CLIENTS}


@require_safe
@never_cache
@requires(READ)
def page(request: HttpRequest, slug: str = CLIENTS[0].slug) -> HttpResponse:
    client = _client(slug)
    service = _service(request.GET.get("service", ""))
    context = _address(request) | {
        "client": client,
        "groups": [(group, list(members)) for group, members in groupby(CLIENTS, key=lambda each: each.group)],
        "instructions": f"logs/connect/{client.slug}.html",
        "service": service,
        "default_service": SERVICE,
        "waiting": _waiting_url(client, service, clock.now()),
    }
    return render(request, "logs/connect.html", shell(request, "Connect") | context)


@require_POST
@never_cache
@requires("accounts.add_apikey")
def make_key(request: HttpRequest) -> HttpResponse:
    """A key that may only send; it is in this answer and nowhere else."""
    service = _service(request.POST.get("service", ""))
    made, plain = keys.create(f"{service}, made on the page Connect"[:100], [Scope.INGEST])
    return render(request, "logs/connect.html#key", {"plain": plain, "made": made})


@require_safe
@never_cache
@requires(READ)
def waiting(request: HttpRequest, slug: str) -> HttpResponse:
    """Whether the first line has come, as a fragment that asks again until it has."""
    client, service = _client(slug), _service(request.GET.get("service", ""))
    since = request.GET.get("since", "")
    began = int(since) if since.isascii() and since.isdigit() and len(since) < 19 else clock.now()
    text = client.query.format(service=query.term("service", service))
    first = first_line(text, began)
    context: dict[str, Any] = {
        "client": client,
        "first": first,
        "waiting": _waiting_url(client, service, began),
        "again": _waiting_url(client, service, clock.now()),
        "gave_up": clock.now() - began > PATIENCE,
        "seconds": (clock.now() - began) // clock.SECOND,
        "found": f"{reverse('logs:page')}?{urlencode({'q': text})}",
    }
    if first:
        search = parse_search(QueryDict(), now=clock.now())
        context |= {
            "row": render_rows([first], search, timezone.get_current_timezone()),
            "came": clock.moment(first.received),
            "after": max(first.received - began, 0) / clock.SECOND,
        }
    return render(request, "logs/connect.html#waiting", context)


def first_line(text: str, began: int) -> LogRecord | None:
    """The first line of a query that reached us after `began`, whatever its own clock says within an hour."""
    node = query.parse(text)
    found = log_stores["default"].search(node, start=began - SPREAD, limit=LOOKED_AT, deadline=SECONDS)
    came = [record for record in found.records if record.received >= began - clock.SECOND]
    return min(came, key=lambda record: record.received, default=None)


def _client(slug: str) -> Client:
    if slug not in _BY_SLUG:
        raise Http404(f"no client {slug!r}")
    return _BY_SLUG[slug]


def _service(name: str) -> str:
    """A name that can stand in every configuration as it is; the default for any other."""
    name = name.strip()[:NAME_MAX]
    return name if name and all(letter.isalnum() or letter in "._-" for letter in name) else SERVICE


def _waiting_url(client: Client, service: str, since: int) -> str:
    return f"{reverse('logs:waiting', args=[client.slug])}?{urlencode({'service': service, 'since': since})}"


def _address(request: HttpRequest) -> dict[str, Any]:
    """Where this reader reaches us, as the instructions need it."""
    url = request.build_absolute_uri("/").rstrip("/")
    parts = urlsplit(url)
    return {
        "url": url,
        "host": parts.hostname,
        "port": str(parts.port or (443 if request.is_secure() else 80)),
        "tls": "on" if request.is_secure() else "off",
        "stream": settings.LOG_STREAMS[0],
        "redis": _redis(),
        "own_redis": settings.EMBEDDED_REDIS,
    }


def _redis() -> str:
    """The address of Redis without its password."""
    if settings.EMBEDDED_REDIS:
        return f"redis://127.0.0.1:{settings.VALKEY_PORT}/0"
    parts = urlsplit(settings.REDIS_URL)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
