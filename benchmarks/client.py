"""What one call of the logger costs whoever makes it, with pharos-client.

    python -m benchmarks.client --seconds 5 --rate 1000

With Redis up, hanging (SIGSTOP) and away, and with HTTP up. In each case lines come at an even rate, and each call is
timed; then as many as go in a second, one after the other. Every other line of the even ones goes to a logger with a
handler that does nothing: what logging itself costs in the same moment, on the same machine. Redis is a Valkey of its
own, HTTP a server in another process that answers 202. The exit code is 1 if the p99 of a call at the even rate is 0.1
ms or more, or with Redis up a line is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

CLIENT: Final = Path(__file__).parent.parent / "clients" / "python"
sys.path.insert(0, str(CLIENT))

import redis  # noqa: E402
from pharos_client import PharosHandler  # noqa: E402

from benchmarks import report  # noqa: E402
from monitor import valkey  # noqa: E402
from monitor.supervisor import die_with_parent  # noqa: E402

LIMIT: Final = 1e-4  # seconds of one call
BURST: Final = 1.0  # seconds


@dataclass
class Case:
    name: str
    calls: list[float] = field(default_factory=list)  # seconds
    alone: list[float] = field(default_factory=list)  # of logging without the client
    burst: int = 0  # lines in BURST
    sent: int | None = None

    @property
    def is_fine(self) -> bool:
        everything = len(self.calls) + self.burst
        return report.percentile(self.calls, 0.99) < LIMIT and self.sent in (None, everything)


@contextlib.contextmanager
def private_valkey() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with tempfile.TemporaryDirectory(prefix="pharos-client-") as directory:
        port = valkey.free_port()
        command = valkey.command(Path(directory), Path(directory) / "valkey.sock", port)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent(signal.SIGTERM))
        try:
            _await(lambda: valkey.answers(Path(directory) / "valkey.sock"))
            yield process, port
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(10)


class _Taking(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None: ...


def _serve(port: int) -> None:
    http.server.ThreadingHTTPServer(("127.0.0.1", port), _Taking).serve_forever()


@contextlib.contextmanager
def http_server() -> Iterator[int]:
    port = valkey.free_port()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,), daemon=True)
    process.start()
    try:
        time.sleep(1.0)  # until Python has started: a call that came too soon would only be slower
        yield port
    finally:
        process.terminate()
        process.join(10)


def _await(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("Valkey did not start within 10 s.")
        time.sleep(0.02)


def measure(name: str, handler: logging.Handler, seconds: float, rate: float) -> Case:
    case, log, nowhere = Case(name), logging.Logger("shop.orders"), logging.Logger("shop.orders")
    log.addHandler(handler)
    nowhere.addHandler(logging.NullHandler())
    log.info("warm", extra={"order": 0})
    begin = time.perf_counter()
    for number in range(int(seconds * rate)):
        logger, times = (nowhere, case.alone) if number % 2 else (log, case.calls)
        time.sleep(max(begin + number / rate - time.perf_counter(), 0))
        before = time.perf_counter()
        logger.info("Order %s placed", number, extra={"order": number, "tenant": "t-17", "duration_ms": 12.5})
        times.append(time.perf_counter() - before)
    end = time.perf_counter() + BURST
    while time.perf_counter() < end:
        log.info("Order %s placed", case.burst, extra={"order": case.burst, "tenant": "t-17", "duration_ms": 12.5})
        case.burst += 1
    return case


def run(seconds: float, rate: float) -> list[Case]:
    # Lines that can't be sent would fill the terminal; writing them is the sending thread's work and is measured.
    with Path(os.devnull).open("w") as nothing, contextlib.ExitStack() as stack:
        original, sys.__stderr__ = sys.__stderr__, nothing  # type: ignore[misc]
        stack.callback(setattr, sys, "__stderr__", original)
        cases = []
        with private_valkey() as (process, port):
            url = f"redis://127.0.0.1:{port}/0"
            handler = PharosHandler("bench", redis_url=url)
            cases.append(measure("Redis up", handler, seconds, rate))
            handler.way.flush(10)
            with redis.Redis.from_url(url) as client:
                cases[-1].sent = _lines(client) - 1  # the warm one
            os.kill(process.pid, signal.SIGSTOP)
            cases.append(measure("Redis hangs", handler, seconds, rate))
            os.kill(process.pid, signal.SIGCONT)
            handler.way.close(0.1)
        handler = PharosHandler("bench", redis_url="redis://127.0.0.1:1/0")
        cases.append(measure("Redis away", handler, seconds, rate))
        handler.way.close(0.1)
        with http_server() as port:
            handler = PharosHandler("bench", url=f"http://127.0.0.1:{port}", api_key="k")
            cases.append(measure("HTTP up", handler, seconds, rate))
            handler.way.close(5)
        return cases


def _lines(client: redis.Redis) -> int:
    from logs import packed

    entries: Any = client.xrange("pharos:logs")
    texts = [fields[b"lines"] for _, fields in entries]
    unpacked = [
        packed.unpack(text, encoding, 8 << 20) if (encoding := packed.encoding_of(text)) else text for text in texts
    ]
    return sum(len(text.splitlines()) for text in unpacked)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of even lines in each case")
    parser.add_argument("--rate", type=float, default=1_000.0, help="lines a second, half of them to nowhere")
    arguments = parser.parse_args()
    where = report.machine()
    cases = run(arguments.seconds, arguments.rate)
    rows = [
        [
            case.name,
            *(report.percentile(times, share) * 1e6 for times in (case.calls, case.alone) for share in (0.5, 0.99)),
            max(case.calls) * 1e6,
            int(case.burst / BURST),
            "" if case.sent is None else len(case.calls) + case.burst - case.sent,
        ]
        for case in cases
    ]
    head = ["", "p50 µs", "p99 µs", "alone p50", "p99", "max µs", "lines/s at most", "missing"]
    print(report.table(f"One call of the logger, at {arguments.rate:,.0f} lines/s", where, head, rows))
    return 0 if all(case.is_fine for case in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
