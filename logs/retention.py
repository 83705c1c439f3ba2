"""How long lines are kept: by age (`plan`, `apply`) and by the disk they take (`enforce_disk_budget`).

Pure where it can be: rules, defaults and the time go in, deletions come out. `retain` is what Celery beat has done.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from django.conf import settings

from accounts.trail import recording
from core import clock
from logs import archive
from logs.models import LogBlock, RetentionRule, StoreEvent
from logs.records import Level
from logs.rows import visible
from logs.store import BaseLogStore, Dropped
from logs.store.base import Span

DEBUG_LEVELS: Final = frozenset({Level.TRACE, Level.DEBUG})
OTHER_LEVELS: Final = frozenset(Level) - DEBUG_LEVELS
# Dropping goes a little below the limit, so that it isn't due again with the next line.
DROP_TO: Final = 95  # percent of the disk budget
DROPPED: Final = "dropped"  # kinds of a StoreEvent
HELD: Final = "held"
EVERY: Final = "*"  # as the service of a rule: every service without one of its own
EVENTS_KEPT: Final = 100
NAMED: Final = 3  # services in one sentence

log = logging.getLogger("logs.retention")


class Policy(NamedTuple):
    """For how many days lines are kept; 0 is for ever."""

    days: int  # info and above
    debug_days: int  # debug and trace


class Deletion(msgspec.Struct, frozen=True):
    """What `BaseLogStore.delete_before` is told, and the number of days that it comes from."""

    time: int  # µs; older lines go
    levels: frozenset[Level] | None  # None: all
    services: frozenset[str] | None  # None: all
    except_services: frozenset[str]
    days: int

    def __str__(self) -> str:
        lines = "debug and trace lines" if self.levels == DEBUG_LEVELS else "lines"
        if self.levels == OTHER_LEVELS:
            lines = "lines of info and above"
        whose = f" of {_named(self.services)}" if self.services is not None else ""
        but = f" of every service but {_named(self.except_services)}" if self.except_services else ""
        return f"{lines}{whose}{but} older than {_days(self.days)}"


# --- By age -------------------------------------------------------------------------------------------------------


def defaults(rules: Iterable[RetentionRule] = ()) -> Policy:
    """What holds for services without a rule: the settings, unless a rule for every service says otherwise.

    Who shortens the one number expects no line to stay longer than that: debug lines never outlive the others.
    """
    own = {rule.lines: rule.days for rule in rules if rule.service == EVERY}
    days = own.get(RetentionRule.Lines.ALL, settings.LOG_RETENTION_DAYS)
    debug_days = own.get(RetentionRule.Lines.DEBUG, settings.LOG_RETENTION_DEBUG_DAYS)
    return Policy(days, min(days, debug_days) if days else debug_days)


def policies(rules: Iterable[RetentionRule], default: Policy) -> dict[str, Policy]:
    """The policy of each service that has a rule. The rule that says more about a line decides on it."""
    days: dict[str, dict[str, int]] = defaultdict(dict)
    for rule in (rule for rule in rules if rule.service != EVERY):
        days[rule.service][rule.lines] = rule.days
    every, debug = RetentionRule.Lines.ALL, RetentionRule.Lines.DEBUG
    return {
        service: Policy(own.get(every, default.days), own.get(debug, own.get(every, default.debug_days)))
        for service, own in days.items()
    }


def plan(rules: Iterable[RetentionRule], default: Policy, now: int) -> list[Deletion]:
    """What is to be deleted at `now`. Services that are kept alike go together, so that a block is opened once."""
    alike: dict[Policy, set[str]] = defaultdict(set)
    for service, policy in policies(rules, default).items():
        if policy != default:
            alike[policy].add(service)
    others = frozenset(service for services in alike.values() for service in services)
    deletions = list(_deletions(default, now, None, others))
    for policy, services in sorted(alike.items()):
        deletions += _deletions(policy, now, frozenset(services), frozenset())
    return deletions


def _deletions(
    policy: Policy, now: int, services: frozenset[str] | None, except_services: frozenset[str]
) -> Iterator[Deletion]:
    """At most two: what is kept longest goes whatever its level, which mostly means whole blocks."""

    def older_than(days: int, levels: frozenset[Level] | None) -> Deletion:
        return Deletion(now - days * clock.DAY, levels, services, except_services, days)

    longest = 0 if 0 in policy else max(policy)
    if longest:
        yield older_than(longest, None)
    for days, levels in ((policy.days, OTHER_LEVELS), (policy.debug_days, DEBUG_LEVELS)):
        if days != longest:
            yield older_than(days, levels)


def hold(deletions: Iterable[Deletion], day: int) -> list[Deletion]:
    """The same deletions, but for nothing from `day` on."""
    return [msgspec.structs.replace(each, time=min(each.time, day)) for each in deletions]


def apply(
    deletions: Sequence[Deletion], store: BaseLogStore, budget: float, keep: Sequence[Span] = ()
) -> list[tuple[Deletion, int]]:
    """Deletes for about `budget` seconds, and says how many lines went by which deletion. The next run goes on."""
    end = time.monotonic() + budget
    done = []
    for place, deletion in enumerate(deletions):
        # A fair share of what is left: a deletion with much to do doesn't starve those behind it.
        share = (end - time.monotonic()) / (len(deletions) - place)
        lines = store.delete_before(
            deletion.time,
            levels=deletion.levels,
            services=deletion.services,
            except_services=deletion.except_services,
            budget=max(share, 0.0),
            keep=keep,
        )
        if lines:
            done.append((deletion, lines))
    return done


def retain(store: BaseLogStore, budget: float, now: int) -> int:
    """Deletes what rules and defaults don't keep, then what the disk budget has no room for: the lines that went.

    What the archive is still to get stays, but for the disk budget; so do days that were restored from it.
    """
    rules = list(RetentionRule.objects.all())
    deletions = plan(rules, defaults(rules), now)
    first = archive.first_missing(store, now) if settings.LOG_ARCHIVE_URL else None
    if first is not None:
        deletions = hold(deletions, first)
        _say_held(archive.overdue(first, now), now)
    done = apply(deletions, store, budget, archive.restored(now))
    for deletion, lines in done:
        log.info("Retention deleted %s %s", f"{lines:,}", deletion, extra={"lines": lines, "days": deletion.days})
    dropped = enforce_disk_budget(store, settings.LOG_DISK_MAX, now)
    gone = sum(lines for _, lines in done) + (dropped.lines if dropped else 0)
    if gone:
        recording.count("logs_deleted", LogBlock, "log lines", "lines", gone)
    return gone


# --- By the disk ---------------------------------------------------------------------------------------------------


def enforce_disk_budget(store: BaseLogStore, limit: int, now: int) -> Dropped | None:
    """Drops the oldest blocks when the columns take more than `limit` bytes (0: no limit), and says so.

    Lines that were restored from the archive don't count.
    """
    stats = store.stats()
    size = stats["bytes"] - stats["restored_bytes"]
    if not limit or size <= limit:
        return None
    missing = archive.first_missing(store, now) if settings.LOG_ARCHIVE_URL else None
    dropped = store.drop_oldest(size - limit * DROP_TO // 100, archive.restored(now))
    if not dropped.lines:
        return None
    oldest = store.stats()["oldest"]
    detail = {"lines": dropped.lines, "bytes": dropped.bytes, "limit": limit, "oldest": oldest}
    if lost := missing is not None and dropped.newest >= missing:
        detail["unarchived"] = True
    log.warning(
        "The disk budget of %s bytes is used up: dropped the oldest %s lines (%s bytes), %s%s",
        *(f"{number:,}" for number in (limit, dropped.lines, dropped.bytes)),
        f"the oldest is now of {clock.iso(oldest)}" if oldest else "none is left",
        "; some were not in the archive yet" if lost else "",
        extra=detail,
    )
    _remember(DROPPED, now, detail)
    return dropped


def _say_held(sentence: str, now: int) -> None:
    """Once a day."""
    said = StoreEvent.objects.filter(kind=HELD, at__gt=clock.moment(now - clock.DAY))
    if sentence and not said.exists():
        log.warning("%s", sentence)
        _remember(HELD, now, {"sentence": sentence})


def _remember(kind: str, now: int, detail: Mapping[str, int | str]) -> None:
    event = StoreEvent.objects.create(kind=kind, at=clock.moment(now), detail=detail)
    StoreEvent.objects.filter(pk__lte=event.pk - EVENTS_KEPT).delete()


# --- In words ------------------------------------------------------------------------------------------------------


def meaning(service: str, policy: Policy) -> str:
    """What happens to the lines of `service`, as one sentence. "" is every service without a rule."""
    whose = f"of {visible(service)}" if service else "of services without a rule"
    if policy.days == policy.debug_days:
        return f"Lines {whose} are kept {kept(policy.days)}, whatever their level."
    return f"Lines {whose} are kept {kept(policy.days)}, debug and trace {kept(policy.debug_days)}."


def kept(days: int) -> str:
    return f"for {_days(days)}" if days else "for ever"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days:,} days"


def _named(services: Iterable[str]) -> str:
    names = sorted(map(visible, services))
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
