"""The clock of the worker: of two one runs, and the other one goes on where it was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from monitor import beat
from monitor.celery import app
from monitor.management.commands.up import BEAT
from tests.product import ROOT
from tests.waiting import until


class Sent(beat.Clock):
    """Notes what it would send."""

    def __init__(self, **schedule: float) -> None:
        self.names: list[str] = []
        self._entries = {name: {"task": "t", "schedule": seconds} for name, seconds in schedule.items()}
        super().__init__(app)

    def setup_schedule(self) -> None:
        self.update_from_dict(self._entries)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        self.names.append(entry.name)

    producer: Any = None

    def turn(self) -> list[str]:
        """What is sent now."""
        self.names.clear()
        self._next_look = 0.0
        while self.tick() <= 0:
            pass
        return self.names


def test_of_two_clocks_one_sends(redis_client: redis.Redis) -> None:
    first, second = Sent(often=0.0), Sent(often=0.0)
    first._look()
    second._look()

    assert (first._ours, second._ours) == (True, False)
    assert second.tick() == beat.RENEW_EVERY
    assert second.names == []


def test_the_lease_of_one_that_died_ends(redis_client: redis.Redis) -> None:
    first, second = Sent(), Sent()
    first._look()
    second._look()
    assert 0 < redis_client.pttl(beat.LEASE) <= beat.LEASE_MS

    redis_client.delete(beat.LEASE)  # as Redis does it in time
    second._look()
    first._look()

    assert (first._ours, second._ours) == (False, True)


def test_one_that_stops_leaves_its_lease_at_once(redis_client: redis.Redis) -> None:
    first, second = Sent(), Sent()
    first._look()
    first.close()
    second._look()

    assert second._ours


def test_a_rare_task_is_due_when_it_would_have_been(redis_client: redis.Redis) -> None:
    redis_client.hset(beat.RAN, mapping={"late": time.time() - 3_700, "done": time.time() - 60})

    assert Sent(late=3_600.0, done=3_600.0).turn() == ["late"]
    assert float(redis_client.hget(beat.RAN, "late") or 0) == pytest.approx(time.time(), abs=30)


def test_nothing_is_sent_while_redis_is_away(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Sent(late=3_600.0)
    redis_client.hset(beat.RAN, "late", time.time() - 3_700)

    def refuse(**_: Any) -> None:
        raise redis.ConnectionError("no")

    monkeypatch.setattr(clock, "_renew", refuse)

    assert clock.turn() == []


# --- Real processes ------------------------------------------------------------------------------------------------


@contextmanager
def clock_process(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command of `run beat`, on the Redis of this test."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "monitor.settings",
        "REDIS_URL": settings.REDIS_URL,
        "PHAROS_DATA_DIR": str(directory),
    }
    command = [sys.executable, "-m", "celery", "-q", "-A", "monitor", "beat", *BEAT]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def owner(client: redis.Redis) -> int:
    """The process that has the lease, or 0."""
    token: Any = client.get(beat.LEASE)
    return int(token.split(b":")[1]) if token else 0


def test_another_clock_goes_on_after_one_that_was_killed_or_stopped(redis_client: redis.Redis, tmp_path: Path) -> None:
    with clock_process(tmp_path) as first:
        until(lambda: owner(redis_client) == first.pid)
        with clock_process(tmp_path) as second:
            first.kill()
            first.wait()
            assert 0 < redis_client.pttl(beat.LEASE) <= beat.LEASE_MS  # no longer than that, and a look
            until(lambda: owner(redis_client) == second.pid)
            sent = redis_client.llen(settings.CELERY_TASK_DEFAULT_QUEUE)
            until(lambda: redis_client.llen(settings.CELERY_TASK_DEFAULT_QUEUE) > sent)

            second.terminate()
            assert second.wait(30) == 0
            assert owner(redis_client) == 0  # nobody has to wait for it
