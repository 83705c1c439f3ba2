"""The archive as it lies in a directory or in object storage: a folder for each day with objects of blocks.

    2026-11-20/000.pharos     MAGIC, then for each block its length and CRC-32 (4 bytes each, little-endian) and the
                              block as `logs.store.codec.dump` writes it
    2026-11-20/001.pharos     …
    2026-11-20/manifest.json  which objects belong to the day, with sizes and SHA-256; written last, in one step

A day without a manifest is not archived. What a manifest names is never written again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from core import clock
from logs.store import codec
from logs.store.codec import Block, Header

if TYPE_CHECKING:
    from obstore.store import ObjectStore

log = logging.getLogger("logs.archive")

MAGIC: Final = b"PHAROS1\n"
OBJECT_SIZE: Final = 16 << 20  # about: it is written in one request, and read as a whole
MANIFEST: Final = "manifest.json"
VERSION: Final = 1
SCHEMES: Final = ("file", "s3", "gs", "az")
# A call takes at most RETRY_FOR and one request more.
REQUEST_FOR: Final = timedelta(seconds=120)
CONNECT_FOR: Final = timedelta(seconds=5)
RETRY_FOR: Final = timedelta(seconds=120)
RETRIES: Final = 3
_FRAME: Final = Struct("<II")
_OBJECT: Final = re.compile(r"(\d+)\.pharos")


class StorageError(Exception):
    """The storage, or what lies in it, is not as it should be. The text is a sentence that names it."""


class DamagedObjectError(StorageError):
    """It is missing, or not what was written: asking again gives the same."""


class Piece(msgspec.Struct, frozen=True):
    """An object of a day."""

    name: str  # "000.pharos"
    size: int
    sha256: str
    lines: int
    blocks: int


class Manifest(msgspec.Struct, frozen=True):
    version: int
    day: date
    lines: int
    blocks: int
    bytes: int  # of the objects
    first: str  # time of the oldest line; "" if there is none
    last: str
    services: dict[str, int]  # name → lines
    objects: list[Piece]
    commit: int  # lines of commits up to this number are in it
    attempt: str  # tells who wrote it

    @property
    def next_number(self) -> int:
        return 1 + max((number_of(piece.name) for piece in self.objects), default=-1)


def manifest_of(
    day: date, parts: Iterable[tuple[Piece, Contents]], *, commit: int, attempt: str, before: Manifest | None = None
) -> Manifest:
    """The manifest of a day's objects: those of the manifest `before`, and new ones."""
    pieces = list(before.objects) if before else []
    services = Counter(before.services) if before else Counter[str]()
    firsts = [before.first] if before and before.first else []
    lasts = [before.last] if before and before.last else []
    for piece, contents in parts:
        pieces.append(piece)
        services.update(contents.services)
        firsts.append(clock.iso(contents.first))
        lasts.append(clock.iso(contents.last))
    return Manifest(
        version=VERSION,
        day=day,
        lines=sum(piece.lines for piece in pieces),
        blocks=sum(piece.blocks for piece in pieces),
        bytes=sum(piece.size for piece in pieces),
        first=min(firsts, default=""),
        last=max(lasts, default=""),
        services=dict(sorted(services.items())),
        objects=pieces,
        commit=commit,
        attempt=attempt,
    )


# --- Objects: pure -------------------------------------------------------------------------------------------------


class Contents:
    """What an object being made holds."""

    def __init__(self) -> None:
        self.lines = self.blocks = self.last = 0
        self.first = 1 << 62
        self.services: Counter[str] = Counter()

    def add(self, header: Header) -> None:
        self.lines += header.lines
        self.blocks += 1
        self.first, self.last = min(self.first, header.first), max(self.last, header.last)
        for _minute, pair, lines in header.by_minute:
            self.services[header.services[pair >> 3]] += lines


def pack(blocks: Iterable[Block], size: int = OBJECT_SIZE) -> Iterator[tuple[bytes, Contents]]:
    """Objects of about `size` bytes, one at a time in memory."""
    data, contents = bytearray(MAGIC), Contents()
    for block in blocks:
        dumped = codec.dump(block)
        data += _FRAME.pack(len(dumped), zlib.crc32(dumped)) + dumped
        contents.add(block.header)
        if len(data) >= size:
            yield bytes(data), contents
            data, contents = bytearray(MAGIC), Contents()
    if contents.blocks:
        yield bytes(data), contents


def unpack(data: bytes) -> Iterator[Block]:
    """The blocks of an object. Raises ValueError."""
    if not data.startswith(MAGIC):
        raise ValueError("it is no object of an archive")
    at = len(MAGIC)
    while at < len(data):
        if at + _FRAME.size > len(data):
            raise ValueError(f"it ends within a block, at byte {len(data):,}")
        length, checksum = _FRAME.unpack_from(data, at)
        dumped = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(dumped) < length or zlib.crc32(dumped) != checksum:
            raise ValueError(f"the block at byte {at:,} is not as it was written")
        yield codec.load(dumped)
        at += _FRAME.size + length


def number_of(name: str) -> int:
    """`"007.pharos"` → 7; -1 for a name that is none of ours."""
    found = _OBJECT.fullmatch(name)
    return int(found[1]) if found else -1


# --- The storage ---------------------------------------------------------------------------------------------------


def directory_of(url: str) -> Path | None:
    """The directory that a URL names; None if it is elsewhere. Raises ValueError, whose text ends "but …"."""
    if url.startswith("/"):
        return Path(url)
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or bool(parts.netloc) is (parts.scheme == "file") or not parts.netloc + parts.path:
        raise ValueError(f"must be the path of a directory, file:///, s3://, gs:// or az://, but it is {url!r}")
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


class Storage:
    """The objects below a URL. What goes wrong is a StorageError."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with self._plainly(""):
            self._store = _opened(self.url)

    def put(self, path: str, data: bytes) -> None:
        import obstore

        with self._plainly(path):
            obstore.put(self._store, path, data, use_multipart=False)

    def get(self, path: str) -> bytes:
        import obstore

        with self._plainly(path):
            return bytes(obstore.get(self._store, path).bytes())

    def delete(self, paths: list[str]) -> None:
        import obstore

        for path in paths:
            with self._plainly(path):
                obstore.delete(self._store, path)

    def sizes(self, day: date) -> dict[str, int]:
        """name → bytes of what lies in the folder of a day."""
        import obstore

        with self._plainly(f"{day}/"):
            found = [item for page in obstore.list(self._store, prefix=str(day)) for item in page]
        return {item["path"].rpartition("/")[2]: item["size"] for item in found}

    def days(self) -> list[date]:
        """The days that have a folder."""
        import obstore

        with self._plainly(""):
            folders = obstore.list_with_delimiter(self._store)["common_prefixes"]
        found = []
        for folder in folders:
            with suppress(ValueError):  # a folder of somebody else's
                found.append(date.fromisoformat(folder.strip("/").rpartition("/")[2]))
        return sorted(found)

    # --- What lies in it --------------------------------------------------------------------------------------------

    def put_piece(self, day: date, number: int, data: bytes, contents: Contents) -> Piece:
        name = f"{number:03}.pharos"
        self.put(f"{day}/{name}", data)
        return Piece(name, len(data), hashlib.sha256(data).hexdigest(), contents.lines, contents.blocks)

    def blocks(self, day: date, piece: Piece) -> list[Block]:
        """The blocks of an object that is to the byte what was written. Raises DamagedObjectError."""
        path = f"{day}/{piece.name}"
        data = self.get(path)
        if hashlib.sha256(data).hexdigest() != piece.sha256:
            raise DamagedObjectError(f"{self._named(path)} is damaged: its SHA-256 is not the one in the manifest")
        try:
            return list(unpack(data))
        except (ValueError, msgspec.MsgspecError) as error:
            raise DamagedObjectError(f"{self._named(path)} is damaged: {error}") from None

    def put_manifest(self, manifest: Manifest) -> None:
        """Makes the day archived, and clears away what attempts before left. Every object must be there."""
        there = self.sizes(manifest.day)
        for piece in manifest.objects:
            if there.get(piece.name) != piece.size:
                path = self._named(f"{manifest.day}/{piece.name}")
                raise StorageError(f"{path} must have {piece.size:,} bytes, but it has {there.get(piece.name, 0):,}")
        self.put(f"{manifest.day}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(manifest)))
        ours = {piece.name for piece in manifest.objects}
        try:
            self.delete([f"{manifest.day}/{name}" for name in there if number_of(name) >= 0 and name not in ours])
        except StorageError as error:
            log.warning("What an earlier attempt left in the archive could not be deleted: %s", error)

    def manifest(self, day: date) -> Manifest | None:
        """None: the day is not archived."""
        path = f"{day}/{MANIFEST}"
        try:
            data = self.get(path)
        except DamagedObjectError:
            return None
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except msgspec.MsgspecError as error:
            raise DamagedObjectError(f"{self._named(path)} is damaged: {error}") from None
        if manifest.version > VERSION:
            raise StorageError(f"{self._named(path)} was written by a newer Pharos: version {manifest.version}")
        return manifest

    def _named(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url

    @contextmanager
    def _plainly(self, path: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise DamagedObjectError(f"{self._named(path)} is not there") from None
        except (BaseError, OSError) as error:
            # The rest of its text is for those who write in Rust.
            raise StorageError(f"{self._named(path)}: {str(error).partition(chr(10))[0]}") from None


def _opened(url: str) -> ObjectStore:
    # Not at the top: it costs each process 9 MB, and most installations have no archive.
    from obstore.store import LocalStore, from_url

    if (directory := directory_of(url)) is not None:
        # It is not made: an empty place where a disk should be mounted would take the archive instead.
        return LocalStore(directory)
    options: Any = {
        # Plain HTTP is for who writes it into AWS_ENDPOINT_URL, as within one machine.
        "client_options": {"allow_http": True, "timeout": REQUEST_FOR, "connect_timeout": CONNECT_FOR},
        "retry_config": {"max_retries": RETRIES, "retry_timeout": RETRY_FOR},
    }
    return from_url(url, **options)
