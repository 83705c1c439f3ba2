"""Active alerts of which nobody is told: why, and by what."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import alert_views, quiet, silences
from alerts.models import Alert, InhibitRule, MuteTime, Receiver, Silence
from tests.alerts import made
from tests.alerts.routed import NOON, alert, no_routes, root, route
from tests.alerts.test_incident_list import text_of
from tests.services.fleet import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

ALWAYS = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]


@pytest.fixture(autouse=True)
def _empty(db: None) -> None:
    no_routes()
    InhibitRule.objects.all().delete()


@pytest.fixture
def alice() -> Client:
    return signed_in("alice", "view_alert", "view_incident")


def silence(matcher: str, hours: float = 1, by: str = "bob") -> Silence:
    now = timezone.now()
    return silences.create([matcher], None, now + timedelta(hours=hours), comment="deploy", created_by=by, now=now)


def by_of(*alerts: Alert) -> list[frozenset[str]]:
    return [each.by for each in quiet.of(alerts, timezone.now())]


def names(client: Client, query: str = "") -> list[str]:
    return re.findall(r"<code>service=(\w+)", client.get(f"/alerts/{query}").content.decode())


def counts(client: Client) -> dict[str, int]:
    tally = re.search(r'<p id="tally".*?</p>', text_of(client.get("/alerts/")))
    assert tally
    return {name: int(count) for count, name in re.findall(r"<b>(\d+)</b> (\w+)", tally[0])}


# --- What keeps an alert quiet ---------------------------------------------------------------------------------------


def test_a_silence_and_another_alert_may_both_keep_one_quiet() -> None:
    root()
    worse, less, other = alert(0, "critical", name="w"), alert(0, "high", name="l"), alert(0, "low", name="o")
    InhibitRule.objects.create(name="less", source_matchers=["severity=critical"], target_matchers=["severity=high"])
    short, long = silence("severity=~high|low"), silence("name=l", 2)
    found = quiet.of([worse, less, other], timezone.now())
    assert [each.by for each in found] == [set(), {"silenced", "inhibited"}, {"silenced"}]
    assert found[1].silences == [long, short]
    assert found[1].inhibition
    assert found[1].inhibition.source.id == worse.pk


def test_an_alert_is_muted_if_all_its_ways_are() -> None:
    top = root()
    always = MuteTime.objects.create(name="always", intervals=ALWAYS)
    route(top, "mail", "name=~a|b", continues=True).mute_times.add(always)
    route(top, "chat", "name=a", continues=True)
    both, one = alert(0, name="a"), alert(0, name="b")
    assert [each.muted for each in quiet.of([both, one], NOON)] == ["", "it is the mute time always"]


def test_who_is_told_by_the_rule_itself_is_not_muted() -> None:
    root().mute_times.add(MuteTime.objects.create(name="always", intervals=ALWAYS))
    rule = made.rule()
    rule.receivers.add(Receiver.objects.create(name="own"))
    assert by_of(made.alert(rule), alert(0)) == [set(), {"muted"}]


def test_without_routes_nothing_is_muted() -> None:
    assert by_of(alert(0)) == [set()]


# --- The page --------------------------------------------------------------------------------------------------------


def test_the_page_says_what_keeps_an_alert_quiet_and_leads_there(alice: Client) -> None:
    root().mute_times.add(MuteTime.objects.create(name="<night>", intervals=ALWAYS))
    InhibitRule.objects.create(name="less", source_matchers=["severity=critical"], target_matchers=["severity=high"])
    incident = made.incident()
    made.alert(labels={"alertname": "<Fire>"}, severity="critical", incident=incident)
    made.alert(labels={"service": "api"}, severity="high")
    by = silence("service=api", by="<bob>")
    page = text_of(alice.get("/alerts/"))
    assert f'silenced by <a class="go" href="/silences/#silence-{by.pk}"><bdi>&lt;bob&gt;</bdi></a> until' in page
    assert f'inhibited by <a class="go" href="/incidents/{incident.pk}/"><bdi>&lt;Fire&gt;</bdi></a>' in page
    assert page.count("muted: it is the mute time &lt;night&gt;") == 2


def test_who_sees_no_incidents_is_led_to_the_alert() -> None:
    InhibitRule.objects.create(name="less", source_matchers=["severity=critical"], target_matchers=["severity=high"])
    worse = made.alert(severity="critical", incident=made.incident())
    made.alert(severity="high")
    page = text_of(signed_in("bob", "view_alert").get("/alerts/"))
    assert f'inhibited by <a class="go" href="#alert-{worse.pk}">' in page


def test_alerts_are_counted_and_narrowed_by_what_keeps_them_quiet(alice: Client) -> None:
    InhibitRule.objects.create(name="less", source_matchers=["severity=critical"], target_matchers=["severity=high"])
    made.alert(labels={"service": "quiet"}, severity="low")
    made.alert(labels={"service": "both"}, severity="high")
    made.alert(labels={"service": "waits"}, severity="low", state="pending")
    made.alert(labels={"service": "worse"}, severity="critical")
    silence("service=~quiet|both")
    assert counts(alice) == {"firing": 1, "pending": 1, "silenced": 2, "inhibited": 1, "muted": 0}
    for query, expected in (
        ("", ["worse", "waits", "both", "quiet"]),
        ("?state=firing", ["worse"]),
        ("?state=pending", ["waits"]),
        ("?state=silenced", ["both", "quiet"]),
        ("?state=inhibited", ["both"]),
        ("?state=muted", []),
        ("?state=silenced&severity=low", ["quiet"]),
    ):
        assert names(alice, query) == expected, query


def test_of_very_many_the_first_are_shown_and_all_are_counted(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_views, "ROWS_MAX", 3)
    for n in range(5):
        made.alert(labels={"service": f"s{n}"})
    silence("service=~s[0-3]")
    assert names(alice, "?state=silenced") == ["s3", "s2", "s1"]
    page = text_of(alice.get("/alerts/?state=silenced"))
    assert "1 more: narrow the search" in page


def test_only_the_worst_are_looked_at_for_what_keeps_them_quiet(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_views, "LOOKED_AT_MAX", 2)
    for n, severity in enumerate(("low", "high", "critical", "low")):
        made.alert(labels={"service": f"s{n}"}, severity=severity)
    silence("service=~s.+")
    assert counts(alice) == {"firing": 2, "pending": 0, "silenced": 2, "inhibited": 0, "muted": 0}
    page = text_of(alice.get("/alerts/"))
    assert "2 more: narrow" in page
    assert "Of 2 that fire" in page


def test_many_alerts_take_no_more_queries_than_few(alice: Client) -> None:
    root().mute_times.add(MuteTime.objects.create(name="always", intervals=ALWAYS))

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            alice.get("/alerts/")
        return len(captured)

    for n in range(20):
        made.alert(made.rule(f"r{n}"), labels={"n": str(n)})
        if n == 0:
            few = queries()
    assert queries() == few
