"""What a viewer may see: services, with their lines and incidents, can be kept for teams, which are Django's groups.

A row (`models.TeamService`) says which groups see the services of a name, or of names that begin so. A service without
a row is seen by all, one with several rows by the groups of each. Superusers and who has SEES_EVERYTHING see all.

`current()` is what the viewer on whose behalf this runs may see: everything, for a process that works for nobody. The
log store (`logs.store`), `services.visible` and `alerts.visible` ask it. A page that asks none of these would show too
much: to a viewer who is limited all views are closed but those of settings.TEAM_VIEWS, of which that is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.conf import settings
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.urls import ResolverMatch

from accounts.names import Names

if TYPE_CHECKING:
    from accounts.keys import Access

SEES_EVERYTHING: Final = "accounts.see_everything"
KNOWN_FOR: Final = 5.0  # seconds: how long a change of rows, groups and permissions takes to be felt
KNOWN_MAX: Final = 10_000
# Not ours, or about nothing but the viewer's own account.
OPEN_MODULES: Final = ("accounts.sign_in.", "allauth.", "core.pages", "django.contrib.auth.", "django.views.")


class Visible(msgspec.Struct, frozen=True):
    """The names of services that somebody may see."""

    closed: Names = Names()  # of other teams …
    opened: Names = Names()  # … but these are of the viewer's as well
    only: Names | None = None  # of a key: none but these

    @property
    def limited(self) -> bool:
        return bool(self.closed) or self.only is not None

    def shows(self, service: str) -> bool:
        if self.only is not None and service not in self.only:
            return False
        return service not in self.closed or service in self.opened

    def mentions_hidden(self, text: str) -> bool:
        """Whether a text of people's making has a name of other teams in it; rather too often than not."""
        folded = text.casefold()
        return any(name in folded for name in (*self.closed.exact, *self.closed.beginnings))


EVERYTHING: Final = Visible()
NOTHING: Final = Visible(only=Names())


# --- Whose view this is --------------------------------------------------------------------------------------------


class Viewer:
    """Found out when somebody asks: most requests show nothing that could be limited."""

    def __init__(self, find: Callable[[], Visible]) -> None:
        self._find = find
        self._found: Visible | None = None

    def visible(self) -> Visible:
        if self._found is None:
            self._found = self._find()
        return self._found

    def become(self, visible: Visible) -> None:
        self._found = visible


viewer: ContextVar[Viewer | None] = ContextVar("viewer", default=None)


def current() -> Visible:
    asking = viewer.get()
    return EVERYTHING if asking is None else asking.visible()


@contextmanager
def seen_as(visible: Visible) -> Iterator[None]:
    """For what runs beside requests on a viewer's behalf."""
    token = viewer.set(Viewer(lambda: visible))
    try:
        yield
    finally:
        viewer.reset(token)


def show_to_key(access: Access) -> None:
    """From here on the request runs for a key, and for no session that came along."""
    if asking := viewer.get():
        asking.become(of_key(access))
    else:
        viewer.set(Viewer(lambda: of_key(access)))


def is_filtered(match: ResolverMatch) -> bool:
    """Whether the view shows nothing, or nothing but what `current()` lets it."""
    return match.view_name in settings.TEAM_VIEWS or match.func.__module__.startswith(OPEN_MODULES)


# --- What somebody may see -----------------------------------------------------------------------------------------


def of_key(access: Access) -> Visible:
    return Visible(only=access.services) if access.services else EVERYTHING


def of(user: Any) -> Visible:
    """Of a user, or of somebody who is not logged in (None, AnonymousUser)."""
    rows, key = known_rows(), getattr(user, "pk", None)
    if not rows:
        return EVERYTHING
    known, until = _known.get(key, (EVERYTHING, 0.0))
    if until > time.monotonic():
        return known
    visible = _of_groups(key, rows)
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known[key] = (visible, time.monotonic() + KNOWN_FOR)
    return visible


def _of_groups(user_id: int | None, rows: Iterable[Row]) -> Visible:
    from django.contrib.auth.models import User

    # Anew: that of a WebSocket remembers the permissions that it had when it came.
    user = User.objects.filter(pk=user_id, is_active=True).first() if user_id else None
    if user is not None and user.has_perm(SEES_EVERYTHING):
        return EVERYTHING
    groups = frozenset(user.groups.values_list("pk", flat=True)) if user else frozenset()
    opened = Names.of(pattern for pattern, seen_by in rows if groups & seen_by)
    closed = Names.of(pattern for pattern, seen_by in rows if not groups & seen_by)
    return Visible(closed, opened) if closed else EVERYTHING


Row = tuple[str, frozenset[int]]  # pattern, groups
_rows: tuple[float, tuple[Row, ...]] = (0.0, ())
_known: dict[int | None, tuple[Visible, float]] = {}


def nothing_is_kept() -> bool:
    """Whether that is known, without a query."""
    until, rows = _rows
    return not rows and until > time.monotonic()


def known_rows() -> tuple[Row, ...]:
    global _rows
    until, rows = _rows
    if until > time.monotonic():
        return rows
    rows = _read_rows()
    _rows = (time.monotonic() + KNOWN_FOR, rows)
    return rows


def _read_rows() -> tuple[Row, ...]:
    from accounts.models import TeamService

    found: dict[str, set[int]] = {}
    for pattern, group in TeamService.objects.order_by().values_list("pattern", "groups"):
        found.setdefault(pattern, set()).update([] if group is None else [group])
    return tuple((pattern, frozenset(groups)) for pattern, groups in found.items())


def forget(**_: Any) -> None:
    """What this process knows is out of date."""
    global _rows
    _rows = (0.0, ())
    _known.clear()


def _forget_people(**_: Any) -> None:
    _known.clear()


def connect() -> None:
    from django.contrib.auth.models import User

    from accounts.models import TeamService

    post_save.connect(forget, TeamService)
    post_delete.connect(forget, TeamService)
    m2m_changed.connect(forget, TeamService.groups.through)
    m2m_changed.connect(_forget_people, User.groups.through)
    m2m_changed.connect(_forget_people, User.user_permissions.through)
