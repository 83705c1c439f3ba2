"""The file of a backup: written member by member, checked by reading it once. Memory doesn't grow with it."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MANIFEST: Final = "manifest.json"
KEYS: Final = "keys.json"
SUFFIX: Final = ".tar.zst"
FORMAT: Final = 1
SMALL_MAX: Final = 16 << 20  # bytes of a member that is read as a whole
STEP: Final = 1 << 20  # bytes read at once
_LEVEL: Final = 3


class BackupError(Exception):
    """The text is a sentence for the operator."""


class Member(msgspec.Struct, frozen=True):
    size: int  # bytes
    sha256: str
    rows: dict[str, int] = {}  # by table


class Keys(msgspec.Struct, frozen=True):
    secret_key: str
    fallbacks: list[str] = []


class Manifest(msgspec.Struct, frozen=True):
    version: str  # of Pharos
    made_at: str  # ISO 8601, UTC
    vendor: str  # "sqlite" or "postgresql"
    server: int  # PostgreSQL's major version; 0 for SQLite
    has_logs: bool
    last_commit: int  # of the log store: numbers go on from here, with its lines or without
    migrations: dict[str, list[str]]  # applied ones by application
    members: dict[str, Member]
    redis: str  # a sentence: what waited there
    format: int = FORMAT

    @property
    def rows(self) -> int:
        return sum(sum(member.rows.values()) for member in self.members.values())


class _Hashed:
    """A file that is hashed and counted while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def member(self, rows: dict[str, int] | None = None) -> Member:
        return Member(self.size, self._hash.hexdigest(), rows or {})


class Writer:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: dict[str, Member] = {}

    def add_file(self, name: str, path: Path, rows: dict[str, int]) -> None:
        with path.open("rb") as file:
            self.members[name] = self._add(name, file, path.stat().st_size).member(rows)

    def add_json(self, name: str, value: msgspec.Struct) -> None:
        data = msgspec.json.format(msgspec.json.encode(value))
        self.members[name] = self._add(name, BytesIO(data), len(data)).member()

    def _add(self, name: str, file: IO[bytes], size: int) -> _Hashed:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        hashed = _Hashed(file)
        self._tar.addfile(info, hashed)
        return hashed


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """`path` is there when the block has ended well, and is not when it hasn't; nobody else may read it."""
    part = path.with_name(f"{path.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            with zstd.ZstdFile(file, "wb", level=_LEVEL) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check(path: Path) -> tuple[Manifest, Keys]:
    """Reads all of it. Raises BackupError if it isn't whole."""
    found: dict[str, Member] = {}
    small: dict[str, bytes] = {}
    try:
        for name, file in _members(path):
            hashed = _Hashed(file)
            if name in {MANIFEST, KEYS}:
                small[name] = hashed.read(SMALL_MAX)
            while hashed.read(STEP):
                pass
            found[name] = hashed.member()
    except OSError as error:
        raise BackupError(f"{path} can't be read: {error.strerror or error}.") from None
    except (tarfile.TarError, zstd.ZstdError, EOFError) as error:
        raise BackupError(f"{path} is damaged, or no backup of Pharos: {error}.") from None
    manifest = _manifest(path, small.get(MANIFEST))
    for name, expected in manifest.members.items():
        there = found.get(name)
        if there is None or (there.size, there.sha256) != (expected.size, expected.sha256):
            raise BackupError(f"{path} is damaged: {name} is {'not as it was written' if there else 'missing'}.")
    return manifest, msgspec.json.decode(small[KEYS], type=Keys)


def _manifest(path: Path, data: bytes | None) -> Manifest:
    if data is None:
        raise BackupError(f"{path} is damaged, or no backup of Pharos: it has no {MANIFEST}.")
    try:
        number = msgspec.json.decode(data, type=dict[str, Any]).get("format")
        if number != FORMAT:
            raise BackupError(
                f"{path} has the format {number} of a later Pharos, and this one knows {FORMAT}: install that one."
            )
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(f"{path} is damaged: its {MANIFEST} can't be read ({error}).") from None


@contextmanager
def reading(path: Path, wanted: str) -> Iterator[IO[bytes]]:
    """A member of a backup that was checked."""
    for name, file in _members(path):
        if name == wanted:
            yield file
            return
    raise BackupError(f"{path} has no {wanted}.")


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with (
        path.open("rb") as file,
        zstd.ZstdFile(file) as packed,
        tarfile.open(fileobj=packed, mode="r|") as tar,
    ):
        for info in tar:
            if content := tar.extractfile(info):
                yield info.name, content
