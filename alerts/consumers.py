"""The WebSockets of the pages of alerts and incidents."""

from __future__ import annotations

from typing import ClassVar

from django.http import QueryDict

from accounts.live_pages import TeamLivePage
from alerts import alert_views, incident_page, incident_views, live
from core.fragments import Fragments


class _Alerts(TeamLivePage):
    groups: ClassVar[list[str]] = [live.GROUP]
    alerts_changed = TeamLivePage.tell


class IncidentsConsumer(_Alerts):
    """The list, with the filters that the page shows."""

    permissions = incident_views.PERMISSIONS
    needed = (incident_views.VIEW,)

    def fragments(self, params: QueryDict) -> Fragments:
        return incident_views.listed(params, self.rights)


class IncidentConsumer(_Alerts):
    """One incident."""

    permissions = incident_page.PERMISSIONS
    needed = (incident_page.VIEW,)

    def fragments(self, params: QueryDict) -> Fragments:
        return incident_page.live_fragments(self.scope["url_route"]["kwargs"]["pk"], self.rights)


class AlertsConsumer(_Alerts):
    """The alerts that are active."""

    permissions = alert_views.PERMISSIONS
    needed = (alert_views.VIEW,)

    def fragments(self, params: QueryDict) -> Fragments:
        return alert_views.listed(params, self.rights)
