"""Ten thousand alerts that fire at once: how soon they are told, and whether Pharos stays usable meanwhile.

    python -m benchmarks.alert_storm --alerts 10000 --groups 100

The product is started, with one route and a webhook. The alerts are posted to its Alertmanager API, some hundred in a
request and one request after the other, as Prometheus does. They belong to `--groups` groups. Once everything was told
they end, in the same way. Meanwhile a person opens pages and logs in.

"taken" is when the last request was answered, "told" when the last message came to the webhook, both from the first
request on; the route's own `group_wait` and `group_interval` (5 s each) are in it. "pages" are answers to the list of
incidents and that of alerts, "logins" are answers to a password: each writes into the database.

The exit code is 1 unless the webhook got one message for each group and time, with all of its alerts.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp import web

from benchmarks import report
from benchmarks.product import ADMIN, API_KEY, PASSWORD, ROOT, Product, ProductError, run
from tests.peers import http_server

AT_ONCE: Final = 500  # alerts in a request
PATIENCE: Final = 300.0  # seconds for the last message
LOOK_EVERY: Final = 0.25  # seconds between two pages
HEAD: Final = (
    "what", "alerts", "groups", "taken s", "told s", "messages", "pages", "p50 ms", "p95", "longest", "logins",
    "longest ms", "worker CPU s", "web CPU s", "worker MB",
)  # fmt: skip
PREPARE: Final = """
import sys, django; django.setup()
from alerts.models import Channel, InhibitRule, Receiver, Route
Route.objects.all().delete()
storm = Receiver.objects.create(name="storm")
Channel.objects.create(receiver=storm, kind="webhook", options={"url": sys.argv[1]}, rate_max=1000)
Route.objects.create(receiver=storm, group_by=["alertname"], group_wait=5, group_interval=5, repeat_interval=10_000)
print(InhibitRule.objects.filter(enabled=True).count(), "inhibit rules")
"""


class Sink:
    """The webhook: which alerts it was told of, and how often a group came."""

    def __init__(self) -> None:
        self.messages: Counter[tuple[str, str]] = Counter()  # group and status
        self.alerts: Counter[str] = Counter()  # by status
        self.last = 0.0

    async def take(self, request: web.Request) -> web.Response:
        said = await request.json()
        self.messages[said["groupKey"], said["status"]] += 1
        self.alerts[said["status"]] += len(said["alerts"]) + said["truncatedAlerts"]
        self.last = time.monotonic()
        return web.Response()


class Looked(NamedTuple):
    pages: list[float]  # ms
    logins: list[float]


def alerts(count: int, groups: int, *, over: bool) -> list[dict[str, Any]]:
    """Those of a group one after the other, as a rule finds them."""
    now = datetime.now(UTC)
    ends = now if over else now + timedelta(hours=1)
    return [
        {
            "labels": {
                "alertname": f"Storm{number * groups // count}", "severity": "high",
                "service": f"service-{number % 50}",
                "instance": f"10.0.{number // 250}.{number % 250}:9100",
            },
            "annotations": {"summary": f"Instance {number} does not answer", "runbook_url": "https://example.org/storm"},
            "startsAt": (now - timedelta(seconds=1)).isoformat() if over else now.isoformat(),
            "endsAt": ends.isoformat(),
            "generatorURL": "http://prometheus.example.org/graph?g0.expr=up+%3D%3D+0",
        }
        for number in range(count)
    ]  # fmt: skip


async def post(client: aiohttp.ClientSession, several: Sequence[dict[str, Any]]) -> None:
    for at in range(0, len(several), AT_ONCE):
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with client.post("/api/v2/alerts", json=several[at : at + AT_ONCE], headers=headers) as answer:
            if answer.status != 200:
                raise ProductError(f"/api/v2/alerts answered {answer.status}: {(await answer.text())[:300]}")


@asynccontextmanager
async def logged_in(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        async with client.get("/login/") as answer:
            await answer.read()
        token = next(cookie.value for cookie in client.cookie_jar if cookie.key == "csrftoken")
        form = {"username": ADMIN, "password": PASSWORD, "csrfmiddlewaretoken": token, "next": "/health/ready"}
        async with client.post("/login/", data=form, headers={"Referer": f"{address}/login/"}) as answer:
            await answer.read()
            if not any(cookie.key == "sessionid" for cookie in client.cookie_jar):
                raise ProductError(f"/login/ answered {answer.status}, and no session")
        yield client


@asynccontextmanager
async def looking(product: Product, looked: Looked) -> AsyncIterator[None]:
    """A person who opens pages, and one who logs in again and again."""

    async def pages() -> None:
        async with logged_in(product.address) as client:
            while True:
                for path in ("/incidents/", "/alerts/"):
                    began = time.perf_counter()
                    async with client.get(path) as answer:
                        await answer.read()
                        if answer.status != 200:
                            raise ProductError(f"{path} answered {answer.status}")
                    looked.pages.append((time.perf_counter() - began) * 1_000)
                    await asyncio.sleep(LOOK_EVERY)

    async def logins() -> None:
        while True:
            began = time.perf_counter()
            async with logged_in(product.address):
                pass
            looked.logins.append((time.perf_counter() - began) * 1_000)
            await asyncio.sleep(4 * LOOK_EVERY)

    tasks = [asyncio.create_task(pages()), asyncio.create_task(logins())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception):
                raise found


async def storm(
    product: Product, sink: Sink, arguments: argparse.Namespace, status: str
) -> tuple[list[report.Cell], bool]:
    """A row of the table, and whether everything came once."""
    looked = Looked([], [])
    before, began = product.cpu(), time.monotonic()
    several = alerts(arguments.alerts, arguments.groups, over=status == "resolved")
    async with aiohttp.ClientSession(product.address) as client, looking(product, looked):
        await post(client, several)
        taken = time.monotonic() - began
        report.progress(f"{status}: taken after {taken:.1f} s")
        while sink.alerts[status] < arguments.alerts and time.monotonic() - began < PATIENCE:
            product.check()
            await asyncio.sleep(0.05)
        told = sink.last - began
        # Whoever comes twice comes with the next look at a group.
        await asyncio.sleep(7)
    used = {name: value - before.get(name, 0) for name, value in product.cpu().items()}
    memory = product.memory()["worker"].rss
    messages = [count for (_, said), count in sink.messages.items() if said == status]
    row = [
        status, arguments.alerts, arguments.groups, taken, told, sum(messages), len(looked.pages),
        report.percentile(looked.pages, 0.5), report.percentile(looked.pages, 0.95), max(looked.pages),
        len(looked.logins), max(looked.logins), used["worker"], used["web"], memory,
    ]  # fmt: skip
    right = sink.alerts[status] == arguments.alerts and messages == [1] * arguments.groups
    return row, right


async def measure(product: Product, arguments: argparse.Namespace) -> bool:
    sink = Sink()
    where = report.machine()
    async with http_server(sink.take) as url:
        command = [sys.executable, "-c", PREPARE, url]
        environment = {**product.environment(), "DJANGO_SETTINGS_MODULE": "monitor.settings"}
        await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, env=environment, check=True, timeout=60, stdout=sys.stderr
        )
        found = [await storm(product, sink, arguments, status) for status in ("firing", "resolved")]
    print(report.table("Alerts that fire, and end, at once", where, HEAD, [row for row, _ in found]))
    return all(right for _, right in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--database", default="", help="a DATABASE_URL; without one: SQLite")
    arguments = parser.parse_args()
    with Product(**({"DATABASE_URL": arguments.database} if arguments.database else {})) as product:
        return 0 if asyncio.run(measure(product, arguments)) else 1


if __name__ == "__main__":
    run(main)
