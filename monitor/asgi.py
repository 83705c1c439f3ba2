"""The ASGI application: static files, the edge for programs that send logs, WebSockets, and Django for the rest."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monitor.settings")
pages = get_asgi_application()  # first: it loads the apps that the imports below need

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import path  # noqa: E402
from servestatic import ServeStaticASGI  # noqa: E402

from accounts.sign_in.second_factor import with_second_factor  # noqa: E402
from alerts.consumers import AlertsConsumer, IncidentConsumer, IncidentsConsumer  # noqa: E402
from core import headers, memory, proxies, reporting  # noqa: E402
from logs.consumers import LogsConsumer  # noqa: E402
from logs.edge import Edge, serves  # noqa: E402
from monitor import urls  # noqa: E402, F401 - now, and not with the first request
from monitor.answers import answer  # noqa: E402
from monitor.consumers import OverviewConsumer  # noqa: E402
from services.consumers import ServicesConsumer  # noqa: E402
from services.container_consumers import ContainerConsumer, ContainersConsumer  # noqa: E402

edge = Edge()


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Reading and writing share an address, as the API's users expect; only writing takes the short way."""
    if serves(scope):
        await edge(scope, receive, send)
    else:
        await answer(pages, scope, receive, send)


ADDRESSES = [
    path("ws/logs/", LogsConsumer.as_asgi()),
    path("ws/overview/", OverviewConsumer.as_asgi()),
    path("ws/services/", ServicesConsumer.as_asgi()),
    path("ws/containers/", ContainersConsumer.as_asgi()),
    path("ws/containers/<int:pk>/", ContainerConsumer.as_asgi()),
    path("ws/incidents/", IncidentsConsumer.as_asgi()),
    path("ws/incidents/<int:pk>/", IncidentConsumer.as_asgi()),
    path("ws/alerts/", AlertsConsumer.as_asgi()),
]
sockets = AuthMiddlewareStack(with_second_factor(URLRouter(ADDRESSES)))
from_our_pages = AllowedHostsOriginValidator(sockets)


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """A browser always says which page it asks for, and a strange page must not use its reader's session. A program
    that says nothing has no reader to trick."""
    said = any(name == b"origin" for name, _ in scope["headers"])
    await (from_our_pages if said else sockets)(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": ServeStaticASGI(
            http, root=settings.STATIC_ROOT, prefix=settings.STATIC_URL, max_age=60, allow_all_origins=False,
            add_headers_function=headers.of_static_files,
        ),
        "websocket": websocket,
    }
)  # fmt: skip
application = proxies.behind(application, settings.BEHIND_PROXY)

reporting.begin("web")
memory.settle()
