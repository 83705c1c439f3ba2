"""Several at the same time, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connections


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each returns, all begun together, each in its thread. Raises what one of them raised."""
    barrier, results = threading.Barrier(len(works)), [None] * len(works)
    failed: list[Exception] = []

    def run(place: int, work: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            results[place] = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if failed:
        raise failed[0]
    return results
