"""Compressed bytes that somebody else made: unpacked within bounds, or refused with a reason."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BEGINNINGS: Final = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}  # RFC 1952, RFC 8878


class PackedError(ValueError):
    """Bytes that are not what they should be."""


class TooLongError(PackedError):
    """They hold more than was allowed. No more than that was ever unpacked."""


def encoding_of(data: bytes) -> str:
    """By the first bytes, with which no text begins; "" if they are others."""
    return next((encoding for encoding, beginning in _BEGINNINGS.items() if data.startswith(beginning)), "")


def unpack(data: bytes, encoding: str, longest: int) -> bytes:
    """At most `longest` bytes. `encoding` is one of ENCODINGS. Raises PackedError, of which TooLongError is one."""
    try:
        unpacked = ENCODINGS[encoding](data, longest + 1)
    except (zlib.error, EOFError, OSError, zstd.ZstdError) as error:
        raise PackedError(str(error)) from None
    if len(unpacked) > longest:
        raise TooLongError(f"more than {longest:,} bytes")
    return unpacked


def _gunzip(data: bytes, longest: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(longest)


def _unzstd(data: bytes, longest: int) -> bytes:
    with zstd.ZstdFile(io.BytesIO(data)) as file:
        return file.read(longest)


def _inflate(data: bytes, longest: int) -> bytes:
    # "deflate" means zlib's format (RFC 9110), but some clients send the bare stream.
    inflater = zlib.decompressobj() if data[:1] and data[0] & 0x0F == 8 else zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = inflater.decompress(data, longest)
    if not inflater.eof and len(unpacked) < longest:
        raise EOFError("it ends early")
    return unpacked


# By the values of Content-Encoding.
ENCODINGS: Final[Mapping[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "zstd": _unzstd,
}
