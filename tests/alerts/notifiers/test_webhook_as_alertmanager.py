"""The webhook's body is the real Alertmanager's, byte by byte."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from alerts.models.deliveries import Reason
from alerts.notifications import Notification, Told
from alerts.notifiers import webhook
from tests import servers
from tests.alerts.sinks import Request, Sink

pytestmark = pytest.mark.alertmanager

AWKWARD = 'a <b> & "c" \\ d\u2028e ü 🔴 \x7f\ttab\nline'
CONFIG: dict[str, Any] = {
    "route": {
        "receiver": "ops",
        "group_by": ["alertname", "odd"],
        "group_wait": "50ms",
        "group_interval": "100ms",
        "routes": [{"matchers": ['severity="high"'], "receiver": "ops"}],
    },
}


def read(body: Any) -> Notification:
    """What Pharos would have been asked to tell."""
    alerts = [
        Told(
            each["fingerprint"], each["labels"], each["annotations"], "high", each["status"] == "firing",
            datetime.fromisoformat(each["startsAt"]),
            None if each["status"] == "firing" else datetime.fromisoformat(each["endsAt"]),
            generator_url=each["generatorURL"],
        )
        for each in body["alerts"]
    ]  # fmt: skip
    return Notification(
        Reason.FIRING if body["status"] == "firing" else Reason.RESOLVED,
        body["receiver"],
        alerts=alerts,
        left_out=body["truncatedAlerts"],
        group_key=body["groupKey"],
        group_labels=body["groupLabels"],
        common_labels=body["commonLabels"],
        common_annotations=body["commonAnnotations"],
        external_url=body["externalURL"],
    )


async def told(sink: Sink, count: int) -> list[Request]:
    for _ in range(3_000):
        if len(sink.requests) >= count:
            return sink.requests
        await asyncio.sleep(0.01)
    raise AssertionError(f"Alertmanager told {len(sink.requests)} times, not {count}")


async def test_the_same_alerts_are_the_same_bytes(sink: Sink) -> None:
    # Microseconds, of which the last are zero: Go leaves those away.
    start = datetime.now(UTC).replace(microsecond=120_000) - timedelta(minutes=1)
    labels = {"alertname": "Down", "severity": "high", "service": "worker", "odd": AWKWARD}
    alerts: list[dict[str, Any]] = [
        {
            "labels": {**labels, "instance": name},
            "annotations": {"summary": AWKWARD, "description": f"of {name}"},
            "startsAt": start.isoformat(),
            "generatorURL": "http://prometheus.example.org/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        }
        for name in ("b", "a")
    ]
    with tempfile.TemporaryDirectory() as directory:
        receivers = [{"name": "ops", "webhook_configs": [{"url": f"{sink.url}/"}]}]
        (Path(directory) / "alertmanager.yml").write_text(yaml.safe_dump({**CONFIG, "receivers": receivers}))
        url, server = await asyncio.to_thread(servers.start_alertmanager, Path(directory))
        try:
            async with aiohttp.ClientSession(url) as client:
                async with client.post("/api/v2/alerts", json=alerts) as answer:
                    assert answer.status == 200, await answer.text()
                await told(sink, 1)
                end = (start + timedelta(seconds=30)).isoformat()
                async with client.post("/api/v2/alerts", json=[{**each, "endsAt": end} for each in alerts]) as answer:
                    assert answer.status == 200, await answer.text()
                requests = await told(sink, 2)
        finally:
            server.stop()
    assert [each.json["status"] for each in requests] == ["firing", "resolved"]
    for each in requests:
        assert webhook.body(read(each.json)) == each.body
        assert each.headers["content-type"] == "application/json"
