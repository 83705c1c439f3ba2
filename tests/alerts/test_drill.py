"""`manage.py alert_test`: every rule fires, and its messages come."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from alerts import conditions, packs, policy
from alerts.drill import Drilled, drill
from alerts.models import Alert, AlertRule, Delivery, Incident
from tests.alerts import made

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _policy() -> None:
    policy.install()


def drilled(**fields: object) -> Drilled:
    rule = AlertRule(**{"name": "Mine", "kind": "service_down", **fields})
    rule.save()
    (found,) = drill([rule], timezone.now())
    return found


def table(*arguments: str) -> str:
    out = StringIO()
    call_command("alert_test", *arguments, stdout=out)
    return out.getvalue()


def test_each_rule_that_comes_with_pharos_fires_and_is_told() -> None:
    packs.install()
    found = table("--all")
    assert "28 rules, 0 missed." in found
    rows = {line.split()[0]: line for line in found.splitlines() if line}
    assert "critical" in rows["ServiceDown"]
    assert "2 min" in rows["ServiceDown"]
    for receiver in (policy.PAGERDUTY, policy.INCIDENTS, policy.EMAIL):
        assert receiver in rows["ServiceDown"]
    assert policy.MONITORING in rows["ServiceDegraded"]
    assert not any(model.objects.exists() for model in (Alert, Incident, Delivery))


def test_only_rules_that_are_on_unless_it_is_told() -> None:
    packs.install()
    assert "26 rules, 0 missed." in table()
    assert "1 rules, 0 missed." in table("LogsStopped")
    with pytest.raises(CommandError, match="There is no rule 'Nothing'"):
        table("Nothing")


THRESHOLD = {"operator": ">", "thresholds": [{"severity": "high", "value": 2}]}
CONFIGS = {"log_distinct": {"field": "user_id"}, "pharos_value": {"value": "dead_letters"}}


@pytest.mark.parametrize("kind", conditions.CONDITIONS)
@pytest.mark.parametrize("operator", [">", "<"])
def test_each_kind_of_condition_can_be_made_true(kind: str, operator: str) -> None:
    measures = conditions.condition(kind).MEASURES
    found = drilled(kind=kind, config=CONFIGS.get(kind, {}), **THRESHOLD | {"operator": operator} if measures else {})
    assert found.miss == ""
    assert found.got == 2 * len(found.receivers) > 0


def test_names_of_the_rule_are_made_up() -> None:
    assert drilled(config={"services": ["shop-*"], "categories": ["sso"], "labels": {"team": "a"}}).miss == ""
    assert drilled(name="Other", kind="container_exit", config={"fine": [0, 1], "hosts": ["h"]}).miss == ""


def test_a_channel_is_asked_whether_it_could_say_it() -> None:
    rule = AlertRule.objects.create(name="Mine", kind="service_down")
    channel = made.channel("hook")
    rule.receivers.add(channel.receiver)
    (found,) = drill([rule], timezone.now())
    assert found.channels == [str(channel)]
    assert found.got == 2 * len(found.receivers)


# --- Misses --------------------------------------------------------------------------------------------------------


def test_a_condition_that_can_never_be_true_is_a_miss() -> None:
    thresholds = [{"severity": "high", "value": 101}]
    found = drilled(kind="log_ratio", operator=">", thresholds=thresholds)
    assert found.miss == "its condition could not be made true"


def test_a_rule_that_nobody_is_told_of_is_a_miss() -> None:
    from alerts.models import Route

    Route.objects.all().delete()
    assert drilled().miss == "nobody is told: no route and no receiver, or it is muted"
    with pytest.raises(CommandError, match="Missed: Mine"):
        table()


def test_a_template_that_is_wrong_is_a_miss() -> None:
    assert drilled(summary="{{ $labels.service | nothing }}").miss.startswith("<template:")


def test_settings_that_do_not_fit_are_a_miss() -> None:
    assert "unknown field" in drilled(config={"servces": ["api"]}).miss
