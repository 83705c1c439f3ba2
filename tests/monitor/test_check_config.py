"""`manage.py check_config`: what can't work is named, with its row, or its file and line."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from alerts import packs, policy
from alerts.models import AlertRule, Route
from logs.models import Pipeline
from services.models import Check, Service
from tests.alerts import made

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


def told(*files: Path) -> tuple[int, list[str]]:
    out = StringIO()
    code = 0
    try:
        call_command("check_config", *map(str, files), stdout=out)
    except SystemExit as end:
        code = int(str(end.code))
    return code, out.getvalue().splitlines()


def test_what_comes_with_pharos_can_work() -> None:
    policy.install()
    packs.install()
    service = Service.objects.create(name="shop")
    Check.objects.create(service=service, kind="tcp", target="127.0.0.1:80")
    code, said = told()
    assert code == 0, said
    assert said[-1].endswith(" rows, 0 wrong.")
    assert "has no channel that is on" in said[0]  # a note


def test_rows_that_can_not_work_are_named() -> None:
    made.channel()
    rule = made.rule("Mine")
    AlertRule.objects.filter(pk=rule.pk).update(config={"colour": "red"})
    service = Service.objects.create(name="shop")
    Check.objects.create(service=service, kind="http", target="gopher://shop")
    code, said = told()
    assert code == 1
    assert any(line.startswith("alert rule Mine: config: ") for line in said), said
    assert any(line.startswith("check ") and "target: " in line for line in said), said


def test_without_a_route_nobody_is_told() -> None:
    Route.objects.all().delete()
    assert "routes: there is no first route: nobody is told of an alert" in told()[1]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_files_are_told_with_their_lines(tmp_path: Path) -> None:
    rules = write(
        tmp_path / "rules.yml",
        "groups:\n- name: g\n  rules:\n  - alert: A\n    condition: log_cuont\n    config: {}\n"
        "  - alert: B\n    expr: up == 0\n",
    )
    services = write(tmp_path / "services.yml", "version: 1\nservices:\n  - name: a\n    colour: red\n")
    manager = write(tmp_path / "alertmanager.yml", "route:\n  receiver: nobody\nreceivers: []\n")
    broken = write(tmp_path / "broken.yml", "groups:\n  - [\n")
    code, said = told(rules, services, manager, broken)
    assert code == 1
    for start in (f"{rules}:4: ", f"{rules}:7: ", f"{services}:4: ", f"{manager}: ", f"{broken}:"):
        assert any(line.startswith(start) for line in said), (start, said)
    assert said[-1].startswith("4 files, ")


def test_good_files_change_nothing(tmp_path: Path) -> None:
    policy.install()
    routes = Route.objects.count()
    manager = write(tmp_path / "alertmanager.yml", "route:\n  receiver: me\nreceivers:\n- name: me\n")
    services = write(tmp_path / "services.csv", "service\nshop\n")
    assert told(manager, services) == (0, ["2 files, 0 wrong."])
    assert Route.objects.count() == routes
    assert not Service.objects.exists()


def test_what_is_no_such_file(tmp_path: Path) -> None:
    other = write(tmp_path / "prometheus.yml", "scrape_configs: []\n")
    code, said = told(other, tmp_path / "missing.yml")
    assert code == 1
    assert said[0].startswith(f"{other}: expected a file with groups: (rules)")
    assert said[1] == f"{tmp_path / 'missing.yml'}: it can't be read: No such file or directory"


def test_a_row_that_breaks_its_own_check_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: object) -> None:
        raise RuntimeError("a mistake")

    Pipeline.objects.create(name="shop")
    monkeypatch.setattr(Pipeline, "clean", breaks)
    assert any("it can't be checked: RuntimeError: a mistake" in line for line in told()[1])
