"""The WebSocket of the start page."""

from __future__ import annotations

from typing import ClassVar

from django.http import QueryDict

from accounts.live_pages import TeamLivePage
from alerts import live as alerts_live
from core.fragments import Fragments
from monitor import overview
from services import live


class OverviewConsumer(TeamLivePage):
    permissions = overview.PERMISSIONS
    needed = overview.LOOKS
    groups: ClassVar[list[str]] = [live.GROUP, alerts_live.GROUP]
    services_changed = alerts_changed = TeamLivePage.tell

    def fragments(self, params: QueryDict) -> Fragments:
        return overview.fragments(self.rights)
