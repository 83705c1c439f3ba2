"""Docker: what the containers of an engine write, each line once.

The log of each container is followed over a connection of its own. Where it was left stands in Redis, written together
with the lines. While Redis takes no lines nothing is read, and the engine keeps the logs.

A container that Pharos has not seen before is read from its beginning if it was made after the engine was watched for
the first time; of older ones the newest HISTORY lines and all that comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import msgspec
from asgiref.sync import sync_to_async

from core import clock
from logs import plain
from logs.models import LogSource
from logs.multiline import Group, Grouper
from logs.records import NAME_MAX
from logs.sources import docker_tls
from logs.sources.docker_engine import (
    BrokenOffError,
    Chunks,
    Container,
    Engine,
    EngineError,
    Events,
    NotFoundError,
    Summary,
    UnreachableError,
)
from logs.sources.docker_lines import STREAMS, Line, LogError, Multiplexed, Place, Position, Reader, Terminal, Track
from logs.sources.outlet import Outlet

log = logging.getLogger(__name__)

CONTAINERS_MAX: Final = 500  # of one engine, at once
HISTORY: Final = 1_000  # lines of a container that was there before us
LOOK_EVERY: Final = 30.0  # seconds; a start is heard at once
OPENED_AT_ONCE: Final = 8  # so that hundreds of containers don't ask the engine all together
GROUP_WAIT: Final = 0.5  # seconds that a line waits for the rest of its stack trace
EVENTS_MIN: Final = 5.0  # seconds; events that end sooner are a fault
PAUSE, PAUSE_MAX = 0.2, 5.0  # seconds before a log that ended is opened again
LABEL_MAX: Final = 200  # characters

OFF: Final = frozenset({"false", "0", "no", "off"})
SERVICE_LABELS: Final = (
    "com.docker.compose.service",
    "com.docker.swarm.service.name",
    "io.kubernetes.container.name",
)
# Key of the metadata → label of the container.
LABELS: Final = {
    "compose_project": "com.docker.compose.project",
    "swarm_stack": "com.docker.stack.namespace",
    "pod": "io.kubernetes.pod.name",
    "namespace": "io.kubernetes.pod.namespace",
}


async def run(source: LogSource, outlet: Outlet, report: Callable[[str], None]) -> None:
    """Until it is cancelled. Raises EngineError when the engine is away."""
    certificates = await sync_to_async(docker_tls.of_address)(source.name)
    async with Engine(source.name, certificates) as engine:
        host = await engine.name() or urlsplit(source.name).hostname or source.name
        await Host(engine, host, source.service, outlet, report).follow()


def wanted(labels: Mapping[str, str]) -> bool:
    return labels.get("pharos.logs", "").strip().lower() not in OFF


def service_of(container: Container, default: str = "") -> str:
    """`default` is the source's, for containers that don't say themselves."""
    labels = container.labels
    named = [labels.get("pharos.service", ""), default, *(labels.get(label, "") for label in SERVICE_LABELS)]
    return next((name for text in named if (name := _clipped(text, NAME_MAX))), "") or _name(container)


def metadata_of(container: Container, host: str) -> dict[str, str]:
    """What is known of a container, for each of its lines. Whoever makes a container chooses most of it."""
    known = {
        "container": _name(container),
        "container_id": container.id[:12],
        "image": container.config.image,
        "host": host,
        **{key: container.labels.get(label, "") for key, label in LABELS.items()},
    }
    return {key: text for key, value in known.items() if (text := _clipped(value))}


def _name(container: Container) -> str:
    return _clipped(container.name.removeprefix("/"), NAME_MAX) or container.id[:12]


def _clipped(text: str, length: int = LABEL_MAX) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text.strip()[:length])


def _key(container: str) -> str:
    """Of its position. Without the engine's name: a machine can get another one, ids are like no other."""
    return f"docker:{container}"


class Host:
    """The containers of one engine."""

    def __init__(self, engine: Engine, name: str, service: str, outlet: Outlet, report: Callable[[str], None]) -> None:
        self.engine, self.name, self.service, self.outlet = engine, name, service, outlet
        self.watched = 0  # ns by the engine's clock: since then nothing shall be missed
        self.opening = asyncio.Semaphore(OPENED_AT_ONCE)
        self._report = report
        self._followers: dict[str, tuple[Follower, asyncio.Task[None]]] = {}
        self._read: set[str] = set()  # containers that have ended, and whose log was read to its end
        self._opted_out = self._left_out = 0
        self._problems: dict[str, str] = {}  # by container, each said once

    async def follow(self) -> None:
        """Until it is cancelled. Raises EngineError."""
        try:
            while True:
                began = time.monotonic()
                try:
                    # First the events, then the list: nothing can start unseen in between.
                    async with self.engine.events() as events:
                        self._read.clear()
                        await self._watch(events)
                except BrokenOffError:  # a proxy ends what is silent for long
                    if time.monotonic() - began < EVENTS_MIN:
                        raise
                await asyncio.sleep(PAUSE)
        finally:
            tasks = [task for _, task in self._followers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, events: Events) -> None:
        """Until the events end."""
        next_look = 0.0
        while True:
            if time.monotonic() >= next_look:
                await self._look()
                next_look = time.monotonic() + LOOK_EVERY
            with suppress(TimeoutError):
                async with asyncio.timeout(next_look - time.monotonic()):
                    event = await events.next()
                if event is None:
                    return
                await self._heed(event.action, event.actor.id)

    async def _look(self) -> None:
        """Follows what runs and isn't followed, and reads what has ended since."""
        containers, now = await self.engine.containers()
        first = await self._is_first(now)
        followed = [each for each in containers if wanted(each.labels or {})]
        self._opted_out = len(containers) - len(followed)
        self._left_out = 0
        there = {each.id for each in containers}
        self._read &= there
        for container in self._problems.keys() - (there - self._followers.keys()):
            del self._problems[container]  # it is gone, or is followed since the last look
        for each in sorted(followed, key=lambda each: not each.runs):
            if each.runs or each.id not in self._read:
                self._begin(each, history=HISTORY if first and each.runs else 0)
        self._say()

    async def _is_first(self, now: int) -> bool:
        """Whether this engine was never looked at before."""
        if self.watched:
            return False
        key = f"docker:{self.engine.address}"
        known = await self.outlet.position(key)
        self.watched = int(known) if known else now
        if not known:
            await self.outlet.move(key, str(now))
        return not known

    async def _heed(self, action: str, container: str) -> None:
        if action == "destroy":
            self._read.discard(container)
            if container in self._followers:
                self._followers[container][0].removed = True
            else:
                await self.outlet.forget(_key(container))
        elif action == "start":
            self._read.discard(container)
            if container in self._followers:
                self._followers[container][0].started.set()
            else:
                self._begin(Summary(container, "running"), history=0)
                self._say()

    def _begin(self, container: Summary, *, history: int) -> None:
        if container.id in self._followers:
            return
        if len(self._followers) >= CONTAINERS_MAX:
            self._left_out += container.runs
            return
        follower = Follower(self, container.id, history)
        task = asyncio.create_task(self._keep(follower))
        self._followers[container.id] = follower, task

    async def _keep(self, follower: Follower) -> None:
        """Follows one container to its end; what fails is tried again with the next look."""
        try:
            try:
                await follower.run()
            except UnreachableError:
                pass  # whoever follows the engine says it, once for all containers
            except (EngineError, LogError) as error:
                if self._problems.get(follower.id) != str(error):
                    log.warning("The log of the container %s can't be read: %s", follower.id[:12], error)
                self._problems[follower.id] = str(error)
            except Exception as error:
                log.exception("The log of the container %s can't be read", follower.id[:12])
                self._problems[follower.id] = f"{type(error).__name__}: {error}"
            else:
                self._read.add(follower.id)
            if follower.removed:
                await self.outlet.forget(_key(follower.id))
        finally:
            del self._followers[follower.id]
        self._say()

    def _say(self) -> None:
        parts = [f"{len(self._followers):,} containers of {self.name} followed"]
        if self._opted_out:
            parts.append(f"{self._opted_out:,} don't want to be (pharos.logs=false)")
        if self._left_out:
            parts.append(f"{self._left_out:,} are left out: {CONTAINERS_MAX:,} is the most")
        if self._problems:
            container, problem = next(iter(self._problems.items()))
            parts.append(f"the logs of {len(self._problems):,} can't be read, {container[:12]}: {problem}")
        self._report("; ".join(parts))


class Follower:
    """The log of one container."""

    def __init__(self, host: Host, container: str, history: int) -> None:
        self.host, self.id, self.history = host, container, history
        self.started = asyncio.Event()  # it runs again
        self.removed = False
        self._position: Position | None = None

    async def run(self) -> None:
        """Until the container has ended and its log was read. Raises EngineError and LogError."""
        stored = await self.host.outlet.position(_key(self.id))
        if stored:
            self._position = msgspec.json.decode(stored, type=Position)
        pause = PAUSE
        with suppress(NotFoundError):
            while True:
                self.started.clear()
                container = await self._inspect()
                if not wanted(container.labels):
                    return
                reading = await self._read(container)
                # What was followed to its end is read once more: then the engine has written all of it.
                if reading.whole and not container.state.running and not self.started.is_set():
                    return
                pause = PAUSE if reading.got else min(pause * 2, PAUSE_MAX)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.started.wait(), pause)

    async def _inspect(self) -> Container:
        async with self.host.opening:
            return await self.host.engine.inspect(self.id)

    async def _read(self, container: Container) -> Reading:
        """Until the log ends or breaks off."""
        since, tail = self._beginning(container)
        reading = Reading(self.host, container, self._position or Position(since))
        with suppress(BrokenOffError):
            running = container.state.running
            async with self.host.engine.log(self.id, follow=running, since=since, tail=tail) as chunks:
                await reading.run(chunks)
        if await self._has_ended(container) and reading.whole:
            await reading.finish()
        # Else what was begun, a line or a stack trace, is forgotten here and read again.
        if reading.got:
            self._position = reading.position()
        return reading

    def _beginning(self, container: Container) -> tuple[int, int]:
        """Since when (ns) and from how many messages before the end the log is read; 0: from the beginning."""
        if self._position:
            return self._position.since, 0
        if self.history:
            return 0, self.history
        return (0 if container.created_ns >= self.host.watched else self.host.watched), 0

    async def _has_ended(self, container: Container) -> bool:
        """Whether the program that ran in it has; another may run by now."""
        try:
            state = (await self._inspect()).state
        except NotFoundError:
            return True
        return not state.running or state.started_at != container.state.started_at


class Reading:
    """One answer with a log, from a position to its end."""

    def __init__(self, host: Host, container: Container, begin: Position) -> None:
        self.got = False  # anything new
        self.whole = False  # it came to an end, and did not break off
        self._host, self._begin = host, begin
        self._key = _key(container.id)
        self._service = service_of(container, host.service)
        known = metadata_of(container, host.name)
        self._labels = {stream: {**known, "stream": stream} for stream in STREAMS}
        self._reader: Reader = Terminal() if container.config.tty else Multiplexed()
        self._tracks = {"stdout": Track(begin.stdout), "stderr": Track(begin.stderr)}
        self._groupers: dict[str, Grouper[Place]] = {stream: Grouper() for stream in STREAMS}
        self._fed = dict.fromkeys(STREAMS, 0.0)  # monotonic time
        self._at = 0  # ns, of the last new line

    async def run(self, chunks: Chunks) -> None:
        """Raises EngineError and LogError."""
        while True:
            waits = any(track.waiting for track in self._tracks.values())
            data: bytes | None = None
            with suppress(TimeoutError):
                async with asyncio.timeout(GROUP_WAIT if waits else None):
                    data = await chunks.next()
            if data == b"":
                self.whole = True
                return
            for line in self._reader.feed(data or b""):
                await self._take(line)
            await self._flush(time.monotonic() - GROUP_WAIT)

    async def finish(self) -> None:
        """The program has ended: nothing belongs to its last lines any more."""
        for line in self._reader.finish():
            await self._take(line)
        await self._flush(time.monotonic())

    def position(self) -> Position:
        """From where to go on when everything that was not sent is forgotten."""
        stdout, stderr = (self._tracks[stream] for stream in STREAMS)
        since = min(self._tracks[stream].since(self._reader.begun(stream), self._at) for stream in STREAMS)
        return Position(since if self.got else self._begin.since, stdout.sent, stderr.sent)

    async def _take(self, line: Line) -> None:
        place = self._tracks[line.stream].read(line.at)
        if place is None:
            return
        self.got = True
        self._at = line.at
        text = line.text.decode("utf-8", "replace")
        for group in self._groupers[line.stream].feed(text, line.at // 1_000, place):
            await self._send(line.stream, group)
        self._fed[line.stream] = time.monotonic()  # the wait for room is not the program's

    async def _flush(self, before: float) -> None:
        """Sends what got no line since."""
        for stream, track in self._tracks.items():
            if track.waiting and self._fed[stream] <= before:
                for group in self._groupers[stream].flush():
                    await self._send(stream, group)
                track.settle()

    async def _send(self, stream: str, group: Group[Place]) -> None:
        record = plain.read(
            group.text, clock.now(), timestamp=group.at, service=self._service, labels=self._labels[stream]
        )
        self._tracks[stream].send(group.mark)
        await self._host.outlet.put(record, (self._key, msgspec.json.encode(self.position()).decode()))
