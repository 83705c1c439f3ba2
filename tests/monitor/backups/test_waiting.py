"""What a backup says of the lines that Redis holds."""

from __future__ import annotations

import redis
from django.conf import settings

from logs import stream
from monitor.backups import waiting


def test_lines_that_nobody_stores_are_spoken_of(redis_client: redis.Redis) -> None:
    redis_client.xadd(settings.LOG_STREAMS[0], {"message": "hello"}, id="1790000000000-0")
    assert "wait in Redis and are not in the backup" in waiting.drain(60)


def test_it_waits_no_longer_than_it_may(redis_client: redis.Redis) -> None:
    redis_client.set(f"{stream.INGESTERS}one", "")
    redis_client.xadd(settings.LOG_STREAMS[0], {"message": "hello"}, id="1790000000000-0")
    assert "are not in the backup" in waiting.drain(0.1)
    assert waiting.running()


def test_lines_that_came_after_it_began_don_t_count(redis_client: redis.Redis) -> None:
    redis_client.xadd(settings.LOG_STREAMS[0], {"message": "hello"}, id="9790000000000-0")
    assert waiting.drain(0) == "All lines that had come are in the backup."


def test_without_redis(redis_client: redis.Redis, settings: object) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    assert waiting.drain(60).startswith("Redis is away")
    assert not waiting.running()
