"""Saved queries: kept, listed, removed, and the predefined ones that every installation begins with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import QueryDict

from accounts import visibility
from logs import query
from logs.models import SavedQuery

ADD: Final = "logs.add_savedquery"
DELETE: Final = "logs.delete_savedquery"
OWNED_MAX: Final = 200  # of one person: the menu lists them all
USER_ACTIVITY: Final = "user-activity"
USER_PERIOD: Final = "-24h"


class Menu(NamedTuple):
    mine: list[SavedQuery]
    shared: list[SavedQuery]  # by others, and by people who have gone
    predefined: list[SavedQuery]


def menu(user: Any) -> Menu:
    found, visible = list(visible_to(user).select_related("owner")), visibility.current()
    others = [saved for saved in found if not saved.built_in and not _is_own(saved, user)]
    return Menu(
        mine=[saved for saved in found if _is_own(saved, user)],
        shared=[each for each in others if not visible.mentions_hidden(f"{each.name} {each.text} {each.services}")],
        predefined=[saved for saved in found if saved.built_in],
    )


def _is_own(saved: SavedQuery, user: Any) -> bool:
    return saved.owner_id is not None and saved.owner_id == user.pk


def visible_to(user: Any) -> QuerySet[SavedQuery]:
    for_all = Q(shared=True) | ~Q(built_in="")
    return SavedQuery.objects.filter(Q(owner=user) | for_all if user.is_authenticated else for_all)


def save(owner: Any, name: str, *, shared: bool, view: QueryDict) -> SavedQuery:
    """Keeps the view that these parameters of the Logs page make. Raises ValidationError."""
    if SavedQuery.objects.filter(owner=owner).count() >= OWNED_MAX:
        raise ValidationError(f"You have {OWNED_MAX} saved queries, and more are not kept: remove one first.")
    if not name.strip():
        raise ValidationError("Write a name for it.")
    kept = {field: ",".join(view.getlist(name)) for name, field in SavedQuery.PARAMETERS.items()}
    saved = SavedQuery(name=name.strip(), owner=owner, shared=shared, **kept)
    saved.full_clean()
    try:
        with transaction.atomic():
            saved.save()
    except IntegrityError:  # another request of the same person was faster with the same name
        saved.validate_constraints()
        raise
    return saved


def remove(pk: int, *, by: Any) -> None:
    """Removes a query of one's own; with the right to delete them, anyone's. One that has gone already is no error."""
    saved = visible_to(by).filter(pk=pk).first()
    if saved is None:
        return
    if not _is_own(saved, by) and not by.has_perm(DELETE):
        raise PermissionDenied(f"{saved.name!r} is not yours.")
    saved.delete()


def user_lines(user: str) -> str:
    """The query for every line that names this user; for every line that names one, if there is none."""
    return query.term("user_id", user) if user else "exists:user_id"


# --- The predefined ------------------------------------------------------------------------------------------------


class Predefined(NamedTuple):
    slug: str
    name: str
    text: str
    levels: str = ""
    since: str = "-24h"


def restore(rows: Any = SavedQuery.objects) -> int:
    """Brings the predefined queries back as they were at first; says how many had changed or gone."""
    changed = 0
    for predefined in PREDEFINED:
        fields = {**predefined._asdict(), "services": "", "until": "", "shared": False}
        slug = fields.pop("slug")
        if not rows.filter(built_in=slug, **fields).exists():
            rows.update_or_create(built_in=slug, defaults=fields)
            changed += 1
    return changed


def _any(words: Iterable[str]) -> str:
    return "(" + " OR ".join(word if word.isalnum() else query.literal(word) for word in words) + ")"


def _said(*words: str) -> str:
    """In what a line says: its service, logger and metadata name many things that it is not about."""
    return f"(title:{_any(words)} OR message:{_any(words)})"


_TROUBLE: Final = "warn,error,fatal"
_FAILED: Final = _any(
    (
        "fail", "error", "exception", "could not", "cannot", "unable", "reject", "refused", "timeout", "timed out",
    )
)  # fmt: skip

# For the lines that common frameworks, drivers and brokers write: tests/logs/test_predefined.py has some of each.
PREDEFINED: Final = (
    Predefined(
        "task-creation-failures",
        "Task creation failures",
        _said("task", "job")
        + " "
        + _said("creat", "enqueu", "submi", "dispatch", "to schedule", "scheduling")
        + " "
        + _FAILED,
        levels=_TROUBLE,
    ),
    Predefined(
        "event-publishing-errors",
        "Event publishing errors",
        _said("publish", "emit", "producer", "to produce", "deliver", "send event", "sending event", "send message")
        + " "
        + _any(("event", "message", "topic", "exchange", "queue", "broker", "kafka", "amqp", "nats", "outbox"))
        + " "
        + _FAILED,
        levels=_TROUBLE,
    ),
    Predefined(
        "websocket-disconnections",
        "WebSocket disconnections",
        _any(("websocket", "web socket", "socket.io", "signalr", "/ws/", "wss://"))
        + " "
        + _said(
            "disconnect", "connection lost", "connection closed", "connection dropped", "connection reset",
            "socket closed", "abnormal", "closed with", "close code", "1006", "going away", "ping timeout", "hang up",
        ),
    ),
    Predefined(
        "authentication-failures",
        "Authentication failures",
        _any(
            (
                "login fail", "failed login", "login error", "login attempt failed", "failed to log in",
                "sign-in failed", "failed password", "invalid password", "wrong password", "incorrect password",
                "invalid credential", "bad credential", "invalid username", "authentication fail",
                "authentication error", "authenticationerror", "failed to authenticate", "could not authenticate",
                "not authenticated", "unauthenticated", "unauthorized", "invalid token", "invalid_token",
                "invalid_grant", "token expired", "token has expired", "jwt expired", "invalid api key",
                "too many login attempts", "account locked", "\" 401 ", "→ 401",
            )
        ).removesuffix(")")
        + " OR status:401 OR status_code:401)",
    ),
    Predefined(
        "database-errors",
        "Database errors",
        _any(
            (
                "operationalerror", "integrityerror", "programmingerror", "databaseerror", "psycopg", "sqlalchemy.exc",
                "sqlexception", "sqlstate", "deadlock", "duplicate key", "duplicate entry", "violates",
                "constraint failed", "database is locked", "too many connections", "too many clients",
                "lock wait timeout", "statement timeout", "connection pool", "queuepool", "hikaripool", "ORA-0",
                "prismaclient", "npgsqlexception",
            )
        ).removesuffix(")")
        + " OR "
        + _said("database", "postgres", "mysql", "mariadb", "sqlite", "mongo")
        + f" {_FAILED})",
        levels=_TROUBLE,
    ),
    Predefined(
        "high-latency-requests",
        "High-latency requests",
        "duration_ms:>1000 OR latency_ms:>1000 OR elapsed_ms:>1000 OR response_time_ms:>1000 OR took_ms:>1000 "
        # Milliseconds by custom; a larger number counts nanoseconds.
        "OR duration:[1000 TO 600000] OR elapsed:[1000 TO 600000] OR latency:[1000 TO 600000] "
        "OR responseTime:[1000 TO 600000] OR response_time:[1000 TO 600000] "
        "OR duration_s:>1 OR duration_seconds:>1 OR latency_seconds:>1 OR request_time:>1 "
        f"OR {_said('slow request', 'slow response', 'high latency', 'took too long', 'request timed out')}",
    ),
    Predefined(USER_ACTIVITY, "User activity traces", user_lines(""), since=USER_PERIOD),
)  # fmt: skip
