"""Rules that come with Pharos."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection

from alerts import packs
from alerts.conditions import condition, fitted
from alerts.models import AlertRule
from alerts.packs import Shipped
from alerts.runbook import runbook
from services.models.watched import Category
from tests.alerts import made

pytestmark = pytest.mark.django_db

RUNBOOKS: Path = settings.BASE_DIR / "docs" / "runbooks"


def test_a_migration_installs_them() -> None:
    migration = import_module("alerts.migrations.0002_first_rows")
    migration.packs(apps, SimpleNamespace(connection=connection))
    assert AlertRule.objects.count() == len(packs.shipped()) == 28
    for rule in AlertRule.objects.all():
        rule.full_clean()


@pytest.mark.parametrize("rule", packs.shipped(), ids=lambda rule: rule.key)
def test_each_has_a_runbook_with_all_parts(rule: Shipped) -> None:
    row = AlertRule(name=rule.name, **rule.values)
    book = runbook(row, ())
    assert [part.title for part in book.parts] == [
        "What it means", "Impact", "Diagnosis", "Resolution", "Escalation"
    ]  # fmt: skip
    assert len(book.steps) >= 4
    assert not any(".md" in text for text in packs.runbook(rule.key).values())
    assert (RUNBOOKS / f"{rule.key}.md").read_text().startswith(f"# {rule.name}\n")


def test_each_runbook_belongs_to_a_rule() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule.key for rule in packs.shipped()}


def test_each_category_of_services_is_watched() -> None:
    down = [each for each in packs.shipped() if each.values["kind"] == "service_down"]
    watched = [category for each in down for category in each.values["config"]["categories"]]
    assert sorted(watched) == sorted({*Category} - {Category.JOB})  # whose heartbeats are


def test_what_people_changed_stays_until_it_is_restored() -> None:
    packs.install()
    assert packs.restore() == packs.install() == 0
    AlertRule.objects.filter(pack_key="service-down").update(pending_for=600, enabled=False, name="Mine")
    AlertRule.objects.get(pack_key="redis-down").receivers.add(made.channel().receiver)
    AlertRule.objects.get(pack_key="sso-down").delete()
    assert packs.install(keys=["service-down"]) == 0
    assert packs.restore(["service-down"]) == 1
    rule = AlertRule.objects.get(pack_key="service-down")
    assert (rule.name, rule.pending_for, rule.enabled) == ("ServiceDown", 120, True)
    assert packs.restore() == 2
    assert not AlertRule.objects.get(pack_key="redis-down").receivers.exists()
    assert AlertRule.objects.filter(pack_key="sso-down").exists()
    assert packs.restore() == 0


def test_a_name_that_somebody_has_taken_stays_his() -> None:
    mine = made.rule("ServiceDown")
    assert packs.install() == len(packs.shipped()) - 1
    mine.delete()
    assert packs.install() == 1
    AlertRule.objects.filter(pack_key="service-down").update(name="Other")
    made.rule("ServiceDown")
    assert packs.restore() == 0


@pytest.mark.parametrize("rule", packs.shipped(), ids=lambda rule: rule.key)
def test_each_condition_is_told_in_words(rule: Shipped) -> None:
    kind = rule.values["kind"]
    assert condition(kind).describe(fitted(kind, rule.values.get("config", {})))
