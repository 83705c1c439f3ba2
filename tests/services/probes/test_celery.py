"""Queues of a real Celery on the run's Valkey, and one that listens as a worker does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings

from services.probes import Part
from services.status import Outcome
from tests import peers, servers, waiting
from tests.services.probes.asking import ask

DATABASE = settings.REDIS_URL.rpartition("=")[2]
BROKER = f"redis://127.0.0.1:{servers.reserve().valkey_port}/{DATABASE}"


@pytest.fixture
def app(redis_client: redis.Redis) -> Iterator[Celery]:
    app = Celery(broker=BROKER, set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def worker(app: Celery, redis_client: redis.Redis) -> Iterator[list[str]]:
    """Listens to remote control. Yields what it was told."""
    told: list[str] = []
    over = threading.Event()

    def listen() -> None:
        with app.connection() as connection:
            mailbox: Any = app.control.mailbox  # type: ignore[attr-defined]
            node = mailbox.Node("w1@here", state=app, handlers={"ping": lambda state: told.append("ping")})
            with node.listen(channel=connection.default_channel, callback=node.handle_message):
                while not over.is_set():
                    try:
                        connection.drain_events(timeout=0.05)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=listen)
    thread.start()
    waiting.until(lambda: redis_client.pubsub_numpat() or redis_client.pubsub_channels("*pidbox"))
    yield told
    over.set()
    thread.join()


def send(app: Celery, count: int, **options: Any) -> None:
    for _ in range(count):
        app.send_task("tasks.add", **options)


async def test_a_short_queue_is_up(app: Celery) -> None:
    send(app, 3)
    found = await ask("celery", BROKER)

    assert (found.outcome, found.detail) == (Outcome.UP, "")
    assert found.parts == (Part("queues.celery", Outcome.UP),)
    assert found.raw == "celery: 3 waiting"


async def test_a_long_queue_is_failing(app: Celery) -> None:
    send(app, 3)
    send(app, 2, queue="mail")
    found = await ask("celery", BROKER, queues={"celery": 2, "mail": 2, "idle": 0})

    assert (found.outcome, found.detail) == (Outcome.FAILING, "celery: more than 2 waiting")
    assert {part.path: part.outcome for part in found.parts} == {
        "queues.celery": Outcome.FAILING,
        "queues.mail": Outcome.UP,
        "queues.idle": Outcome.UP,
    }


async def test_priorities_count_together(app: Celery) -> None:
    for priority in (0, 3, 6, 9):
        send(app, 1, priority=priority)
    found = await ask("celery", BROKER)

    assert found.raw == "celery: 4 waiting"


async def test_no_worker_is_there(app: Celery) -> None:
    found = await ask("celery", BROKER, workers=1)

    assert (found.outcome, found.detail) == (Outcome.FAILING, "workers: fewer than 1 connected")


async def test_a_worker_is_there_and_minds_nothing(app: Celery, worker: list[str]) -> None:
    found = await ask("celery", BROKER, workers=1)
    few = await ask("celery", BROKER, workers=2)

    assert (found.outcome, found.raw) == (Outcome.UP, "celery: 0 waiting\nworkers: 1 connected")
    assert few.detail == "workers: fewer than 2 connected"
    await asyncio.to_thread(waiting.until, lambda: worker == ["ping", "ping"])


async def test_a_queue_that_is_none(redis_client: redis.Redis) -> None:
    redis_client.set("celery", "text")
    found = await ask("celery", BROKER)

    assert (found.outcome, found.detail) == (Outcome.FAILING, "it answered with the error WRONGTYPE")


async def test_nobody_listens() -> None:
    found = await ask("celery", f"redis://127.0.0.1:{peers.closed_port()}")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "connection refused")


async def test_metadata_is_refused() -> None:
    found = await ask("celery", "redis://169.254.169.254")

    assert found.outcome == Outcome.UNREACHABLE
    assert "is refused" in found.detail
