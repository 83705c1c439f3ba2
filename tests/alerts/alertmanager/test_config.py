"""`alertmanager.yml`: what is read, and what is refused, with where and why."""

from __future__ import annotations

import pytest

from alerts.alertmanager import config
from alerts.alertmanager.config import ConfigError


def test_old_and_new_forms_of_matchers() -> None:
    text = """
route:
  receiver: ops
  routes:
    - match: {severity: no}
      match_re: {service: "api|web"}
      matchers: ['team!=x, env=prod', '{region=~"eu-.*"}']
inhibit_rules:
  - source_match: {severity: critical}
    target_match_re: {severity: "high|low"}
    equal: [alertname]
"""
    found, unknown = config.read(text)
    assert found.route
    assert found.route.routes[0].matchers == [
        'severity="no"', 'service=~"api|web"', 'team!="x"', 'env="prod"', 'region=~"eu-.*"',
    ]  # fmt: skip
    (rule,) = found.inhibit_rules
    assert (rule.source_matchers, rule.target_matchers) == (['severity="critical"'], ['severity=~"high|low"'])
    assert unknown == []
    again, _ = config.read(config.write(found))
    assert again == found


def test_unknown_names_are_told_with_their_place() -> None:
    _, unknown = config.read("route: {receiver: a, routes: [{colour: red}]}\ntracing: {}\nreceivers: [{name: a, x: 1}]")
    assert unknown == ["route.routes[0].colour", "tracing"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected a mapping with route: and receivers:"),
        ("[a]", "expected a mapping with route: and receivers:"),
        ("a: [", "line 1: expected YAML"),
        ("receivers: []", "expected route: with a receiver; there is none"),
        ("route: {group_wait: soon}", "route.group_wait: expected a time like 30s"),
        ("route: {routes: [{repeat_interval: '5'}]}", "route.routes[0].repeat_interval: expected a time"),
        ("route: {routes: x}", "Expected array, got str - at $.route.routes"),
        ("route: {matchers: ['a~b']}", "route.matchers: Expected a label"),
        ("route: {match: {a-b: c}}", "route.matchers: Expected a label"),
        ("route: {match_re: {a: '('}}", "route.matchers: Expected a regular expression"),
        ("route: {continue: maybe}", "Expected bool, got str - at $.route.continue"),
        ("route: {group_by: [a b]}", "route.group_by: expected names of labels, got 'a b'"),
        ("route: {}\ninhibit_rules: [{equal: [x]}]", "inhibit_rules[0]: expected source_matchers"),
        ("route: {routes: [" + "{}," * 1_001 + "]}", "expected at most 1,000 routes"),
    ],
)
def test_what_is_wrong_is_told(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.read(text)
    assert str(caught.value).startswith(sentence)
