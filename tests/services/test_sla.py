"""The SLA report."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from services import sla
from services.models import MaintenanceWindow, Service, StatusChange
from services.sla import Period, ReportError

PAGE = "/services/sla/"
OCTOBER = {"month": "2026-10"}
START = datetime(2026, 10, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))


@pytest.fixture
def alice() -> Client:
    """May look at services."""
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="view_service"))
    client = Client()
    client.force_login(user)
    return client


def service(name: str, *down: tuple[float, float], **values: Any) -> Service:
    """Up since September but for those hours of October."""
    found = Service.objects.create(name=name, **values)
    changes = [(-24.0, "healthy")]
    for start, end in down:
        changes += [(start, "down"), (end, "healthy")]
    for at, new in changes:
        StatusChange.objects.create(service=found, at=START + timedelta(hours=at), old="unknown", new=new)
    return found


def names(client: Client, **query: str) -> list[str]:
    return [row.name for row in client.get(PAGE, {**OCTOBER, **query}).context["report"].rows]


# --- The arithmetic --------------------------------------------------------------------------------------------------


def october() -> Period:
    return sla.month(date(2026, 10, 21), UTC)


def test_a_month_of_a_service() -> None:
    api = service("api", (10, 11), (20, 20.5))
    window = MaintenanceWindow.objects.create(
        name="work", starts_at=START + timedelta(hours=20), ends_at=START + timedelta(hours=44)
    )
    window.services.add(api)

    (row,) = sla.report(october(), timezone.now()).rows

    assert row.found.counted == timedelta(hours=31 * 24 - 24)
    assert (row.found.down, row.found.maintenance) == (timedelta(hours=1), timedelta(hours=24))
    assert row.found.uptime_text == "99.861"
    assert (row.met, row.found.budget) == (False, timedelta(hours=0.72))


def test_services_with_a_label_are_added_up() -> None:
    service("api", (10, 20), labels={"team": "a"}, sla_target=99)
    service("web", labels={"team": "a"})
    service("db", labels={"team": "b"})
    service("other")

    a, b = sla.report(october(), timezone.now(), by="team").groups

    assert (a.name, a.services, a.met, b.services) == ("a", 2, 1, 1)
    assert a.found.uptime == pytest.approx(100 * (1 - 10 / (2 * 31 * 24)))
    assert a.found.target == Decimal("99.450")
    assert a.found.budget_left.total_seconds() == pytest.approx(3_600 * (31 * 24 * 0.011 - 10))


@pytest.mark.parametrize(
    ("values", "first", "last"),
    [
        ({}, "2026-11-01", "2026-11-30"),
        ({"month": "2026-02"}, "2026-02-01", "2026-02-28"),
        ({"month": "2025-12"}, "2025-12-01", "2025-12-31"),
        ({"from": "2026-03-05", "to": "2026-03-05", "month": "2026-02"}, "2026-03-05", "2026-03-05"),
    ],
)
def test_a_period_is_a_month_or_a_range_of_days(values: dict[str, str], first: str, last: str) -> None:
    found = sla.period(values, date(2026, 11, 21), UTC)

    assert (str(found.first), str(found.last)) == (first, last)
    assert found.end - found.start == timedelta(days=(found.last - found.first).days + 1)


@pytest.mark.parametrize(
    "values",
    [
        {"month": "2026-13"}, {"month": "0000-01"}, {"month": "9999-12"}, {"from": "2026-01-01"}, {"month": "2026-12"},
        {"from": "2026-02-01", "to": "2026-01-01"}, {"from": "2024-01-01", "to": "2026-01-01"}, {"month": "' OR 1=1"},
        {"from": "9999-12-31", "to": "9999-12-31"},
    ],
)  # fmt: skip
def test_a_period_that_makes_no_sense_is_refused(values: dict[str, str], alice: Client) -> None:
    with pytest.raises(ReportError, match="Expected"):
        sla.period(values, date(2026, 11, 21), UTC)

    answer = alice.get(PAGE, values)
    assert answer.status_code == 400
    assert "This month is shown instead" in answer.content.decode()
    assert alice.get(f"{PAGE}export", values).status_code == 400


# --- The page --------------------------------------------------------------------------------------------------------


def test_the_page_shows_each_service(alice: Client) -> None:
    service("api", (10, 11), (20, 22), owner="Ann", sla_target=100)
    service("<b>web</b>")
    page = alice.get(PAGE, OCTOBER).content.decode()

    assert "October 2026" in page
    assert "99.596 %" in page
    assert "1 h 30 min" in page  # MTTR
    assert "100 %" in page
    assert "&lt;b&gt;web&lt;/b&gt;" in page
    assert "1 of 2 services met their target" in page
    assert 'href="?month=2026-09"' in page


def test_a_page_without_services_says_so(alice: Client) -> None:
    assert "Nothing is watched yet" in alice.get(PAGE).content.decode()
    assert "No service has this label" in alice.get(PAGE, {"label": "team"}).content.decode()


def test_the_page_sorts_both_ways_and_filters_by_label(alice: Client) -> None:
    service("api", (10, 11), labels={"team": "a"})
    service("web", labels={"team": "b"})
    service("db", (1, 3))

    assert names(alice) == ["api", "db", "web"]
    assert names(alice, sort="uptime") == ["db", "api", "web"]
    assert names(alice, sort="-mttr") == ["db", "api", "web"]
    assert names(alice, sort="no such column") == ["api", "db", "web"]
    assert names(alice, label="team") == ["api", "web"]
    assert names(alice, label="team=b") == ["web"]


@pytest.mark.parametrize("sort", sla.SORTS)
def test_every_column_sorts_services_without_a_result_too(alice: Client, sort: str) -> None:
    service("api", (10, 11))
    Service.objects.create(name="new")

    assert set(names(alice, sort=sort, by="team")) == {"api", "new"}


def test_the_number_of_queries_is_constant(alice: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            alice.get(PAGE, OCTOBER)
        return len(captured)

    service("api", (10, 11), labels={"team": "a"})
    alice.get(PAGE)
    one = queries()
    for number in range(20):
        service(f"service {number}", (number, number + 1))

    assert queries() == one


@pytest.mark.parametrize("address", [PAGE, f"{PAGE}export"])
def test_who_may_see_it(client: Client, alice: Client, address: str) -> None:
    assert alice.get(address).status_code == 200
    assert alice.get(address).status_code == 200  # a second time
    assert alice.post(address).status_code == 405
    assert client.get(address)["Location"].startswith("/login/")
    client.force_login(User.objects.create_user("bob"))
    assert client.get(address).status_code == 403


def test_the_sidebar_leads_there(alice: Client) -> None:
    assert f'href="{PAGE}"' in alice.get(PAGE).content.decode()


# --- The file --------------------------------------------------------------------------------------------------------


def test_the_file_has_a_row_for_each_service_and_runs_nothing(alice: Client) -> None:
    service("=cmd()", (10, 11), owner="@Ann", labels={"-team": "a"}, sla_target="99.95")
    answer = alice.get(f"{PAGE}export", OCTOBER)

    assert answer["Content-Disposition"] == 'attachment; filename="pharos-sla_2026-10-01_2026-10-31.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (row["service"], row["owner"], row["labels"]) == ("'=cmd()", "'@Ann", "'-team=a")
    assert (row["uptime_percent"], row["target_percent"], row["meets_target"]) == ("99.865", "99.950", "no")
    assert (row["down_s"], row["outages"], row["mttr_s"], row["budget_left_s"]) == ("3600", "1", "3600", "-2261")
