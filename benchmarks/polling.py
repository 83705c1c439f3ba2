"""What checks cost, and how punctual they are: 1,000 HTTP checks every 10 s on one worker.

    python -m benchmarks.polling --seconds 60

It starts the product and a local HTTP server, has the server asked, and reads the results from the database. The second
row has 200 of the checks ask a server that never answers. "late" is the time from a check's deadline to its question;
a deadline is missed if it has no result. Promised: at most 2 ms of CPU for each check, of all processes but those that
have nothing to do with it; lateness p99 below 1 s, and none missed; 200 checks that time out delay no other by more
than 1 s. The exit code is 1 if one of these doesn't hold.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks import report
from benchmarks.product import HOST, Product, ProductError, run
from core import clock
from monitor import valkey
from monitor.supervisor import die_with_parent

ANSWERS_MAX_MS: Final = 2.0
LATE_MAX: Final = 1.0  # seconds
WARM_UP: Final = 3  # intervals
PATIENCE: Final = 60.0  # seconds until each check was seen at rest
OF_POLLING: Final = ("valkey", "worker", "beat")
DETAIL: Final = (*OF_POLLING, "web", "ingest")


@dataclass
class Load:
    name: str
    checks: int
    hanging: int
    interval: int  # seconds
    timeout: float


@dataclass
class Figures:
    """Of the time that was measured. Seconds."""

    seconds: float
    deadlines: int = 0
    results: int = 0
    timed_out: int = 0
    missed: int = 0
    twice: int = 0
    late: list[float] = field(default_factory=list)  # of those that are answered
    late_hanging: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_ms(self) -> float:
        return 1_000 * sum(self.cpu.get(name, math.nan) for name in OF_POLLING) / self.results


# --- The server ------------------------------------------------------------------------------------------------------


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """A process of its own: the port that answers, and the one that takes connections and says nothing."""
    ports = valkey.free_port(), valkey.free_port()
    command = [sys.executable, "-m", __spec__.name, "--serve", *map(str, ports)]
    process = subprocess.Popen(command, preexec_fn=die_with_parent(signal.SIGKILL))
    try:
        while not _listens(ports[1]):
            time.sleep(0.02)
        yield ports
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


def serve(port: int, silent: int) -> None:
    import asyncio

    class Answers(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if data.endswith(b"\r\n\r\n"):
                assert isinstance(self.transport, asyncio.WriteTransport)
                self.transport.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
                    b'{"status":"healthy"}'
                )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(Answers, HOST, port, backlog=2_000)
        await loop.create_server(asyncio.Protocol, HOST, silent, backlog=2_000)
        await asyncio.Event().wait()

    asyncio.run(main())


# --- One row ---------------------------------------------------------------------------------------------------------


def measure(load: Load, seconds: int) -> Figures:
    with server() as (port, silent), Product() as product:
        _add_checks(product, load, port, silent)
        time.sleep(WARM_UP * load.interval)
        began, cpu = clock.now(), product.cpu()
        report.progress(f"{load.name}: {seconds} s")
        time.sleep(seconds)
        product.check()
        ended = clock.now()
        spent = {name: used - cpu.get(name, 0.0) for name, used in product.cpu().items()}
        # The last of them is asked, and written.
        time.sleep(load.timeout + 2)
        figures = _figures(product, load, began, ended)
        figures.cpu = spent
    return figures


def _add_checks(product: Product, load: Load, port: int, silent: int) -> None:
    """Through the product's own models, in a process of their own: this one has no Django."""
    script = f"""
import django
django.setup()
from services.models import Check, Service
services = Service.objects.bulk_create(Service(name=f"service {{n:04}}") for n in range({load.checks}))
Check.objects.bulk_create(
    Check(service=service, target=f"http://{HOST}:{{{silent} if n < {load.hanging} else {port}}}/health/{{n}}",
          interval={load.interval}, timeout={load.timeout})
    for n, service in enumerate(services)
)
"""
    variables = product.environment() | {"DJANGO_SETTINGS_MODULE": "monitor.settings"}
    subprocess.run([sys.executable, "-c", script], env=variables, check=True)


def _figures(product: Product, load: Load, began: int, ended: int) -> Figures:
    figures = Figures((ended - began) / clock.SECOND)
    step = load.interval * clock.SECOND
    with closing(sqlite3.connect(f"file:{product.data / 'pharos.sqlite3'}?mode=ro", uri=True)) as database:
        phases = _phases(database, step)
        asked: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        rows = "SELECT service_check_id, at, latency_us, outcome FROM services_checkresult WHERE at >= ? ORDER BY at"
        for check, at, latency, outcome in database.execute(rows, (began - step,)):
            asked[check].append((at, latency))
            if began <= at < ended:
                figures.results += 1
                figures.timed_out += outcome == 3
                if latency is not None and outcome == 0:
                    figures.latency.append(latency / clock.SECOND)
    for number, check in enumerate(sorted(phases)):
        late = figures.late_hanging if number < load.hanging else figures.late
        _compare(figures, late, phases[check], step, [at for at, _ in asked[check]], began, ended)
    return figures


def _phases(database: sqlite3.Connection, step: int) -> dict[int, int]:
    """By check: its deadline within the interval. While it is claimed, the end of a lease stands in its place."""
    (count,) = database.execute("SELECT COUNT(*) FROM services_check").fetchone()
    phases: dict[int, int] = {}
    deadline = time.monotonic() + PATIENCE
    while len(phases) < count:
        if time.monotonic() > deadline:
            raise ProductError(f"{count - len(phases)} checks are under way for more than {PATIENCE:g} s")
        phases |= {
            pk: due % step for pk, due in database.execute("SELECT id, due_at FROM services_check WHERE claim = ''")
        }
        time.sleep(0.1)
    return phases


def _compare(
    figures: Figures, late: list[float], phase: int, step: int, asked: Sequence[int], began: int, ended: int
) -> None:
    """Deadlines from `began` to `ended` against the times of a check's questions. All in µs."""
    for due in range(began - (began - phase) % step + step, ended - step // 2, step):
        answers = [at for at in asked if due <= at < due + step]
        figures.deadlines += 1
        figures.missed += not answers
        figures.twice += len(answers) > 1
        if answers:
            late.append((answers[0] - due) / clock.SECOND)


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = (
    "load", "results", "missed", "twice", "timed out", "late ms p50", "p99", "max", "answer ms p50", "p99",
    *(f"{name} s" for name in DETAIL), "CPU ms/check",
)  # fmt: skip


def row(load: Load, figures: Figures) -> list[report.Cell]:
    late, latency = ([1_000 * each for each in values] for values in (figures.late, figures.latency))
    return [
        load.name, figures.results, figures.missed, figures.twice, figures.timed_out,
        report.percentile(late, 0.5), report.percentile(late, 0.99), max(late, default=math.nan),
        report.percentile(latency, 0.5), report.percentile(latency, 0.99),
        *(figures.cpu.get(name, math.nan) for name in DETAIL), f"{figures.cpu_ms:.2f}",
    ]  # fmt: skip


def wrong(load: Load, figures: Figures) -> Iterator[str]:
    if figures.missed or figures.twice:
        yield f"{load.name}: of {figures.deadlines:,} deadlines {figures.missed} missed, {figures.twice} kept twice."
    if (p99 := report.percentile(figures.late, 0.99)) >= LATE_MAX:
        yield f"{load.name}: lateness p99 is {p99:.2f} s, promised is less than {LATE_MAX:g} s."
    if load.hanging and max(figures.late) > LATE_MAX:
        yield f"{load.name}: a check was delayed by {max(figures.late):.2f} s, promised are {LATE_MAX:g} s at most."
    if figures.cpu_ms > ANSWERS_MAX_MS:
        yield f"{load.name}: {figures.cpu_ms:.2f} ms of CPU for a check, promised are {ANSWERS_MAX_MS:g} ms at most."


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures what checks cost and how punctual they are.")
    parser.add_argument("--seconds", type=int, default=60, help="that are measured, for each row")
    parser.add_argument("--checks", type=int, default=1_000)
    parser.add_argument("--interval", type=int, default=10, help="seconds")
    parser.add_argument("--hanging", type=int, default=200, help="checks of the second row that time out")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds")
    parser.add_argument("--serve", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
    where = report.machine()
    loads = [
        Load(f"{options.checks:,} answer", options.checks, 0, options.interval, options.timeout),
        Load(f"{options.hanging:,} of them hang", options.checks, options.hanging, options.interval, options.timeout),
    ]
    found = [(load, measure(load, options.seconds)) for load in loads]
    title = f"Polling: {options.checks:,} checks every {options.interval} s for {options.seconds} s"
    print(report.table(title, where, HEAD, [row(load, figures) for load, figures in found]))
    broken = [sentence for load, figures in found for sentence in wrong(load, figures)]
    print("\n".join(broken) or "Every promise is kept.")
    return int(bool(broken))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monitor.settings")
    run(main)
