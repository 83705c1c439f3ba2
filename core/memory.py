"""What a process took to start, it gives back: loading half a thousand modules leaves megabytes of holes behind. What
it takes for its work, it keeps for the next: to ask the system for the same pages again and again was a tenth of a
search, and of an append.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

KEPT: Final = 16 << 20  # bytes of free memory that a process keeps
LARGE: Final = 4 << 20  # bytes: what is larger comes from the system, and goes back there
# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3


def settle() -> None:
    """To be called once, when all is loaded: what is there now stays, and free pages go back to the system."""
    gc.collect()
    gc.freeze()  # the collector needn't look at it again each time
    # Of glibc; other systems give back by themselves, or never.
    libc = ctypes.CDLL(None)
    if trim := getattr(libc, "malloc_trim", None):
        trim(0)
        libc.mallopt(_TRIM_THRESHOLD, KEPT)
        libc.mallopt(_MMAP_THRESHOLD, LARGE)
