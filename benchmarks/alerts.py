"""What rules cost, how punctual they are, and how long it takes from a condition that is true to a webhook.

    python -m benchmarks.alerts --seconds 60

It starts the product twice and sends 1,000 lines a second to each: without rules, and with 200 of them, 100 about log
lines and 100 about services, each due every 15 s. Their CPU is that of valkey, worker and beat while nothing fires,
less that of the first run. Then come lines that one more rule waits for, and heartbeats that say that their job failed;
a local webhook notes when it is told. Promised: at most a quarter of a core; every rule evaluated every 15 s (a
few seconds late, when it was busy); from the line, or the heartbeat, to the webhook p99 below 2 s with `for: 0`. The
exit code is 1 if one of these doesn't hold.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice, pairwise
from typing import Any, Final

from benchmarks import corpus, report
from benchmarks.clients import HttpClient, http_request
from benchmarks.product import HOST, Product, ProductError, run

CORE_MAX: Final = 0.25
TOLD_MAX: Final = 2.0  # seconds, p99
GAP_MAX: Final = 20.0  # seconds between two evaluations of a rule
INTERVAL: Final = 15
BATCHES: Final = 10  # bodies a second
POOL: Final = 20_000  # different lines
WARM_UP: Final = 60.0  # seconds: what is counted for the first time costs more
PATIENCE: Final = 15.0  # seconds for the last webhook
MARK: Final = "benchmark-mark"
OF_RULES: Final = ("valkey", "worker", "beat")
QUERIES: Final = (
    ("log_count", {"query": "level:error service:{}", "window": 300}),
    ("log_rate", {"query": "level:error service:{} timeout", "window": 60}),
    ("log_ratio", {"query": "level:error", "of": "service:{}", "window": 300}),
    ("log_count", {"query": "deadlock service:{}", "window": 600, "group_by": ["service"]}),
    ("log_absence", {"query": "service:{}", "window": 60, "lookback": 600}),
)
SERVICE_KINDS: Final = ("service_down", "service_degraded", "heartbeat", "certificate", "service_latency")


@dataclass
class Figures:
    """Seconds."""

    seconds: float = math.nan
    cpu: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    evaluations: int = 0
    gaps: list[float] = field(default_factory=list)  # the longest of each rule
    took: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    by_line: list[float] = field(default_factory=list)  # from a line to its webhook; infinite: none came
    by_ping: list[float] = field(default_factory=list)

    @property
    def core(self) -> float:
        return sum(self.cpu.get(name, math.nan) for name in OF_RULES) / self.seconds


# --- The webhook -----------------------------------------------------------------------------------------------------


class Sink:
    """When it was told first of an alert, by the value of the alert's label `probe` or `service`."""

    def __init__(self) -> None:
        self.told: dict[str, float] = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                for alert in body["alerts"]:
                    labels = alert["labels"]
                    sink.told.setdefault(labels.get("probe") or labels.get("service", ""), time.time())
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server.server_address[1]}/"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


# --- What there is to evaluate ---------------------------------------------------------------------------------------


def rules(count: int) -> list[dict[str, Any]]:
    """Half of them about log lines. None of them fires; every second one about lines waits for no time (`for`)."""
    names = list(corpus.SERVICES)
    found = []
    for number in range(count // 2):
        kind, config = QUERIES[number % len(QUERIES)]
        filled = {key: value.format(names[number % len(names)]) if isinstance(value, str) else value
                  for key, value in config.items()}  # fmt: skip
        found.append({"kind": kind, "config": filled, "pending_for": 60 * (number // len(QUERIES) % 2)})
    for number in range(count - count // 2):
        config = {"services": [f"service {number:03}"]}
        found.append({"kind": SERVICE_KINDS[number % len(SERVICE_KINDS)], "config": config, "pending_for": 60})
    return found


def prepare(product: Product, count: int, url: str, pings: Sequence[str]) -> None:
    """Through the product's own models, in a process of their own: this one has no Django."""
    script = f"""
import django
django.setup()
from alerts.models import AlertRule, Channel, InhibitRule, Receiver, Route
from services.models import Check, Heartbeat, Service
AlertRule.objects.all().delete()
InhibitRule.objects.all().delete()
Route.objects.exclude(parent=None).delete()
sink = Receiver.objects.create(name="sink")
Channel.objects.create(
    receiver=sink, kind="webhook", options={{"url": {url!r}}}, send_resolved=False, rate_max=1000
)
Route.objects.update(receiver=sink, group_by=["..."], group_wait=0, group_interval=1)
services = Service.objects.bulk_create(Service(name=f"service {{n:03}}") for n in range({count - count // 2}))
jobs = Service.objects.bulk_create(Service(name=f"job {{n:03}}") for n in range({len(pings)}))
checks = Check.objects.bulk_create(
    Check(service=job, name="job", kind="heartbeat", failure_threshold=1, failing_means="down") for job in jobs
)
Heartbeat.objects.bulk_create(
    Heartbeat(service_check=check, token=token) for check, token in zip(checks, {list(pings)!r})
)
limits = [{{"severity": "high", "value": 10**9}}]
AlertRule.objects.bulk_create(
    AlertRule(name=f"rule {{n}}", thresholds=limits, interval={INTERVAL}, **each)
    for n, each in enumerate({rules(count)!r})
)
if {count}:
    marked = {{"query": "{MARK}", "group_by": ["metadata.probe"], "window": 60}}
    AlertRule.objects.create(
        name="marked", kind="log_count", config=marked, thresholds=[{{"severity": "high", "value": 0}}], alerts_max=1000
    )
    AlertRule.objects.create(name="job down", kind="service_down", config={{"services": ["job *"]}}, alerts_max=1000)
"""
    variables = product.environment() | {"DJANGO_SETTINGS_MODULE": "monitor.settings"}
    subprocess.run([sys.executable, "-c", script], env=variables, check=True)


# --- One row ---------------------------------------------------------------------------------------------------------


@contextmanager
def lines(port: int, rate: int) -> Iterator[list[int]]:
    """Sends `rate` lines a second meanwhile. Yields a list that has the number of those that were refused."""
    stop, refused = threading.Event(), [0]
    pool = cycle(list(corpus.lines(POOL, seed=1)))

    def send() -> None:
        began, turn = time.monotonic(), 0
        with HttpClient(port) as client:
            while not stop.wait(max(0.0, began + turn / BATCHES - time.monotonic())):
                now = corpus.now()
                batch = [
                    corpus.restamped(line, now + place) for place, line in enumerate(islice(pool, rate // BATCHES))
                ]
                status, _ = client.post(http_request(b"\n".join(batch)))
                refused[0] += len(batch) * (status != 202)
                turn += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield refused
    finally:
        stop.set()
        thread.join()


def measure(count: int, rate: int, seconds: int, probes: int) -> Figures:
    figures = Figures()
    pings = [str(uuid.uuid4()) for _ in range(probes)]
    sink = Sink()
    try:
        with Product() as product:
            prepare(product, count, sink.url, pings)
            with lines(product.port, rate) as refused:
                report.progress(f"{count} rules: {WARM_UP + seconds:g} s")
                time.sleep(WARM_UP)
                began, cpu = time.monotonic(), product.cpu()
                with watched(product, figures):
                    time.sleep(seconds)
                    figures.seconds = time.monotonic() - began
                    figures.cpu = {name: used - cpu.get(name, 0.0) for name, used in product.cpu().items()}
                    if count:
                        probe(product, figures, sink, pings, seconds)
                product.check()
            figures.refused = refused[0]
    finally:
        sink.close()
    return figures


@contextmanager
def watched(product: Product, figures: Figures) -> Iterator[None]:
    """Reads, twice a second, when each rule was evaluated."""
    stop = threading.Event()
    seen: dict[int, list[int]] = defaultdict(list)

    def look() -> None:
        with closing(sqlite3.connect(f"file:{product.data / 'pharos.sqlite3'}?mode=ro", uri=True, timeout=20)) as rows:
            while not stop.wait(0.5):
                for pk, at, took, error in rows.execute(
                    "SELECT id, evaluated_at, took_us, error FROM alerts_alertrule"
                ):
                    if at is not None and (not seen[pk] or seen[pk][-1] != at):
                        seen[pk].append(at)
                        figures.took.append(took / 1e6)
                    if error:
                        figures.errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    for times in seen.values():
        figures.evaluations += len(times) - 1
        figures.gaps.append(max(((later - at) / 1e6 for at, later in pairwise(times)), default=0.0))


def probe(product: Product, figures: Figures, sink: Sink, pings: Sequence[str], seconds: int) -> None:
    """As many lines and heartbeats as there are `pings`, evenly over the time."""
    began = time.monotonic()
    sent: dict[str, float] = {}
    with (
        HttpClient(product.port) as client,
        closing(http.client.HTTPConnection(HOST, product.port, timeout=10)) as other,
    ):
        for number, token in enumerate(pings):
            time.sleep(max(0.0, began + number * (seconds - TOLD_MAX) / len(pings) - time.monotonic()))
            name = f"p{number:03}"
            line = {
                "ts": corpus.now(),
                "level": "info",
                "service": "probe",
                "message": MARK,
                "metadata": {"probe": name},
            }
            sent[name] = time.time()
            client.post(http_request(json.dumps(line).encode()))
            sent[f"job {number:03}"] = time.time()
            other.request("POST", f"/ping/{token}/fail")
            if (answer := other.getresponse()).status != 200:
                raise ProductError(f"a heartbeat was answered with {answer.status}: {answer.read()[:200]!r}")
            answer.read()
    deadline = time.monotonic() + PATIENCE
    while sent.keys() - sink.told.keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    for name, at in sent.items():
        values = figures.by_ping if name.startswith("job ") else figures.by_line
        values.append(sink.told.get(name, math.inf) - at)


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = (
    "rules", "evaluated", "gap s p50", "max", "took ms p50", "p99", "line → webhook ms p50", "p99", "max",
    "heartbeat → webhook ms p50", "p99", "max", *(f"{name} %" for name in (*OF_RULES, "ingest", "web")), "core %",
)  # fmt: skip


def row(count: int, figures: Figures) -> list[report.Cell]:
    took, by_line, by_ping = (
        [1_000 * each for each in values] for values in (figures.took, figures.by_line, figures.by_ping)
    )
    shares = [100 * figures.cpu.get(name, math.nan) / figures.seconds for name in (*OF_RULES, "ingest", "web")]
    return [
        count, figures.evaluations, report.percentile(figures.gaps, 0.5), max(figures.gaps, default=math.nan),
        report.percentile(took, 0.5), report.percentile(took, 0.99),
        report.percentile(by_line, 0.5), report.percentile(by_line, 0.99), max(by_line, default=math.nan),
        report.percentile(by_ping, 0.5), report.percentile(by_ping, 0.99), max(by_ping, default=math.nan),
        *(f"{share:.1f}" for share in shares), f"{100 * figures.core:.1f}",
    ]  # fmt: skip


def wrong(count: int, figures: Figures, base: Figures) -> Iterator[str]:
    if (core := figures.core - base.core) > CORE_MAX:
        yield f"{count} rules take {core:.0%} of a core, promised is {CORE_MAX:.0%} at most."
    if (gap := max(figures.gaps, default=math.inf)) > GAP_MAX:
        yield f"A rule was evaluated after {gap:.0f} s only, promised is every {INTERVAL} s."
    if figures.errors:
        yield f"Rules could not be evaluated: {figures.errors[0]}."
    for name, values in (("line", figures.by_line), ("heartbeat", figures.by_ping)):
        if (p99 := report.percentile(values, 0.99)) >= TOLD_MAX:
            yield f"From a {name} to its webhook p99 is {p99:.2f} s, promised is less than {TOLD_MAX:g} s."
    if figures.refused:
        yield f"{figures.refused:,} lines were refused."


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures what rules cost, and how soon somebody is told.")
    parser.add_argument("--seconds", type=int, default=60, help="that are measured, for each row")
    parser.add_argument("--rules", type=int, default=200)
    parser.add_argument("--rate", type=int, default=1_000, help="lines a second")
    parser.add_argument("--probes", type=int, default=100, help="lines, and heartbeats, that are to be told")
    options = parser.parse_args()
    where = report.machine()
    base = measure(0, options.rate, options.seconds, 0)
    found = measure(options.rules, options.rate, options.seconds, options.probes)
    title = f"Alerts: rules due every {INTERVAL} s at {options.rate:,} lines/s, for {options.seconds} s"
    print(report.table(title, where, HEAD, [row(0, base), row(options.rules, found)]))
    broken = list(wrong(options.rules, found, base))
    print("\n".join(broken) or "Every promise is kept.")
    return int(bool(broken))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monitor.settings")
    run(main)
