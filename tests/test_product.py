"""The whole product as a server runs it: on PostgreSQL and a Redis of the user's own."""

from __future__ import annotations

import os
import signal

import pytest
import redis

from tests import servers
from tests.product import running
from tests.waiting import until


@pytest.mark.postgres
@pytest.mark.xdist_group("product")
def test_on_postgresql_and_a_redis_of_ones_own_nothing_is_different() -> None:
    with (
        servers.postgres_server() as (database, _),
        servers.valkey_server() as (url, _),
        running(DATABASE_URL=database, REDIS_URL=url, PHAROS_LOG_STREAM="team:logs,legacy:logs") as product,
    ):
        assert set(product.pids()) == {"web", "ingest", "worker", "beat"}
        product.send(*[{"message": f"posted {n}.", "service": "api"} for n in range(100)])
        with redis.Redis.from_url(url) as client:
            client.xadd("legacy:logs", {"msg": "added", "source": "worker"})
            until(lambda: len(product.find("posted")) == 100)
            until(lambda: [record["service"] for record in product.find("added")] == ["worker"])

            os.kill(product.pids()["ingest"], signal.SIGKILL)
            product.send(*[{"message": f"posted {n}."} for n in range(100, 200)])
            until(lambda: len(product.find("posted")) == 200, seconds=30)
            assert client.xpending("legacy:logs", "ingest")["pending"] == 0
        answer = product.request("/api/logs/histogram?from=-1h&q=posted&step=3600")
        assert sum(sum(bucket["counts"].values()) for bucket in answer["buckets"]) == 200
