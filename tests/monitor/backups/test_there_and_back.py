"""A backup that is made while Pharos writes, restored into an empty place: everything is there again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from tests import servers
from tests.monitor.backups.place import SAID, SECRET
from tests.monitor.test_up import environment

NO_REDIS = "redis://127.0.0.1:1/0"


class Place:
    def __init__(self, data: Path, url: str = "") -> None:
        self.data, self.url = data, url

    def run(self, *arguments: object, fails: bool = False) -> Any:
        """What the step says; its sentence if it is to fail."""
        ended = subprocess.run(
            [sys.executable, "-m", "tests.monitor.backups.place", *map(str, arguments)],
            cwd=settings.BASE_DIR,
            env=environment(
                DJANGO_SETTINGS_MODULE="monitor.settings", PHAROS_DATA_DIR=str(self.data), DATABASE_URL=self.url,
                REDIS_URL=NO_REDIS, PHAROS_LOG_LEVEL="ERROR",
            ),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert bool(ended.returncode) == fails, ended.stderr
        return ended.stderr if fails else json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Place]]:
    if request.param == "sqlite":
        yield [Place(tmp_path / name) for name in ("source", "target")]
        return
    port = servers.reserve().postgres_port
    names = [f"backup_{name}" for name in ("source", "target")]
    with psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}")
        try:
            yield [Place(tmp_path / name, f"postgres://postgres@127.0.0.1:{port}/{name}") for name in names]
        finally:
            for name in names:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_it_is_all_there_again(places: list[Place], tmp_path: Path) -> None:
    source, target = places
    whole, without_logs = tmp_path / "whole.tar.zst", tmp_path / "without.tar.zst"
    before = source.run("fill", whole, without_logs)
    assert whole.stat().st_mode & 0o777 == 0o600
    assert before["written"] > 1

    # That each table has the rows that were counted when it was made, `restore` itself compares.
    after = target.run("restore", whole)
    assert 0 < after["rows"]["logs_logblock"] <= before["rows"]["logs_logblock"]
    assert after["rows"]["logs_logcommit"] == after["last commit"]
    unchanged = set(before["rows"]) - {"logs_logblock", "logs_logcommit", "logs_logblockgrams"}
    # Somebody wrote while it was made.
    unchanged -= {"services_service", "auditlog_logentry"}
    assert {name: after["rows"][name] for name in unchanged} == {name: before["rows"][name] for name in unchanged}
    assert after["found"] == before["found"] == [SAID]
    assert after["secret"] == {"password": SECRET}
    assert after["login"] is True
    assert (before["restored"], after["restored"]) == ([], ["whole.tar.zst"])

    assert "--force" in target.run("restore", without_logs, fails=True)
    replaced = target.run("restore", without_logs, "--force")
    assert (replaced["found"], replaced["rows"]["logs_logblock"]) == ([], 0)
    assert replaced["secret"] == {"password": SECRET}

    # What goes on there counts on: days of the archive remember numbers of commits.
    assert target.run("append")["last commit"] > after["last commit"]
