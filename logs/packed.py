"""Compressed bytes that somebody else made: unpacked within bounds, or refused with a reason."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP: Final = b"\x1f\x8b"  # RFC 1952
_ZSTD: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878


class PackedError(ValueError):
    """Bytes that can't be unpacked, with the reason for people."""


def is_packed(data: bytes) -> bool:
    """Neither beginning is one of text."""
    return data.startswith((_GZIP, _ZSTD))


def unpack(data: bytes, longest: int) -> bytes:
    """What gzip or zstd made, at most `longest` bytes of it. Raises PackedError. No more than that is ever unpacked."""
    kind = "gzip" if data.startswith(_GZIP) else "zstd"
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) if kind == "gzip" else zstd.ZstdFile(io.BytesIO(data)) as file:
            unpacked = file.read(longest + 1)
    except (zlib.error, EOFError, OSError, zstd.ZstdError) as error:
        raise PackedError(f"expected {kind}, as its first bytes say: {error}") from None
    if len(unpacked) > longest:
        raise PackedError(f"expected at most {longest:,} bytes, unpacked; send smaller entries")
    return unpacked
