"""Which streams are read: those of PHAROS_LOG_STREAM, then those that enabled sources name or match.

An ingester looks every few seconds, so what is saved in the admin holds without a restart. It leaves in Redis what it
found, for those who only want to know: the edge, health, the usage page, the admin.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from core import clock
from logs import stream
from logs.models import SOURCE_NAME_MAX, LogSource

log = logging.getLogger(__name__)
R = TypeVar("R")

REFRESH_EVERY: Final = 3.0  # seconds
STREAMS_MAX: Final = 256  # that are read at once
SOURCES_MAX: Final = 256
REPORT: Final = "pharos:sources"  # the key of what was found
REPORT_FOR: Final = 86_400  # seconds
LISTEN_WANTED: Final = "listen.wanted"  # a file in the data directory: some source needs `manage.py listen`
MISSING: Final = "no such stream yet"
# A Redis may hold millions of keys: each look takes some steps through them, and the next goes on from there.
SCAN_COUNT: Final = 1_000  # keys in one step
SCAN_STEPS: Final = 50  # in one look, for all patterns
MATCHES_MAX: Final = 10_000  # names that are remembered of one pattern


class Source(msgspec.Struct):
    """What became of one source of the admin."""

    streams: list[str] = []  # that it names or matches
    problem: str = ""


class Report(msgspec.Struct):
    at: int = 0  # µs
    streams: list[str] = []  # all that are read
    sources: dict[str, Source] = {}  # by the name in the admin
    left_out: int = 0  # streams beyond STREAMS_MAX


def is_pattern(name: str) -> bool:
    """As SCAN and PSUBSCRIBE read it: `*`, `?`, `[ab]`."""
    return any(letter in name for letter in "*?[")


def left(data: bytes | str | None, kind: type[R]) -> R:
    """What an ingester left in Redis; an empty one if nothing readable is there."""
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.DecodeError:
        return kind()


def active(data: bytes | str | None) -> list[str]:
    """All streams that are read, from what stands under REPORT."""
    return list(dict.fromkeys([*settings.LOG_STREAMS, *left(data, Report).streams]))


def want_listener(wanted: bool) -> None:
    """Has `make up` start or stop `manage.py listen`: most installations needn't spend memory on it."""
    marker = settings.DATA_DIR / LISTEN_WANTED
    try:
        if wanted:
            marker.touch()
        else:
            marker.unlink(missing_ok=True)
    except OSError as error:
        log.debug("%s can't be changed: %s", marker, error)


class Sources:
    """The streams and channels that one ingester reads. Keeps what it knew while the database is away."""

    def __init__(self, client: redis.Redis, consumer: str) -> None:
        self.client = client
        self.consumer = consumer
        self.channels: frozenset[str] = frozenset()
        self._named: list[str] = []  # sources of kind stream
        self._patterns: dict[str, _Pattern] = {}
        self._opened: set[str] = set()  # streams that have our group
        self._said: Mapping[str, str] = {}

    def forget(self) -> None:
        """Looks at every stream anew: Redis was away, or somebody deleted one."""
        self._opened.clear()

    def refresh(self) -> list[str]:
        """The streams to read from now on. Raises redis.RedisError if Redis is away."""
        self._load()
        report = Report(at=clock.now(), sources={name: Source() for name in self._named})
        steps = max(1, SCAN_STEPS // max(1, len(self._patterns)))
        wanted = dict.fromkeys(settings.LOG_STREAMS, True)
        for name, source in report.sources.items():
            source.streams, source.problem = self._look(name, steps)
            wanted.update(dict.fromkeys([each for each in source.streams if each not in wanted], False))
        chosen = list(wanted)[:STREAMS_MAX]
        report.left_out = len(wanted) - len(chosen)
        problems = {name: problem for name in chosen if (problem := self._problem(name, make=wanted[name]))}
        self._opened = set(chosen) - problems.keys()
        report.streams = [name for name in chosen if name in self._opened]
        for source in report.sources.values():
            source.problem = source.problem or next(filter(None, map(problems.get, source.streams)), "")
            source.streams = [name for name in source.streams if name in self._opened]
        self._say(report, problems)
        self._leave(report)
        return report.streams

    def _load(self) -> None:
        rows = LogSource.objects.filter(enabled=True).order_by("pk").values_list("kind", "name")
        try:
            known = list(rows[:SOURCES_MAX])
        except (DatabaseError, InterfaceError) as error:
            log.debug("The sources can't be read: %s", error)
            close_old_connections()
            return
        want_listener(any(kind in LogSource.LISTENED for kind, _ in known))
        self.channels = frozenset(name for kind, name in known if kind == LogSource.Kind.CHANNEL)
        self._named = [name for kind, name in known if kind == LogSource.Kind.STREAM]
        patterns = [name for name in self._named if is_pattern(name)]
        self._patterns = {name: self._patterns.get(name) or _Pattern(name) for name in patterns}

    def _look(self, name: str, steps: int) -> tuple[list[str], str]:
        """The streams of a source, and why there can't be any."""
        pattern = self._patterns.get(name)
        if pattern is None:
            return [name], ""
        try:
            pattern.walk(self.client, steps)
        except redis.exceptions.NoPermissionError:
            return [], "this Redis user may not SCAN for patterns: use exact names, or allow +scan"
        except redis.ResponseError as error:
            return [], str(error)
        # Of too many those that are read already stay.
        return sorted(pattern.names, key=lambda each: (each not in self._opened, each)), ""

    def _problem(self, name: str, *, make: bool) -> str:
        """Why a stream can't be read; "" if it can. Its group begins with what is in the stream already."""
        if name in self._opened:
            return ""
        try:
            self.client.xgroup_create(name, stream.GROUP, id="0", mkstream=make)
        except redis.exceptions.NoPermissionError:
            pass  # somebody else may have made the group
        except redis.ResponseError as error:
            if "requires the key to exist" in str(error):
                return MISSING
            if "BUSYGROUP" not in str(error):
                return _sentence(name, error)
        try:
            # One that can't be read would hold up all that are read together with it.
            self.client.xreadgroup(stream.GROUP, self.consumer, {name: "0"}, count=1)
        except redis.ResponseError as error:
            return _sentence(name, error)
        return ""

    def _say(self, report: Report, problems: Mapping[str, str]) -> None:
        """Each problem once, until it is over."""
        found = {name: problem for name, problem in problems.items() if problem != MISSING}
        found |= {name: source.problem for name, source in report.sources.items() if name in self._patterns}
        if report.left_out:
            found[""] = f"more than {STREAMS_MAX} streams match: {report.left_out:,} are left out"
        for name, problem in found.items():
            if problem and problem != MISSING and name not in self._said:
                log.warning("%s", f"{name}: {problem}" if name else problem)
        self._said = {name: problem for name, problem in found.items() if problem}

    def _leave(self, report: Report) -> None:
        try:
            self.client.set(REPORT, msgspec.json.encode(report), ex=REPORT_FOR)
        except redis.ResponseError as error:  # a restricted user, or Redis is full
            log.debug("What is read can't be said: %s", error)


class _Pattern:
    """A walk through all keys that finds the streams of one pattern, some steps at a time and again and again."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._whole: set[str] = set()  # what the last whole walk found
        self._under_way: set[str] = set()
        self._cursor = 0

    @property
    def names(self) -> set[str]:
        return self._whole | self._under_way

    def walk(self, client: redis.Redis, steps: int) -> None:
        for _ in range(steps):
            answer: Any = client.scan(self._cursor, match=self.pattern, count=SCAN_COUNT, _type="stream")
            self._cursor, keys = answer
            room = MATCHES_MAX - len(self._under_way)
            self._under_way.update([name for key in keys if (name := _readable(key))][:room])
            if not self._cursor:
                self._whole, self._under_way = self._under_way, set()
                return


def _readable(key: bytes) -> str:
    """A stream's name if the database can keep it, else ""."""
    try:
        name = key.decode()
    except UnicodeDecodeError:
        return ""
    return name if len(name) <= SOURCE_NAME_MAX and "\0" not in name else ""


def _sentence(name: str, error: redis.ResponseError) -> str:
    if isinstance(error, redis.exceptions.NoPermissionError):
        return "this Redis user may not read it as a group: allow ~key and +xreadgroup in its ACL"
    if "NOGROUP" in str(error):
        return f"this Redis user may not make the group: XGROUP CREATE {name} {stream.GROUP} 0 MKSTREAM"
    return "the key is no stream" if "WRONGTYPE" in str(error) else str(error)
