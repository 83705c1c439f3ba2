"""A drill: a rule's condition is made true on facts that are made up, and what comes of it is followed through its
thresholds, "for", routes and groups to a receiver on this machine. Nothing is stored, and nobody is told.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec

from alerts import conditions, evaluating, evaluation, notifiers, pretended
from alerts.conditions import ConditionError, Measured
from alerts.evaluation import Episode, Spec
from alerts.labels import common
from alerts.models import AlertRule, Channel
from alerts.models.deliveries import Reason
from alerts.notifications import Notification, Told
from alerts.notifiers import NotifierError, Target, webhook
from alerts.preview import Preview, played
from alerts.routing import Tree
from core import http
from services.durations import words

STEPS_MAX: Final = 5_000  # looks while it fires
MARGIN: Final = 60.0  # seconds


class Drilled(msgspec.Struct, frozen=True):
    rule: str
    severities: Sequence[str] = ()
    detail: str = ""  # what was found
    fires_after: float | None = None  # seconds
    receivers: Sequence[str] = ()
    channels: Sequence[str] = ()  # that they have
    got: int = 0  # messages that came to the receiver on this machine
    miss: str = ""  # what did not work, as a sentence without its end

    @property
    def after(self) -> str:
        return "" if self.fires_after is None else words(self.fires_after)


def drill(rules: Iterable[AlertRule], now: datetime) -> Iterator[Drilled]:
    with _sink() as sink:
        for rule in rules:
            yield _drill(rule, now, sink)


def _drill(rule: AlertRule, now: datetime, sink: _Sink) -> Drilled:
    try:
        spec = evaluating.spec_of(rule)
        measured = _made_true(rule, spec, now)
    except (ConditionError, ValueError) as error:
        return Drilled(rule.name, miss=str(error))
    if measured is None:
        return Drilled(rule.name, miss="its condition could not be made true")
    found = played(rule, lambda spec: _looks(spec, measured, now), now)
    severities = sorted({each.severity for each in found.episodes})
    base = Drilled(rule.name, severities, measured.samples[0].detail if measured.samples else "no data")
    if miss := _miss(rule, found):
        return msgspec.structs.replace(base, miss=miss)
    first = min((each for each in found.episodes if each.fired_at), key=lambda each: each.fired_at or now)
    receivers = sorted({each.receiver for each in found.told})
    channels = Channel.objects.filter(receiver__name__in=receivers, enabled=True).select_related("receiver")
    base = msgspec.structs.replace(
        base,
        fires_after=((first.fired_at or now) - now).total_seconds(),
        receivers=receivers,
        channels=[str(channel) for channel in channels],
    )
    try:
        sent = [_notification(rule, found, receiver, reason) for receiver, reason in _told(found)]
        for channel in channels:
            _worded(channel, sent[0])
        return msgspec.structs.replace(base, got=sink.take(sent))
    except NotifierError as error:
        return msgspec.structs.replace(base, miss=str(error))


def _miss(rule: AlertRule, found: Preview) -> str:
    if found.error:
        return found.error
    if not found.fired:
        return "its condition is true, but no alert fires"
    annotations = evaluating.annotations_of(rule, found.episodes[0])
    if wrong := [text for text in annotations.values() if "<template:" in text]:
        return wrong[0]
    if not found.told:
        return "nobody is told: no route and no receiver, or it is muted"
    for reason, missing in (
        (Reason.FIRING, "nobody is told that it fires"),
        (Reason.RESOLVED, "nobody is told its end"),
    ):
        if not any(told.reason == reason for told in found.told):
            return missing
    return ""


def _made_true(rule: AlertRule, spec: Spec, now: datetime) -> Measured | None:
    """Raises ConditionError."""
    condition, config = conditions.condition(rule.kind), conditions.fitted(rule.kind, rule.config)
    condition.check(config)
    for facts in pretended.sets(config, now):
        measured = condition.measure(config, facts, most=2 * spec.alerts_max)
        if not measured.no_data and evaluation.step(spec, (), measured, now).changes:
            return measured
    return None


def _looks(spec: Spec, measured: Measured, start: datetime) -> Iterator[tuple[datetime, Measured]]:
    """It is true for long enough to be told, and then for long enough not true."""
    wait, interval = _patience()
    step = max(spec.interval, (spec.pending_for + spec.keep_firing_for + wait + interval) / STEPS_MAX)
    fires = start + timedelta(seconds=spec.pending_for + wait + MARGIN)
    end = fires + timedelta(seconds=spec.keep_firing_for + 2 * interval + MARGIN + 2 * step)
    at = start
    while at < end:
        yield at, measured if at < fires else Measured()
        at += timedelta(seconds=step)


def _patience() -> tuple[float, float]:
    """The longest `group_wait` and `group_interval` of all routes."""
    root = Tree.load().root
    options = [node.options for node in root.walk()] if root else []
    return (
        max((each.group_wait for each in options), default=0.0),
        max((each.group_interval for each in options), default=0.0),
    )


# --- Told ------------------------------------------------------------------------------------------------------------


def _told(found: Preview) -> list[tuple[str, str]]:
    return sorted({(each.receiver, each.reason) for each in found.told})


def _notification(rule: AlertRule, found: Preview, receiver: str, reason: str) -> Notification:
    told = [_as_told(rule, each, firing=reason != Reason.RESOLVED) for each in found.episodes]
    shared = common(each.labels for each in told)
    return Notification(
        reason=reason,
        receiver=receiver,
        alerts=told,
        group_key=f"drill/{rule.name}/{receiver}",
        group_labels={name: text for name, text in shared.items() if name in ("alertname", "service")},
        common_labels=shared,
        common_annotations=common(each.annotations for each in told),
        severity=told[0].severity,
        dedup_key=f"drill-{rule.pk}",
    )


def _as_told(rule: AlertRule, alert: Episode, *, firing: bool) -> Told:
    ends = None if firing else alert.resolved_at
    annotations = evaluating.annotations_of(rule, alert)
    starts = alert.fired_at or alert.active_at
    return Told(
        alert.fingerprint, alert.labels, annotations, alert.severity, firing, starts, ends, alert.value
    )  # fmt: skip


def _worded(channel: Channel, notification: Notification) -> None:
    """Whether a channel could say it, without that it does. Raises NotifierError."""
    way = notifiers.notifier(channel.kind)
    way.preview(notification, notifiers.target(channel.kind, channel.options, channel.secrets, channel.templates))


class _Sink:
    """A receiver of webhooks on loopback."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.url = ""

    def take(self, sent: Sequence[Notification]) -> int:
        """Sends them to itself, and says how many came as they should. Raises NotifierError."""
        self.bodies.clear()
        asyncio.run(self._send(sent))
        came = {(body["receiver"], body["status"]) for body in self.bodies if body["alerts"]}
        missing = [each for each in sent if (each.receiver, each.status) not in came]
        if missing:
            raise NotifierError(f"the message to {missing[0].receiver} did not come")
        return len(self.bodies)

    async def _send(self, sent: Sequence[Notification]) -> None:
        try:
            for each in sent:
                await notifiers.send("webhook", each, Target(webhook.Options(self.url), webhook.Secrets()))
        finally:
            await http.close()


@contextmanager
def _sink() -> Iterator[_Sink]:
    sink = _Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sink.bodies.append(msgspec.json.decode(self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="alert-test")
    thread.start()
    try:
        sink.url = f"http://127.0.0.1:{server.server_port}/"
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
