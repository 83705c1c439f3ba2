"""The lines of a file as records: as a program wrote them, or wrapped by what runs containers (CRI, Docker). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import NamedTuple

import msgspec

from logs import plain
from logs.multiline import Group, Grouper
from logs.records import LINE_MAX, LogRecord, RecordError, parse_timestamp

# /var/log/pods/<namespace>_<pod>_<uid>/<container>/0.log, and the links in /var/log/containers to them.
_POD = re.compile(r"/pods/(?P<namespace>[^/_]+)_(?P<pod>[^/_]+)_[^/]+/(?P<container>[^/]+)/[^/]+$")
_LINK = re.compile(r"/containers/(?P<pod>[^/_]+)_(?P<namespace>[^/_]+)_(?P<container>[^/]+)-[0-9a-f]{64}\.log$")
_DOCKER = re.compile(r"/containers/(?P<container_id>[0-9a-f]{64})/[0-9a-f]{64}-json\.log[^/]*$")
_DATED = re.compile(r"[-_.]?\d{4}-?\d\d-?\d\d.*$")


def labels_of(path: str) -> dict[str, str]:
    """What a path says of its lines."""
    found = next(filter(None, (pattern.search(path) for pattern in (_POD, _LINK, _DOCKER))), None)
    return {"file": path, **(found.groupdict() if found else {})}


def service_of(path: str) -> str:
    """The container's name, else the file's without its ending, its number and its date; "" if nothing is left."""
    labels = labels_of(path)
    if "container_id" in labels:
        return labels["container_id"][:12]
    return labels.get("container") or _DATED.sub("", PurePath(path).name.split(".")[0])


# --- One line ------------------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """What a line of a file holds of a line of a program. `at` (µs) is None if only the program could know."""

    text: str
    at: int | None = None
    stream: str = ""  # stdout, stderr
    partial: bool = False  # the rest is in the next piece of this stream


class _DockerLine(msgspec.Struct):
    log: str
    stream: str
    time: str


_CRI = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (stdout|stderr) ([FP])(?::\S*)?(?: (.*))?", re.DOTALL)
_docker_line = msgspec.json.Decoder(_DockerLine).decode


def unwrapped(line: str) -> Piece:
    if line.startswith('{"log":'):
        try:
            found = _docker_line(line)
            text = found.log.removesuffix("\n")
            return Piece(text, parse_timestamp(found.time), found.stream, partial=text is found.log)
        except (msgspec.DecodeError, RecordError, UnicodeEncodeError):
            return Piece(line)
    if cri := _CRI.fullmatch(line):
        try:
            return Piece(cri[4] or "", parse_timestamp(cri[1]), cri[2], partial=cri[3] == "P")
        except RecordError:
            pass
    return Piece(line)


# --- The lines of one file -----------------------------------------------------------------------------------------


class Assembler:
    """Joins partial lines and groups those that belong together, strictly in the order of the file.

    Everything comes with the offset at which its last line ends: what was written before that has come out, too. So
    a group ends where another stream of the program has its say.
    """

    def __init__(self, path: str, service: str = "") -> None:
        self._labels = labels_of(path)
        self._service = service or service_of(path)
        self._kind: tuple[bool, str] = (False, "")  # wrapped?, stream
        self._grouper: Grouper[int] = Grouper()
        self._parts: list[str] = []
        self._size = 0
        self._at = self._end = 0  # of the parts

    def feed(self, line: bytes, end: int, received: int) -> Iterator[tuple[LogRecord, int]]:
        """Takes the line that ends at the offset `end`."""
        piece = unwrapped(line.decode("utf-8", "replace").lstrip("\0").removesuffix("\r"))
        kind = (piece.at is not None, piece.stream)
        if kind != self._kind:
            yield from self.flush()
            self._kind = kind
        if not self._parts:
            self._at = received if piece.at is None else piece.at
        self._parts.append(piece.text)
        self._size += len(piece.text)
        self._end = end
        if not piece.partial or self._size >= LINE_MAX:
            yield from self._whole()

    def flush(self) -> Iterator[tuple[LogRecord, int]]:
        """What waits for more."""
        if self._parts:
            yield from self._whole()
        yield from map(self._record, self._grouper.flush())

    def _whole(self) -> Iterator[tuple[LogRecord, int]]:
        text = "".join(self._parts)
        self._parts, self._size = [], 0
        yield from map(self._record, self._grouper.feed(text, self._at, self._end))

    def _record(self, group: Group[int]) -> tuple[LogRecord, int]:
        is_wrapped, stream = self._kind
        record = plain.read(
            group.text,
            group.at,
            timestamp=group.at if is_wrapped else None,
            service=self._service,
            labels=self._labels | ({"stream": stream} if stream else {}),
        )
        return record, group.mark
