"""Services as files: what is exported comes back as it was, what is wrong is told with its line, nothing by halves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services import transfer
from services.models import Check, Dependency, Service
from services.transfer import entries

pytestmark = pytest.mark.django_db

DATABASE = """
version: 1
services:
  - name: database
    category: database
    checks:
      - {name: login, kind: postgres, target: postgres://pharos@db:5432/shop, secrets: [password]}
  - name: api
    owner: no
    labels: {team: payments, since: 2026-11-21}
    needs: [database]
    checks:
      - name: readiness
        role: readiness
        kind: http
        target: https://api.example.org/health
        interval: 10
        options: {expected: [200, "300-399"], verify: false}
"""


def plan_of(text: str, name: str = "") -> transfer.Plan:
    return transfer.make_plan(transfer.read(text.encode(), name))


def bring(text: str, name: str = "") -> transfer.Plan:
    return transfer.carry_out(transfer.read(text.encode(), name))


def everything() -> list[Any]:
    return list(entries.stored())


def problems(text: str, name: str = "") -> list[str]:
    return [str(problem) for problem in plan_of(text, name).problems]


# --- There and back --------------------------------------------------------------------------------------------------


def test_a_file_is_imported_whole() -> None:
    plan = bring(DATABASE)
    assert plan.counts == {"make": 4, "change": 0, "leave": 0}
    assert plan.missing == ["database · login: password"]
    api = Service.objects.get(name="api")
    # YAML would make false and a date of these.
    assert (api.owner, api.labels) == ("no", {"team": "payments", "since": "2026-11-21"})
    assert [parent.name for parent in api.parents.all()] == ["database"]
    check = api.checks.get()
    assert (check.role, check.interval, check.target) == ("readiness", 10, "https://api.example.org/health")
    assert check.options == {"expected": [200, "300-399"], "verify": False}


@pytest.mark.parametrize("kind", ["yaml", "csv"])
def test_a_second_import_changes_nothing(kind: str) -> None:
    bring(DATABASE)
    again = bring(transfer.write(kind), f"x.{kind}")
    assert again.counts == {"make": 0, "change": 0, "leave": 4}
    assert again.missing == []


@pytest.mark.parametrize("kind", ["yaml", "csv"])
def test_secrets_are_named_and_never_written(kind: str) -> None:
    bring(DATABASE)
    Check.objects.filter(name="login").update(secrets={"password": "hunter2secret"})
    text = transfer.write(kind)
    assert "hunter2secret" not in text
    assert "password" in text
    Service.objects.all().delete()
    assert bring(text, f"x.{kind}").missing == ["database · login: password"]


def test_a_file_may_bring_secrets_and_what_is_shown_does_not_tell_them() -> None:
    text = DATABASE.replace("secrets: [password]", "secrets: {password: hunter2secret}")
    plan = bring(text)
    assert Check.objects.get(name="login").secrets == {"password": "hunter2secret"}
    assert "hunter2secret" not in repr(plan.rows) + repr(plan.missing)
    assert bring(text).counts["change"] == 0
    # Who only names them leaves them.
    bring(DATABASE)
    assert Check.objects.get(name="login").secrets == {"password": "hunter2secret"}


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=30)
LETTERS = st.characters(exclude_categories=["Cs", "C", "Z"], include_characters=" ")
NAMES = st.text(LETTERS, min_size=1, max_size=30).filter(lambda name: name == name.strip() and name.isprintable())
LABELS = st.dictionaries(NAMES, TEXT, max_size=4)
SERVICES = st.lists(
    st.tuples(NAMES, LABELS, TEXT, st.lists(NAMES, unique=True, max_size=3)),
    max_size=4,
    unique_by=lambda each: each[0],
)


@pytest.mark.parametrize("kind", ["yaml", "csv"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(services=SERVICES, value=TEXT)
def test_export_into_an_empty_installation_is_equal(kind: str, services: list[Any], value: str) -> None:
    Service.objects.all().delete()
    made = []
    for name, labels, text, checks in services:
        service = Service.objects.create(name=name, labels=labels, description=text, owner=text[:10], sla_target="99.5")
        for check in checks:
            Check.objects.create(
                service=service, name=check, target="https://x.org/", interval=2.5, slow_ms=None,
                options={"keyword": value, "headers": {"X-A": "b"}},
            )  # fmt: skip
        made.append(service)
    for child, parent in zip(made[1:], made, strict=False):
        Dependency.objects.create(child=child, parent=parent)
    before, text = everything(), transfer.write(kind)
    Service.objects.all().delete()
    plan = bring(text, f"x.{kind}") if before or kind == "yaml" else None
    assert everything() == before
    assert plan is None or plan.counts["change"] == 0
    assert transfer.write(kind) == text


def test_cells_that_a_spreadsheet_would_run_are_made_harmless() -> None:
    Service.objects.create(name="=1+1", owner="@boss", description="'quoted")
    text = transfer.write("csv")
    assert "'=1+1,other,''quoted,'@boss" in text
    Service.objects.all().delete()
    bring(text)
    service = Service.objects.get()
    assert (service.name, service.owner, service.description) == ("=1+1", "@boss", "'quoted")


def test_a_spreadsheet_with_semicolons_and_a_mark_is_read() -> None:
    bring("\ufeffService;owner;check;kind;target;interval\r\nshop;ann;page;http;https://shop.example.org/;30\r\n")
    assert Check.objects.get(service__name="shop").interval == 30
    assert Service.objects.get().owner == "ann"


# --- What is changed, and what is left -------------------------------------------------------------------------------


def test_what_a_file_does_not_mention_stays() -> None:
    bring(DATABASE)
    plan = bring("services: [{name: api, owner: ann}]")
    api = Service.objects.get(name="api")
    assert [(row.verb, row.details) for row in plan.rows] == [("change", ("owner: no → ann",))]
    assert api.labels
    assert api.parents.exists()
    assert api.checks.exists()
    assert Service.objects.count() == 2


def test_a_look_changes_nothing() -> None:
    plan = plan_of(DATABASE)
    assert plan.counts["make"] == 4
    assert not Service.objects.exists()


def test_one_error_and_nothing_is_imported() -> None:
    document = transfer.read(DATABASE.replace("interval: 10", "interval: 0").encode())
    with pytest.raises(transfer.Refused, match="line 13: interval: "):
        transfer.carry_out(document)
    assert not Service.objects.exists()


def test_a_check_that_goes_to_another_server_loses_its_secrets() -> None:
    bring(DATABASE.replace("secrets: [password]", "secrets: {password: hunter2secret}"))
    plan = bring("services: [{name: database, checks: [{name: login, target: 'postgres://pharos@evil:5432/shop'}]}]")
    assert Check.objects.get(name="login").secrets == {}
    assert plan.missing == ["database · login: password"]


def test_pausing_is_in_the_file_and_shows_at_once() -> None:
    bring(DATABASE)
    bring("services: [{name: api, paused: true}]")
    assert Service.objects.get(name="api").status == "paused"
    assert bring("services: [{name: api, paused: true}]").counts["change"] == 0
    bring("services: [{name: api, paused: false}]")
    assert Service.objects.get(name="api").status == "unknown"


def test_changed_checks_are_due_and_others_are_left_alone() -> None:
    bring(DATABASE)
    Check.objects.update(due_at=10**18, claim="somebody")
    bring("services: [{name: api, checks: [{name: readiness, interval: 20}]}]")
    assert dict(Check.objects.values_list("name", "due_at")) == {"readiness": 0, "login": 10**18}
    assert Check.objects.get(name="readiness").claim == ""


# --- What is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("services: [", "line 1: expected YAML"),
        ("services:\n  - name: a\n    nmae: b", "line 3: expected one of category, checks"),
        ("services:\n  - owner: ann", "line 2: expected a name"),
        ("services:\n  - name: a\n  - name: a", "line 3: 'a' is in line 2 already"),
        ("services:\n  - name: a\n    name: b", "line 3: 'name' is there twice"),
        ("services:\n  - name: a\n    paused: perhaps", "line 3: paused: expected true or false, got 'perhaps'"),
        ("services:\n  - name: a\n    category: spaceship", "line 2: category: "),
        ("services:\n  - name: a\n    needs: [b]", "line 2: needs: there is no service 'b'"),
        ("services:\n  - {name: a, needs: [b]}\n  - {name: b, needs: [a]}", "circle: "),
        ("services:\n  - {name: a, needs: [a]}", "line 2: a can't need itself"),
        ("services:\n  - name: a\n    checks: [{name: c, kind: telepathy}]", "line 3: kind: "),
        ("services:\n  - name: a\n    checks: [{name: c, target: ftp://x}]", "line 3: target: "),
        ("services:\n  - name: a\n    checks: [{name: c, target: https://x, options: {nope: 1}}]", "line 3: options: "),
        ("services:\n  - name: a\n    checks: [{name: c, target: https://x},\n      {name: c}]", "line 4: 'a' has"),
        ("services:\n  - name: a\n    checks: [{name: c, target: 'https://u:p@x/'}]", "line 3: target: A password"),
        ("a: &a [x]\nservices: *a", "line 1: expected no anchors"),
        ("services: !!python/object/apply:os.system [id]", "expected"),
        ("services: [{name: a, checks: [{name: c, options: {keyword: !!binary aGk=}}]}]", "line 1: expected a text"),
        ("version: 2\nservices: []", "line 1: expected version 1"),
        ("[" * 30 + "]" * 30, "line 1: expected at most 20 levels"),
        ("services: [{name: \"a\\0b\"}]", "line 1: expected text, but there is a control"),
        ("services: {}", "line 1: expected services as a list"),
        ("just text", "line 1: expected a mapping with services"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_yaml_is_told_with_its_line(text: str, expected: str) -> None:
    found = problems(text, "x.yaml")
    assert any(expected in each for each in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("name,owner\na,b", "line 1: expected a first row with some of service"),
        ("service,service\na,b", "line 1: expected a first row"),
        ("service,interval,check\na,fast,c", "line 2: interval: expected a number, got 'fast'"),
        ("service,owner\na,b,c", "line 2: expected 2 cells as in the first row, got 3"),
        ("service,owner,check\na,x,c\na,y,d", "line 3: expected the same about 'a' as in line 2"),
        ("service,check,target\n\na,,https://x", "line 3: expected the name of the check"),
        ("service,labels\na,team", "line 2: labels: expected name=value"),
        ("service,options,check\na,{,c", "line 2: options: expected JSON"),
        ('service,owner\na,"b\nc\nd,e', "line 2: expected CSV"),
        ("service,check\na,c\na,c", "line 3: 'a' has a check 'c' in line 2 already"),
    ],
)
def test_what_is_wrong_in_csv_is_told_with_its_line(text: str, expected: str) -> None:
    found = problems(text, "x.csv")
    assert any(expected in each for each in found), found


def test_hostile_files_are_refused_quickly() -> None:
    assert "at most" in str(transfer.read(b"x" * (transfer.FILE_MAX + 1)).problems[0])
    assert "UTF-8" in str(transfer.read(b"services:\n  - \xff").problems[0])
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    )
    assert "anchors" in problems(laughs)[0]
    assert len(problems("services:\n" + "  - {name: a, paused: x}\n" * 5_000, "x.yaml")) <= entries.PROBLEMS_MAX


# --- Commands --------------------------------------------------------------------------------------------------------


def test_commands_show_first_and_then_do(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text(DATABASE)
    out = io.StringIO()
    call_command("services_import", str(file), stdout=out)
    assert "Nothing was changed yet: 4 to make" in out.getvalue()
    assert not Service.objects.exists()
    call_command("services_import", str(file), "--apply", stdout=out)
    assert "Enter in the admin: database · login: password" in out.getvalue()
    target = tmp_path / "out.csv"
    call_command("services_export", str(target))
    assert target.read_text(encoding="utf-8").startswith("service,category")
    printed = io.StringIO()
    call_command("services_export", stdout=printed)
    assert printed.getvalue() == transfer.write("yaml")


def test_commands_say_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text("services: [{owner: x}]")
    with pytest.raises(CommandError, match="line 1: expected a name"):
        call_command("services_import", str(file), "--apply")
    with pytest.raises(CommandError, match="can't be read"):
        call_command("services_import", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="can't be written"):
        call_command("services_export", str(tmp_path / "none" / "x.yaml"))


def test_an_import_is_in_the_history_of_what_it_touched() -> None:
    ann = User.objects.create_user("ann")
    transfer.carry_out(transfer.read(DATABASE.encode()), by=ann)
    from django.contrib.admin.models import LogEntry

    assert sorted(LogEntry.objects.values_list("object_repr", flat=True)) == ["api", "database"]


def test_many_services_are_few_statements(django_assert_max_num_queries: Any) -> None:
    text = "services:\n" + "".join(
        f"  - {{name: s{n}, checks: [{{name: c, target: 'https://s{n}.example.org/'}}]}}\n" for n in range(300)
    )
    # One for each first verdict, and some.
    with django_assert_max_num_queries(300 + 40):
        bring(text)
    assert Check.objects.count() == 300
