"""kill -9 of each process in turn while 1,000 messages are due: is each delivered, and delivered once?

    python -m benchmarks.notify_crash --kills 2

For each process the product starts anew. Its database gets 1,000 deliveries to ten channels, all due at once, which
lead to a receiver of this program; the process is killed whenever a further part of them has arrived. When the
supervisor is killed, `up` is started again. A message is *lost* if it is not marked as delivered in the end, or never
arrived. It came *twice* if it arrived again without a reason. A reason is a worker that was killed within five seconds
after the first arrival: then the answer was lost with it. Such messages are counted as *answer lost*.

The exit code is 1 if a message was lost or came twice.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from benchmarks import report
from benchmarks.product import NAMES, ROOT, SUPERVISOR, Product, ProductError, run
from tests.alerts.sinks import Sink, http_sink

CHANNELS: Final = 10
ANSWER_AFTER: Final = 0.05  # seconds
LOST_WITHIN: Final = 5.0  # seconds: an answer is written long before
GIVE_UP: Final = 300.0
LOOK_EVERY: Final = 0.02
WITH_WORKERS: Final = ("worker", SUPERVISOR)  # whose end is the end of a worker


@dataclass
class Outcome:
    """Numbers of messages; seconds from the first arrival to the last."""

    messages: int
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    answer_lost: list[str] = field(default_factory=list)
    took: float = 0.0

    @property
    def is_good(self) -> bool:
        return not self.lost and not self.twice


def judge(delivered: Iterable[str], all_of_them: Sequence[str], arrivals: Mapping[str, Sequence[float]],
          kills: Sequence[float]) -> Outcome:  # fmt: skip
    """`delivered` are marked so; `arrivals` and `kills` (of workers) are times in seconds, in order."""
    done = set(delivered)
    outcome = Outcome(len(all_of_them))
    for name in all_of_them:
        times = arrivals.get(name, ())
        if name not in done or not times:
            outcome.lost.append(name)
        for before, after in pairwise(times):
            explained = any(before <= killed < min(before + LOST_WITHIN, after) for killed in kills)
            (outcome.answer_lost if explained else outcome.twice).append(name)
    everything = [at for times in arrivals.values() for at in times]
    outcome.took = max(everything) - min(everything) if everything else 0.0
    return outcome


def measure(victim: str, kills: int, messages: int) -> Outcome:
    with http_sink() as sink, Product() as product:
        sink.hold = lambda _: time.sleep(ANSWER_AFTER)
        names = enqueue(product, sink.url, messages)
        ended = []
        for number in range(1, kills + 1):
            part = messages * number // (kills + 1)
            _until(product, lambda part=part: len(sink.requests) >= part)  # type: ignore[misc]
            ended.append(time.time())
            product.kill(victim)
            if victim == SUPERVISOR:
                product.launch()
        _until(product, lambda: not _unfinished(product))
        return judge(_delivered(product), names, arrivals(sink), ended if victim in WITH_WORKERS else [])


def arrivals(sink: Sink) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for request in sink.requests:
        found[request.headers["webhook-id"]].append(request.at)
    return {name: sorted(times) for name, times in found.items()}


def _until(product: Product, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP
    while not holds():
        product.check()
        if time.monotonic() > deadline:
            raise ProductError(f"Messages did not go on within {GIVE_UP:g} s.")
        time.sleep(LOOK_EVERY)


# --- The product's database ------------------------------------------------------------------------------------------


def enqueue(product: Product, url: str, messages: int) -> list[str]:
    """The names of the messages, as the receiver sees them."""
    command = [sys.executable, "-m", "benchmarks.notify_crash", "--enqueue", url, "--messages", str(messages)]
    subprocess.run(command, cwd=ROOT, env=product.environment(), check=True)
    return [_name(pk) for (pk,) in _asked(product, "SELECT id FROM alerts_delivery ORDER BY id")]


def _enqueue(url: str, messages: int) -> None:
    """In the product's environment."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monitor.settings")
    import django

    django.setup()
    from django.db import transaction
    from django.utils import timezone

    from alerts import deliveries
    from alerts.models import Channel, Receiver
    from alerts.models.deliveries import Reason
    from alerts.samples import sample

    with transaction.atomic():
        receiver = Receiver.objects.create(name="crash")
        channels = [
            Channel.objects.create(receiver=receiver, kind="webhook", options={"url": url}, rate_max=1_000)
            for _ in range(CHANNELS)
        ]
        now = timezone.now()
        for number in range(messages):
            channel = channels[number % CHANNELS]
            told = sample(receiver.name, reason=Reason.FIRING)
            deliveries.enqueue([channel], told, reason=Reason.FIRING, now=now)


def _unfinished(product: Product) -> int:
    [(count,)] = _asked(product, "SELECT COUNT(*) FROM alerts_delivery WHERE due_at IS NOT NULL")
    return int(count)


def _delivered(product: Product) -> list[str]:
    return [_name(pk) for (pk,) in _asked(product, "SELECT id FROM alerts_delivery WHERE outcome = 'delivered'")]


def _name(pk: int) -> str:
    return f"pharos-{pk}"


def _asked(product: Product, query: str) -> list[tuple[int]]:
    path = product.data / "pharos.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
        return connection.execute(query).fetchall()


# --- The table -------------------------------------------------------------------------------------------------------

HEAD: Final = ("killed", "messages", "lost", "twice", "answer lost", "all told after s")


def main() -> int:
    victims = (*NAMES, SUPERVISOR)
    parser = argparse.ArgumentParser(description="Kills each process while messages are due, and counts what arrives.")
    parser.add_argument("--only", default=",".join(victims), help=f"which processes, of {','.join(victims)}")
    parser.add_argument("--kills", type=int, default=2, help="how often each is killed")
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--enqueue", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.enqueue:
        _enqueue(options.enqueue, options.messages)
        return 0
    where = report.machine()
    rows, good = [], True
    for victim in options.only.split(","):
        report.progress(f"kill -9 {victim}")
        outcome = measure(victim, options.kills, options.messages)
        good &= outcome.is_good
        rows.append(
            [victim, outcome.messages, len(outcome.lost), len(outcome.twice), len(outcome.answer_lost), outcome.took]
        )
        for what, names in (("lost", outcome.lost), ("twice", outcome.twice)):
            if names:
                report.progress(f"{victim}: {what}: {', '.join(names[:10])}")
    title = f"kill -9, {options.kills} times each, while {options.messages:,} messages to {CHANNELS} channels are due"
    print(report.table(title, where, HEAD, rows))
    print("Each message was delivered, and once unless its answer was lost." if good else "A promise was broken.")
    return int(not good)


if __name__ == "__main__":
    run(main)
