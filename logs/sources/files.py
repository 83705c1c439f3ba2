"""The way in for files: follows what a pattern matches, over rotation by renaming and by copying, and over our own end.

A file is known by its device and inode. Its position in Redis says how far it was read, and has a hash of its first
bytes, by which a file that was cut or replaced is told from the one that was read. The position is written together
with the lines (`logs.sources.outlet`), so each line is taken once, even after kill -9.
"""

from __future__ import annotations

import asyncio
import glob
import heapq
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from core import clock
from logs.models import LogSource
from logs.records import LINE_MAX, LogRecord
from logs.sources.files_lines import Assembler
from logs.sources.outlet import Outlet

FILES_MAX: Final = 1_000  # of one row: those that were written to last
PATHS_MAX: Final = 20_000  # that are looked at to find them
POLL_EVERY: Final = 0.2  # seconds
LOOK_EVERY: Final = 0.5
NOTE_EVERY: Final = 5.0  # seconds: when we looked last is kept, too
LOOK_SHARE: Final = 20  # looking for files may take one part in so many of the time
GROUP_WAIT: Final = 0.25  # seconds that a line waits for others that belong to it
READ: Final = 64 << 10
HEAD: Final = 1 << 10  # bytes by which a file is known
BEGIN_MAX: Final = 10 << 20  # bytes of a file that was there before its row was
LET_GO: Final = 30.0  # seconds: a file that was moved away is written to until its program notices
PACKED: Final = (".gz", ".xz", ".bz2", ".zst", ".zip", ".lz4")


async def run(source: LogSource, outlet: Outlet, report: Callable[[str], None]) -> None:
    """Follows until cancelled."""
    follower = _Follower(source, outlet)
    try:
        await follower.run(report)
    finally:
        follower.close()


# --- On the disk ---------------------------------------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True):
    """A file as a look at the disk finds it."""

    path: str
    key: str
    size: int
    changed: float


class Position(msgspec.Struct, frozen=True):
    """How far a file was read, and a hash of its first `head` bytes."""

    offset: int = 0
    head: int = 0
    digest: str = "-"

    def __str__(self) -> str:
        return f"{self.offset} {self.head} {self.digest}"

    @classmethod
    def read(cls, text: str) -> Position:
        offset, head, digest = text.split(" ")
        return cls(int(offset), int(head), digest)

    def at(self, offset: int) -> Position:
        return Position(offset, self.head, self.digest)


def _matches(pattern: str) -> tuple[list[Seen], int]:
    """The files that a pattern matches, and how many are left out. An original comes before its copies."""
    found = {seen.key: seen for seen in _seen(_paths(pattern))}
    chosen = heapq.nlargest(FILES_MAX, found.values(), key=lambda each: each.changed)
    return sorted(chosen, key=lambda each: (len(each.path), each.path)), len(found) - len(chosen)


def _siblings(pattern: str) -> list[Seen]:
    """All files in the directories in which the pattern's are."""
    directories = {path.parent for path in _paths(pattern)} | set(_paths(str(Path(pattern).parent)))
    paths = (path for directory in sorted(directories) for path in directory.glob("*"))
    return heapq.nlargest(FILES_MAX, _seen(islice(paths, PATHS_MAX)), key=lambda each: each.changed)


def _paths(pattern: str) -> Iterator[Path]:
    return map(Path, islice(glob.iglob(pattern, recursive=True), PATHS_MAX))  # noqa: PTH207 - Path's wants a root


def _seen(paths: Iterable[Path]) -> Iterator[Seen]:
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode) and path.suffix not in PACKED:
                yield Seen(str(path), _key(status), status.st_size, status.st_mtime)


def _key(status: os.stat_result) -> str:
    return f"file:{status.st_dev}:{status.st_ino}"


def _digest(handle: int, head: int) -> str:
    return blake2b(os.pread(handle, head, 0), digest_size=8).hexdigest() if head else "-"


@contextmanager
def _opened(path: str) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield handle
    finally:
        os.close(handle)


def _are_related(path: str, original: str) -> bool:
    """Whether a rotation may have made the one of the other, by their names: app.log.1, app-20261121.log of app.log."""
    one, other = Path(path), Path(original)
    return one.parent == other.parent and one.name != other.name and one.name.startswith(other.name.split(".")[0])


def _is_rotated(path: str, pattern: str) -> bool:
    """Whether its name is that of a file of the pattern with a number or a date behind it."""
    original = re.sub(r"[-_.]\d[\d_.T:-]*$", "", Path(path).name)
    return original != Path(path).name and fnmatchcase(original, Path(pattern).name)


def _has_begun_as(path: str, original: int) -> bool:
    """Whether the file at `path` is the beginning of the open one: its copy, whole or under way."""
    with suppress(OSError), _opened(path) as copy:
        size = os.fstat(copy).st_size
        places = (0, max(0, size - HEAD))
        parts = [os.pread(copy, min(HEAD, size), place) for place in places]
        return size > 0 and parts == [
            os.pread(original, len(part), place) for part, place in zip(parts, places, strict=True)
        ]
    return False


def _copy_of(path: str, position: Position, ours: Iterable[str]) -> Seen | None:
    """The copy that was made of a file before it was cut, if it reaches as far as the file was read."""
    candidates = _seen(islice(Path(path).parent.glob("*"), PATHS_MAX))
    for seen in sorted(candidates, key=lambda each: -each.changed):
        if position.head and seen.size >= position.offset and seen.key not in ours and _are_related(seen.path, path):
            with suppress(OSError), _opened(seen.path) as copy:
                if _digest(copy, position.head) == position.digest:
                    return seen
    return None


def _near_end(handle: int, size: int) -> int:
    """The offset of the first line among the last BEGIN_MAX bytes."""
    begin = size - BEGIN_MAX
    return begin + os.pread(handle, READ, begin).find(b"\n") + 1


class _File:
    """One open file. Raises OSError."""

    def __init__(self, seen: Seen, service: str) -> None:
        self.path, self.key = seen.path, seen.key
        self.handle = os.open(seen.path, os.O_RDONLY | os.O_NONBLOCK)
        self.lines = Assembler(seen.path, service)
        self.begin(Position())
        self.grouping = False  # lines may wait in `lines`
        self.quiet_since = time.monotonic()

    def begin(self, position: Position) -> None:
        self.position = position  # its offset: of the next byte to read
        self.rest = b""  # what was read of the line before it
        self._changed = -1

    @property
    def line_begin(self) -> int:
        return self.position.offset - len(self.rest)

    def status(self) -> os.stat_result:
        return os.fstat(self.handle)

    def has_changed(self) -> bool:
        status = self.status()
        if status.st_mtime_ns == self._changed and status.st_size == self.position.offset:
            return False
        self._changed = status.st_mtime_ns
        return True

    def is_cut(self) -> bool:
        """Whether it is not any more what was read: shorter, or with another beginning."""
        position = self.position
        return self.status().st_size < position.offset or _digest(self.handle, position.head) != position.digest

    def next_lines(self) -> list[tuple[bytes, int]]:
        """The whole lines of the next bytes, with the offsets at which they end."""
        data = os.pread(self.handle, READ, self.position.offset)
        end = self.line_begin
        offset = self.position.offset + len(data)
        if self.position.head < HEAD:
            head = min(HEAD, offset)
            self.position = Position(offset, head, _digest(self.handle, head))
        else:
            self.position = self.position.at(offset)
        *whole, self.rest = (self.rest + data).split(b"\n")
        lines = []
        for line in whole:
            end += len(line) + 1
            lines.append((line, end))
        if len(self.rest) >= LINE_MAX:
            lines.append(self.last_line())
        return lines

    def last_line(self) -> tuple[bytes, int]:
        """What has no end, and won't get one."""
        line, self.rest = self.rest, b""
        return line, self.position.offset

    def close(self) -> None:
        os.close(self.handle)


# --- Following -----------------------------------------------------------------------------------------------------


class _Follower:
    """The files of one row. The disk is looked at in threads, one at a time."""

    def __init__(self, source: LogSource, outlet: Outlet) -> None:
        self.pattern, self.service = source.name, source.service
        self.outlet = outlet
        self._last_look = f"files:{source.pk}:{source.name}"
        self._files: dict[str, _File] = {}  # by key
        self._matched: set[str] = set()  # keys that the last look found
        self._copies: dict[str, tuple[str, Seen]] = {}  # copies of files that are followed, with the keys of these
        self._problem = ""
        self._left_out = 0
        self._lines = 0
        self._since = clock.now()

    async def run(self, report: Callable[[str], None]) -> None:
        last_look = await self.outlet.position(self._last_look)
        await self._look(is_first=last_look is None)
        await self._find_moved(int(last_look or clock.now()))
        next_look = time.monotonic() + LOOK_EVERY
        next_note = 0.0
        while True:
            busy = False
            for file in await asyncio.to_thread(self._changed):
                busy |= await self._follow(file)
            for file in list(self._files.values()):
                await self._rest(file)
            report(self._state())
            if time.monotonic() >= next_note:
                next_note = time.monotonic() + NOTE_EVERY
                await self.outlet.move(self._last_look, str(clock.now()))
            if not busy:
                await asyncio.sleep(POLL_EVERY)
            if (began := time.monotonic()) >= next_look:
                await self._look()
                next_look = time.monotonic() + max(LOOK_EVERY, (time.monotonic() - began) * LOOK_SHARE)

    def close(self) -> None:
        for file in list(self._files.values()):
            self._drop(file)

    def _drop(self, file: _File) -> None:
        file.close()
        del self._files[file.key]
        self.outlet.claims.discard(file.key)

    def _changed(self) -> list[_File]:
        return [file for file in self._files.values() if file.has_changed()]

    def _state(self) -> str:
        count = len(self._matched & self._files.keys())
        since = f"{clock.moment(self._since):%Y-%m-%d %H:%M} UTC"
        parts = [f"{count:,} file{'s' * (count != 1)} followed, {self._lines:,} lines taken since {since}"]
        if not self._matched:
            parts = ["no file matches yet"]
        if self._left_out:
            parts.append(f"{self._left_out:,} files are left out, {FILES_MAX:,} is the most")
        return "; ".join([*parts, *filter(None, [self._problem])])

    # --- Which files -----------------------------------------------------------------------------------------------

    async def _look(self, *, is_first: bool = False) -> None:
        """Begins with files that are new. If the row is, too, with the end of long ones."""
        seen, self._left_out = await asyncio.to_thread(_matches, self.pattern)
        self._matched = {each.key for each in seen}
        self._problem = ""
        for each in seen:
            # Nothing can be said about an empty file yet: it may become a copy.
            if each.size and each.key not in self.outlet.claims and not await self._is_copy(each):
                file = await self._open(each)
                if file:
                    await self._begin(file, is_first=is_first)

    async def _is_copy(self, seen: Seen) -> bool:
        """Whether it is a copy of a file that is followed and will be cut: its lines come from there."""
        originals = [file for file in self._files.values() if _are_related(seen.path, file.path)]
        for original in originals:
            if await asyncio.to_thread(_has_begun_as, seen.path, original.handle):
                self._copies[seen.key] = original.key, seen
                return True
        for original in originals:
            # Cut a moment ago: what is left of it is taken first, and then the copy's position is known.
            if await asyncio.to_thread(original.is_cut):
                await self._begin_anew(original)
        self._copies.pop(seen.key, None)
        return False

    async def _open(self, seen: Seen) -> _File | None:
        """None if it can't be read, is gone, or is followed by another row by now."""
        try:
            file = await asyncio.to_thread(_File, seen, self.service)
        except OSError as error:
            self._problem = f"{seen.path} can't be read: {error.strerror}"
            return None
        if _key(file.status()) != file.key or file.key in self.outlet.claims:
            file.close()
            return None
        self.outlet.claims.add(file.key)
        self._files[file.key] = file
        return file

    async def _begin(self, file: _File, *, is_first: bool) -> None:
        known = await self.outlet.position(file.key)
        if known is not None:
            file.begin(Position.read(known))
            if await asyncio.to_thread(file.is_cut):
                await self._begin_anew(file)
        elif is_first and (size := file.status().st_size) > BEGIN_MAX:
            file.begin(Position(await asyncio.to_thread(_near_end, file.handle, size)))

    async def _find_moved(self, last_look: int) -> None:
        """Files that were moved out of the pattern while nobody listened, before all of them was read."""
        for seen in await asyncio.to_thread(_siblings, self.pattern):
            if seen.key in self._matched or seen.key in self.outlet.claims:
                continue
            known = await self.outlet.position(seen.key)
            if known is None:
                is_unread = seen.changed * clock.SECOND > last_look and _is_rotated(seen.path, self.pattern)
                if is_unread and not await self._is_copy(seen):
                    await self._open(seen)
            elif seen.size > Position.read(known).offset and (file := await self._open(seen)):
                file.begin(Position.read(known))
                if await asyncio.to_thread(file.is_cut):
                    self._drop(file)

    # --- One file --------------------------------------------------------------------------------------------------

    async def _follow(self, file: _File) -> bool:
        """Takes some of what is new in it. False: that was all."""
        try:
            if await asyncio.to_thread(file.is_cut):
                await self._begin_anew(file)
            before = file.position.offset
            lines = await asyncio.to_thread(file.next_lines)
        except OSError as error:
            self._problem = f"{file.path} can't be read: {error.strerror}"
            return False
        if file.position.offset == before:
            return False
        file.quiet_since = time.monotonic()
        await self._take(file, lines)
        return True

    async def _take(self, file: _File, lines: Sequence[tuple[bytes, int]]) -> None:
        received = clock.now()
        file.grouping = True
        for line, end in lines:
            await self._put(file, file.lines.feed(line, end, received))

    async def _flush(self, file: _File) -> None:
        await self._put(file, file.lines.flush())
        file.grouping = False

    async def _put(self, file: _File, records: Iterable[tuple[LogRecord, int]]) -> None:
        for record, end in records:
            await self.outlet.put(record, (file.key, str(file.position.at(end))))
            self._lines += 1

    async def _rest(self, file: _File) -> None:
        """What there is to do for a file in which nothing happens."""
        quiet = time.monotonic() - file.quiet_since
        if file.grouping and quiet >= GROUP_WAIT:
            await self._flush(file)
        if file.key not in self._matched and quiet >= LET_GO:
            await self._let_go(file)

    async def _let_go(self, file: _File) -> None:
        """It was moved away or deleted, and nobody writes to it any more."""
        if file.rest:
            await self._take(file, [file.last_line()])
        await self._flush(file)
        if not file.status().st_nlink:
            await self.outlet.forget(file.key)
        for key, (original, seen) in list(self._copies.items()):
            if original == file.key:
                del self._copies[key]
                await self.outlet.move(key, str(file.position.at(seen.size)))
        self._drop(file)

    async def _begin_anew(self, file: _File) -> None:
        """It was cut. What was not read before that may be in a copy, at the same offsets (copytruncate)."""
        read = file.position.at(file.line_begin)
        copy = await asyncio.to_thread(_copy_of, file.path, read, self._files.keys())
        if copy:
            await self._take_from(copy, file, read)
        elif file.rest:
            await self._take(file, [file.last_line()])
        await self._flush(file)
        self._copies = {key: found for key, found in self._copies.items() if found[0] != file.key}
        file.begin(Position())
        await self.outlet.move(file.key, str(Position()))

    async def _take_from(self, copy: Seen, file: _File, read: Position) -> None:
        """Lines of a copy, as if they were read from the file itself."""
        try:
            opened = await asyncio.to_thread(_File, copy, self.service)
        except OSError:
            return
        try:
            opened.begin(read)
            file.position = read
            while True:
                before = opened.position.offset
                await self._take(file, await asyncio.to_thread(opened.next_lines))
                if opened.position.offset == before:
                    break
            if opened.rest:
                await self._take(file, [opened.last_line()])
            await self._flush(file)
            await self.outlet.move(copy.key, str(opened.position))
        finally:
            opened.close()
