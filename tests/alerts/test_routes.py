"""The tree of routes as it stands in the database, and what happens to alerts when it changes."""

from __future__ import annotations

import pytest

from alerts import dispatch
from alerts.models import AlertRule, Group, InhibitRule, Member, MuteTime, Route
from alerts.routing import Options, Row, Tree, told_key
from tests.alerts.routed import NOON, alert, fires, no_routes, receiver, root, route, run, second, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    no_routes()
    InhibitRule.objects.all().delete()
    monkeypatch.setattr(dispatch, "_followed", None)


def test_what_a_route_leaves_out_comes_from_its_parent() -> None:
    top = root(group_by=["a"], group_wait=1, group_interval=2, repeat_interval=3)
    night = MuteTime.objects.create(name="night", intervals=[{"weekdays": ["sunday"]}])
    child = route(top, "mail", "b=c", group_wait=4, group_by=[])
    child.mute_times.add(night)
    route(child, None, "d=e", repeat_interval=5)

    options = Tree.load().match({"b": "c", "d": "e", "a": "x"})[0].options
    assert (options.receiver_name, options.group_wait, options.group_interval) == ("mail", 4, 2)
    assert (options.repeat_interval, list(options.group_by)) == (5, [])
    assert not options.mute_times  # times are each route's own


def test_the_order_of_routes_counts() -> None:
    top = root()
    late = route(top, "late", "a=b")
    route(top, "early", "a=b")
    Route.objects.filter(pk=late.pk).update(order=9)

    assert [match.options.receiver_name for match in Tree.load().match({"a": "b"})] == ["early"]


def test_a_tree_in_few_queries(django_assert_max_num_queries: pytest.FixtureRequest) -> None:
    top = root()
    for number in range(20):
        route(top, "mail", f"number={number}")

    with django_assert_max_num_queries(4):  # type: ignore[operator]
        assert len(Tree.load().ways()) == 21


def test_the_root_takes_all_whatever_it_says() -> None:
    root()
    Route.objects.update(matchers=["a=b"])

    assert [match.path for match in Tree.load().match({})] == ["{}"]


def test_without_a_root_nothing_matches() -> None:
    assert Tree.of([]).match({"a": "b"}) == []
    assert Tree.of([Row(2, parent=1)]).match({"a": "b"}) == []
    assert Tree().ways() == {}


def test_keys_of_groups() -> None:
    top = root(group_by=["service"])
    route(top, "mail", "a=b")
    tree = Tree.load()
    (one,), (same,) = tree.match({"service": "api", "x": "1"}), tree.match({"service": "api", "x": "2"})
    (elsewhere,), (child,) = tree.match({"service": "web"}), tree.match({"service": "api", "a": "b"})
    (beside,) = tree.beside({"service": "api"}, [(1, "chat")])

    keys = {each.group_key for each in (one, same, elsewhere, child, beside)}
    assert one.group_key == same.group_key
    assert len(keys) == 4
    assert max(map(len, keys)) <= 64


def test_keys_as_alertmanager_words_them() -> None:
    assert told_key("{}", {}) == "{}:{}"
    assert told_key('{}/{a="b"}', {"b": 'x "y"', "a": "c:\\"}) == r'{}/{a="b"}:{a="c:\\", b="x \"y\""}'


def test_without_a_root_a_rule_still_names_its_receivers() -> None:
    rule = AlertRule.objects.create(name="Down", kind="log_count")
    rule.receivers.add(receiver("chat"))
    one = alert(0, service="api")
    one.rule = rule
    one.save()
    dispatch.take([one], NOON)

    run(Options().group_wait)
    assert [each.receiver for each in told()] == ["chat"]


# --- Changes ---------------------------------------------------------------------------------------------------------


def test_a_new_route_takes_what_fires_already() -> None:
    top = root()
    fires(0, name="a")
    fires(0, name="b")
    run(10)
    route(top, "mail", "name=a")

    assert dispatch.follow_routes(second(20)) == 2
    run(20)
    assert [(each.receiver, each.firing) for each in told(since=10)] == [("mail", ("a",))]
    assert sorted(Member.objects.values_list("group__route__receiver__name", "alert__labels__name")) == [
        ("all", "b"),
        ("mail", "a"),
    ]


def test_what_has_not_changed_is_not_told_again() -> None:
    top = root()
    fires(0, name="a")
    run(10)
    route(top, "mail", "name=b")
    Route.objects.filter(pk=top.pk).update(group_wait=5)

    dispatch.follow_routes(second(20))
    run(900)
    assert len(told()) == 1


def test_a_route_that_goes_leaves_its_alerts_to_others() -> None:
    top = root()
    child = route(top, "mail", "name=a")
    fires(0, name="a")
    run(10)
    child.delete()

    assert not Group.objects.exists()
    dispatch.follow_routes(second(20))
    run(30)
    assert [(each.receiver, each.firing) for each in told(since=10)] == [("all", ("a",))]


def test_routes_that_stay_cost_nothing() -> None:
    root()
    fires(0, name="a")

    assert dispatch.follow_routes(second(1)) == 1
    assert dispatch.follow_routes(second(2)) == 0
