"""A POST of JSON, as Alertmanager sends it (version "4"), so that what is there for Alertmanager takes it.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. With a signing key it is signed as the
Standard Webhooks specification says (https://www.standardwebhooks.com): id, time and body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from alerts.notifications import Notification, Told
from alerts.notifiers import web
from alerts.notifiers.base import RefusedError, Target
from core import clock

LABEL = "Webhook (JSON as Alertmanager sends it)"
HELP = "A POST to an address of yours, with the JSON that Alertmanager's webhooks have."
FOR_PEOPLE, ACKNOWLEDGES = False, False
PLACES = frozenset({"url"})
TEMPLATES: Mapping[str, str] = {}
NEVER: Final = "0001-01-01T00:00:00Z"  # Go's time zero: it has not ended
KEY_PREFIX: Final = "whsec_"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""  # instead of the option, if all of the address is secret
    signing_key: str = ""
    headers: dict[str, str] = {}


def check(options: Options, secrets: Secrets) -> None:
    web.check_url(secrets.url or options.url)
    if secrets.signing_key:
        key_of(secrets.signing_key)


def preview(notification: Notification, target: Target) -> Mapping[str, str]:
    return {"body": msgspec.json.format(body(notification), indent=2).decode()}


async def send(notification: Notification, target: Target) -> str:
    options: Options = target.options
    secrets: Secrets = target.secrets
    content = body(notification)
    signed = signature(secrets.signing_key, target.delivery, clock.now() // clock.SECOND, content)
    answer = await web.post(
        secrets.url or options.url, content, timeout=target.timeout,
        headers=signed, secret_headers=secrets.headers, later=web.BUSY | web.STARTING,
    )  # fmt: skip
    return web.said(answer)


# --- The body ------------------------------------------------------------------------------------------------------


def body(notification: Notification) -> bytes:
    """To the byte what Alertmanager 0.25 sends of the same alerts. Raises RefusedError if there are none."""
    if not notification.alerts:
        raise RefusedError("the body of a webhook is about alerts, and this message is about none")
    said = {
        "receiver": notification.receiver,
        "status": notification.status,
        "alerts": [_alert(each) for each in notification.alerts],
        "groupLabels": _sorted(notification.group_labels),
        "commonLabels": _sorted(notification.common_labels),
        "commonAnnotations": _sorted(notification.common_annotations),
        "externalURL": notification.external_url,
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": notification.left_out,
    }
    return _as_go(msgspec.json.encode(said)) + b"\n"


def _alert(told: Told) -> dict[str, Any]:
    return {
        "status": "firing" if told.firing else "resolved",
        "labels": _sorted(told.labels),
        "annotations": _sorted(told.annotations),
        "startsAt": _time(told.starts_at),
        "endsAt": NEVER if told.firing or told.ends_at is None else _time(told.ends_at),
        "generatorURL": told.generator_url,
        "fingerprint": told.fingerprint,
    }


def _sorted(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(labels.items()))


def _time(moment: datetime) -> str:
    """Without zeros at the end of the fraction, as Go's RFC3339Nano."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text.rstrip('0').removesuffix('.')}Z"


def _as_go(text: bytes) -> bytes:
    """Go's encoder writes what means something in HTML, and two ends of lines, as escapes."""
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


_ESCAPES: Final = tuple(
    (letter.encode(), f"\\u{ord(letter):04x}".encode()) for letter in ("<", ">", "&", "\u2028", "\u2029")
)


# --- The signature -------------------------------------------------------------------------------------------------


def signature(key: str, delivery: str, at: int, content: bytes) -> dict[str, str]:
    """The headers; `at` is in seconds. Without a key only the id, which is the same for each try."""
    headers = {"webhook-id": delivery} if delivery else {}
    if not key:
        return headers
    said = f"{delivery}.{at}.".encode() + content
    digest = base64.b64encode(hmac.new(key_of(key), said, hashlib.sha256).digest()).decode()
    return {**headers, "webhook-timestamp": str(at), "webhook-signature": f"v1,{digest}"}


def key_of(text: str) -> bytes:
    """A key of the specification ("whsec_" and base64), or any text. Raises ValueError."""
    if not text.startswith(KEY_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"expected base64 behind {KEY_PREFIX} in the signing key") from None
