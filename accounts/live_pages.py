"""Pages that stay as things are, for viewers who don't see everything."""

from __future__ import annotations

from django.http import QueryDict

from accounts import visibility
from accounts.visibility import Visible
from core.fragments import Fragments, LivePage


class TeamLivePage(LivePage):
    """A live page whose fragments pass the filters of `accounts.visibility`."""

    viewer: Visible = visibility.NOTHING

    def look_again(self) -> None:
        self.viewer = visibility.of(self.scope.get("user"))

    def shown(self, params: QueryDict) -> Fragments:
        with visibility.seen_as(self.viewer):
            return self.fragments(params)
