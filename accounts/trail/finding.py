"""What is asked of the trail: the parameters of its page's address, and the entries that they mean, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import QueryDict

from accounts.trail.recording import CREATE, DELETE, UPDATE
from core import clock
from core.parameters import ParameterError, moment, number

PAGE: Final = 50
ID_MAX: Final = (1 << 31) - 1  # as auditlog numbers entries
TEXT_MAX: Final = 200

ACTIONS: Final = {"create": CREATE, "update": UPDATE, "delete": DELETE}
# What happens beside changes, in the words of the page.
EVENTS: Final = {
    "sign_in": "signed in",
    "sign_out": "signed out",
    "sign_in_failed": "failed to sign in",
    "sessions_ended": "ended sessions",
    "key_used": "used a key from a new address",
    "key_refused": "was refused with a key",
    "log_export": "exported logs",
    "trail_export": "exported the audit trail",
    "archive_restore": "restored archived logs",
    "archive_forget": "removed restored logs",
    "logs_deleted": "deleted old logs",
    "dead_letter_sent_again": "sent a dead letter again",
    "backup_restored": "restored a backup",
    "data_loaded": "loaded data",
}


@dataclass(frozen=True)
class Wanted:
    """Filters; empty ones let everything through."""

    who: str = ""
    kind: str = ""  # "services.check"
    thing: str = ""  # its primary key, with `kind`
    action: str = ""  # of ACTIONS or EVENTS
    since: int = 0  # µs
    until: int = 0  # µs; 0 is now
    text: str = ""


def parse(params: QueryDict, now: int) -> Wanted:
    """Raises ParameterError."""
    action = params.get("action", "")
    if action and action not in ACTIONS and action not in EVENTS:
        raise ParameterError("action", f"expected one of {', '.join([*ACTIONS, *EVENTS])}, got {action[:40]!r}")
    kind = params.get("kind", "").lower()
    if kind and kind.count(".") != 1:
        raise ParameterError("kind", f"expected a kind like services.check, got {kind[:40]!r}")
    return Wanted(
        who=_text(params, "who"),
        kind=kind,
        thing=_text(params, "thing"),
        action=action,
        since=moment(params, "from", default=0, now=now),
        until=moment(params, "to", default=0, now=now),
        text=_text(params, "q"),
    )


def _text(params: QueryDict, name: str) -> str:
    return params.get(name, "").strip().replace("\0", "")[:TEXT_MAX]


def position(params: QueryDict) -> int:
    """Entries before this one are wanted. Raises ParameterError."""
    return number(params, "before", default=ID_MAX, low=1, high=ID_MAX)


def entries(wanted: Wanted, before: int = ID_MAX) -> QuerySet[LogEntry]:
    found: QuerySet[LogEntry] = (
        LogEntry.objects.filter(pk__lt=before).select_related("content_type", "actor").order_by("-pk")
    )
    if wanted.who:
        found = found.filter(Q(actor__username=wanted.who) | Q(additional_data__by=wanted.who))
    if wanted.kind:
        app, model = wanted.kind.split(".")
        found = found.filter(content_type__in=ContentType.objects.filter(app_label=app, model=model))
    if wanted.thing:
        found = found.filter(object_pk=wanted.thing)
    if wanted.action in ACTIONS:
        found = found.filter(action=ACTIONS[wanted.action])
    elif wanted.action:
        found = found.filter(additional_data__event=wanted.action)
    if wanted.since:
        found = found.filter(timestamp__gte=clock.moment(wanted.since))
    if wanted.until:
        found = found.filter(timestamp__lt=clock.moment(wanted.until))
    if wanted.text:
        found = found.annotate(said=Cast("changes", TextField()), more=Cast("additional_data", TextField())).filter(
            Q(object_repr__icontains=wanted.text)
            | Q(said__icontains=wanted.text)
            | Q(more__icontains=wanted.text)
            | Q(remote_addr__icontains=wanted.text)
        )
    return found
