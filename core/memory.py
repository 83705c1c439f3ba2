"""What a process took to start, it can give back: loading half a thousand modules leaves megabytes of holes behind."""

from __future__ import annotations

import ctypes
import gc


def settle() -> None:
    """To be called once, when all is loaded: what is there now stays, and free pages go back to the system."""
    gc.collect()
    gc.freeze()  # the collector needn't look at it again each time
    # Of glibc; other systems give back by themselves, or never.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
