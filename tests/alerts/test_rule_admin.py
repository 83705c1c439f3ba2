"""Rules in the admin: forms by kind, what a rule would have done, on and off, clones, files."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from alerts import conditions, packs, rules
from alerts.condition_help import help_for
from alerts.models import Alert, AlertRule, Receiver
from tests.alerts.stated import KIND, MEASURED, Stated, found, rule, stated_condition  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stated")]

RULES = "/admin/alerts/alertrule/"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("alice", "", ""))
    return client


def staff(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="alerts", codename__in=permissions))
    client.force_login(user)
    return client


def form(**fields: Any) -> dict[str, Any]:
    return {
        "name": "Errors", "kind": KIND, "severity": "high", "operator": ">", "interval": "15s", "pending_for": "5m",
        "keep_firing_for": "", "no_data": "ok", "alerts_max": 100, "labels": "team=shop", "option_what": "it", **fields,
    }  # fmt: skip


def text(answer: Any) -> str:
    said: str = answer.content.decode()
    return said


# --- The form --------------------------------------------------------------------------------------------------------


def test_a_new_rule_is_off_until_somebody_has_seen_what_it_would_have_done(admin: Client, stated: Stated) -> None:
    stated.found["that"] = found("worker")
    answer = admin.post(f"{RULES}add/", form(option_what="that", interval="10m"), follow=True)
    made = AlertRule.objects.get()
    assert (made.enabled, made.config, made.labels, made.pending_for) == (
        False, {"what": "that"}, {"team": "shop"}, 300,
    )  # fmt: skip
    assert answer.redirect_chain[-1][0] == f"{RULES}{made.pk}/preview/"
    page = text(answer)
    assert "Switch it on" in page
    assert "what a test says of that" in page
    played = text(admin.get(f"{RULES}{made.pk}/preview/", headers={"HX-Request": "true"}))
    assert "would have fired once" in played
    assert "service=worker" in played
    admin.post(f"{RULES}{made.pk}/switch/", {"on": "1"})
    made.refresh_from_db()
    assert made.enabled


def test_a_condition_that_measures_has_a_limit_for_each_severity(admin: Client) -> None:
    admin.post(f"{RULES}add/", form(kind=MEASURED, limit_critical="10", limit_low="2.5"))
    made = AlertRule.objects.get()
    assert made.thresholds == [{"severity": "critical", "value": 10.0}, {"severity": "low", "value": 2.5}]
    page = text(admin.get(f"{RULES}{made.pk}/change/"))
    assert 'name="limit_critical" value="10.0"' in page
    assert "Limits are in <b>things</b>" in page


def test_the_fields_of_another_kind_are_fetched(admin: Client) -> None:
    assert "limit_critical" not in text(admin.get(f"{RULES}add/?kind={KIND}"))
    assert "limit_critical" in text(admin.get(f"{RULES}add/?kind={MEASURED}"))


@pytest.mark.parametrize("kind", [*conditions.CONDITIONS])
def test_every_kind_has_its_form_and_says_what_its_settings_mean(admin: Client, kind: str) -> None:
    page = text(admin.get(f"{RULES}add/?kind={kind}"))
    names = [field.name for field in msgspec.structs.fields(conditions.condition(kind).Config)]
    assert all(f'name="option_{name}"' in page for name in names)
    assert [name for name in names if not help_for(kind, name, secret=False)] == []


def test_values_that_are_known_are_ticked(admin: Client) -> None:
    admin.post(f"{RULES}add/", form(kind="service_down", option_categories=["api", "database"]))
    made = AlertRule.objects.get()
    assert made.config == {"categories": ["api", "database"]}
    page = text(admin.get(f"{RULES}{made.pk}/change/"))
    ticked = re.findall(r'<input type="checkbox" name="option_categories" value="(\w+)"[^>]* checked>', page)
    assert ticked == ["api", "database"]
    admin.post(f"{RULES}{made.pk}/change/", form(kind="service_down"))
    made.refresh_from_db()
    assert made.config == {}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"option_what": "nonsense"}, "expected something that makes sense"),
        ({"kind": MEASURED}, "needs at least one limit"),
        ({"pending_for": "soon"}, "Expected a time like 30s, 5m or 1h30m"),
        ({"interval": "0s"}, "Expected a time from 1s to 1d"),
        ({"labels": "severity=high"}, "The label severity comes from the rule itself"),
        ({"summary": "{{ $value"}, "Expected }} after"),
        ({"name": "Taken"}, "with this Name already exists"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(admin: Client, fields: dict[str, Any], said: str) -> None:
    rule("Taken")
    answer = admin.post(f"{RULES}add/", form(**fields))
    assert answer.status_code == 200
    assert said in text(answer).replace("&#x27;", "'")
    assert AlertRule.objects.count() == 1


def test_a_rule_that_is_changed_stays_on(admin: Client) -> None:
    one = rule("Errors")
    shop = Receiver.objects.create(name="shop")
    assert admin.post(f"{RULES}{one.pk}/change/", form(option_what="other", receivers=[shop.pk])).status_code == 302
    one.refresh_from_db()
    assert (one.enabled, one.config, one.interval) == (True, {"what": "other"}, 15)
    assert list(one.receivers.all()) == [shop]


def test_it_is_tried_as_the_form_has_it_and_nothing_is_saved(admin: Client, stated: Stated) -> None:
    stated.found["other"] = found("worker", detail="three of them")
    said = text(admin.post(f"{RULES}try/", form(option_what="other", pending_for="", interval="10m")))
    assert "would have fired once" in said
    assert "three of them" in said
    assert not AlertRule.objects.exists()
    assert not Alert.objects.exists()
    assert "It can’t be tried yet" in text(admin.post(f"{RULES}try/", form(option_what="nonsense")))
    one = rule("Errors")
    assert "would not have fired" in text(
        admin.post(f"{RULES}try/?row={one.pk}", form(option_what="nothing", interval="10m"))
    )


def test_why_it_can_not_be_tried(admin: Client, stated: Stated) -> None:
    stated.found["it"] = ValueError("the log store did not answer")
    assert "The log store did not answer." in text(admin.post(f"{RULES}try/", form()))


# --- The list --------------------------------------------------------------------------------------------------------


def test_the_list_says_how_each_rule_is(admin: Client) -> None:
    rule("Off", enabled=False)
    rule("Broken", error="the log store did not answer")
    rule("Quiet", evaluated_at=1)
    rule("New")
    firing = rule("Firing", evaluated_at=1, thresholds=[{"severity": "critical", "value": 10}])
    for number in range(2):
        Alert.objects.create(
            rule=firing, fingerprint=str(number), labels={}, state="firing",
            active_at="2026-11-21T10:00Z", true_at="2026-11-21T10:00Z",
        )  # fmt: skip
    page = text(admin.get(RULES))
    for said in (
        "off",
        "can’t be evaluated",
        "the log store did not answer",
        "all is well",
        "not evaluated yet",
        "2 firing",
    ):
        assert said in page
    assert "&gt; 10" in page
    assert "what a test says of it" in page


def test_a_rule_shows_its_last_alerts_and_what_it_measured(admin: Client) -> None:
    one = rule(values=[[{"service": "worker"}, 3.5]], note="no data since yesterday")
    Alert.objects.create(
        rule=one, fingerprint="1", labels={}, state="resolved", annotations={"summary": "worker was down"},
        active_at="2026-11-21T10:00Z", true_at="2026-11-21T10:00Z", resolved_at="2026-11-21T10:05Z",
    )  # fmt: skip
    page = text(admin.get(f"{RULES}{one.pk}/change/"))
    for said in ("worker was down", "service=worker <b>3.5</b>", "no data since yesterday", "Switch it off"):
        assert said in page


# --- Verbs -----------------------------------------------------------------------------------------------------------


def act(client: Client, name: str, *rows: AlertRule) -> Any:
    return client.post(RULES, {"action": name, "_selected_action": [row.pk for row in rows]}, follow=True)


def test_rules_are_switched_on_and_off_and_that_stands_in_their_history(admin: Client) -> None:
    one, two = rule("One", enabled=False), rule("Two")
    assert "Switched on: 1." in text(act(admin, "switch_on", one, two))
    assert "Switched off: 2." in text(act(admin, "switch_off", one, two))
    assert set(AlertRule.objects.values_list("enabled", flat=True)) == {False}
    said = [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=one.pk).order_by("pk")]
    assert said == ["Switched on.", "Switched off."]
    assert "Switched off." in text(admin.get(f"{RULES}{one.pk}/history/"))


def test_a_clone_is_off_and_has_nothing_of_the_past(admin: Client) -> None:
    one = rule("One", pending_for=60, pack="logs", pack_key="one", error="broken", evaluated_at=5, values=[[{}, 1.0]])
    one.receivers.add(Receiver.objects.create(name="shop"))
    answer = act(admin, "clone", one)
    twin = AlertRule.objects.exclude(pk=one.pk).get()
    assert answer.redirect_chain[-1][0] == f"{RULES}{twin.pk}/change/"
    assert (twin.name, twin.enabled, twin.pending_for, twin.config) == ("One (2)", False, 60, {"what": "it"})
    assert (twin.pack, twin.error, twin.evaluated_at, twin.values, twin.due_at) == ("", "", None, [], 0)
    assert twin.receivers.count() == 1
    act(admin, "clone", one, twin)
    assert set(AlertRule.objects.values_list("name", flat=True)) == {"One", "One (2)", "One (3)", "One (2) (2)"}


def test_the_name_of_a_clone_is_not_too_long() -> None:
    one = rule("x" * 100)
    assert len(rules.clone(one, User.objects.create_user("bob")).name) <= 100


def test_a_rule_is_evaluated_now(admin: Client, stated: Stated) -> None:
    one = rule(due_at=10**18)
    stated.found["it"] = found("worker")
    act(admin, "evaluate_now", one)
    assert Alert.objects.get().labels["service"] == "worker"


def test_rules_that_come_with_pharos_are_restored_and_brought_back(admin: Client) -> None:
    packs.install()
    one = AlertRule.objects.get(name="ServiceDown")
    severity = one.severity
    AlertRule.objects.filter(pk=one.pk).update(severity="info")
    assert "Restored: 1. Rules that did not come with Pharos stay." in text(act(admin, "restore", one, rule("Own")))
    one.refresh_from_db()
    assert one.severity == severity
    one.delete()
    assert "Rules brought back: 1." in text(admin.post(f"{RULES}import/", {"missing": "1"}, follow=True))
    assert AlertRule.objects.filter(name="ServiceDown").exists()


# --- Files -----------------------------------------------------------------------------------------------------------


def test_rules_go_out_as_a_file_and_come_in_after_a_look(admin: Client) -> None:
    one = rule("Errors")
    out = admin.get(f"{RULES}export/")
    assert out["Content-Disposition"] == 'attachment; filename="rules.yaml"'
    content = text(out).replace("what: it", "what: other").encode()
    answer = admin.post(f"{RULES}import/", {"file": SimpleUploadedFile("rules.yaml", content)})
    page = text(answer)
    assert "0 to make, 1 to change, 0 to leave" in page
    one.refresh_from_db()
    assert one.config == {"what": "it"}
    said = text(admin.post(f"{RULES}import/", {"token": answer.context["token"]}, follow=True))
    assert "Imported: 0 made, 1 changed, 0 left as they were." in said
    one.refresh_from_db()
    assert one.config == {"what": "other"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text": "groups: {}"}, "expected a list after groups:"),
        ({"text": ""}, "Expected a file, or text below it."),
        ({"file": SimpleUploadedFile("rules.yaml", b"\xff\xfe\x00")}, "expected text in UTF-8"),
        ({"token": "old"}, "This page is too old"),
    ],
)
def test_a_file_that_is_wrong_imports_nothing(admin: Client, given: dict[str, Any], said: str) -> None:
    assert said in text(admin.post(f"{RULES}import/", given))


def test_what_has_changed_between_the_look_and_the_import_is_told(admin: Client) -> None:
    shop = Receiver.objects.create(name="shop")
    lines = "groups: [{rules: [{alert: A, condition: stated, receivers: [shop]}]}]"
    token = admin.post(f"{RULES}import/", {"text": lines}).context["token"]
    shop.delete()
    assert "there is no receiver" in text(admin.post(f"{RULES}import/", {"token": token}))
    assert not AlertRule.objects.exists()


# --- Who may what ----------------------------------------------------------------------------------------------------


def test_who_may_only_look_can_not_change_anything(client: Client) -> None:
    one = rule("Errors")
    viewer = staff(client, "view_alertrule")
    assert viewer.get(RULES).status_code == 200
    assert viewer.get(f"{RULES}{one.pk}/preview/").status_code == 200
    assert viewer.get(f"{RULES}export/").status_code == 200
    page = text(viewer.get(f"{RULES}{one.pk}/change/"))
    assert "Switch it off" not in page
    assert viewer.post(f"{RULES}{one.pk}/switch/", {"on": "1"}).status_code == 403
    assert viewer.post(f"{RULES}try/?row={one.pk}", form()).status_code == 403
    assert viewer.post(f"{RULES}try/", form()).status_code == 403
    assert viewer.get(f"{RULES}import/").status_code == 403
    act(viewer, "switch_off", one)
    one.refresh_from_db()
    assert one.enabled


def test_who_may_nothing_sees_nothing(client: Client) -> None:
    one = rule("Errors")
    nobody = staff(client)
    for path in ("", f"{one.pk}/preview/", "export/", "import/"):
        assert nobody.get(f"{RULES}{path}").status_code == 403
    client.logout()
    for path in ("", f"{one.pk}/preview/", "export/"):
        assert client.get(f"{RULES}{path}").status_code == 302


def test_what_changes_something_is_not_done_by_looking(admin: Client) -> None:
    one = rule("Errors")
    assert admin.get(f"{RULES}{one.pk}/switch/").status_code == 405
    assert admin.get(f"{RULES}try/").status_code == 405
    assert admin.post(f"{RULES}{one.pk}/preview/").status_code == 405
    assert admin.post(f"{RULES}export/").status_code == 405
    assert admin.put(f"{RULES}import/").status_code == 405
