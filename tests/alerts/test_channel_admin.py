"""Channels in the admin: a form for each kind, previews, tests, the banner; and that no secret comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from alerts import notifiers
from alerts.models import Channel, Delivery, Receiver
from alerts.models.deliveries import Outcome
from core import clock
from monitor import health
from tests.alerts.sinks import Sink, http_sink
from tests.alerts.telling import NOW, channel, due

pytestmark = pytest.mark.django_db

CHANNELS = "/admin/alerts/channel/"
SECRET = "hunter2secret"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


@pytest.fixture
def sink() -> Iterator[Sink]:
    with http_sink() as sink:
        yield sink


def staff(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="alerts", codename__in=permissions))
    client.force_login(user)
    return client


def form(kind: str, **fields: Any) -> dict[str, Any]:
    receiver, _ = Receiver.objects.get_or_create(name="ops")
    return {"receiver": receiver.pk, "kind": kind, "send_resolved": "on", "rate_max": 30, "enabled": "on", **fields}


def text(answer: Any) -> str:
    found: str = answer.content.decode()
    return found


@pytest.mark.parametrize("kind", notifiers.NOTIFIERS)
def test_each_kind_has_its_fields(admin: Client, kind: str) -> None:
    page = text(admin.get(f"{CHANNELS}add/?kind={kind}"))
    assert "kind-fields" in page
    for part in notifiers.notifier(kind).TEMPLATES:
        assert f'name="template_{part}"' in page


def test_a_channel_is_made_and_its_secret_never_shown(admin: Client) -> None:
    url = f"https://hooks.example.org/{SECRET}"
    answer = admin.post(f"{CHANNELS}add/", form("slack", secret_url=url, template_title="{{ .Status }}!"))
    assert answer.status_code == 302, text(answer)
    made = Channel.objects.get()
    assert made.secrets == {"url": url}
    assert made.templates == {"title": "{{ .Status }}!"}
    page = text(admin.get(f"{CHANNELS}{made.pk}/change/"))
    assert SECRET not in page
    assert "It is stored" in page
    assert "{{ .Status }}!" in page
    # Saved again without it, it stays.
    admin.post(f"{CHANNELS}{made.pk}/change/", form("slack"))
    made.refresh_from_db()
    assert (made.secrets, made.templates) == ({"url": url}, {})


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        ("email", {"option_to": "ops"}, "Expected addresses like ops@example.org"),
        ("slack", {"secret_url": "hooks.slack.com"}, "Expected an address that begins with https:// or http://."),
        ("pagerduty", {"option_endpoint": "https://events.pagerduty.com", "secret_routing_key": "x"}, "32 characters"),
        ("slack", {"secret_url": "https://a.example", "template_title": "{{ nope }}"}, "there is no function nope"),
        ("telegram", {"secret_url": "json://localhost"}, "begins with tgram://"),
    ],
)
def test_what_can_not_work_is_refused_with_a_sentence(
    admin: Client, kind: str, fields: dict[str, str], sentence: str
) -> None:
    assert sentence in text(admin.post(f"{CHANNELS}add/", form(kind, **fields)))
    assert not Channel.objects.exists()


def test_who_may_change_a_channel_can_not_have_its_secret_sent_elsewhere(admin: Client) -> None:
    made = channel("https://a.example/hook", secrets={"signing_key": SECRET})
    page = text(admin.post(f"{CHANNELS}{made.pk}/change/", form("webhook", option_url="https://evil.example/hook")))
    assert "The address is another server now" in page
    made.refresh_from_db()
    assert made.options == {"url": "https://a.example/hook"}
    # Another path of the same server is no other server.
    admin.post(f"{CHANNELS}{made.pk}/change/", form("webhook", option_url="https://a.example/other"))
    made.refresh_from_db()
    assert (made.options, made.secrets) == ({"url": "https://a.example/other"}, {"signing_key": SECRET})


def test_a_channel_that_is_saved_is_repaired_and_what_waits_goes_out(admin: Client) -> None:
    made = channel("https://a.example/", disabled_reason="403 invalid_token", failing_since=NOW)
    due(made)
    Delivery.objects.update(due_at=10**18)
    admin.post(f"{CHANNELS}{made.pk}/change/", form("webhook", option_url="https://a.example/"))
    made.refresh_from_db()
    assert (made.disabled_reason, made.failing_since) == ("", None)
    assert (Delivery.objects.get().due_at or 0) <= clock.now()


# --- Preview and test ----------------------------------------------------------------------------------------------


def test_a_preview_shows_the_form_as_it_stands_and_saves_nothing(admin: Client) -> None:
    fields = form("email", option_to="ops@example.org", template_subject="Look: {{ .CommonLabels.alertname }}")
    page = text(admin.post(f"{CHANNELS}preview/", fields))
    assert "Look: TestMessage" in page
    assert '<iframe class="mail" sandbox srcdoc="&lt;!doctype html&gt;' in page
    assert "resolved: INFO" in text(admin.post(f"{CHANNELS}preview/?reason=resolved", form("email", option_to="a@b.c")))
    assert not Channel.objects.exists()
    assert "there is no function" in text(admin.post(f"{CHANNELS}preview/", {**fields, "template_subject": "{{ x }}"}))


def test_a_test_is_sent_and_its_answer_shown(admin: Client, sink: Sink) -> None:
    made = channel(sink.url)
    assert "200 ok" in text(admin.post(f"{CHANNELS}{made.pk}/test/"))
    assert sink.requests[0].json["commonLabels"]["alertname"] == "TestMessage"
    sink.answer(403, "who <are> you")
    page = text(admin.post(f"{CHANNELS}{made.pk}/test/"))
    assert "403 who &lt;are&gt; you" in page
    assert set(Delivery.objects.values_list("outcome", flat=True)) == {Outcome.DELIVERED, Outcome.FAILED}


def test_the_action_tests_several(admin: Client, sink: Sink) -> None:
    rows = [channel(sink.url).pk, channel(sink.url).pk]
    answer = admin.post(CHANNELS, {"action": "send_test", "_selected_action": rows}, follow=True)
    assert text(answer).count("200 ok") == 2


def test_others_may_not(client: Client, sink: Sink) -> None:
    made = channel(sink.url)
    viewer = staff(client, "view_channel")
    assert viewer.get(f"{CHANNELS}{made.pk}/change/").status_code == 200
    assert viewer.post(f"{CHANNELS}{made.pk}/test/").status_code == 403
    assert viewer.post(f"{CHANNELS}preview/", form("webhook")).status_code == 403
    assert viewer.get(f"{CHANNELS}{made.pk}/test/").status_code == 405
    client.logout()
    assert client.post(f"{CHANNELS}{made.pk}/test/").status_code == 302
    assert sink.requests == []


# --- Lists and the banner ------------------------------------------------------------------------------------------


def test_the_lists_show_how_channels_and_deliveries_are(admin: Client) -> None:
    due(channel(disabled_reason="403 invalid_token"), channel(failing_since=NOW), channel(delivered_at=NOW))
    page = text(admin.get(CHANNELS))
    for word in ("off: 403 invalid_token", "failing since", "works"):
        assert word in page
    assert "due" in text(admin.get("/admin/alerts/delivery/"))
    pk = Delivery.objects.values_list("pk", flat=True)[0]
    assert admin.get(f"/admin/alerts/delivery/{pk}/change/").status_code == 200


def test_every_page_has_a_banner_while_a_channel_is_off(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "readiness", lambda: {"status": "ready", "checks": {}})
    made = channel(disabled_reason="403 <invalid> token.")
    viewer = staff(client, "view_channel")
    page = text(viewer.get("/status/"))
    assert "Nobody is told by the channel ops · webhook: 403 &lt;invalid&gt; token." in page
    assert f"{CHANNELS}{made.pk}/change/" in page
    User.objects.get(username="bob").user_permissions.clear()
    assert "Nobody is told" not in text(viewer.get("/status/"))
