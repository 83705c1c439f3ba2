"""The pages of containers. Each is made of fragments, which its WebSocket keeps as things are (core/fragments.py)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.roles import ENTER_ADMIN
from core import clock
from core.fragments import Fragments, rights_of
from core.pages import requires, shell
from services import container_list, container_series, discovery, visible
from services.container_list import COLUMNS, Wanted
from services.glance import event_colour
from services.models import Container, DockerHost

VIEW: Final = "services.view_container"
SERVICES: Final = "services.view_service"
ADD_HOST: Final = "services.add_dockerhost"
LINES: Final = "logs.read_records"
SOURCES: Final = "logs.view_logsource"
PERMISSIONS: Final = (VIEW, SERVICES, ADD_HOST, LINES, ENTER_ADMIN, SOURCES)

TITLES: Final = {
    "name": "Container", "service": "Service", "host": "Host", "image": "Image", "state": "State", "cpu": "CPU",
    "memory": "Memory", "restarts": "Restarts", "uptime": "Up for",
}  # fmt: skip
HOSTS_AWAY_MAX: Final = 5
EVENTS_MAX: Final = 30
FINDS_MAX: Final = 500
# Who made it, from which image: said elsewhere on the page, or noise.
LABELS_FOLDED: Final = ("com.docker.compose.", "org.opencontainers.", "desktop.docker.")


_drawn: dict[Hashable, SafeString] = {}  # rows of the table


# --- The table ------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(VIEW)
def listing(request: HttpRequest) -> HttpResponse:
    live = table(request.GET, rights_of(request.user, PERMISSIONS))
    context = {"live": live, "wanted": container_list.parse(request.GET), "columns": COLUMNS}
    return render(request, "services/containers/list.html", shell(request, "Containers") | context)


def table(parameters: QueryDict, rights: frozenset[str]) -> Fragments:
    """Four queries, however many containers."""
    wanted = container_list.parse(parameters)
    found = container_list.look(wanted, timezone.now())
    hosts = list(DockerHost.objects.filter(enabled=True).only("name", "away", "detail", "seen_at"))
    live = Fragments()
    live.add("states", "services/containers/list.html#states", {"states": _states(found, wanted), "wanted": wanted})
    live.add("choices", "services/containers/list.html#choices", {"found": found, "wanted": wanted})
    live.add("head", "services/containers/list.html#head", {"columns": _columns(wanted)})
    away = [host for host in hosts if host.away]
    live.add("hosts-away", "services/containers/list.html#away", {"hosts": away[:HOSTS_AWAY_MAX]})
    services = SERVICES in rights
    live.add_list(
        "rows",
        "services/containers/list.html#row",
        (
            (f"container-{row.container.pk}", {"row": row, "services": services, "facts": (services, row.facts)})
            for row in found.rows
        ),
        _drawn,
    )
    context = {"found": found, "hosts": hosts, "may_add": {ADD_HOST, ENTER_ADMIN} <= rights}
    live.add("after", "services/containers/list.html#after", context)
    return live


def _states(found: container_list.Table, wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {
            "state": state,
            "count": count,
            "chosen": state.word == wanted.state,
            "query": _query(wanted, state="" if state.word == wanted.state else state.word),
        }
        for state, count in found.states
    ]


def _columns(wanted: Wanted) -> list[dict[str, str]]:
    """The header cells; a second click on one turns the order round, a third ends it."""
    chosen, turned = wanted.sort.removeprefix("-"), wanted.sort.startswith("-")
    columns = []
    for name, title in TITLES.items():
        following = "" if name == chosen and turned else f"-{name}" if name == chosen else name
        order = ("descending" if turned else "ascending") if name == chosen else ""
        columns.append({"name": name, "title": title, "order": order, "query": _query(wanted, sort=following)})
    return columns


def _query(wanted: Wanted, **changes: str) -> str:
    """The present view with something changed, as the end of an address."""
    view = {name: getattr(wanted, name) for name in Wanted.__struct_fields__} | changes
    return "?" + urlencode({name: value for name, value in view.items() if value})


# --- A container ----------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(VIEW)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    container = _container(pk)
    rights = rights_of(request.user, PERMISSIONS)
    live = container_fragments(container, request.GET, rights)
    period = period_of(request.GET)
    context = {
        "live": live,
        "container": container,
        "period": period,
        "periods": [(name, title) for name, (title, _, _) in container_series.PERIODS.items()],
        "reads": LINES in rights,
        "may_see_sources": {SOURCES, ENTER_ADMIN} <= rights,
        "logs_query": logs_query(container),
    }
    return render(
        request, "services/containers/detail.html", shell(request, f"Containers › {container.name}") | context
    )


def _container(pk: int) -> Container:
    return get_object_or_404(visible.containers(Container.objects.select_related("host", "service")), pk=pk)


def period_of(parameters: QueryDict) -> str:
    period = parameters.get("period", "")
    return period if period in container_series.PERIODS else "1h"


def logs_query(container: Container) -> str:
    """What finds its log lines: the log sources of Docker write its name into their metadata."""
    name = container.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'metadata.container:"{name}"'


def live_detail(pk: int, parameters: QueryDict, rights: frozenset[str]) -> Fragments:
    """For the WebSocket: a container that was forgotten meanwhile is a page that stays as it is."""
    try:
        return container_fragments(_container(pk), parameters, rights)
    except Http404:
        return Fragments()


def container_fragments(container: Container, parameters: QueryDict, rights: frozenset[str]) -> Fragments:
    live = Fragments()
    context = {
        "container": container,
        "state": container_list.state_of(container),
        "why": container_list.sentence(container),
        "services": SERVICES in rights,
        "share": _share(container),
    }
    live.add("headline", "services/containers/detail.html#headline", context)
    live.add("facts", "services/containers/detail.html#facts", context)
    live.add("about", "services/containers/detail.html#about", context | _labels(container))
    series = container_series.data(container, period_of(parameters), clock.now())
    live.add("series", "services/containers/detail.html#series", {"series": series})
    events = container.events.all()[:EVENTS_MAX]
    items = [(f"event-{event.pk}", {"event": event, "colour": event_colour(event)}) for event in events]
    live.add_list("events", "services/containers/detail.html#event", items or [("no-event", {"event": None})])
    return live


def _share(container: Container) -> int | None:
    """Of its memory limit, in percent."""
    if not container.memory_limit or container.memory_bytes is None:
        return None
    return round(container.memory_bytes * 100 / container.memory_limit)


def _labels(container: Container) -> dict[str, Any]:
    pairs = sorted((str(name), str(value)) for name, value in container.labels.items())
    return {
        "labels": [pair for pair in pairs if not pair[0].startswith(LABELS_FOLDED)],
        "folded": [pair for pair in pairs if pair[0].startswith(LABELS_FOLDED)],
    }


# --- What was found --------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(VIEW)
def found(request: HttpRequest) -> HttpResponse:
    """What was made of each container, and why."""
    rights = rights_of(request.user, PERMISSIONS)
    context = {
        "finds": finds(),
        "hosts": DockerHost.objects.filter(enabled=True),
        "may_add": {ADD_HOST, ENTER_ADMIN} <= rights,
        "services": SERVICES in rights,
    }
    return render(request, "services/containers/found.html", shell(request, "Containers › What was found") | context)


def finds() -> list[dict[str, Any]]:
    """Those with a problem first, then those that became something."""
    listed = [
        {
            "container": each.container,
            "state": container_list.state_of(each.container),
            "plan": each.plan,
            "changed": each.changed,
            "problems": each.problems,
        }
        for each in discovery.found()[:FINDS_MAX]
    ]
    return sorted(
        listed,
        key=lambda find: (
            not find["problems"],
            not (find["plan"].service or find["container"].service_id),
            find["container"].name.lower(),
        ),
    )
