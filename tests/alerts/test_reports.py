"""Reports of days, weeks and months: what they say, who may read and tick them off, and that they come by mail."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from alerts import digests, incidents, reports
from alerts.models import Delivery, Digest, Receiver, Review
from alerts.models.incidents import Via
from alerts.models.reports import Cadence
from alerts.notifications import Notification
from alerts.notifiers import notifier
from alerts.notifiers.base import Target
from alerts.notifiers.email import Options
from core import clock
from logs.records import Level, LogRecord
from logs.store import log_stores
from services.models import CheckHour, Container, ContainerSample, DockerHost
from services.status import Status
from tests.alerts import made
from tests.logs.corpus import entries
from tests.services import made as watched

pytestmark = pytest.mark.django_db(databases="__all__")

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
NOW = MONDAY + timedelta(days=7, hours=8)


def day(number: float) -> datetime:
    """Days after that Monday."""
    return MONDAY + timedelta(days=number)


def built(cadence: str = "weekly", at: date | None = None, **options: Any) -> reports.Report:
    period = reports.period_of(cadence, at or MONDAY.date(), UTC)
    return reports.build(cadence, period, options.pop("now", NOW), **options)


def store(*records: LogRecord) -> None:
    log_stores["default"].append(entries(sorted(records, key=lambda record: record.timestamp)))


def line(at: datetime, service: str, level: Level = Level.ERROR) -> LogRecord:
    return LogRecord(clock.micros(at), level, service, "it failed")


# --- Periods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cadence", "first", "last", "title"),
    [
        ("daily", "2026-11-22", "2026-11-22", "Day 2026-11-22"),
        ("weekly", "2026-11-16", "2026-11-22", "Week 2026-11-16 to 2026-11-22"),
        ("monthly", "2026-11-01", "2026-11-30", "Month November 2026"),
    ],
)
def test_a_period_has_the_day_and_follows_the_one_before(cadence: str, first: str, last: str, title: str) -> None:
    period = reports.period_of(cadence, date(2026, 11, 22), UTC)
    assert (str(period.first), str(period.last), reports.title(cadence, period)) == (first, last, title)
    assert reports.after(cadence, reports.before(cadence, period)) == period
    assert reports.before(cadence, period).end == period.start


# --- What they say ---------------------------------------------------------------------------------------------------


def test_incidents_with_their_times_and_those_that_are_left() -> None:
    one = made.incident("one", opened_at=day(1))
    incidents.acknowledge(one, by="a", via=Via.PAGE, now=day(1) + timedelta(minutes=4))
    incidents.resolve(one, by="a", via=Via.PAGE, now=day(1) + timedelta(minutes=30))
    made.incident("left", opened_at=day(-3), severity="critical")
    section = built().sections["incidents"]
    assert section.said == (
        "1 opened (1 the time before), 1 of them resolved, 1 not resolved now. MTTA 4 min, MTTR 30 min."
    )
    assert list(section.rows) == [("left", "critical", "open", "10 d 8 h")]


def test_rules_that_fire_far_more_often_than_usual_are_anomalies() -> None:
    steady, sudden, rare = made.rule("Steady"), made.rule("Sudden"), made.rule("Rare")
    number = 0
    for rule, times in [(steady, [-1, -2, -3, -4, -5, -6, -7, 0.1]), (sudden, [-1, 0.1, 0.2, 0.3]), (rare, [0.1, 0.2])]:
        for at in times:
            number += 1
            made.alert(rule, "resolved", {"n": str(number)}, active_at=day(at))
    rows = built("daily").sections["anomalies"].rows
    assert list(rows) == [("Sudden", "3", "0.1")]


def test_errors_by_service_as_a_part_of_its_lines_and_compared() -> None:
    store(
        *(line(day(1), "api") for _ in range(2)), *(line(day(1), "api", Level.INFO) for _ in range(6)),
        line(day(2), "web", Level.FATAL), line(day(-2), "api"), line(day(8), "api"),
    )  # fmt: skip
    section = built().sections["errors"]
    assert (section.said, list(section.rows)) == (
        "", [("api", "2", "25.00 %", "1"), ("web", "1", "100.00 %", "0")],
    )  # fmt: skip


def test_resources_near_their_limits_come_first() -> None:
    host = DockerHost.objects.create(name="here", address="unix:///x")
    for name, limit, memory in [("small", 100 << 20, 90 << 20), ("large", 1 << 30, 200 << 20), ("free", None, 1 << 20)]:
        box = Container.objects.create(
            host=host, container_id=name, name=name, state="running", state_since=MONDAY, memory_limit=limit
        )
        ContainerSample.objects.create(container=box, at=clock.micros(day(0.5)), cpu_percent=10, memory_bytes=memory)
        ContainerSample.objects.create(container=box, at=clock.micros(day(1.5)), cpu_percent=90, memory_bytes=1 << 30)
    assert list(built("daily").sections["resources"].rows) == [
        ("small", "90 MiB", "90 %", "10 %"), ("large", "200 MiB", "20 %", "10 %"), ("free", "1 MiB", "", "10 %"),
    ]  # fmt: skip


def test_checks_that_became_slower_say_so() -> None:
    for name, took, before in [("api", 300_000, 100_000), ("web", 50_000, 49_000)]:
        check = watched.check(watched.service(name))
        CheckHour.objects.create(service_check=check, hour=clock.micros(day(1)), p95_us=took)
        CheckHour.objects.create(service_check=check, hour=clock.micros(day(-1)), p95_us=before)
    assert list(built().sections["slow"].rows) == [
        ("api · readiness", "300 ms", "100 ms", "slower"), ("web · readiness", "50 ms", "49 ms", ""),
    ]  # fmt: skip


def test_the_sla_begins_with_who_missed_it() -> None:
    for name, down in [("api", 0.5), ("web", 0.0)]:
        service = watched.service(name)
        watched.change(service, day(-1), Status.HEALTHY, old="unknown")
        if down:
            watched.change(service, day(1), Status.DOWN)
            watched.change(service, day(1 + down), Status.HEALTHY, old="down")
    section = built().sections["sla"]
    assert section.said == "1 of 2 services met their target."
    assert [(row[0], row[2], row[3], row[4]) for row in section.rows] == [
        ("api", "missed", "1", "12 h"), ("web", "met", "0", "0 s"),
    ]  # fmt: skip


def test_a_month_tells_the_volume_of_logs_and_what_it_grows_by() -> None:
    store(*(line(day(1), "api") for _ in range(30)))
    found = built("monthly").sections
    assert found["volume"].rows[0][:2] == ("api", "30")
    assert found["capacity"].said.startswith("The log store has 30 lines in")


def test_without_the_right_to_read_logs_nothing_of_them_is_told() -> None:
    assert "errors" not in built(logs=False).sections
    assert not {"volume", "capacity"} & set(built("monthly", logs=False).sections)


@pytest.mark.parametrize("cadence", Cadence.values)
def test_where_nothing_happened_each_part_says_so(cadence: str) -> None:
    for key, section in built(cadence).sections.items():
        assert section.said or section.rows, key


# --- The page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def alice(client: Client) -> Client:
    """A responder who may read logs."""
    user = User.objects.create_user("alice")
    names = ["view_incident", "respond_incident", "read_records"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


def test_a_report_is_read_and_its_parts_are_ticked_off(alice: Client) -> None:
    made.incident("<b>left</b>", opened_at=day(-400))
    page = alice.get("/reports/weekly/?day=2025-11-19").content.decode()
    assert "Week 2025-11-17 to 2025-11-23" in page
    assert "&lt;b&gt;left&lt;/b&gt;" in page
    assert "0 of 6 looked at" in page
    assert 'href="/reports/weekly/?day=2025-11-10"' in page

    data = {"day": "2025-11-17", "section": "errors", "done": "1"}
    answer = alice.post("/reports/weekly/tick/", data)
    assert (answer.status_code, answer["Location"]) == (302, "/reports/weekly/?day=2025-11-17#errors")
    alice.post("/reports/weekly/tick/", {**data, "section": "sla"})
    page = alice.get("/reports/weekly/?day=2025-11-23").content.decode()
    assert "2 of 6 looked at" in page
    assert "looked at by <bdi>alice</bdi>" in page
    assert Review.objects.get().ticks["errors"]["by"] == "alice"

    alice.post("/reports/weekly/tick/", {"day": "2025-11-17", "section": "sla"})
    assert list(Review.objects.get().ticks) == ["errors"]


@pytest.mark.parametrize("cadence", Cadence.values)
def test_without_a_day_it_is_the_last_one_that_is_over(alice: Client, cadence: str) -> None:
    assert alice.get(f"/reports/{cadence}/").status_code == 200


def test_what_doesnt_fit_is_said(alice: Client) -> None:
    answer = alice.get("/reports/daily/?day=yesterday")
    assert answer.status_code == 400
    assert "Expected a day that has been, like" in answer.content.decode()
    assert alice.get("/reports/daily/?day=9998-01-01").status_code == 400
    assert alice.get("/reports/hourly/").status_code == 404
    assert alice.post("/reports/daily/tick/", {"day": "2025-11-17", "section": "x"}).status_code == 400
    assert alice.post("/reports/daily/").status_code == 405
    assert alice.get("/reports/daily/tick/").status_code == 405


def test_who_may_look_on_ticks_nothing_and_others_see_nothing(client: Client) -> None:
    assert client.get("/reports/weekly/").status_code == 302
    bob = User.objects.create_user("bob")
    client.force_login(bob)
    assert client.get("/reports/weekly/").status_code == 403
    bob.user_permissions.add(Permission.objects.get(codename="view_incident"))
    page = client.get("/reports/weekly/").content.decode()
    assert "Looked at</button>" not in page
    assert "Error rates" not in page
    assert client.post("/reports/weekly/tick/", {"day": "2025-11-17", "section": "sla"}).status_code == 403
    assert not Review.objects.exists()


# --- By mail ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def digest() -> Digest:
    Digest.objects.all().delete()
    receiver = Receiver.objects.create(name="team")
    made.channel("team", "email", options={"to": ["team@example.org"]})
    return Digest.objects.create(receiver=receiver, cadence="weekly", hour=8, zone="Europe/Berlin")


def test_the_week_s_report_comes_on_monday_morning_once(digest: Digest, settings: Any) -> None:
    settings.EXTERNAL_URL = "https://pharos.example"
    made.incident("WorkerDown · worker", opened_at=day(1))
    assert digests.run_due(day(2)) == 0  # it gets its time
    digest.refresh_from_db()
    due = datetime(2026, 11, 23, 8, tzinfo=BERLIN)
    assert digest.due_at == clock.micros(due)
    assert digests.run_due(due - timedelta(seconds=1)) == 0
    assert digests.run_due(due) == 1
    assert digests.run_due(due) == 0
    digest.refresh_from_db()
    assert digest.due_at == clock.micros(due + timedelta(days=7))

    said = msgspec.convert(Delivery.objects.get(reason="digest").notification, Notification)
    assert said.title == "Pharos: Week 2026-11-16 to 2026-11-22"
    assert "WorkerDown · worker: severity high, status open" in said.text
    assert said.text.endswith("https://pharos.example/reports/weekly/?day=2026-11-16")
    parts = notifier("email").preview(said, Target(Options(to=["team@example.org"]), None))
    assert "Pharos: Week 2026-11-16 to 2026-11-22" in parts["subject"]
    for part in ("text", "html"):
        assert "Noisiest rules" in parts[part]
        assert "WorkerDown · worker" in parts[part]


@pytest.mark.parametrize(
    ("cadence", "times"),
    [
        ("daily", ["2026-11-18 08:00", "2026-11-19 08:00"]),
        ("weekly", ["2026-11-23 08:00", "2026-11-30 08:00"]),
        ("monthly", ["2026-12-01 08:00", "2027-01-01 08:00"]),
    ],
)
def test_a_digest_comes_at_its_hour_after_each_period(digest: Digest, cadence: str, times: list[str]) -> None:
    digest.cadence = cadence
    first = digests.next_at(digest, datetime(2026, 11, 17, 8, tzinfo=BERLIN))
    assert [f"{at:%Y-%m-%d %H:%M}" for at in (first, digests.next_at(digest, first))] == times


def test_one_that_was_missed_comes_late_and_only_the_last(digest: Digest) -> None:
    Digest.objects.update(due_at=clock.micros(day(-14)))
    assert digests.run_due(day(1)) == 1
    assert Delivery.objects.get().notification["title"] == "Pharos: Week 2026-11-09 to 2026-11-15"


def test_one_that_cant_be_made_is_tried_again(digest: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
    Digest.objects.update(due_at=clock.micros(day(0)))

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError("no disk")

    with monkeypatch.context() as patch:
        patch.setattr(reports, "build", fails)
        assert digests.run_due(day(1)) == 0
    assert digests.run_due(day(1) + timedelta(minutes=9)) == 0
    assert digests.run_due(day(1) + timedelta(minutes=10)) == 1


def test_in_the_admin_a_digest_gets_a_new_time_when_it_is_changed(digest: Digest, admin_client: Client) -> None:
    Digest.objects.update(due_at=1)
    data = {"cadence": "daily", "receiver": digest.receiver_id, "hour": 7, "zone": "UTC", "enabled": "on"}
    assert admin_client.post(f"/admin/alerts/digest/{digest.pk}/change/", data).status_code == 302
    digest.refresh_from_db()
    assert (digest.hour, digest.due_at) == (7, 0)
    answer = admin_client.post(f"/admin/alerts/digest/{digest.pk}/change/", {**data, "zone": "Mars"})
    assert answer.status_code == 200
    assert b"Mars" in answer.content
    assert admin_client.get("/admin/alerts/digest/").status_code == 200


def test_the_first_policy_sends_the_week_s_report_by_mail() -> None:
    assert [str(each) for each in Digest.objects.all()] == ["weekly to E-mail"]
