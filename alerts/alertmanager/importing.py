"""An `alertmanager.yml` becomes rows: routes, receivers with their channels, inhibit rules and mute times.

The routes of the file replace those that there are. Receivers and mute times are found by their names; they, channels
and inhibit rules stay where the file doesn't mention them. What has no counterpart is told, not dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import durations
from alerts.alertmanager import channels, config
from alerts.alertmanager.config import Config, ConfigError
from alerts.alertmanager.traps import traps
from alerts.models import InhibitRule, MuteTime, Receiver, Route

MAKE: Final = "make"
MODIFY: Final = "change"
LEAVE: Final = "leave"
DROP: Final = "drop"
VERBS: Final = (MAKE, MODIFY, LEAVE, DROP)
# Of `global` and elsewhere: what nothing here does.
WITHOUT_COUNTERPART: Final = {
    "resolve_timeout": "alerts that are sent without an end are resolved after 5 minutes without news",
    "templates": "Go templates are not read: messages are worded in the form of each channel",
}


class Row(msgspec.Struct, frozen=True):
    what: str  # "receiver ops", "route severity="critical""
    verb: str  # one of VERBS
    detail: str = ""


class Report(msgspec.Struct):
    """What was done, or would be."""

    rows: list[Row] = []
    warnings: list[str] = []  # traps, and what has no counterpart here

    @property
    def counts(self) -> dict[str, int]:
        return {verb: sum(row.verb == verb for row in self.rows) for verb in VERBS}


def text_of(content: bytes) -> str:
    """Of a file. Raises ConfigError."""
    if len(content) > config.FILE_MAX:
        raise ConfigError(f"expected at most {config.FILE_MAX:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line}: expected text in UTF-8") from None


def plan(text: str) -> Report:
    """What `carry_out` would do. Raises ConfigError."""
    with transaction.atomic():
        report = carry_out(text)
        transaction.set_rollback(True)
    return report


@transaction.atomic
def carry_out(text: str, by: AbstractBaseUser | None = None) -> Report:
    """All of it or nothing. Raises ConfigError."""
    given, unknown = config.read(text)
    assert given.route is not None
    report = Report()
    receivers = _receivers(given, report)
    times = _mute_times(given, report)
    root = _route(given.route, None, 0, "route", receivers, times, report)
    _inhibit_rules(given, report)
    report.warnings += traps(given.route)
    report.warnings += [f"{name} has no counterpart: {said}." for name, said in _left_out(given)]
    report.warnings += [f"{name} is not known here, and left out." for name in unknown]
    if by is not None:
        LogEntry.objects.log_actions(by.pk, [root], CHANGE, "Imported from alertmanager.yml.", single_object=True)
    return report


def _left_out(given: Config) -> Iterable[tuple[str, str]]:
    if given.templates:
        yield "templates", WITHOUT_COUNTERPART["templates"]
    for name in given.global_:
        if name in WITHOUT_COUNTERPART:
            yield f"global.{name}", WITHOUT_COUNTERPART[name]
        elif name not in channels.GLOBALS:
            yield f"global.{name}", "nothing here reads it"


# --- Receivers -----------------------------------------------------------------------------------------------------


def _receivers(given: Config, report: Report) -> dict[str, Receiver]:
    assert given.route is not None
    known = {each.name: each for each in Receiver.objects.prefetch_related("channels")}
    found: dict[str, Receiver] = {}
    for at, entry in enumerate(given.receivers):
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise ConfigError(f"receivers[{at}]: expected a name")
        if name in found:
            raise ConfigError(f"receivers[{at}]: the name {name[:60]!r} is there twice")
        found[name] = _receiver(name, known.get(name), report)
        _channels(found[name], entry, given.global_, report)
    for name in dict.fromkeys(route.receiver for route in config.walk(given.route) if route.receiver):
        if name not in found:
            found[name] = _receiver(name, known.get(name), report)
            if name not in known:
                report.warnings.append(
                    f"The file has no receiver {name}: it is made without a channel, so tells nobody."
                )
    return found


def _receiver(name: str, row: Receiver | None, report: Report) -> Receiver:
    report.rows.append(Row(f"receiver {name}", MAKE if row is None else LEAVE))
    if row is None:
        row = Receiver(name=name)
        _check(row, f"receiver {name[:60]}")
        row.save()
    return row


def _channels(receiver: Receiver, entry: dict[str, Any], defaults: dict[str, Any], report: Report) -> None:
    """Those of the file that it doesn't have yet."""
    theirs = [(each.kind, each.options, each.secrets) for each in receiver.channels.all()]
    for made in channels.read(entry, defaults):
        what = f"{receiver.name} · {made.kind or made.key}"
        if made.channel is None and made.kind in [kind for kind, _, _ in theirs]:
            continue  # our own export, without its secrets
        report.warnings += [f"{what}: {said}" for said in made.warnings]
        if made.channel is None:
            continue
        channel = made.channel
        if (channel.kind, channel.options, channel.secrets) in theirs:
            report.rows.append(Row(f"channel {what}", LEAVE))
            continue
        channel.receiver = receiver
        try:
            channel.full_clean()
        except ValidationError as error:
            report.warnings.append(f"{what} is left out: {' '.join(error.messages)}")
            continue
        channel.save()
        theirs.append((channel.kind, channel.options, channel.secrets))
        report.rows.append(Row(f"channel {what}", MAKE))


# --- Times ---------------------------------------------------------------------------------------------------------


def _mute_times(given: Config, report: Report) -> dict[str, MuteTime]:
    found = {each.name: each for each in MuteTime.objects.all()}
    seen = set()
    for entry in [*given.time_intervals, *given.mute_time_intervals]:
        if entry.name in seen:
            raise ConfigError(f"the time interval {entry.name[:60]!r} is there twice")
        seen.add(entry.name)
        row = found.get(entry.name) or MuteTime(name=entry.name)
        verb = MAKE if row.pk is None else LEAVE if row.intervals == entry.time_intervals else MODIFY
        row.intervals = entry.time_intervals
        _check(row, f"time interval {entry.name[:60]}")
        row.save()
        found[entry.name] = row
        report.rows.append(Row(f"mute time {entry.name}", verb))
    return found


# --- Routes --------------------------------------------------------------------------------------------------------


def _route(
    entry: config.Route, parent: Route | None, order: int, where: str,
    receivers: dict[str, Receiver], times: dict[str, MuteTime], report: Report, row: Route | None = None,
) -> Route:  # fmt: skip
    """One, and what is below it. A row that has the same matchers in the same place stays: with it its groups, which
    know what was told."""
    if parent is None:
        row = Route.objects.filter(parent=None).first()
        if not entry.receiver:
            raise ConfigError("route: expected a receiver: it is told what no other route takes")
        if entry.matchers:
            raise ConfigError("route: the first route takes all alerts: it has no matchers")
    before = _values(row) if row else None
    row = row or Route()
    row.parent, row.order, row.matchers, row.continues = parent, order, entry.matchers, entry.continues
    row.receiver = receivers[entry.receiver] if entry.receiver else None
    row.group_by = entry.group_by
    for field in ("group_wait", "group_interval", "repeat_interval"):
        given = getattr(entry, field)
        setattr(row, field, None if given is None else durations.read(given))
    _check(row, where)
    row.save()
    row.mute_times.set(_named(entry.mute_time_intervals, times, where))
    row.active_times.set(_named(entry.active_time_intervals, times, where))
    verb = MAKE if before is None else LEAVE if before == _values(row) else MODIFY
    report.rows.append(Row(f"route {', '.join(row.matchers) or 'of all alerts'}", verb, _told(row)))
    left = list(row.routes.all())
    for at, child in enumerate(entry.routes):
        same = next((each for each in left if each.matchers == child.matchers), None)
        if same:
            left.remove(same)
        _route(child, row, at, f"{where}.routes[{at}]", receivers, times, report, same)
    for each in left:
        report.rows.append(Row(f"route {each}", DROP))
        each.delete()
    return row


def _values(route: Route) -> tuple[Any, ...]:
    fields = ("parent_id", "order", "matchers", "continues", "receiver_id", "group_by")
    waits = ("group_wait", "group_interval", "repeat_interval")
    times = (set(route.mute_times.values_list("pk")), set(route.active_times.values_list("pk")))
    return (*(getattr(route, name) for name in (*fields, *waits)), *times)


def _told(route: Route) -> str:
    return f"{route.receiver or 'as above'}{', continues' if route.continues else ''}"


def _named(names: Sequence[str], times: dict[str, MuteTime], where: str) -> list[MuteTime]:
    for name in names:
        if name not in times:
            raise ConfigError(f"{where}: there is no time interval {name[:60]!r}, neither here nor in the file")
    return [times[name] for name in names]


# --- Inhibition ----------------------------------------------------------------------------------------------------


def _inhibit_rules(given: Config, report: Report) -> None:
    known = list(InhibitRule.objects.all())
    for at, entry in enumerate(given.inhibit_rules):
        wanted = (entry.source_matchers, entry.target_matchers, entry.equal)
        same = next(
            (each for each in known if (each.source_matchers, each.target_matchers, each.equal) == wanted), None
        )
        row = same or InhibitRule(source_matchers=wanted[0], target_matchers=wanted[1], equal=wanted[2])
        if same is None:
            _check(row, f"inhibit_rules[{at}]")
            row.save()
            known.append(row)
        report.rows.append(Row(f"inhibit rule {row}", LEAVE if same else MAKE))


def _check(row: Receiver | MuteTime | Route | InhibitRule, where: str) -> None:
    """Raises ConfigError."""
    try:
        row.full_clean()
    except ValidationError as error:
        raise ConfigError(f"{where}: {' '.join(error.messages)}") from None
