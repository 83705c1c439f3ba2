"""Waiting for something that other threads or processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object], *, seconds: float = 60.0, ignoring: type[Exception] | tuple[()] = ()
) -> None:
    """Returns once `condition` holds; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except ignoring:
            pass
        if time.monotonic() > end:
            raise AssertionError(f"waited for {seconds:g} s in vain")
        time.sleep(0.01)
