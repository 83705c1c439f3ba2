"""Rules out into a file, and in from one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User

from alerts import rules_yaml
from alerts.models import AlertRule, EscalationPolicy, Receiver, SeverityName
from alerts.rules_yaml import RefusedError
from tests.alerts.stated import MEASURED, Stated, rule, stated_condition  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stated", "no_rules")]

FULL: dict[str, Any] = {
    "operator": "<", "thresholds": [{"severity": "critical", "value": 1.5}, {"severity": "low", "value": 10.0}],
    "interval": 30.0, "pending_for": 300.0, "keep_firing_for": 90.0, "no_data": "alert", "alerts_max": 7,
    "labels": {"team": "shop", "answer": "no"}, "summary": "{{ $value }}: too few", "description": "Two\nlines.",
    "impact": "much", "diagnosis": "look", "resolution": "restart", "escalating": "call",
    "comment": "mine", "severity": "medium", "enabled": False,
}  # fmt: skip


def yaml(*lines: str) -> str:
    return "groups:\n- name: mine\n  rules:\n" + "\n".join(f"  {line}" for line in lines)


SMALL = yaml("- alert: Small", "  condition: stated", "  config: {what: it}")


def problems(text: str) -> list[str]:
    return [str(problem) for problem in rules_yaml.make_plan(rules_yaml.read(text)).problems]


def carry_out(text: str) -> dict[str, int]:
    return rules_yaml.carry_out(rules_yaml.read(text)).counts


def test_what_goes_out_comes_in_as_it_was() -> None:
    full = rule("Full", "all: of it", **FULL)
    full.what = "# What"
    full.receivers.set([Receiver.objects.create(name="shop"), Receiver.objects.create(name="on-call")])
    full.escalation = EscalationPolicy.objects.create(name="night")
    full.save()
    rule("Plain")
    text = rules_yaml.write(AlertRule.objects.all())
    assert carry_out(text) == {"make": 0, "change": 0, "leave": 2}
    AlertRule.objects.all().delete()
    assert carry_out(text) == {"make": 2, "change": 0, "leave": 0}
    again = AlertRule.objects.get(name="Full")
    assert {name: getattr(again, name) for name in FULL} == FULL
    assert again.what == "# What"
    assert (again.kind, again.config) == (MEASURED, {"what": "all: of it"})
    assert sorted(receiver.name for receiver in again.receivers.all()) == ["on-call", "shop"]
    assert again.escalation
    assert again.escalation.name == "night"
    assert rules_yaml.write(AlertRule.objects.all()) == text


def test_a_file_is_short_where_a_rule_is_as_usual() -> None:
    rule("Plain")
    assert rules_yaml.write(AlertRule.objects.all()) == (
        "groups:\n"
        "  - name: pharos\n"
        "    rules:\n"
        "      - alert: Plain\n"
        "        condition: stated\n"
        "        config:\n"
        "          what: it\n"
        "        severity: high\n"
        "        enabled: true\n"
    )  # fmt: skip


def test_packs_are_groups() -> None:
    rule("B", pack="logs", pack_key="b")
    rule("A", pack="logs", pack_key="a")
    rule("C")
    text = rules_yaml.write(AlertRule.objects.all())
    assert [line.strip() for line in text.splitlines() if "name:" in line or "alert:" in line] == [
        "- name: pharos", "- alert: C", "- name: logs", "- alert: A", "- alert: B",
    ]  # fmt: skip


def test_what_a_file_does_not_mention_stays() -> None:
    rule("Small", "other", pending_for=60, labels={"team": "shop"})
    rule("Other")
    plan = rules_yaml.carry_out(rules_yaml.read(SMALL))
    assert [(row.verb, row.what, row.details) for row in plan.rows] == [
        ("change", "Small", ('config: {"what": "other"} → {"what": "it"}',)),
    ]  # fmt: skip
    small = AlertRule.objects.get(name="Small")
    assert (small.config, small.pending_for, small.labels) == ({"what": "it"}, 60, {"team": "shop"})
    assert AlertRule.objects.count() == 2


def test_severities_are_taken_from_the_labels_as_prometheus_has_them_and_by_their_other_names() -> None:
    SeverityName.objects.get_or_create(name="warning", defaults={"severity": "medium", "priority": "P2"})
    carry_out(yaml("- alert: A", "  condition: stated", "  labels: {severity: warning, team: shop}", "  for: 1h30m"))
    made = AlertRule.objects.get()
    assert (made.severity, made.labels, made.pending_for) == ("medium", {"team": "shop"}, 5_400)


def test_who_imports_stands_in_the_history() -> None:
    rule("Small", "other")
    user = User.objects.create_user("alice")
    rules_yaml.carry_out(rules_yaml.read(SMALL + "\n" + SMALL.partition("rules:\n")[2].replace("Small", "New")), user)
    assert sorted((entry.object_repr, entry.action_flag) for entry in LogEntry.objects.all()) == [
        ("New", 1),
        ("Small", 2),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("a: [", "line 1: expected YAML"),
        ("rules: []", "line 1: expected groups: with a list"),
        ("groups: {}", "line 1: expected a list after groups:"),
        ("groups: [{name: a}]", "line 1: expected rules: with a list"),
        (yaml("- text"), "line 4: expected a rule"),
        (yaml("- condition: stated"), "line 4: expected alert: with the name of the rule"),
        (yaml("- alert: A", "  expr: up == 0"), "line 4: expected condition: with one of ours; expressions on metrics"),
        (yaml("- alert: A", "  conditon: stated"), "line 4: there is no key 'conditon' of a rule; there is alert, "),
        (yaml("- alert: A", "  condition: gone"), "line 4: there is no kind of condition 'gone'"),
        (yaml("- alert: A", "  config: {what: it}"), "line 4: expected condition: beside config:"),
        (yaml("- alert: A", "  condition: stated", "  config: {gone: 1}"), "line 4: config: Object contains unknown"),
        (
            yaml("- alert: A", "  condition: stated", "  config: {what: nonsense}"),
            "config: expected something that makes",
        ),
        (yaml("- alert: A", "  condition: stated", "  for: soon"), "line 4: for: expected a time like"),
        (yaml("- alert: A", "  condition: stated", "  interval: 0s"), "line 4: interval: Ensure this value is"),
        (yaml("- alert: A", "  condition: stated", "  severity: awful"), "line 4: severity: expected one of critical"),
        (yaml("- alert: A", "  condition: stated", "  enabled: maybe"), "line 4: enabled: expected true or false"),
        (yaml("- alert: A", "  condition: stated", "  operator: '~'"), "line 4: operator: "),
        (yaml("- alert: A", "  condition: stated", "  labels: [a]"), "line 4: labels: expected names with texts"),
        (
            yaml("- alert: A", "  condition: stated", "  annotations: {sumary: a}"),
            "there is no 'sumary'; there is summary",
        ),
        (yaml("- alert: A", "  condition: stated", "  annotations: {summary: '{{'}"), "line 4: summary: Expected }}"),
        (
            yaml("- alert: A", "  condition: stated", "  receivers: [nobody]"),
            "receivers: there is no receiver 'nobody'",
        ),
        (yaml("- alert: A", "  condition: stated", "  escalation: none"), "escalation: there is no policy 'none'"),
        (yaml("- alert: A", f"  condition: {MEASURED}"), "line 4: thresholds: Expected severities with their values"),
        (yaml("- alert: A", f"  condition: {MEASURED}", "  thresholds: {high: many}"), "line 4: thresholds: could not"),
        (yaml("- alert: A", f"  condition: {MEASURED}", "  thresholds: {high: nan}"), "thresholds: expected a number"),
        (yaml("- alert: A", "  alert: B"), "line 5: 'alert' is there twice"),
        (SMALL + "\n" + SMALL.partition("rules:\n")[2], "line 7: 'Small' is in line 4 already"),
        ("a: &a [1]\nb: *a", "line 1: expected no anchors"),
        ("#" * (1 << 20) + "#", "expected at most 1,048,576 characters"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    assert said in " | ".join(problems(text))
    with pytest.raises(RefusedError):
        carry_out(text)
    assert not AlertRule.objects.exists()


def test_one_that_is_wrong_keeps_all_out() -> None:
    with pytest.raises(RefusedError) as caught:
        carry_out(SMALL + "\n  - alert: B\n    for: soon\n  - {}\n")
    assert len(caught.value.problems) == 2
    assert not AlertRule.objects.exists()
