"""kill -9 of each process in turn, under load: is every acknowledged line stored, and stored once?

    python -m benchmarks.crash --kills 2

For each process the product starts anew. Senders POST bodies of numbered lines and XADD numbered lines, the process is
killed, senders go on. What fails is sent again until it is acknowledged. A line is *lost* if it was acknowledged (202,
or the answer of XADD) and is not stored. It is stored *twice* if it is there more often than its sender can have
caused: a request whose connection broke, or that was answered with a 5xx, may have been taken and is sent again. Such
requests are counted as *ambiguous*. When the supervisor is killed, `up` is started again.

The exit code is 1 if a line was lost or is there twice, or if storing did not begin again within a minute.
"""

from __future__ import annotations

import argparse
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from typing import Final

import msgspec

from benchmarks import corpus, report
from benchmarks.clients import (
    BrokenError,
    HttpClient,
    NotSentError,
    RefusedError,
    StreamClient,
    http_request,
    xadd,
)
from benchmarks.product import NAMES, SUPERVISOR, Product, committed, run

MARK: Final = "crash-line"
BODY_LINES: Final = 100
POOL: Final = 10_000
ACKNOWLEDGED, REFUSED, PARTLY = 202, 429, 206
LEAD: Final = 2.0  # seconds of load before a kill, and after the recovery from the last
RETRY_AFTER: Final = 0.05
GIVE_UP: Final = 60.0
LOOK_EVERY: Final = 0.02


@dataclass
class Unit:
    """What is sent, acknowledged and stored in one piece. Times are seconds since the epoch."""

    name: str
    lines: int
    sent_at: float = 0.0
    acknowledged_at: float = 0.0
    ambiguous: int = 0  # attempts of which nobody knows whether they were taken

    @property
    def line_names(self) -> list[str]:
        return [f"{self.name}.{number}" for number in range(self.lines)]


# Sends a request and returns the status of the answer.
Attempt = Callable[[bytes], int]


@dataclass
class Sender:
    """One thread that sends units at a steady rate, each until it is acknowledged."""

    name: str
    lines: int  # of a unit
    rate: float  # lines a second
    request: Callable[[Sequence[bytes]], bytes]
    attempt: Attempt
    skew: int = 0  # µs that its clock is ahead
    units: list[Unit] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)  # by status

    def run(self, stop: threading.Event) -> None:
        pool = cycle(list(corpus.lines(POOL, seed=3)))
        began = time.monotonic()
        for number in count():
            if stop.wait(max(0.0, began + number * self.lines / self.rate - time.monotonic())):
                return
            unit = Unit(f"{self.name}{number}", self.lines)
            self.units.append(unit)
            self.deliver(unit, self.request(_named(unit, islice(pool, self.lines), self.skew)), stop)

    def deliver(self, unit: Unit, request: bytes, stop: threading.Event) -> None:
        """Returns when the unit is acknowledged, or when there is no hope a while after `stop`."""
        give_up = math.inf
        while time.monotonic() < give_up:
            unit.sent_at = time.time()
            try:
                status = self.attempt(request)
                self.answers[status] += 1
                if status == ACKNOWLEDGED:
                    unit.acknowledged_at = time.time()
                    return
                # A 5xx can come when the stream has taken the body and the edge didn't learn of it.
                unit.ambiguous += status >= 500
            except BrokenError:
                unit.ambiguous += 1
            except NotSentError:
                pass
            if stop.is_set() and give_up == math.inf:
                give_up = time.monotonic() + GIVE_UP
            time.sleep(RETRY_AFTER)

    def acknowledged_after(self, moment: float) -> float:
        """When the first unit that was sent after `moment` was acknowledged; infinity if none was."""
        times = [unit.acknowledged_at for unit in list(self.units) if unit.sent_at > moment and unit.acknowledged_at]
        return min(times, default=math.inf)


def _named(unit: Unit, lines: Iterator[bytes], skew: int) -> list[bytes]:
    now = corpus.now() + skew
    names = unit.line_names
    stamped = (corpus.restamped(line, now) for line in lines)
    return [corpus.marked(line, f"{MARK}-{name}") for name, line in zip(names, stamped, strict=True)]


def post(client: HttpClient) -> Attempt:
    def attempt(request: bytes) -> int:
        status, answer = client.post(request)
        if status == ACKNOWLEDGED and msgspec.json.decode(answer)["rejected"]:
            return PARTLY
        return status

    return attempt


def add(client: StreamClient) -> Attempt:
    def attempt(request: bytes) -> int:
        try:
            client.add(request, 1)
        except RefusedError:
            return REFUSED
        return ACKNOWLEDGED

    return attempt


def senders(product: Product, bodies: int, rate: int, stream_rate: int) -> list[Sender]:
    """`bodies` threads that POST, together `rate` lines a second, and one that XADDs `stream_rate`."""
    sending = []
    for number in range(bodies):
        attempt = post(HttpClient(product.port))
        sending.append(Sender(f"post{number}-", BODY_LINES, rate / bodies, _body, attempt))
    return [*sending, Sender("xadd-", 1, stream_rate, _entry, add(StreamClient(product.redis_port)))]


def _body(lines: Sequence[bytes]) -> bytes:
    return http_request(b"\n".join(lines))


def _entry(lines: Sequence[bytes]) -> bytes:
    return xadd(b"payload", lines[0])


@contextmanager
def running(sending: Sequence[Sender]) -> Iterator[None]:
    """Under load. Returns when every sender has got rid of what it had begun."""
    stop = threading.Event()
    threads = [threading.Thread(target=sender.run, args=(stop,), daemon=True) for sender in sending]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(GIVE_UP + LEAD)


# --- One process -----------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """Numbers of lines; the longest of the recoveries in seconds."""

    acknowledged: int
    stored: int
    lost: list[str]
    twice: list[str]
    ambiguous: int
    again: int  # of the ambiguous ones, stored more than once
    recovery: float
    answers: Counter[int]  # by status

    @property
    def wrong_answers(self) -> list[int]:
        """None of them is the sender's fault: what was sent is right."""
        return sorted(status for status in self.answers if status not in (ACKNOWLEDGED, REFUSED) and status < 500)

    @property
    def is_good(self) -> bool:
        return not self.lost and not self.twice and not self.wrong_answers and self.recovery < math.inf


def measure(victim: str, kills: int, bodies: int, rate: int, stream_rate: int) -> Outcome:
    recoveries = []
    with Product() as product:
        sending = senders(product, bodies, rate, stream_rate)
        with running(sending):
            for _ in range(kills):
                time.sleep(LEAD)
                killed_at = time.time()
                product.kill(victim)
                if victim == SUPERVISOR:
                    product.launch()
                recoveries.append(_recovery(product, sending, killed_at))
                product.await_ready()
            time.sleep(LEAD)
        return judge(sending, stored(product), max(recoveries))


def _recovery(product: Product, sending: Sequence[Sender], killed_at: float) -> float:
    """Seconds until lines of every sender that were sent after the kill were acknowledged and stored."""
    with product.database() as database:
        while time.time() < killed_at + GIVE_UP:
            product.check()
            acknowledged_at = max(sender.acknowledged_after(killed_at) for sender in sending)
            # Redis numbers entries by the clock, and they are stored in their order.
            if committed(database)[1] >= acknowledged_at * 1_000:
                return time.time() - killed_at
            time.sleep(LOOK_EVERY)
    return math.inf


def stored(product: Product) -> Counter[str]:
    """How often each line is stored, once nothing waits any more."""
    deadline = time.monotonic() + GIVE_UP
    while product.waiting() != 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    words = (record["message"].split(" ", 1)[0] for record in product.records(f'"{MARK}"'))
    return Counter(word.removeprefix(f"{MARK}-") for word in words)


def judge(sending: Sequence[Sender], stored: Counter[str], recovery: float) -> Outcome:
    answers = sum((sender.answers for sender in sending), Counter[int]())
    outcome = Outcome(0, 0, [], [], 0, 0, recovery, answers)
    for unit in (unit for sender in sending for unit in sender.units):
        outcome.acknowledged += unit.lines if unit.acknowledged_at else 0
        outcome.ambiguous += unit.lines if unit.ambiguous else 0
        for name in unit.line_names:
            times = stored[name]
            outcome.stored += bool(times)
            if unit.acknowledged_at and not times:
                outcome.lost.append(name)
            if times > unit.ambiguous + bool(unit.acknowledged_at):
                outcome.twice.append(name)
            elif times > 1:
                outcome.again += 1
    return outcome


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = (
    "killed", "acknowledged", "stored", "lost", "twice", "ambiguous", "of these stored again", "stored again after s",
)  # fmt: skip


def row(victim: str, outcome: Outcome) -> list[report.Cell]:
    return [
        victim,
        outcome.acknowledged,
        outcome.stored,
        len(outcome.lost),
        len(outcome.twice),
        outcome.ambiguous,
        outcome.again,
        outcome.recovery,
    ]


def main() -> int:
    victims = (*NAMES, SUPERVISOR)
    parser = argparse.ArgumentParser(description="Kills each process under load and counts what is stored.")
    parser.add_argument("--only", default=",".join(victims), help=f"which processes, of {','.join(victims)}")
    parser.add_argument("--kills", type=int, default=2, help="how often each is killed")
    parser.add_argument("--senders", type=int, default=2, help="connections that POST")
    parser.add_argument("--rate", type=int, default=2_000, help="lines a second by POST, of all senders")
    parser.add_argument("--stream-rate", type=int, default=500, help="lines a second by XADD")
    options = parser.parse_args()
    where = report.machine()
    outcomes = {}
    for victim in options.only.split(","):
        report.progress(f"kill -9 {victim}")
        outcomes[victim] = measure(victim, options.kills, options.senders, options.rate, options.stream_rate)
    load = f"{options.rate:,} lines/s by POST and {options.stream_rate:,} by XADD"
    title = f"kill -9, {options.kills} times each, at {load}"
    print(report.table(title, where, HEAD, [row(victim, outcome) for victim, outcome in outcomes.items()]))
    for victim, outcome in outcomes.items():
        print(f"{victim}: answers {', '.join(f'{status} × {n:,}' for status, n in sorted(outcome.answers.items()))}")
        for what, names in (("lost", outcome.lost), ("stored twice", outcome.twice)):
            if names:
                print(f"{victim}: {what}: {', '.join(names[:10])}{' …' if len(names) > 10 else ''}")
    good = all(outcome.is_good for outcome in outcomes.values())
    print("No acknowledged line was lost or is there twice." if good else "A promise was broken.")
    return int(not good)


if __name__ == "__main__":
    run(main)
