"""`/trail/`: who may see it, what it finds, and its export."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone

from accounts.trail import export, finding, recording
from accounts.trail.finding import Wanted

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor(client: Client) -> User:
    auditor = User.objects.create_user("auditor")
    auditor.user_permissions.add(Permission.objects.get(codename="view_logentry", content_type__app_label="auditlog"))
    client.force_login(auditor, backend="django.contrib.auth.backends.ModelBackend")
    LogEntry.objects.all().delete()
    return auditor


def group(name: str) -> Group:
    return Group.objects.create(name=name)


def things(answer: Any) -> list[str]:
    return [row.thing for row in answer.context["rows"]]


def test_it_is_for_those_who_may_see_it(client: Client) -> None:
    assert client.get("/trail/").headers["Location"] == "/login/?next=/trail/"
    client.force_login(User.objects.create_user("anna"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/trail/").status_code == 403
    assert client.get("/trail/export").status_code == 403


@pytest.mark.usefixtures("auditor")
def test_a_change_is_shown_with_before_and_after(client: Client) -> None:
    made = group("night shift")
    made.name = "<b>day shift</b>"
    made.save()
    page = client.get("/trail/").content.decode()
    assert "<del>night shift</del>" in page
    assert "<ins>&lt;b&gt;day shift&lt;/b&gt;</ins>" in page
    assert f'href="/admin/auth/group/{made.pk}/change/"' in page


@pytest.mark.usefixtures("auditor")
def test_filters_narrow_it(client: Client) -> None:
    first, user = group("first"), User.objects.create_user("bob")
    first.delete()
    recording.event("sign_in_failed", User, "mallory")
    LogEntry.objects.filter(object_repr="bob").update(timestamp=timezone.now() - timedelta(days=3))
    for query, expected in (
        ("", ["mallory", "first", "bob", "first"]),
        ("?kind=auth.user", ["mallory", "bob"]),
        (f"?kind=auth.user&thing={user.pk}", ["bob"]),
        ("?action=delete", ["first"]),
        ("?action=sign_in_failed", ["mallory"]),
        ("?from=-24h", ["mallory", "first", "first"]),
        ("?q=MALL", ["mallory"]),
        ("?q=run+by", ["mallory", "first", "bob", "first"]),
        ("?who=bob", []),
    ):
        assert things(client.get(f"/trail/{query}")) == expected, query


@pytest.mark.usefixtures("auditor")
@pytest.mark.parametrize("query", ["?action=dance", "?kind=x", "?from=tomorrow", "?before=x"])
def test_what_cannot_be_used_is_named(client: Client, query: str) -> None:
    answer = client.get(f"/trail/{query}")
    assert answer.status_code == 400
    assert f"{query[1:].partition('=')[0]}: expected" in answer.content.decode().replace("&#x27;", "'")


@pytest.mark.usefixtures("auditor")
def test_older_entries_are_a_link_away_with_the_same_filters(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.trail.views.PAGE", 2)
    for number in range(5):
        group(f"g{number}")
    shown, address = [], "kind=auth.group"
    while address:
        answer = client.get(f"/trail/?{address}")
        shown += things(answer)
        address = answer.context["older"]
    assert shown == ["g4", "g3", "g2", "g1", "g0"]


def test_the_history_in_the_admin_leads_to_it(client: Client, admin_user: User) -> None:
    client.force_login(admin_user, backend="django.contrib.auth.backends.ModelBackend")
    made = group("x")
    page = client.get(f"/admin/auth/group/{made.pk}/history/").content.decode()
    assert f"/trail/?kind=auth.group&amp;thing={made.pk}" in page


@pytest.mark.usefixtures("auditor")
def test_an_export_is_an_entry_itself(client: Client) -> None:
    assert client.get("/trail/export?format=ndjson&kind=auth.group").status_code == 200
    entry = LogEntry.objects.get()
    assert entry.additional_data | {"event": "trail_export", "by": "auditor"} == entry.additional_data
    assert client.get("/trail/export?format=xml").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_the_files_have_everything_and_no_formula_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.trail.export.PAGE", 2)
    LogEntry.objects.all().delete()
    for name in ("a", "b", "=cmd()"):
        group(name)
    rows = list(csv.DictReader(io.StringIO(_file("csv"))))
    assert [row["thing"] for row in rows] == ["'=cmd()", "b", "a"]
    assert rows[0].keys() == set(export.COLUMNS)
    found = [json.loads(line) for line in _file("ndjson").splitlines()]
    assert [row["thing"] for row in found] == ["=cmd()", "b", "a"]
    assert found[0]["changes"]["name"] == ["None", "=cmd()"]


@async_to_sync
async def _file(name: str) -> str:
    parts = [part async for part in export.parts(Wanted(), export.FORMATS[name])]
    return b"".join(parts).decode()


def test_parameters_are_bounded() -> None:
    from django.http import QueryDict

    assert len(finding.parse(QueryDict(f"q={'x' * 5_000}"), 0).text) == finding.TEXT_MAX
