"""First steps: who is led there, what the form writes, and what is said when the first line and check have come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core import clock
from logs import retention
from logs.models import LogSource, RetentionRule
from monitor import bootstrap, first_steps
from services.models import Check, CheckResult, DockerHost, Service
from services.status import Outcome
from tests.logs.test_connect import stored

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

ANSWERS = {"volume": "100000", "days": "90", "access": "login", "time_zone": "Asia/Tokyo"}


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture(autouse=True)
def _this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has Docker and log files; nothing is asked over the network."""
    (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(first_steps, "DOCKER", tmp_path / "docker.sock")
    monkeypatch.setattr(first_steps, "LOGS", tmp_path)
    monkeypatch.setattr(first_steps, "explore", lambda proposal: proposal)


def post(client: Client, **answers: str) -> Any:
    return client.post("/first-steps/", ANSWERS | answers, follow=True)


def test_the_first_sign_in_leads_there_once(client: Client) -> None:
    bootstrap.first_start()
    admin = User.objects.get()
    client.force_login(admin)
    assert client.get("/").headers["Location"] == "/first-steps/"
    assert client.get("/").status_code == 200
    client.logout()
    client.force_login(admin)
    assert client.get("/").status_code == 200


def test_others_are_not_led_there(admin: Client) -> None:
    answer = admin.get("/")
    assert answer.status_code == 200
    assert b'href="/first-steps/"' in answer.content  # of the empty state


def test_what_is_answered_is_written(admin: Client, tmp_path: Path) -> None:
    answer = post(admin, addresses="https://shop.example.org\ntcp://mail:25\n", docker="on", machine="on")
    assert answer.redirect_chain[0][0].startswith("/first-steps/begun/?since=")
    assert set(Service.objects.values_list("name", flat=True)) == {"shop", "mail"}
    assert Check.objects.filter(service__name="shop", kind="http", target="https://shop.example.org/").exists()
    assert DockerHost.objects.get().address == f"unix://{tmp_path}/docker.sock"
    assert set(LogSource.objects.values_list("kind", "name")) == {
        ("docker", f"unix://{tmp_path}/docker.sock"), ("files", f"{tmp_path}/*.log"),
    }  # fmt: skip
    rule = RetentionRule.objects.get()
    assert (rule.service, rule.days) == ("*", 90)
    assert retention.defaults([rule]).days == 90
    said = answer.content.decode()
    assert "The service shop is watched: page at https://shop.example.org/." in said
    assert "PHAROS_LOG_DISK_MAX_BYTES=" in said
    assert "PHAROS_ANONYMOUS_READ" not in said
    assert answer.wsgi_request.COOKIES["pharos_tz_chosen"] == "Asia/Tokyo"


def test_twice_makes_nothing_twice(admin: Client) -> None:
    post(admin, docker="on", machine="on")
    answer = post(admin, docker="on", machine="on")
    assert (DockerHost.objects.count(), LogSource.objects.count(), RetentionRule.objects.count()) == (1, 2, 1)
    assert "was there already" in answer.content.decode()


def test_a_wrong_address_is_said_and_nothing_is_written(admin: Client) -> None:
    answer = post(admin, addresses="https://shop.example.org\nftp://x", docker="on")
    assert answer.status_code == 400
    assert "Line 2: expected http, https, tcp, postgres or redis" in answer.content.decode()
    assert not Service.objects.exists()
    assert not DockerHost.objects.exists()


def test_much_for_everybody_needs_lines_in_the_environment(admin: Client) -> None:
    said = post(admin, volume="100000000", access="internal").content.decode()
    assert "PHAROS_LOG_STREAM_MAXLEN=70000" in said
    assert "PHAROS_ANONYMOUS_READ=1" in said


def test_it_waits_for_the_first_line_and_check(admin: Client) -> None:
    began = clock.now()
    address = f"/first-steps/waiting/?since={began}"
    check = Check.objects.create(service=Service.objects.create(name="shop"), target="https://shop.example.org/")
    said = admin.get(address).content.decode()
    assert "Waiting for the first line" in said
    assert "Waiting for the first check" in said
    assert f'hx-get="{address}"' in said

    stored("pharos-web", began)
    stored("demo", began + clock.SECOND)
    CheckResult.objects.create(service_check=check, at=began + 1, outcome=Outcome.UP)
    said = admin.get(address).content.decode()
    assert "The first line came at" in said
    assert "<bdi>demo</bdi>: <bdi>hello</bdi>" in said
    assert "The first check came at" in said
    assert "hx-get" not in said


@pytest.mark.parametrize("path", ["/first-steps/", "/first-steps/begun/", "/first-steps/waiting/"])
def test_it_is_for_those_who_may_add_services(client: Client, path: str) -> None:
    assert client.get(path).status_code == 302
    client.force_login(User.objects.create_user("alice"))
    assert client.get(path).status_code == 403
