"""alertmanager.yml in and out: what it makes, what it leaves, what it can't; and amtool takes what comes out."""

from __future__ import annotations

import base64
import io
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from alerts import policy
from alerts.alertmanager import channels, config, exporting, importing
from alerts.alertmanager.config import ConfigError
from alerts.alertmanager.importing import DROP, LEAVE, MODIFY
from alerts.models import Channel, EscalationPolicy, InhibitRule, MuteTime, Receiver, Route
from alerts.routing import Tree

pytestmark = pytest.mark.django_db

# As the seed of the product had it: a route of critical alerts that continues into nothing, and no receivers.
SEED = """
route:
  group_by: ['alertname', 'severity']
  group_wait: 10s
  group_interval: 5m
  repeat_interval: 3h
  receiver: 'default'
  routes:
    - match:
        severity: critical
      receiver: pagerduty
      continue: true
    - match:
        severity: high
      receiver: slack-high
    - match:
        severity: medium
      receiver: slack-medium
"""
WHOLE = """
global:
  resolve_timeout: 10m
  slack_api_url: https://hooks.slack.example/services/T/B/x
  smtp_from: ops@example.org
templates: ['/etc/alertmanager/*.tmpl']
route:
  receiver: ops
  group_by: ['...']
  routes:
    - matchers: ['team="web"', 'env!="dev"']
      receiver: web
      continue: true
      mute_time_intervals: [nights]
      active_time_intervals: [weekdays]
      routes:
        - matchers: [severity=~"critical|high"]
          group_wait: 1m30s
    - receiver: hook
receivers:
  - name: ops
    slack_configs:
      - channel: '#ops'
        send_resolved: true
  - name: web
    email_configs: [{to: 'Web <web@example.org>, second@example.org'}]
    pagerduty_configs: [{routing_key: 0123456789abcdef0123456789abcdef, severity: critical}]
  - name: hook
    webhook_configs:
      - url: http://127.0.0.1:9/alerts
        http_config: {authorization: {credentials: hunter2}}
      - url: http://127.0.0.1:9/?token=hunter2
    wechat_configs: [{corp_id: x}]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="low"]
    equal: [alertname]
time_intervals:
  - name: nights
    time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}]}]
mute_time_intervals:
  - name: weekdays
    time_intervals: [{weekdays: ['monday:friday'], location: Europe/Berlin}]
"""


@pytest.fixture(autouse=True)
def nothing() -> None:
    Route.objects.all().delete()
    EscalationPolicy.objects.all().delete()
    Receiver.objects.all().delete()
    InhibitRule.objects.all().delete()


def told(**labels: str) -> list[str]:
    return [match.options.receiver_name for match in Tree.load().match(labels)]


def verbs(report: importing.Report) -> dict[str, str]:
    return {row.what: row.verb for row in report.rows}


# --- In --------------------------------------------------------------------------------------------------------------


def test_the_sample_of_the_seed_comes_in_and_its_trap_is_named() -> None:
    report = importing.carry_out(SEED)
    assert told(severity="critical") == ["pagerduty"]
    assert told(severity="high") == ["slack-high"]
    assert told(severity="low") == ["default"]
    root = Route.objects.get(parent=None)
    assert (root.group_by, root.group_wait, root.repeat_interval) == (["alertname", "severity"], 10, 10_800)
    assert any("its alerts are told to pagerduty alone, not to default as well" in said for said in report.warnings)
    assert "The file has no receiver pagerduty: it is made without a channel, so tells nobody." in report.warnings


def test_a_plan_changes_nothing_and_says_the_same() -> None:
    Route.objects.create(receiver=Receiver.objects.create(name="before"), name="mine")
    planned = importing.plan(WHOLE)
    assert Route.objects.get().name == "mine"
    assert Receiver.objects.get().name == "before"
    assert importing.carry_out(WHOLE) == planned


def test_a_whole_file_comes_in() -> None:
    report = importing.carry_out(WHOLE)
    assert told(team="web", env="prod", severity="high") == ["web", "hook"]
    assert told(team="x") == ["hook"]
    web = Route.objects.get(receiver__name="web")
    assert [each.name for each in web.mute_times.all()] == ["nights"]
    assert [each.name for each in web.active_times.all()] == ["weekdays"]
    assert web.routes.get().group_wait == 90
    assert MuteTime.objects.get(name="weekdays").intervals == [
        {"weekdays": ["monday:friday"], "location": "Europe/Berlin"}
    ]
    assert InhibitRule.objects.get().equal == ["alertname"]
    found = {(each.receiver.name, each.kind): each for each in Channel.objects.exclude(options={})}
    assert found["web", "email"].options == {"to": ["web@example.org", "second@example.org"]}
    assert found["hook", "webhook"].secrets == {"headers": {"Authorization": "Bearer hunter2"}}
    slack = Channel.objects.get(kind="slack")
    assert (slack.secrets, slack.send_resolved) == ({"url": "https://hooks.slack.example/services/T/B/x"}, True)
    assert Channel.objects.count() == 5
    said = "\n".join(report.warnings)
    assert "global.resolve_timeout has no counterpart: alerts that are sent without an end" in said
    assert "global.smtp_from has no counterpart" in said
    assert "templates has no counterpart: Go templates are not read" in said
    assert "hook · wechat_configs: wechat_configs has no counterpart" in said
    assert "ops · slack: channel of slack_configs has no counterpart" in said


def test_a_second_time_changes_nothing() -> None:
    importing.carry_out(WHOLE)
    routes = set(Route.objects.values_list("pk"))
    report = importing.carry_out(WHOLE)
    assert {row.verb for row in report.rows} == {LEAVE}
    assert set(Route.objects.values_list("pk")) == routes


def test_routes_are_replaced_and_those_with_the_same_matchers_stay() -> None:
    importing.carry_out(SEED)
    critical, medium = (Route.objects.get(matchers=[f'severity="{name}"']) for name in ("critical", "medium"))
    MuteTime.objects.create(name="mine", intervals=[])
    report = importing.carry_out(
        "route: {receiver: default, routes: [{match: {severity: critical}, receiver: slack-high}]}"
    )
    assert verbs(report) == {
        "receiver default": LEAVE, "receiver slack-high": LEAVE, "route of all alerts": MODIFY,
        'route severity="critical"': MODIFY, 'route severity="high"': DROP, 'route severity="medium"': DROP,
    }  # fmt: skip
    assert Route.objects.get(receiver__name="slack-high").pk == critical.pk
    assert not Route.objects.filter(pk=medium.pk).exists()
    # What the file doesn't mention stays.
    assert Receiver.objects.filter(name="pagerduty").exists()
    assert MuteTime.objects.filter(name="mine").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("route: {}", "route: expected a receiver: it is told what no other route takes"),
        ("route: {receiver: a, match: {x: y}}", "route: the first route takes all alerts: it has no matchers"),
        (
            "route: {receiver: a, routes: [{mute_time_intervals: [x]}]}",
            "route.routes[0]: there is no time interval 'x'",
        ),
        ("route: {receiver: a}\nreceivers: [{}]", "receivers[0]: expected a name"),
        ("route: {receiver: a}\nreceivers: [{name: a}, {name: a}]", "receivers[1]: the name 'a' is there twice"),
        (f"route: {{receiver: {'x' * 101}}}", "receiver xxx"),
        (
            "route: {receiver: a}\ntime_intervals: [{name: n, time_intervals: [{weekdays: [x]}]}]",
            "time interval n: Exp",
        ),
        (
            "route: {receiver: a}\ntime_intervals: [&, &]".replace(
                "&", "{name: n, time_intervals: [{years: ['2026']}]}"
            ),
            "the time interval 'n' is there twice",
        ),
    ],
)
def test_what_is_wrong_makes_nothing(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        importing.carry_out(text)
    assert str(caught.value).startswith(sentence)
    assert not Route.objects.exists()
    assert not Receiver.objects.exists()


# --- Channels --------------------------------------------------------------------------------------------------------


def read(entry: dict[str, Any], **defaults: Any) -> channels.Made:
    (made,) = channels.read({"name": "ops", **entry}, defaults)
    return made


def webhook(http: dict[str, Any]) -> dict[str, Any]:
    return {"webhook_configs": [{"url": "http://x/", "http_config": http}]}


@pytest.mark.parametrize(
    ("entry", "kind", "options", "secrets", "resolved"),
    [
        ({"slack_configs": [{"api_url": "https://s/x"}]}, "slack", {}, {"url": "https://s/x"}, False),
        ({"email_configs": [{"to": "A <a@x.org>, b@x.org"}]}, "email", {"to": ["a@x.org", "b@x.org"]}, {}, False),
        (
            {"pagerduty_configs": [{"routing_key": "k", "url": "https://eu.example/v2/enqueue"}]},
            "pagerduty", {"endpoint": "https://eu.example"}, {"routing_key": "k"}, True,
        ),
        ({"webhook_configs": [{"url": "http://x/"}]}, "webhook", {"url": "http://x/"}, {}, True),
        (
            {"webhook_configs": [{"url": "http://u:p@x/", "send_resolved": "false"}]},
            "webhook", {}, {"url": "http://u:p@x/"}, False,
        ),
        (
            webhook({"authorization": {"type": "Key", "credentials": "c"}}),
            "webhook", {"url": "http://x/"}, {"headers": {"Authorization": "Key c"}}, True,
        ),
        (
            webhook({"basic_auth": {"username": "u", "password": "p"}}),
            "webhook", {"url": "http://x/"},
            {"headers": {"Authorization": f"Basic {base64.b64encode(b'u:p').decode()}"}}, True,
        ),
        ({"opsgenie_configs": [{"api_key": "k"}]}, "opsgenie", {}, {"api_key": "k"}, True),
        ({"telegram_configs": [{"bot_token": "t", "chat_id": "7"}]}, "telegram", {}, {"url": "tgram://t/7"}, True),
        ({"pushover_configs": [{"user_key": "u", "token": "t"}]}, "pushover", {}, {"url": "pover://u@t"}, True),
        (
            {"discord_configs": [{"webhook_url": "https://discord.com/api/webhooks/1/t"}]},
            "discord", {}, {"url": "discord://1/t"}, True,
        ),
    ],
)  # fmt: skip
def test_ways_of_alertmanager_are_channels_here(
    entry: dict[str, Any], kind: str, options: dict[str, Any], secrets: dict[str, Any], resolved: bool
) -> None:
    made = read(entry)
    assert made.channel
    found = (made.channel.kind, made.channel.options, made.channel.secrets, made.channel.send_resolved)
    assert found == (kind, options, secrets, resolved)
    assert made.warnings == []


def test_defaults_of_global_are_taken() -> None:
    made = read({"slack_configs": [{}]}, slack_api_url="https://s/x")
    assert made.channel
    assert made.channel.secrets == {"url": "https://s/x"}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"slack_configs": [{"api_url": "<secret>"}]}, "url is not in the file, which has <secret> there"),
        ({"webhook_configs": [{"url": "http://x/", "http_config": {"bearer_token": "<secret>"}}]}, "headers is not in"),
        ({"telegram_configs": [{"bot_token": "<secret>", "chat_id": "7"}]}, "url is not in the file"),
        ({"discord_configs": [{"webhook_url": "<secret>"}]}, "url is not in the file"),
        ({"sns_configs": [{}]}, "sns_configs has no counterpart: add a channel of another kind."),
        ({"slack_configs": "x"}, "slack_configs is left out: expected a list."),
        ({"slack_configs": ["x"]}, "slack_configs is left out: expected settings, got a text."),
    ],
)
def test_what_can_not_become_a_channel_is_told(entry: dict[str, Any], sentence: str) -> None:
    made = read(entry)
    assert made.channel is None
    assert made.warnings[0].startswith(sentence)


def test_what_a_channel_has_no_place_for_is_told() -> None:
    http = {"bearer_token": "t", "proxy_url": "http://p/"}
    made = read({"webhook_configs": [{"url": "http://x/", "max_alerts": "5", "http_config": http}]})
    assert made.channel
    assert made.warnings == [
        "http_config, max_alerts of webhook_configs has no counterpart: how a message is worded is up to the channel."
    ]


# --- Out -------------------------------------------------------------------------------------------------------------


def amtool(text: str, directory: Path) -> str:
    (directory / "alertmanager.yml").write_text(text)
    ended = subprocess.run(
        ["amtool", "check-config", directory / "alertmanager.yml"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + text
    return ended.stdout


@pytest.mark.alertmanager
def test_amtool_takes_what_comes_out(tmp_path: Path) -> None:
    importing.carry_out(WHOLE)
    ops = Receiver.objects.get(name="ops")
    for kind in ("slack", "email", "pagerduty", "webhook", "opsgenie", "telegram"):
        Channel.objects.create(receiver=ops, kind=kind, options={"to": ["a@x.org"]} if kind == "email" else {})
    root = Route.objects.get(parent=None)
    root.mute_times.set(MuteTime.objects.all())
    root.repeat_interval = 0
    root.save()
    said = amtool(exporting.export().text, tmp_path)
    assert "SUCCESS" in said
    assert "1 inhibit rules" in said
    assert "3 receivers" in said


@pytest.mark.alertmanager
def test_amtool_takes_the_policy_that_there_is_at_first_and_no_policy_at_all(tmp_path: Path) -> None:
    assert "1 receivers" in amtool(exporting.export().text, tmp_path)
    policy.install()
    found = exporting.export()
    assert "SUCCESS" in amtool(found.text, tmp_path)
    assert (
        "The inhibit rule A service, while one that it needs is down has no counterpart in Alertmanager."
        in found.left_out
    )


def test_no_secret_leaves() -> None:
    importing.carry_out(WHOLE)
    for kind in ("slack", "pagerduty", "opsgenie", "telegram", "discord"):
        hidden: Any = {"url": "hunter2", "routing_key": "hunter2", "api_key": "hunter2"}
        Channel.objects.create(receiver=Receiver.objects.get(name="ops"), kind=kind, secrets=hidden)
    assert "hunter2" not in exporting.export().text


def test_what_comes_out_comes_in_again() -> None:
    importing.carry_out(WHOLE)
    text = exporting.export().text
    report = importing.carry_out(text)
    assert {row.verb for row in report.rows if not row.what.startswith("route of all")} == {LEAVE}
    assert exporting.export().text == text
    Route.objects.all().delete()
    importing.carry_out(text)
    assert exporting.export().text == text


# --- Commands and pages ----------------------------------------------------------------------------------------------


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_commands(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(SEED)
    planned = run("alertmanager_import", str(file))
    assert 'make    route severity="critical" → pagerduty, continues' in planned
    assert "Note: The route severity=" in planned
    assert planned.endswith(
        "Nothing was changed yet: 8 to make, 0 to change, 0 to leave, 0 to drop. Do it with --apply.\n"
    )
    assert not Route.objects.exists()
    assert "Done: 8 to make" in run("alertmanager_import", str(file), "--apply")
    assert "receiver: pagerduty" in run("alertmanager_export")
    run("alertmanager_export", str(tmp_path / "out.yml"))
    assert config.read((tmp_path / "out.yml").read_text())
    with pytest.raises(CommandError, match=r"^Nothing was imported: expected a mapping"):
        run("alertmanager_import", "/dev/null")
    with pytest.raises(CommandError, match="can't be read"):
        run("alertmanager_import", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="can't be written"):
        run("alertmanager_export", str(tmp_path / "none" / "x"))


IMPORT, EXPORT = "/admin/alerts/route/import/", "/admin/alerts/route/export/"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


def test_the_page_shows_first_and_does_then(admin: Client) -> None:
    assert "Show what would happen" in admin.get(IMPORT).content.decode()
    page = admin.post(IMPORT, {"text": SEED}).content.decode()
    assert "8 to make, 0 to change, 0 to leave as they are, 0 to drop." in page
    assert "told to pagerduty alone" in page
    assert not Route.objects.exists()
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    done = admin.post(IMPORT, {"token": token[1]}, follow=True).content.decode()
    assert "Imported: 8 made" in done
    assert Route.objects.count() == 4
    out = admin.get(EXPORT)
    assert 'filename="alertmanager.yml"' in out["Content-Disposition"]
    assert b"receiver: pagerduty" in out.content


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"text": ""}, "Expected a file, or text below it"),
        ({"text": "route: <script>"}, "got str - at $.route"),
        ({"text": "# " + "x" * config.FILE_MAX}, "expected at most 1,048,576 bytes"),
        ({"token": "nonsense"}, "choose the file again"),
    ],
)
def test_the_page_tells_what_is_wrong(admin: Client, sent: dict[str, str], sentence: str) -> None:
    page = admin.post(IMPORT, sent).content.decode()
    assert sentence in page
    assert 'name="token"' not in page


def test_who_may_bring_and_take(client: Client) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    assert client.get(IMPORT).status_code == 403
    assert client.get(EXPORT).status_code == 403
    client.force_login(User.objects.create_superuser("admin", "", ""))
    assert client.delete(IMPORT).status_code == 405
    assert client.post(EXPORT).status_code == 405
