"""A batch of lines as bytes: NDJSON, packed when that is worth it."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Sequence
from typing import Final

SMALL: Final = 1 << 10  # bytes that are not worth packing
ENCODING: Final = "zstd" if sys.version_info >= (3, 14) else "gzip"  # the better one of the standard library's


def _compressor() -> Callable[[bytes], bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return lambda data: zstd.compress(data, level=1)
    return lambda data: gzip.compress(data, compresslevel=1, mtime=0)


_compress = _compressor()


def packed(lines: Sequence[bytes]) -> tuple[bytes, str]:
    """The bytes and their Content-Encoding, which may be `identity`."""
    data = b"\n".join(lines)
    return (data, "identity") if len(data) <= SMALL else (_compress(data), ENCODING)
