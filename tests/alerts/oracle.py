"""The real Alertmanager, which plays all scenarios at once, each in a subtree of its own, and what it tells.

It needs real time, and more of it where the machine was too slow to let things happen between two looks.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import yaml
from aiohttp import web

from tests import peers, servers
from tests.alerts.scenarios import SCENARIOS, SILENT_ENDS, TIMES, UNTIL, Happens, Scenario

UNIT: Final = 0.6  # seconds, at first
LATE: Final = 0.3  # units that something may happen too late
TRIES: Final = 4  # each with units twice as long


class Told(NamedTuple):
    """A notification, in short."""

    receiver: str
    key: str  # of the group, as Alertmanager words it
    firing: tuple[str, ...]
    resolved: tuple[str, ...]
    common: Mapping[str, str]


def alertmanager_config(sink: str, unit: float) -> dict[str, Any]:
    names = sorted({name for scenario in SCENARIOS for name in _receivers(scenario.route)})
    routes = [{**_scaled(each.route, unit), "matchers": [f'scenario="{each.name}"']} for each in SCENARIOS]
    return {
        "route": {"receiver": "nobody", "routes": routes},
        "receivers": [
            {"name": "nobody"},
            *(
                {"name": name, "webhook_configs": [{"url": f"{sink}/", "send_resolved": name not in SILENT_ENDS}]}
                for name in names
            ),
        ],
        "inhibit_rules": [_within(each.name, rule) for each in SCENARIOS for rule in each.inhibits],
        "time_intervals": [{"name": name, "time_intervals": times} for name, times in TIMES.items()],
    }


def _within(scenario: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    """An inhibit rule that concerns the alerts of the scenario alone."""
    sources = [*rule["source_matchers"], f'scenario="{scenario}"']
    return {**rule, "source_matchers": sources, "equal": [*rule.get("equal", ()), "scenario"]}


def _receivers(route: Mapping[str, Any]) -> Iterator[str]:
    if "receiver" in route:
        yield route["receiver"]
    for each in route.get("routes", ()):
        yield from _receivers(each)


def _scaled(route: Mapping[str, Any], unit: float) -> dict[str, Any]:
    scaled = dict(route)
    for name in ("group_wait", "group_interval", "repeat_interval"):
        if name in route:
            scaled[name] = f"{round(route[name] * unit * 1_000)}ms"
    if "routes" in route:
        scaled["routes"] = [_scaled(each, unit) for each in route["routes"]]
    return scaled


def play() -> dict[str, list[Told]]:
    """By scenario, in order."""
    unit = UNIT
    for _ in range(TRIES):
        told = asyncio.run(_play(unit))
        if told is not None:
            return told
        unit *= 2
    raise AssertionError(f"This machine is too slow: nothing happened in time with units of {unit / 2:g} s.")


async def _play(unit: float) -> dict[str, list[Told]] | None:
    """None if something happened too late."""
    told: dict[str, list[Told]] = defaultdict(list)

    async def take(request: web.Request) -> web.Response:
        said = await request.json()
        told[said["commonLabels"]["scenario"]].append(_told(said))
        return web.Response()

    directory = Path(tempfile.mkdtemp(prefix="pharos-alertmanager-"))
    try:
        async with peers.http_server(take) as sink:
            (directory / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager_config(sink, unit)))
            url, server = await asyncio.to_thread(servers.start_alertmanager, directory)
            try:
                in_time = await _happen(url, unit)
            finally:
                server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return told if in_time else None


def _told(said: Mapping[str, Any]) -> Told:
    by = {
        status: tuple(sorted(each["labels"]["name"] for each in said["alerts"] if each["status"] == status))
        for status in ("firing", "resolved")
    }
    common = {name: text for name, text in said["commonLabels"].items() if name != "scenario"}
    return Told(said["receiver"], said["groupKey"], by["firing"], by["resolved"], common)


async def _happen(url: str, unit: float) -> bool:
    """Whether all of it happened in time."""
    loop = asyncio.get_running_loop()
    start, noon = loop.time(), datetime.now(UTC)
    late = 0.0
    silences: dict[tuple[str, str], str] = {}
    fires: dict[tuple[str, str], dict[str, Any]] = {}

    def moment(units: float) -> str:
        return (noon + timedelta(seconds=units * unit)).isoformat()

    async with aiohttp.ClientSession(f"{url}/api/v2/", timeout=aiohttp.ClientTimeout(total=10)) as client:
        several = [(happens.at, scenario, happens) for scenario in SCENARIOS for happens in scenario.happens]
        for at, together in groupby(sorted(several, key=lambda one: one[0]), key=lambda one: one[0]):
            await asyncio.sleep(start + at * unit - loop.time())
            posted = []
            for _, scenario, happens in together:
                key = scenario.name, happens.name
                if happens.verb == "fire":
                    labels = {"alertname": "Down", "name": happens.name, "scenario": scenario.name}
                    fires[key] = {
                        "labels": {**labels, **happens.given["labels"]},
                        "startsAt": moment(happens.given["started"]),
                    }
                    posted.append({**fires[key], "endsAt": moment(1_000)})
                elif happens.verb == "end":
                    posted.append({**fires[key], "endsAt": datetime.now(UTC).isoformat()})
                elif happens.verb == "silence":
                    silences[key] = await _silenced(client, scenario, happens, moment(happens.given["until"]))
                else:
                    await _asked(client.delete(f"silence/{silences[key]}"))
            await _asked(client.post("alerts", json=posted))
            late = max(late, (loop.time() - start) / unit - at)
        await asyncio.sleep(start + UNTIL * unit - loop.time())
    return late <= LATE


async def _silenced(client: aiohttp.ClientSession, scenario: Scenario, happens: Happens, until: str) -> str:
    """The silence's id."""
    from alerts import matchers

    several = [*matchers.parse_all(list(happens.given["matchers"])), matchers.parse(f'scenario="{scenario.name}"')]
    said = {
        "matchers": [
            {"name": each.name, "value": each.value, "isRegex": each.is_regex, "isEqual": each.is_equal}
            for each in several
        ],
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": until,
        "createdBy": "alice",
        "comment": "a scenario",
    }
    return str(json.loads(await _asked(client.post("silences", json=said)))["silenceID"])


async def _asked(asked: Any) -> str:
    async with asked as response:
        text: str = await response.text()
        assert response.status == 200, text
        return text
