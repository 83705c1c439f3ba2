"""One file for each way to tell somebody. A new way is a file, and a line here."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

import msgspec

from alerts.notifications import Notification
from alerts.notifiers.base import DETAIL_MAX, Notifier, NotifierError, RefusedError, Target
from core.secrets import Lost

__all__ = [
    "Notifier", "NotifierError", "RefusedError", "Target", "choices", "notifier", "problems", "send", "target",
]  # fmt: skip

log = logging.getLogger(__name__)

# Kind → its label. The module is loaded when it is first needed.
NOTIFIERS: Final[dict[str, str]] = {
    "email": "E-mail",
    "slack": "Slack (incoming webhook)",
    "pagerduty": "PagerDuty (Events API v2)",
    "webhook": "Webhook (JSON as Alertmanager sends it)",
    "opsgenie": "Opsgenie",
    # What Apprise speaks for us: alerts.notifiers.apprised.
    "teams": "Microsoft Teams (workflow)",
    "telegram": "Telegram",
    "discord": "Discord",
    "googlechat": "Google Chat",
    "mattermost": "Mattermost",
    "rocketchat": "Rocket.Chat",
    "webex": "Webex",
    "zulip": "Zulip",
    "pushover": "Pushover",
    "ntfy": "ntfy",
    "gotify": "Gotify",
    "twilio": "Twilio (SMS)",
}
OURS: Final = frozenset({"email", "slack", "pagerduty", "webhook", "opsgenie"})  # each is a module


def choices() -> list[tuple[str, str]]:
    """A callable, so that a new way needs no migration."""
    return list(NOTIFIERS.items())


def notifier(kind: str) -> Notifier:
    """Raises NotifierError."""
    if kind not in NOTIFIERS:
        raise NotifierError(
            f"there is no way {kind!r} to tell somebody; there is {', '.join(NOTIFIERS)}", permanent=True
        )
    if kind in OURS:
        return cast(Notifier, import_module(f"alerts.notifiers.{kind}"))
    from alerts.notifiers import apprised

    return cast(Notifier, apprised.KINDS[kind])


def target(
    kind: str,
    options: Mapping[str, Any],
    secrets: Mapping[str, Any],
    templates: Mapping[str, str],
    *,
    delivery: str = "",
    timeout: float = 10.0,
) -> Target:
    """The settings of a channel as its notifier wants them. Raises NotifierError."""
    if isinstance(secrets, Lost):
        raise NotifierError(secrets.reason, permanent=True)
    way = notifier(kind)
    try:
        return Target(
            msgspec.convert(dict(options), way.Options), msgspec.convert(dict(secrets), way.Secrets), templates,
            timeout, delivery,
        )  # fmt: skip
    except msgspec.ValidationError as error:
        # They were checked when saved, but may be older than this code.
        raise NotifierError(f"the settings of this channel don't fit: {error}", permanent=True) from None


async def send(kind: str, notification: Notification, to: Target) -> str:
    """What the other side answered. Whatever goes wrong is a NotifierError; else only CancelledError is raised."""
    try:
        async with asyncio.timeout(to.timeout):
            answer = await notifier(kind).send(notification, to)
    except NotifierError:
        raise
    except TimeoutError:
        raise NotifierError(f"no answer within {to.timeout:g} s") from None
    except Exception as error:  # noqa: BLE001 - one channel must not take the others with it
        # Without the exception's text, which may have a secret in it.
        where = traceback.extract_tb(error.__traceback__)[-1]
        name = type(error).__name__
        log.error("A notifier of the kind %s failed with %s in %s:%s", kind, name, where.filename, where.lineno)
        raise NotifierError(f"the notifier itself failed: {name}") from None
    return answer[:DETAIL_MAX]


def problems(
    kind: str, options: Mapping[str, Any], secrets: Mapping[str, Any], templates: Mapping[str, str]
) -> dict[str, list[str]]:
    """By field, for people; empty if it can be tried."""
    try:
        way = notifier(kind)
    except NotifierError as error:
        return {"kind": [_sentence(error)]}
    found = {
        "options": _misfit(way.Options, options),
        "secrets": "" if isinstance(secrets, Lost) else _misfit(way.Secrets, secrets),
        "templates": _unworded(way, templates),
    }
    if not any(found.values()) and not isinstance(secrets, Lost):
        try:
            way.check(msgspec.convert(dict(options), way.Options), msgspec.convert(dict(secrets), way.Secrets))
        except ValueError as error:
            found["options"] = _sentence(error)
    return {field: [said] for field, said in found.items() if said}


def _misfit(struct: type[msgspec.Struct], values: Mapping[str, Any]) -> str:
    if not isinstance(cast(object, values), Mapping):  # a JSONField takes anything
        return 'Expected names and values, like {"to": ["ops@example.org"]}.'
    try:
        msgspec.convert(dict(values), struct)
    except msgspec.ValidationError as error:
        return _sentence(error)
    return ""


def _unworded(way: Notifier, templates: Mapping[str, str]) -> str:
    from alerts import wording
    from alerts.samples import sample

    for part, text in templates.items():
        if part not in way.TEMPLATES or not isinstance(cast(object, text), str):
            return f"Expected templates of {', '.join(way.TEMPLATES) or 'nothing'}, got one of {part!r}."
        if wrong := wording.problem(part, text, sample("ops")):
            return _sentence(ValueError(wrong))
    return ""


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
