"""The same scenarios through the real Alertmanager and through Pharos: they tell the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from alerts import dispatch, silences
from alerts.labels import fingerprint
from alerts.models import Alert, Delivery, InhibitRule, MuteTime, Route, Silence
from alerts.models.alerts import State
from tests.alerts import oracle
from tests.alerts.oracle import Told
from tests.alerts.routed import no_routes, receiver, run, second
from tests.alerts.scenarios import SCENARIOS, SILENT_ENDS, TIMES, UNTIL, Happens, Scenario

pytestmark = [pytest.mark.django_db, pytest.mark.alertmanager, pytest.mark.xdist_group("alertmanager")]

UNIT: Final = 10  # seconds, virtual ones


@pytest.fixture(scope="module")
def theirs() -> Mapping[str, list[Told]]:
    """What Alertmanager tells, by scenario."""
    return oracle.play()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_pharos_tells_what_alertmanager_tells(scenario: Scenario, theirs: Mapping[str, list[Told]]) -> None:
    ours, expected = by_group(play(scenario)), by_group(theirs[scenario.name])

    for receiver_name, told in scenario.differs.items():
        key = next(key for key in expected if key[0] == receiver_name)
        assert [f"{','.join(each.firing)}|{','.join(each.resolved)}" for each in ours.pop(key)] == told
        assert len(expected.pop(key)) != len(told)
    assert ours == expected


def by_group(told: Sequence[Told]) -> dict[tuple[str, str], list[Told]]:
    """In order for each receiver and group; among groups there is none."""
    found = defaultdict(list)
    for each in told:
        found[each.receiver, each.key].append(each)
    return dict(found)


def test_the_scenarios_tell_something(theirs: Mapping[str, list[Told]]) -> None:
    silent = {scenario.name for scenario in SCENARIOS if not theirs[scenario.name]}

    assert silent == {"came and went in the wait", "a silenced one keeps others quiet still"}
    assert sum(map(len, theirs.values())) >= 80


# --- Pharos in virtual time ------------------------------------------------------------------------------------------


def play(scenario: Scenario) -> list[Told]:
    no_routes()
    InhibitRule.objects.all().delete()
    times = {name: MuteTime.objects.create(name=name, intervals=intervals) for name, intervals in TIMES.items()}
    root = Route.objects.create(receiver=receiver("nobody"))
    make_route(root, {**scenario.route, "matchers": [f'scenario="{scenario.name}"']}, times)
    for rule in scenario.inhibits:
        InhibitRule.objects.create(**rule)
    firing: dict[str, Alert] = {}
    made: dict[str, Silence] = {}
    for happens in scenario.happens:
        # What is to be looked at at the very time of an event is looked at before it.
        run(happens.at * UNIT)
        happen(scenario, happens, firing, made)
    run(UNTIL * UNIT)
    return [told(delivery) for delivery in Delivery.objects.select_related("channel__receiver").order_by("pk")]


def make_route(parent: Route, said: Mapping[str, Any], times: Mapping[str, MuteTime], order: int = 0) -> None:
    name = said.get("receiver")
    made = Route.objects.create(
        parent=parent,
        order=order,
        matchers=said.get("matchers", []),
        receiver=receiver(name, send_resolved=name not in SILENT_ENDS) if name else None,
        continues=said.get("continue", False),
        group_by=said.get("group_by"),
        **{each: said[each] * UNIT for each in ("group_wait", "group_interval", "repeat_interval") if each in said},
    )
    made.mute_times.set([times[each] for each in said.get("mute_time_intervals", ())])
    made.active_times.set([times[each] for each in said.get("active_time_intervals", ())])
    for place, below in enumerate(said.get("routes", ())):
        make_route(made, below, times, place)


def happen(scenario: Scenario, happens: Happens, firing: dict[str, Alert], made: dict[str, Silence]) -> None:
    now = second(happens.at * UNIT)
    if happens.verb == "fire":
        labels = {"alertname": "Down", "name": happens.name, "scenario": scenario.name, **happens.given["labels"]}
        since = second(happens.given["started"] * UNIT)
        firing[happens.name] = Alert.objects.create(
            fingerprint=fingerprint(labels), labels=labels, severity=labels["severity"], state=State.FIRING,
            active_at=since, fired_at=since, true_at=now,
        )  # fmt: skip
        dispatch.take([firing[happens.name]], now)
    elif happens.verb == "end":
        ended = firing[happens.name]
        ended.state, ended.resolved_at = State.RESOLVED, now
        ended.save()
        dispatch.take([ended], now)
    elif happens.verb == "silence":
        until = second(happens.given["until"] * UNIT)
        several = [*happens.given["matchers"], f'scenario="{scenario.name}"']
        made[happens.name] = silences.create(several, now, until, created_by="alice", comment="a scenario", now=now)
    else:
        assert silences.expire(made[happens.name], now=now)


def told(delivery: Delivery) -> Told:
    said = delivery.notification
    names = [(each["labels"]["name"], each["firing"]) for each in said["alerts"]]
    return Told(
        said["receiver"],
        said["group_key"],
        tuple(sorted(name for name, fires in names if fires)),
        tuple(sorted(name for name, fires in names if not fires)),
        {name: text for name, text in said["common_labels"].items() if name != "scenario"},
    )
