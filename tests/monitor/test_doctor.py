"""What the doctor finds, also when half of the system is down."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.test import Client, override_settings

from core.reporting import Reporter
from logs import stream
from logs.models import DeadLetter, LogSource
from monitor import doctor, doctor_page, tasks, watchdog
from monitor.doctor.findings import OK, PROBLEM, WARNING, Finding
from services.models import DockerHost
from tests.alerts import made

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def healthy(redis_client: redis.Redis) -> redis.Redis:
    """An installation in which everything runs."""
    redis_client.xgroup_create("pharos:logs", stream.GROUP, id="0", mkstream=True)
    redis_client.set(f"{stream.INGESTERS}one", "")
    for process in ("web", "ingest", "worker", "beat"):
        Reporter(process).report(redis_client)
    tasks.tick()
    return redis_client


def found(name: str) -> tuple[str, str]:
    finding = doctor.ask(name)
    assert finding.said.endswith(".")
    assert finding.level == OK or finding.to_do.endswith(".")
    return finding.level, finding.said


INNER = (
    "configuration", "database", "migrations", "writing", "size", "Redis", "Redis keeps", "Redis' memory", "clocks",
    "processes", "beat", "ingest", "streams", "dead letters", "Docker hosts", "mail server", "time zone",
)  # fmt: skip


@pytest.mark.parametrize("name", INNER)
def test_where_all_is_well_it_finds_nothing(healthy: redis.Redis, name: str) -> None:
    assert found(name)[0] == OK, found(name)


@pytest.mark.parametrize(
    "name", ["Redis", "Redis keeps", "Redis' memory", "clocks", "processes", "beat", "ingest", "streams"]
)
def test_without_redis_each_says_that_it_is_away(name: str) -> None:
    with override_settings(REDIS_URL=AWAY):
        level, said = found(name)
    assert level == PROBLEM
    assert "Redis is away" in said


def test_a_database_that_is_damaged_is_told_from_one_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connections["logs"].copy("damaged")
    connection.settings_dict["NAME"] = tmp_path / "logs.sqlite3"
    monkeypatch.setattr("monitor.doctor.database.migrations", connection.ensure_connection)
    (tmp_path / "logs.sqlite3").write_text("a letter" * 1_000)
    assert doctor.ask("migrations") == Finding(
        PROBLEM,
        "The database is damaged: file is not a database.",
        "Find out which file is damaged, and put the last backup back.",
        "the-database-is-damaged",
    )
    connection.settings_dict["NAME"] = tmp_path  # nothing that can be opened
    assert doctor.ask("migrations").section == "the-database-is-away"


def test_a_process_that_is_missing_is_named(healthy: redis.Redis) -> None:
    LogSource.objects.create(kind=LogSource.Kind.SYSLOG, name="udp+tcp://127.0.0.1:5514")
    assert found("processes") == (PROBLEM, "Not running: listen. Running: 1 beat, 1 ingest, 1 web, 1 worker.")


def test_a_late_beat_is_said_with_its_last_tick(healthy: redis.Redis) -> None:
    healthy.delete(f"{stream.ALIVE}worker")
    level, said = found("beat")
    assert level == PROBLEM
    assert re.search(r"in the last 15 s; the last came \d+ s ago\.$", said)


def test_no_ingester_and_one_that_is_held_up(healthy: redis.Redis) -> None:
    healthy.set(f"{stream.INGESTERS}one", "The disk is full")
    assert found("ingest") == (PROBLEM, "The disk is full: lines wait in Redis.")
    healthy.delete(f"{stream.INGESTERS}one")
    assert found("ingest") == (PROBLEM, "No ingester runs; no line is stored.")


def test_lines_that_wait(healthy: redis.Redis) -> None:
    healthy.xadd("pharos:logs", {"message": "old"}, id="1700000000000-0")
    level, said = found("streams")
    assert level == PROBLEM
    assert said.startswith("1 entries wait to be stored; the oldest, in pharos:logs, for ")


def test_dead_letters(healthy: redis.Redis) -> None:
    DeadLetter.objects.create(stream="pharos:logs", entry_id="1-0", reason="it is no JSON", payload={})
    assert found("dead letters") == (WARNING, "1 dead letter, the last: it is no JSON.")


def test_a_redis_that_throws_lines_away(healthy: redis.Redis) -> None:
    healthy.config_set("maxmemory", "100mb")
    healthy.config_set("maxmemory-policy", "allkeys-lru")
    try:
        level, said = found("Redis' memory")
    finally:
        healthy.config_set("maxmemory-policy", "noeviction")
        healthy.config_set("maxmemory", "0")
    assert level == PROBLEM
    assert "maxmemory-policy allkeys-lru" in said


def test_clocks_that_differ(healthy: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.clock.now", lambda: 1_000_000)
    level, said = found("clocks")
    assert level == PROBLEM
    assert "behind that of Redis' host" in said


def test_a_docker_host_that_is_away(healthy: redis.Redis) -> None:
    DockerHost.objects.create(name="one", address="tcp://127.0.0.1:1")
    level, said = found("Docker hosts")
    assert level == PROBLEM
    assert said.startswith("one: ")


def test_the_mail_server(healthy: redis.Redis) -> None:
    with override_settings(EMAIL_HOST="127.0.0.1", EMAIL_PORT=1):
        level, said = found("mail server")
    assert (level, said.startswith("The mail server 127.0.0.1:1 can't be used: ")) == (PROBLEM, True)


def test_channels(healthy: redis.Redis) -> None:
    assert found("channels")[0] == WARNING
    channel = made.channel()
    assert found("channels")[0] == OK
    type(channel).objects.update(disabled_reason="the token is refused")
    assert found("channels") == (PROBLEM, f"{channel} is off: the token is refused.")


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({"DEBUG": True}, WARNING),
        ({"DEBUG": True, "HOST": "0.0.0.0"}, PROBLEM),
        ({"ALLOWED_HOSTS": ["*"]}, WARNING),
        ({"EXTERNAL_URL": "https://pharos.example", "SESSION_COOKIE_SECURE": False}, WARNING),
        ({"DEBUG": False}, OK),
    ],
)
def test_weak_settings(values: dict[str, Any], level: str) -> None:
    usual = {"SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": ["localhost"], "DEBUG": False}
    with override_settings(**usual | values):
        assert found("weak settings")[0] == level


def test_an_external_url_that_would_be_refused() -> None:
    with override_settings(EXTERNAL_URL="https://pharos.example", ALLOWED_HOSTS=["localhost"]):
        assert found("external URL")[0] == PROBLEM
    with override_settings(EXTERNAL_URL="https://pharos.example", ALLOWED_HOSTS=[".example"]):
        assert found("external URL")[0] == OK


def test_the_outside_heartbeat(healthy: redis.Redis) -> None:
    assert found("outside heartbeat")[0] == WARNING
    with override_settings(HEARTBEAT_URL="http://127.0.0.1:1/x"):
        assert found("outside heartbeat")[0] == WARNING
        watchdog.beat()
        level, said = found("outside heartbeat")
    assert (level, said) == (PROBLEM, "It can't be pinged: connection refused.")


# --- All of them -----------------------------------------------------------------------------------------------------


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces what is looked at."""

    def replace(**functions: Callable[[], Finding]) -> None:
        monkeypatch.setattr(doctor, "CHECKS", {name: f"machine.{name}" for name in functions})
        for name, function in functions.items():
            monkeypatch.setattr(f"monitor.doctor.machine.{name}", function, raising=False)

    return replace


def told(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_the_command_ends_with_1_where_there_is_a_problem(redis_client: redis.Redis) -> None:
    assert told("Redis", "disk", "time zone")[0] == 0
    with override_settings(REDIS_URL=AWAY):
        code, text = told("Redis", "time zone")
    assert code == 1
    assert "PROBLEM  Redis      Redis is away: " in text
    assert "→ docs/troubleshooting.md#redis-is-away" in text
    assert text.endswith("1 problems, 0 warnings, 1 ok.\n")


def test_programs_get_json(redis_client: redis.Redis) -> None:
    code, text = told("--json", "Redis")
    body = json.loads(text)
    assert (code, body["status"]) == (0, OK)
    assert body["checks"][0]["name"] == "Redis"


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(CommandError, match="There is no check 'redis'; there is configuration, "):
        call_command("doctor", "redis")


def test_each_check_is_there_and_named_in_the_docs() -> None:
    docs = (Path(settings.BASE_DIR) / "docs" / "operations.md").read_text()
    assert [name for name in doctor.CHECKS if f"| {name} |" not in docs] == []


def test_the_sections_that_are_named_are_there() -> None:
    code = "".join(path.read_text() for path in (Path(settings.BASE_DIR) / "monitor" / "doctor").glob("*.py"))
    slugs = {section.slug for section in doctor_page.sections()}
    named = set(re.findall(r'"([a-z]+(?:-[a-z]+){2,})"', code))
    assert named
    assert named <= slugs


# --- The page --------------------------------------------------------------------------------------------------------


def test_the_page_is_for_administrators(client: Client) -> None:
    assert client.get("/doctor/").status_code == 302
    client.force_login(get_user_model().objects.create_user("somebody"))
    assert client.get("/doctor/").status_code == client.post("/doctor/").status_code == 403
    assert client.get("/doctor/guide/").status_code == 403


def test_it_looks_when_it_is_asked_to(client: Client, checks: Callable[..., None]) -> None:
    client.force_login(get_user_model().objects.create_superuser("root"))
    checks(fine=lambda: Finding(PROBLEM, "<It> fails.", "Mend it.", "redis-is-away"))
    assert "findings" not in client.get("/doctor/").content.decode()
    page = client.post("/doctor/").content.decode()
    assert "&lt;It&gt; fails.<br>Mend it." in page
    assert '<a href="/doctor/guide/#redis-is-away">' in page
    assert 'id="redis-is-away"' in client.get("/doctor/guide/").content.decode()
    assert client.put("/doctor/").status_code == 405
