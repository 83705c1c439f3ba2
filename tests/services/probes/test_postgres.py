"""PostgreSQL, asked on the run's real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.status import Outcome
from tests import peers, servers
from tests.services.probes.asking import ask

PORT = servers.reserve().postgres_port
HERE = f"127.0.0.1:{PORT}"
postgres = pytest.mark.postgres


@pytest.fixture
def table() -> Iterator[str]:
    with psycopg.connect(f"postgres://postgres@{HERE}/postgres", autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS watched (id serial)")
        yield "watched"
        connection.execute("DROP TABLE watched")


@postgres
async def test_a_database_that_takes_a_login_is_up() -> None:
    found = await ask("postgres", f"postgres://postgres@{HERE}/postgres")

    assert (found.outcome, found.detail, found.raw) == (Outcome.UP, "", "1")
    assert found.latency_ms


@postgres
@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"query": "SELECT 40 + 2", "expected": 42}, ""),
        ({"query": "SELECT 'in_sync'", "expected": "in_sync"}, ""),
        ({"query": "SELECT true", "expected": True}, ""),
        ({"query": "SELECT 1", "expected": True}, "the query did not return True"),
        ({"query": "SELECT 40", "expected": 42}, "the query did not return 42"),
        ({"query": "SELECT 1 WHERE false", "expected": 1}, "the query did not return 1"),
        ({"query": "SELECT nothing FROM nowhere"}, "the query failed: UndefinedTable"),
        ({"query": "SELEC 1"}, "the query failed: SyntaxError"),
        ({"query": "SELECT generate_series(1, 100000000)", "expected": 1}, ""),
    ],
)
async def test_queries(options: dict[str, Any], detail: str) -> None:
    found = await ask("postgres", f"postgres://postgres@{HERE}/postgres", **options)

    assert found.detail == detail
    assert found.outcome == (Outcome.FAILING if detail else Outcome.UP)


@postgres
@pytest.mark.parametrize(
    "query", ["DELETE FROM watched RETURNING id", "SELECT 1; DROP TABLE watched", "SELECT nextval('watched_id_seq')"]
)
async def test_a_query_that_writes_fails(table: str, query: str) -> None:
    found = await ask("postgres", f"postgres://postgres@{HERE}/postgres", query=query)

    assert found.outcome == Outcome.FAILING
    with psycopg.connect(f"postgres://postgres@{HERE}/postgres") as connection:
        assert connection.execute("SELECT to_regclass('watched')").fetchone() != (None,)


@postgres
async def test_a_database_that_does_not_exist() -> None:
    found = await ask("postgres", f"postgres://postgres@{HERE}/nowhere")
    assert (found.outcome, found.detail) == (Outcome.FAILING, "the database does not exist")


@postgres
async def test_a_user_who_does_not_exist() -> None:
    found = await ask("postgres", f"postgres://nobody@{HERE}/postgres", secrets={"password": "hunter22"})
    assert (found.outcome, found.detail) == (Outcome.FAILING, "the login was refused")


@postgres
async def test_the_whole_address_may_be_secret() -> None:
    found = await ask("postgres", "", secrets={"dsn": f"host=127.0.0.1 port={PORT} user=postgres password=hunter22"})

    assert found.outcome == Outcome.UP


@postgres
async def test_tls_that_is_not_there() -> None:
    found = await ask("postgres", f"postgres://postgres@{HERE}/postgres?sslmode=require")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no TLS connection")


async def test_nobody_listens() -> None:
    found = await ask("postgres", f"postgres://app@127.0.0.1:{peers.closed_port()}/app")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "connection refused")


async def test_silence() -> None:
    async with peers.tcp_server(peers.silence) as port:
        found = await ask("postgres", f"postgres://app@127.0.0.1:{port}/app", timeout=0.2)

    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "no answer within 0.2 s")


async def test_metadata_is_refused() -> None:
    found = await ask("postgres", "postgres://app@169.254.169.254/app")

    assert found.outcome == Outcome.UNREACHABLE
    assert "is refused" in found.detail
