"""Trees of routes that hardly mean what they say."""

from __future__ import annotations

import pytest

from alerts.alertmanager import config, exporting
from alerts.alertmanager.traps import covers, may_both_match, traps
from alerts.matchers import parse_all

SEED = """
route:
  group_by: ['alertname', 'severity']
  receiver: 'default'
  routes:
    - match:
        severity: critical
      receiver: pagerduty
      continue: true
    - match:
        severity: high
      receiver: slack-high
"""


def found(text: str) -> list[str]:
    route = config.read(text)[0].route
    assert route
    return [*traps(route)]


def test_a_route_that_continues_into_nothing() -> None:
    (sentence,) = found(SEED)
    assert sentence.startswith('The route severity="critical" continues, but no route after it can match')
    assert "told to pagerduty alone, not to default as well" in sentence


def test_continuing_into_another_route_is_no_trap() -> None:
    assert (
        found(SEED + "    - matchers: ['severity=~critical|high']\n      receiver: mail\n")
        == [
            # What the regular expression takes of "high" is taken already, but not all of it.
        ]
    )
    assert not found(SEED + "    - receiver: mail\n")


def test_the_last_of_several_that_continue_is_no_trap() -> None:
    continuing = "      continue: true\n    - match: {severity: critical}\n      receiver: chat\n"
    assert not found(SEED.replace("      continue: true\n", continuing + "      continue: true\n"))


@pytest.mark.django_db
def test_the_policy_that_there_is_at_first_has_none() -> None:
    assert not [*traps(exporting.tree())]


def test_a_route_that_is_never_reached() -> None:
    (sentence,) = found("route: {receiver: a, routes: [{receiver: b}, {receiver: c, match: {team: x}}]}")
    assert sentence == (
        'The route team="x" is never reached: The route without matchers stands before it and takes all of its alerts.'
    )
    assert not found("route: {receiver: a, routes: [{receiver: b, continue: true}, {receiver: c, match: {team: x}}]}")


def test_deeper_ones_inherit_the_receiver() -> None:
    (sentence,) = found("route: {receiver: a, routes: [{match: {x: y}, routes: [{match: {z: w}, continue: true}]}]}")
    assert "told to a alone" in sentence


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (['severity="critical"'], ['severity="high"'], False),
        (['severity="critical"'], ['team="x"'], True),
        (['severity="critical"'], ['severity=~"high|low"'], False),
        (['severity=~"high|low"'], ['severity="low"'], True),
        (['severity="critical"'], ['severity!="critical"'], False),
        ([], ['severity="high"'], True),
    ],
)
def test_may_both_match(one: list[str], other: list[str], both: bool) -> None:
    assert may_both_match(parse_all(one), parse_all(other)) is both
    assert may_both_match(parse_all(other), parse_all(one)) is both


@pytest.mark.parametrize(
    ("weaker", "stronger", "does"),
    [
        ([], ['a="b"'], True),
        (['a="b"'], [], False),
        (['a="b"'], ['a="b"', 'c="d"'], True),
        (['a=~"b|c"'], ['a="b"'], True),
        (['a="b"'], ['a=~"b|c"'], False),
        (['a!="x"'], ['a="b"'], True),
    ],
)
def test_covers(weaker: list[str], stronger: list[str], does: bool) -> None:
    assert covers(parse_all(weaker), parse_all(stronger)) is does
