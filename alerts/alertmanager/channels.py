"""The ways of Alertmanager's receivers, and the channels that they are here.

https://prometheus.io/docs/alerting/latest/configuration/#general-receiver-related-settings
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from email.utils import getaddresses
from typing import Any, Final, NamedTuple

import msgspec
from django.conf import settings

from alerts.models import Channel

HIDDEN: Final = "<secret>"  # as Alertmanager writes its own configuration for others
HIDDEN_URL: Final = "http://secret.invalid/"  # where it wants an address
# Of `global`: what the ways below read.
GLOBALS: Final = frozenset({"slack_api_url", "pagerduty_url", "opsgenie_api_url", "opsgenie_api_key"})

Given = dict[str, Any]


class Made(msgspec.Struct):
    """What became of one entry, like one of `slack_configs`."""

    key: str
    kind: str = ""  # of a channel; "" if there is none like that
    channel: Channel | None = None
    warnings: list[str] = []  # sentences


class _Settings(NamedTuple):
    options: dict[str, Any]
    secrets: Any  # texts, and headers by name


class _Way(NamedTuple):
    kind: str  # of the channel
    resolved: bool  # whether the end is told, if the file doesn't say
    read: Callable[[Given, Given], _Settings]  # takes what it uses out of its first argument
    write: Callable[[Channel], dict[str, Any]] | None = None  # None: all of it would be secret


def read(entry: Given, defaults: Given) -> Iterator[Made]:
    """Of a receiver. `defaults` is `global`."""
    for key, several in entry.items():
        if key == "name":
            continue
        if not isinstance(several, list):
            yield Made(key, warnings=[f"{key} is left out: expected a list."])
            continue
        for each in several:
            yield _read(key, each, defaults)


def _read(key: str, given: object, defaults: Given) -> Made:
    way = WAYS.get(key)
    if way is None:
        return Made(key, warnings=[f"{key} has no counterpart: add a channel of another kind."])
    if not isinstance(given, dict):
        return Made(key, warnings=[f"{key} is left out: expected settings, got a text."])
    left = {**given}
    resolved = str(left.pop("send_resolved", way.resolved)).lower() == "true"
    options, secrets = way.read(left, defaults)
    warnings = []
    if hidden := sorted(name for name, value in [*options.items(), *secrets.items()] if _is_hidden(value)):
        warnings.append(f"{', '.join(hidden)} is not in the file, which has {HIDDEN} there: enter it in the channel.")
        return Made(key, way.kind, warnings=warnings)
    if left:
        warnings.append(
            f"{', '.join(sorted(left))} of {key} has no counterpart: how a message is worded is up to the channel."
        )
    return Made(
        key, way.kind, Channel(kind=way.kind, options=options, secrets=secrets, send_resolved=resolved), warnings
    )


def _is_hidden(value: object) -> bool:
    return HIDDEN in str(value) or value == HIDDEN_URL


def write(channel: Channel) -> tuple[str, dict[str, Any]] | None:
    """The key of the list, and its entry; None if Alertmanager has no such way."""
    for key, way in WAYS.items():
        if way.kind == channel.kind and way.write:
            return key, {**way.write(channel), "send_resolved": channel.send_resolved}
    return None


def mail_settings() -> dict[str, str]:
    """For `global`: where mail goes out, which is a setting here (EMAIL_URL). Without a user and a password."""
    return {
        "smtp_smarthost": f"{settings.EMAIL_HOST or 'localhost'}:{settings.EMAIL_PORT}",
        "smtp_from": settings.DEFAULT_FROM_EMAIL,
    }


# --- The ways --------------------------------------------------------------------------------------------------------


def _read_webhook(left: Given, defaults: Given) -> _Settings:
    url = str(left.pop("url", ""))
    headers: dict[str, str] = {}
    http = left.get("http_config")
    if isinstance(http, dict):
        http = {**http}
        headers = _authorization(http)
        del left["http_config"]
        if http:
            left["http_config"] = http
    # An address with a password or a token in it is not for everybody's eyes.
    secret = "@" in url or "?" in url
    secrets: dict[str, Any] = ({"url": url} if secret else {}) | ({"headers": headers} if headers else {})
    return _Settings({} if secret else {"url": url}, secrets)


def _authorization(http: Given) -> dict[str, str]:
    """The header that `http_config` asks for; what is read is taken out of it."""
    match http:
        case {"authorization": {"credentials": str(credentials), **rest}} if not {*rest} - {"type"}:
            del http["authorization"]
            return {"Authorization": f"{rest.get('type', 'Bearer')} {credentials}"}
        case {"bearer_token": str(token)}:
            del http["bearer_token"]
            return {"Authorization": f"Bearer {token}"}
        case {"basic_auth": {"username": str(name), "password": str(password)}}:
            del http["basic_auth"]
            return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
    return {}


def _write_webhook(channel: Channel) -> dict[str, Any]:
    url = channel.options.get("url") if not channel.secrets.get("url") else None
    found: dict[str, Any] = {"url": url or HIDDEN_URL}
    if "Authorization" in channel.secrets.get("headers", {}):
        found["http_config"] = {"authorization": {"credentials": HIDDEN}}
    return found


def _read_slack(left: Given, defaults: Given) -> _Settings:
    return _Settings({}, {"url": str(left.pop("api_url", defaults.get("slack_api_url", "")))})


def _write_slack(channel: Channel) -> dict[str, Any]:
    return {"api_url": HIDDEN}


def _read_pagerduty(left: Given, defaults: Given) -> _Settings:
    endpoint = str(left.pop("url", defaults.get("pagerduty_url", ""))).removesuffix("/v2/enqueue").rstrip("/")
    key = str(left.pop("routing_key", ""))
    return _Settings({"endpoint": endpoint} if endpoint else {}, {"routing_key": key})


def _write_pagerduty(channel: Channel) -> dict[str, Any]:
    found = {"routing_key": HIDDEN}
    if endpoint := channel.options.get("endpoint"):
        found["url"] = f"{endpoint}/v2/enqueue"
    return found


def _read_email(left: Given, defaults: Given) -> _Settings:
    return _Settings({"to": [address for _, address in getaddresses([str(left.pop("to", ""))]) if address]}, {})


def _write_email(channel: Channel) -> dict[str, Any]:
    return {"to": ", ".join(channel.options.get("to", []))}


def _read_opsgenie(left: Given, defaults: Given) -> _Settings:
    endpoint = str(left.pop("api_url", defaults.get("opsgenie_api_url", ""))).rstrip("/")
    key = str(left.pop("api_key", defaults.get("opsgenie_api_key", "")))
    return _Settings({"endpoint": endpoint} if endpoint else {}, {"api_key": key})


def _write_opsgenie(channel: Channel) -> dict[str, Any]:
    endpoint = channel.options.get("endpoint")
    return {"api_key": HIDDEN} | ({"api_url": f"{endpoint}/"} if endpoint else {})


# Addresses as Apprise has them: https://github.com/caronc/apprise/wiki


def _read_telegram(left: Given, defaults: Given) -> _Settings:
    return _Settings({}, {"url": _joined("tgram://{}/{}", left.pop("bot_token", ""), left.pop("chat_id", ""))})


def _read_pushover(left: Given, defaults: Given) -> _Settings:
    return _Settings({}, {"url": _joined("pover://{}@{}", left.pop("user_key", ""), left.pop("token", ""))})


def _read_discord(left: Given, defaults: Given) -> _Settings:
    parts = str(left.pop("webhook_url", "")).rstrip("/").rsplit("/", 2)
    return _Settings({}, {"url": HIDDEN if len(parts) < 3 else f"discord://{parts[1]}/{parts[2]}"})


def _joined(form: str, *parts: object) -> str:
    """Nothing of what is hidden."""
    return HIDDEN if HIDDEN in parts or "" in parts else form.format(*parts)


WAYS: Final[Mapping[str, _Way]] = {
    "webhook_configs": _Way("webhook", True, _read_webhook, _write_webhook),
    "slack_configs": _Way("slack", False, _read_slack, _write_slack),
    "pagerduty_configs": _Way("pagerduty", True, _read_pagerduty, _write_pagerduty),
    "email_configs": _Way("email", False, _read_email, _write_email),
    "opsgenie_configs": _Way("opsgenie", True, _read_opsgenie, _write_opsgenie),
    "telegram_configs": _Way("telegram", True, _read_telegram),
    "pushover_configs": _Way("pushover", True, _read_pushover),
    "discord_configs": _Way("discord", True, _read_discord),
}
