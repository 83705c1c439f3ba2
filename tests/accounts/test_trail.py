"""What the audit trail gets to know."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import acting, key_use, keys
from accounts.models import ApiKey, Scope
from accounts.trail import recording, retention
from alerts.models import AlertRule, Channel, Receiver
from logs.models import RedactionRule
from monitor import followed
from services import statuses
from services.models import Check, Service

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    keys._known.clear()
    key_use.forget()


@pytest.fixture
def anna(client: Client) -> User:
    anna = User.objects.create_superuser("anna", "anna@example.org", "first password")
    client.force_login(anna, backend="django.contrib.auth.backends.ModelBackend")
    LogEntry.objects.all().delete()
    return anna


def entries(**facts: Any) -> list[LogEntry]:
    return list(LogEntry.objects.filter(**facts).order_by("pk"))


def events() -> list[str]:
    return [entry.additional_data["event"] for entry in entries(action=recording.EVENT)]


def test_every_model_with_a_screen_is_followed_or_named_as_one_that_machines_write() -> None:
    import monitor.urls  # noqa: F401 - it looks for the screens

    screens = {model._meta.label for model in admin.site._registry}
    missing = screens - {model._meta.label for model in auditlog.get_models()} - followed.NOT_FOLLOWED
    assert not missing
    assert {apps.get_model(label)._meta.label for label in followed.NOT_FOLLOWED} == followed.NOT_FOLLOWED


def test_a_change_in_the_admin_has_before_and_after_and_says_who_when_from_where(client: Client, anna: User) -> None:
    group = Group.objects.create(name="night shift")
    LogEntry.objects.all().delete()
    answer = client.post(
        reverse("admin:auth_group_change", args=[group.pk]), {"name": "day shift"}, REMOTE_ADDR="192.0.2.7"
    )
    assert answer.status_code == 302
    [entry] = entries()
    assert (entry.action, entry.changes) == (recording.UPDATE, {"name": ["night shift", "day shift"]})
    assert (entry.actor, entry.remote_addr) == (anna, "192.0.2.7")
    assert entry.additional_data == {"via": "admin", "by": "anna"}
    assert entry.cid == answer["X-Request-ID"]
    assert abs(entry.timestamp - timezone.now()) < timedelta(minutes=1)


def test_who_deletes_many_in_the_admin_leaves_an_entry_for_each(client: Client, anna: User) -> None:
    made = [Group.objects.create(name=name) for name in ("a", "b")]
    LogEntry.objects.all().delete()
    data = {"action": "delete_selected", "_selected_action": [each.pk for each in made], "post": "yes"}
    client.post(reverse("admin:auth_group_changelist"), data)
    assert {(each.action, each.object_repr, each.actor) for each in entries()} == {
        (recording.DELETE, "a", anna),
        (recording.DELETE, "b", anna),
    }


def test_an_action_that_writes_many_rows_at_once_leaves_an_entry_for_each_that_changes(
    client: Client, anna: User
) -> None:
    rules = [RedactionRule.objects.create(value=f"pin_{at}", enabled=bool(at)) for at in range(3)]
    LogEntry.objects.all().delete()
    data = {"action": "switch_off", "_selected_action": [rule.pk for rule in rules]}
    client.post(reverse("admin:logs_redactionrule_changelist"), data)
    assert [(each.object_id, each.changes) for each in entries()] == [
        (rules[1].pk, {"enabled": ["True", "False"]}),
        (rules[2].pk, {"enabled": ["True", "False"]}),
    ]
    assert not RedactionRule.objects.filter(value__startswith="pin_", enabled=True).exists()


def test_relations_to_many_are_changes_too(anna: User) -> None:
    rule = AlertRule.objects.create(name="errors", kind="logs.count")
    pager = Receiver.objects.create(name="pager")
    LogEntry.objects.all().delete()
    rule.receivers.set([pager])
    [entry] = entries()
    assert entry.changes == {"receivers": {"type": "m2m", "operation": "add", "objects": ["pager"]}}


def test_nothing_secret_is_told() -> None:
    anna = User.objects.create_user("anna", password="first password")
    anna.set_password("second password")
    anna.save()
    key, plain = keys.create("checkout", [Scope.INGEST])
    service = Service.objects.create(name="shop")
    check = Check.objects.create(
        service=service,
        target="https://joe:hunter2@shop/?token=sesame",
        secrets={"headers": "letmein"},  # type: ignore[misc]
    )
    check.secrets = {"headers": "opensesame"}
    check.save()
    receiver = Receiver.objects.create(name="team")
    Channel.objects.create(receiver=receiver, kind="slack", secrets={"url": "https://hooks.example/T0/B0/x9x9"})  # type: ignore[misc]
    told = json.dumps([[each.object_repr, each.changes, each.additional_data] for each in entries()])
    hidden = (
        anna.password,
        plain,
        key.hash,
        "first password",
        "second password",
        "hunter2",
        "sesame",
        "letmein",
        "x9x9",
    )
    assert [secret for secret in hidden if secret in told] == []
    # … but that it changed is told.
    assert {"secrets": ["•••", "•••"]} in [each.changes for each in entries(action=recording.UPDATE)]
    [made] = [each.changes for each in entries(object_repr="shop · health", action=recording.CREATE)]
    assert made["target"] == ["None", "https://joe:•••@shop/?token=•••"]


def test_long_values_are_cut() -> None:
    assert recording.without_secrets("x" * 5_000).endswith("… (1,000 more characters)")


def test_a_command_says_what_it_is_and_who_ran_it() -> None:
    Group.objects.create(name="made by hand")
    [entry] = entries()
    assert entry.additional_data["via"] == "command"
    assert ", run by " in entry.additional_data["by"]
    assert entry.actor is None


def test_what_a_key_changes_has_its_name(client: Client) -> None:
    _, plain = keys.create("deployments", [Scope.ADMIN])
    service = Service.objects.create(name="shop")
    LogEntry.objects.all().delete()
    address = reverse("api-service-pause", args=[service.pk])
    assert client.post(address, headers={"authorization": f"Bearer {plain}"}).status_code == 200
    [entry] = entries(action=recording.UPDATE)
    assert entry.changes == {"paused": ["False", "True"]}
    assert entry.additional_data == {"via": "key", "by": "deployments"}
    assert entry.remote_addr == "127.0.0.1"


def test_what_is_measured_leaves_no_entry() -> None:
    service = Service.objects.create(name="shop")
    check = Check.objects.create(service=service)
    LogEntry.objects.all().delete()
    check.latency_us, check.detail = 18, "fine"
    check.save(update_fields=["latency_us", "detail"])
    statuses.settle([service.pk], timezone.now())
    assert not entries()


# --- Coming and going -------------------------------------------------------------------------------------------------


def sign_in(name: str, password: str, address: str = "192.0.2.1") -> int:
    return Client(REMOTE_ADDR=address).post("/login/", {"username": name, "password": password}).status_code


def test_sign_ins_and_sign_outs_and_failures_are_entries(client: Client) -> None:
    anna = User.objects.create_user("anna", password="first password")
    LogEntry.objects.all().delete()
    sign_in("anna", "wrong")
    client.post("/login/", {"username": "anna", "password": "first password"}, REMOTE_ADDR="192.0.2.1")
    client.post("/logout/")
    assert events() == ["sign_in_failed", "sign_in", "sign_out"]
    failed, came, _ = entries(action=recording.EVENT)
    assert came.cid
    assert (failed.object_repr, failed.remote_addr, failed.actor) == ("anna", "192.0.2.1", None)
    assert (came.actor, came.object_id, came.remote_addr) == (anna, anna.pk, "192.0.2.1")


def test_a_sign_in_from_a_strange_address_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    User.objects.create_user("anna", password="first password")
    caplog.set_level(logging.INFO, "accounts.sign_in")
    for address in ("192.0.2.1", "192.0.2.1", "198.51.100.9"):
        sign_in("anna", "first password", address)
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert warnings == ["anna signed in from 198.51.100.9, where this user never signed in before"]


def test_many_failures_are_said_once_and_fill_no_table(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.signals.MANY", 3)
    monkeypatch.setattr("accounts.signals.RECORDED_MAX", 4)
    caplog.set_level(logging.WARNING, "accounts.sign_in")
    for number in range(5):
        sign_in("root", f"guess {number}")
    assert events() == ["sign_in_failed"] * 4
    said = [each.getMessage() for each in caplog.records]
    assert said.count("3 sign-ins as root failed within 10 minutes") == 1
    assert said.count("3 sign-ins from 192.0.2.1 failed within 10 minutes") == 1


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_told_at_its_first_use_and_for_each_new_address(client: Client) -> None:
    _, plain = keys.create("tools", [Scope.READ])
    LogEntry.objects.all().delete()
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        client.get("/api/services", headers={"authorization": f"Bearer {plain}"}, REMOTE_ADDR=address)
    assert [(each.additional_data["event"], each.remote_addr) for each in entries()] == [
        ("key_used", "192.0.2.1"),
        ("key_used", "192.0.2.2"),
    ]
    key_use.forget()  # another process
    client.get("/api/services", headers={"authorization": f"Bearer {plain}"}, REMOTE_ADDR="192.0.2.2")
    assert len(entries()) == 2


def test_a_refused_key_is_told_once_an_hour_with_why_and_without_the_key(client: Client) -> None:
    key, plain = keys.create("tools", [Scope.INGEST])
    keys.revoke(key)
    LogEntry.objects.all().delete()
    for text in ("not a key", "not a key", plain):
        client.get("/api/services", headers={"authorization": f"Bearer {text}"})
    assert [each.additional_data["why"] for each in entries()] == ["unknown", "revoked"]
    assert "not a key" not in json.dumps([each.additional_data for each in entries()])
    assert entries()[1].object_repr == str(ApiKey.objects.get())


# --- What leaves, and what goes --------------------------------------------------------------------------------------


def test_an_export_of_logs_is_an_entry(client: Client, anna: User) -> None:
    answer = client.get("/logs/export", {"q": "level:error", "format": "csv", "from": "-1h"})
    assert answer.status_code == 200
    [entry] = entries(action=recording.EVENT)
    assert entry.actor == anna
    assert entry.additional_data | {"event": "log_export", "format": "csv"} == entry.additional_data
    assert "level%3Aerror" in entry.additional_data["view"]


def test_data_that_is_loaded_is_one_entry(tmp_path: Path) -> None:
    rows = [{"model": "auth.group", "pk": pk, "fields": {"name": f"group {pk}"}} for pk in (901, 902)]
    (tmp_path / "groups.json").write_text(json.dumps(rows))
    call_command("loaddata", tmp_path / "groups.json", verbosity=0)
    assert Group.objects.filter(pk__gt=900).count() == 2
    [entry] = entries()
    assert (entry.additional_data["event"], entry.additional_data["rows"]) == ("data_loaded", 2)
    assert entry.additional_data["files"].endswith("groups.json")


def test_what_happens_all_day_is_one_entry_that_counts() -> None:
    for lines in (2, 3):
        recording.count("logs_deleted", RedactionRule, "log lines", "lines", lines)
    assert [each.additional_data["lines"] for each in entries()] == [5]


def test_old_entries_go(settings: Any) -> None:
    settings.AUDIT_RETENTION_DAYS = 30
    Group.objects.create(name="old")
    LogEntry.objects.update(timestamp=timezone.now() - timedelta(days=31))
    Group.objects.create(name="new")
    assert retention.prune(timezone.now()) == 1
    assert [each.object_repr for each in entries()] == ["new"]


def test_an_address_that_is_none_is_left_out() -> None:
    with acting.acting(acting.Actor("page", "anna", acting.known_address("/run/socket"))):
        Group.objects.create(name="x")
    assert entries()[0].remote_addr is None
