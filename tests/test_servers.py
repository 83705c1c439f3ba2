"""The real servers behind the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connections

from tests import servers


def test_a_stream_is_read_by_a_consumer_group(redis_client: redis.Redis) -> None:
    redis_client.xgroup_create("lines", "readers", id="0", mkstream=True)
    entry = redis_client.xadd("lines", {"message": "héllo"})

    read = redis_client.xreadgroup("readers", "one", {"lines": ">"})

    assert read == [[b"lines", [(entry, {b"message": "héllo".encode()})]]]
    assert redis_client.xpending("lines", "readers")["pending"] == 1
    assert redis_client.xack("lines", "readers", entry) == 1


@pytest.mark.xdist_group("alone")
def test_tests_of_one_group_have_one_process(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@alone")  # what the distributing process knows of groups


def test_what_is_written_goes_to_an_append_only_file(redis_client: redis.Redis) -> None:
    assert redis_client.config_get("appendonly")["appendonly"] == "yes"
    assert redis_client.config_get("appendfsync")["appendfsync"] == "everysec"


def test_valkey_answers_on_its_loopback_port_too() -> None:
    port = servers.reserve().valkey_port
    with redis.Redis(host="127.0.0.1", port=port) as client:
        assert client.ping()


def test_each_worker_has_a_database_number_of_its_own(redis_client: redis.Redis) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    number = 0 if worker == "main" else int(worker.removeprefix("gw")) + 1

    assert redis_client.connection_pool.connection_kwargs["db"] == number


def test_a_killed_valkey_comes_back_with_what_it_had() -> None:
    with servers.valkey_server() as (url, server):
        with redis.Redis.from_url(url) as client:
            client.set("word", "kept")
        server.process.kill()
        server.process.wait()

        again = servers.start_valkey(server.directory, server.directory / "valkey.sock", 0)
        with redis.Redis.from_url(url) as client:
            assert client.get("word") == b"kept"
        again.stop()


@pytest.mark.postgres
def test_postgres_answers_a_select() -> None:
    port = servers.reserve().postgres_port
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres") as connection:
        assert connection.execute("SELECT 6 * 7").fetchone() == (42,)


@pytest.mark.postgres
def test_postgres_does_not_run_as_root() -> None:
    places = servers.reserve()
    pid = int((places.postgres_directory / "data" / "postmaster.pid").read_text().splitlines()[0])

    assert Path(f"/proc/{pid}").stat().st_uid != 0 or not Path("/proc").exists()


@pytest.mark.postgres
def test_a_postgres_of_its_own_is_gone_after_the_test() -> None:
    with servers.postgres_server() as (url, server):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert server.process.poll() is None

    assert server.process.poll() is not None
    assert not server.directory.exists()


@pytest.mark.postgres
@pytest.mark.django_db(databases=["postgres"])
def test_django_has_a_test_database_on_postgres() -> None:
    with connections["postgres"].cursor() as cursor:
        cursor.execute("SELECT current_database()")
        [[name]] = cursor.fetchall()

    assert name.startswith("test_pharos")


@pytest.mark.django_db(databases=["default", "logs"])
@pytest.mark.parametrize("alias", ["default", "logs"])
def test_the_sqlite_test_databases_are_files_in_wal_mode(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        path = next(path for _, name, path in cursor.fetchall() if name == "main")
        cursor.execute("PRAGMA journal_mode")
        [[mode]] = cursor.fetchall()

    assert Path(path).is_relative_to(settings.DATA_DIR)
    assert mode == "wal"


def test_the_servers_end_when_the_run_is_killed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child that its parent died")
    program = (
        "import sys, time; from pathlib import Path; from tests import servers\n"
        f"server = servers.start_valkey(Path({str(tmp_path)!r}), Path({str(tmp_path / 's')!r}), 0)\n"
        "print(server.pid, flush=True); time.sleep(60)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=settings.BASE_DIR)
    assert run.stdout
    pid = int(run.stdout.readline())
    run.kill()
    run.communicate()

    assert ends_within(pid, seconds=5)


def ends_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # An orphan that ended is a zombie until the init process, if there is a good one, has noticed.
        if (status := Path(f"/proc/{pid}/stat")).exists() and " Z " in status.read_text():
            return True
        time.sleep(0.05)
    return False


def test_a_machine_without_postgres_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(servers, "postgres_bin", lambda: None)

    with pytest.raises(servers.ServerError, match=r"run scripts/test-system as root, .* or set SKIP_POSTGRES=1"):
        servers.start_postgres(tmp_path, 0)
