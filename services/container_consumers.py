"""The WebSockets of the pages of containers."""

from __future__ import annotations

from typing import ClassVar

from django.http import QueryDict

from accounts.live_pages import TeamLivePage
from core.fragments import Fragments
from services import container_views, live


class _Containers(TeamLivePage):
    permissions = container_views.PERMISSIONS
    needed = (container_views.VIEW,)
    groups: ClassVar[list[str]] = [live.GROUP, live.CONTAINERS]
    services_changed = containers_changed = TeamLivePage.tell


class ContainersConsumer(_Containers):
    """The table, with the filters and the order that the page shows."""

    rests = 2.0  # it may have hundreds of rows, and every check of a service is news

    def fragments(self, params: QueryDict) -> Fragments:
        return container_views.table(params, self.rights)


class ContainerConsumer(_Containers):
    """One container."""

    def fragments(self, params: QueryDict) -> Fragments:
        return container_views.live_detail(self.scope["url_route"]["kwargs"]["pk"], params, self.rights)
