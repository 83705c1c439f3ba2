"""Jobs that ping, as their crontabs do it, and jobs that are missed."""

from __future__ import annotations

import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from core import clock
from services import heartbeats, statuses
from services.heartbeats import Kind, Ping, TooManyError
from services.models import Check, CheckResult, Heartbeat, HeartbeatPing, Service, StatusChange
from services.probes.heartbeat import Options
from services.status import Outcome

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUN = "7b1c6d5e-0000-4000-8000-000000000001"
pytestmark = pytest.mark.django_db


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


@pytest.fixture
def backup() -> Heartbeat:
    """Expected every hour, with five minutes of grace."""
    return job("backup")


def job(name: str, **options: Any) -> Heartbeat:
    service = Service.objects.create(name=name, status_since=minute(-600))
    return heartbeats.of(Check.objects.create(service=service, name="job", kind="heartbeat", options=options))


def ping(heartbeat: Heartbeat, at: float, kind: str = Kind.SUCCESS, **values: Any) -> None:
    heartbeats.take(heartbeat, Ping(kind, **values), minute(at))


def service_of(heartbeat: Heartbeat) -> Service:
    return Service.objects.get(checks=heartbeat.pk)


def history(heartbeat: Heartbeat) -> list[tuple[str, float]]:
    changes = StatusChange.objects.filter(service=service_of(heartbeat)).order_by("pk")
    return [(change.new, (change.at - NOON).total_seconds() / 60) for change in changes]


# --- The state -------------------------------------------------------------------------------------------------------


def test_a_job_that_never_pinged_is_unknown_and_not_missed(backup: Heartbeat) -> None:
    assert heartbeats.settle_missed(minute(9_999)) == []
    statuses.settle([service_of(backup).pk], NOON)
    assert service_of(backup).reason == "no recent result of job"


def test_a_job_that_pings_in_time_is_healthy(backup: Heartbeat) -> None:
    for at in (0, 60, 124):
        ping(backup, at)
        heartbeats.settle_missed(minute(at + 64.9))

    assert history(backup) == [("healthy", 0)]


def test_a_job_that_does_not_ping_is_down_from_the_moment_it_was_overdue_until_it_pings(backup: Heartbeat) -> None:
    ping(backup, 0)
    for at in (64.9, 66, 67, 300):
        heartbeats.settle_missed(minute(at))
    assert service_of(backup).reason == "job is unreachable: no ping came, expected every 1 h with 5 min of grace"
    ping(backup, 310)

    assert history(backup) == [("healthy", 0), ("down", 65), ("healthy", 310)]
    assert CheckResult.objects.filter(outcome=Outcome.UNREACHABLE).count() == 1


def test_a_job_that_fails_is_degraded_or_down_as_its_check_says(backup: Heartbeat) -> None:
    ping(backup, 0)
    ping(backup, 1, Kind.FAIL, exit_code=3)
    assert service_of(backup).reason == "job fails: exit code 3"
    Check.objects.update(failing_means="down")
    ping(backup, 2, Kind.FAIL)

    assert [new for new, _ in history(backup)] == ["healthy", "degraded", "down"]
    assert service_of(backup).reason == "job fails: the job says that it failed"


def test_a_run_that_does_not_end_is_down(backup: Heartbeat) -> None:
    ping(backup, 0)
    ping(backup, 10, Kind.START)
    heartbeats.settle_missed(minute(16))

    assert history(backup)[-1] == ("down", 15)
    assert service_of(backup).reason == "job is unreachable: it started and did not end within 5 min"


def test_a_run_after_one_that_was_missed_is_missed_when_it_does_not_end() -> None:
    slow = job("slow", max_runtime=600)
    ping(slow, 0)
    heartbeats.settle_missed(minute(66))
    ping(slow, 100, Kind.START)
    heartbeats.settle_missed(minute(111))

    assert CheckResult.objects.filter(outcome=Outcome.UNREACHABLE).count() == 2
    assert Check.objects.get().detail == "it started and did not end within 10 min"


def test_a_run_is_measured_from_its_start(backup: Heartbeat) -> None:
    ping(backup, 0, Kind.START)
    ping(backup, 2)
    ping(backup, 62)

    assert list(CheckResult.objects.order_by("at").values_list("latency_us", flat=True)) == [2 * clock.MINUTE, None]


def test_runs_that_overlap_are_told_apart_by_their_id(backup: Heartbeat) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    ping(backup, 0, Kind.START, run=first)
    ping(backup, 1, Kind.START, run=second)
    ping(backup, 3, run=first)
    ping(backup, 4.5, run=second)

    durations = CheckResult.objects.order_by("at").values_list("latency_us", flat=True)
    assert list(durations) == [3 * clock.MINUTE, 3.5 * clock.MINUTE]


def test_a_log_changes_nothing(backup: Heartbeat) -> None:
    ping(backup, 0, Kind.LOG, body=b"42 files")

    assert (history(backup), Check.objects.get().due_at) == ([], 0)
    assert HeartbeatPing.objects.get().body == "42 files"


@pytest.mark.parametrize(
    ("after", "due"),
    [
        ("2026-11-21T02:00", "2026-11-22T02:10"),  # 03:00 in Vienna, in winter
        ("2026-03-28T12:00", "2026-03-29T01:10"),  # the day that has no 02:30
        ("2026-10-24T12:00", "2026-10-25T00:40"),  # the day that has it twice
        ("2026-10-25T00:30", "2026-10-26T01:40"),
    ],
)
def test_a_cron_expression_is_in_its_time_zone(after: str, due: str) -> None:
    expression = "0 3 * * *" if after.startswith("2026-11") else "30 2 * * *"
    options = Options(cron=expression, zone="Europe/Vienna", grace=600)

    assert options.deadline(datetime.fromisoformat(after + "Z")) == datetime.fromisoformat(due + "Z")


def test_a_job_with_cron_is_missed_after_its_time_and_grace() -> None:
    nightly = job("nightly", cron="0 3 * * *", grace=600)
    ping(nightly, 0)
    heartbeats.settle_missed(minute(15 * 60 + 9))
    assert history(nightly) == [("healthy", 0)]
    heartbeats.settle_missed(minute(15 * 60 + 11))

    assert history(nightly)[-1] == ("down", 15 * 60 + 10)
    assert Check.objects.get().detail == "no ping came, expected at 0 3 * * * (UTC) with 10 min of grace"


def test_who_is_paused_is_not_missed_and_gets_its_time_after_that(backup: Heartbeat) -> None:
    ping(backup, 0)
    Service.objects.update(paused=True)
    heartbeats.settle_missed(minute(600))
    Service.objects.update(paused=False)
    Check.objects.update(due_at=clock.micros(minute(700)))  # as the verb "resume" does it
    for at in (701, 764):
        heartbeats.settle_missed(minute(at))
    assert history(backup) == [("healthy", 0)]
    heartbeats.settle_missed(minute(766))

    assert history(backup)[-1] == ("down", 765)


def test_another_schedule_counts_from_the_last_ping(backup: Heartbeat) -> None:
    ping(backup, 0)
    check = Check.objects.get()
    check.options = {"period": 600, "grace": 60}
    check.save()

    assert Check.objects.get().due_at == clock.micros(minute(11))


def test_a_ping_that_comes_while_it_is_missed_counts(backup: Heartbeat, monkeypatch: pytest.MonkeyPatch) -> None:
    ping(backup, 0)
    why = heartbeats._why

    def late(check: Check, heartbeat: Heartbeat) -> str:
        ping(backup, 66)
        return why(check, heartbeat)

    monkeypatch.setattr(heartbeats, "_why", late)
    heartbeats.settle_missed(minute(66))

    assert history(backup) == [("healthy", 0)]


@pytest.mark.parametrize(
    "options",
    [{"period": 0}, {"cron": "0 25 * * *"}, {"cron": "0 3 * * *", "zone": "Mars"}, {"every": 3}, {"grace": "long"}],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    import msgspec

    with pytest.raises((msgspec.ValidationError, ValidationError)):
        msgspec.convert(options, Options)


# --- What is kept ----------------------------------------------------------------------------------------------------


def test_the_newest_100_pings_are_kept_for_30_days(backup: Heartbeat) -> None:
    for number in range(105):
        ping(backup, number * 5)
    assert HeartbeatPing.objects.count() == 100
    assert HeartbeatPing.objects.order_by("at").values_list("at", flat=True)[0] == clock.micros(minute(25))

    assert heartbeats.prune(minute(25.5) + timedelta(days=30)) == 1


def test_a_job_that_runs_wild_is_stopped(backup: Heartbeat) -> None:
    for number in range(60):
        ping(backup, number / 120)
    with pytest.raises(TooManyError):
        ping(backup, 0.6)
    ping(backup, 1.1)

    assert HeartbeatPing.objects.count() == 61


# --- Addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "kind", "code"),
    [
        ("", "success", None), ("/", "success", None), ("/start", "start", None), ("/fail", "fail", None),
        ("/log", "log", None), ("/0", "success", 0), ("/17", "fail", 17), ("/fail/", "fail", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["get", "head", "post"])
@pytest.mark.parametrize("form", ["uuid", "slug"])
def test_the_forms_of_healthchecks(
    client: Client, backup: Heartbeat, signal: str, kind: str, code: int | None, method: str, form: str
) -> None:
    Heartbeat.objects.update(ping_key="Abc-123_x", slug="nightly-backup")
    place = backup.token if form == "uuid" else "Abc-123_x/nightly-backup"
    answer = getattr(client, method)(f"/ping/{place}{signal}?rid={RUN}")

    assert (answer.status_code, answer.content) == (200, b"" if method == "head" else b"OK")
    kept = HeartbeatPing.objects.get()
    assert (kept.kind, kept.exit_code, str(kept.run), kept.method) == (kind, code, RUN, method.upper())


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/ping/7b1c6d5e-0000-4000-8000-00000000000f", 404), ("/ping/no-such-key/job", 404),
        ("/ping/{token}/256", 400), ("/ping/{token}?rid=1", 400), ("/ping/{token}/stop", 404), ("/ping/x", 404),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(client: Client, backup: Heartbeat, address: str, status: int) -> None:
    assert client.get(address.format(token=backup.token)).status_code == status
    assert not HeartbeatPing.objects.exists()


def test_other_methods_are_refused(client: Client, backup: Heartbeat) -> None:
    answer = client.delete(f"/ping/{backup.token}")

    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(
    ("query", "kind", "latency"),
    [
        ("", "success", None), ("?status=up&msg=OK&ping=", "success", None),
        ("?status=up&ping=12.5", "success", 12_500),
        ("?status=down&msg=disk+full", "fail", None), ("?ping=nan", "success", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["get", "post", "put"])
def test_the_form_of_uptime_kuma(
    client: Client, backup: Heartbeat, query: str, kind: str, latency: int | None, method: str
) -> None:
    Heartbeat.objects.update(token="aB3dE5fG7h")
    answer = getattr(client, method)(f"/api/push/aB3dE5fG7h{query}")

    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert HeartbeatPing.objects.get().kind == kind
    assert CheckResult.objects.get().latency_us == latency


def test_a_push_with_an_unknown_token_is_refused(client: Client) -> None:
    answer = client.get("/api/push/nobody")

    assert (answer.status_code, answer.json()["ok"]) == (404, False)


def test_too_many_are_told_to_wait(client: Client, backup: Heartbeat) -> None:
    answers = [client.get(f"/ping/{backup.token}").status_code for _ in range(61)]

    assert (set(answers[:60]), answers[60]) == ({200}, 429)
    assert client.get(f"/api/push/{backup.token}").status_code == 429


def test_a_uuid_is_known_in_any_case(client: Client) -> None:
    moved = job("moved")
    moved.token = RUN.upper()
    moved.save()

    assert client.get(f"/ping/{RUN.upper()}").status_code == client.get(f"/ping/{RUN}").status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("command", "kind", "body"),
    [
        ("curl -fsS -m 10 --retry 5 -o /dev/null {url}", "success", ""),
        ("curl -fsS -m 10 --data-raw 'all is well' {url}", "success", "all is well"),
        ("false; curl -fsS {url}/$?", "fail", ""),
        ("m=$(echo done 2>&1); curl -fsS --data-raw \"$m\" {url}/$?", "success", "done"),
        ("head -c 150000 /dev/zero | tr '\\0' x | curl -fsS --data-binary @- {url}", "success", "x" * 100_000),
        ("curl -fsSI {url}", "success", ""),
    ],
)  # fmt: skip
def test_crontabs_only_change_their_host(live_server: LiveServer, command: str, kind: str, body: str) -> None:
    url = f"{live_server.url}/ping/{job('backup').token}"
    done = subprocess.run(["sh", "-c", command.format(url=url)], capture_output=True, timeout=30)

    assert done.returncode == 0, done.stderr
    kept = HeartbeatPing.objects.get()
    assert (kept.kind, kept.body, kept.agent[:5]) == (kind, body, "curl/")


# --- The page --------------------------------------------------------------------------------------------------------


def test_the_page_is_for_those_who_may_change_the_check(client: Client, backup: Heartbeat) -> None:
    Heartbeat.objects.update(ping_key="key", slug="backup")
    ping(backup, 0, Kind.START)
    ping(backup, 2, Kind.FAIL, exit_code=3, body=b"<script>alert(1)</script>", agent="<b>")
    address = f"/services/heartbeat/{backup.pk}/"
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="view_service"))

    assert client.get(address)["Location"].startswith("/login/")
    client.force_login(user)
    assert client.get(address).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="change_check"))
    page = client.get(address).content.decode()
    assert client.post(address).status_code == 405
    assert client.get("/services/heartbeat/999/").status_code == 404

    for expected in (
        f"http://testserver/ping/{backup.token}<", "http://testserver/ping/key/backup<", "fail, exit code 3", "2 min",
        "&lt;script&gt;alert(1)", "&lt;b&gt;",
    ):  # fmt: skip
        assert expected in page, expected
