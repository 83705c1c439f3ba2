"""The log lines that every benchmark sends: made up, the same on every machine, about 390 bytes each.

    python -m benchmarks.corpus --lines 1000000 > lines.ndjson

What the figures rest on: 10 services of unequal size; levels debug 18 %, info 68 %, warning 9 %, error 4.5 %, fatal
0.5 %; 200 kinds of messages with ids, addresses, durations and paths in them; the word "timeout" in every tenth line,
"deadlock" in every 5,000th, NEEDLE in one; 1 to 8 lines in a row share a request and a trace id; metadata of 3 to 8
keys: 4 regions, 50 tenants, 20,000 users. Lines are ASCII without anything that JSON would have to escape.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Final

START: Final = 1_790_000_000_000_000  # µs since the epoch
STEP: Final = 21_600  # µs from line to line, on average: 46 lines a second
SEED: Final = 7
NEEDLE: Final = "NEEDLE-7f3a9c"
NEEDLE_AT: Final = 0.37  # its place, as a share of all lines
DEADLOCK_EVERY: Final = 5_000
USERS: Final = 20_000

SERVICES: Final = {
    "api-gateway": 25, "web-frontend": 15, "search": 12, "auth": 10, "worker": 10,
    "checkout": 8, "inventory": 7, "billing": 6, "mailer": 4, "scheduler": 3,
}  # fmt: skip
LEVELS: Final = {"debug": 18, "info": 68, "warning": 9, "error": 4.5, "fatal": 0.5}
STATUSES: Final = {"debug": 200, "info": 200, "warning": 404, "error": 500, "fatal": 500}
REGIONS: Final = ("eu-west-1", "eu-central-1", "us-east-1", "ap-south-1")
ENVIRONMENTS: Final = ("prod", "prod", "prod", "staging")
METHODS: Final = ("GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE")
HOSTS: Final = ("db-01.internal", "db-02.internal", "cache-01.internal", "mq-01.internal", "pay.partner.example")
VERBS: Final = (
    "accepted", "answered", "cancelled", "checked", "closed", "delivered", "dropped", "expired", "fetched", "finished",
    "loaded", "opened", "published", "queued", "received", "refreshed", "rejected", "retried", "started", "stored",
)  # fmt: skip
NOUNS: Final = (
    "basket", "cache entry", "connection", "document", "export", "import", "invoice", "job", "lease", "login",
    "mail", "message", "order", "page", "payment", "request", "session", "shipment", "token", "webhook",
)  # fmt: skip
PATHS: Final = (
    "/api/v1/orders/{}", "/api/v1/users/{}/profile", "/api/v2/invoices/{}/pdf", "/basket/{}/confirm",
    "/files/app.{}.js", "/search?q=article-{}", "/internal/check/{}", "/login?next=/account/{}",
)  # fmt: skip
KINDS: Final = 200  # of messages
KINDS_EACH: Final = 40  # of them, in one service


@dataclass(slots=True)
class Line:
    """The values that a message may mention. `bits` are 64 random ones."""

    bits: int = 0
    level: str = ""
    user: int = 0
    address: str = ""
    ms: int = 0

    @property
    def path(self) -> str:
        return PATHS[self.bits & 7].format(self.bits >> 3 & 0xFFFFF)

    @property
    def count(self) -> int:
        return 1 + (self.bits >> 26 & 63)

    @property
    def size(self) -> int:
        return self.bits >> 32 & 0xFFFF

    @property
    def port(self) -> int:
        return 1_024 + (self.bits >> 48 & 0x3FFF)

    @property
    def seconds(self) -> int:
        return self.bits >> 40 & 0x3FF

    @property
    def host(self) -> str:
        return HOSTS[self.bits % 5]


Tail = Callable[[Line], str]

TAILS: Final[tuple[Tail, ...]] = (
    lambda at: f"of user {at.user} from {at.address} in {at.ms} ms",
    lambda at: f"path={at.path} status={STATUSES[at.level]} duration={at.ms}ms bytes={at.size}",
    lambda at: f"after {at.count} attempts, {at.address}:{at.port} answered in {at.ms} ms",
    lambda at: f"id={at.bits >> 32:08x} worker=w{at.count % 16:02d} queue=default waited={at.ms}ms",
    lambda at: f"on shard {at.count}, key user:{at.user}:profile, ttl={at.seconds}s",
    lambda at: f"upstream timeout after {at.ms} ms, calling http://{at.host}/{at.bits >> 32:08x}",
    lambda at: f"{METHODS[at.bits >> 23 & 7]} {at.path} {STATUSES[at.level]} ({at.size} bytes) for {at.address}",
    lambda at: f"in a batch of {at.count}, cursor {at.bits:016x}, took {at.ms} ms",
    lambda at: f"SELECT on orders took {at.ms} ms, rows={at.count}, plan {at.bits >> 32:08x}",
    lambda at: f"pool has {at.count} connections, {at.seconds} s idle, host {at.host}:{at.port}",
)


def lines(count: int, *, seed: int = SEED, start: int = START, step: int = STEP) -> Iterator[bytes]:
    """`count` JSON objects without line ends, oldest first."""
    random = Random(seed)
    messages = _messages()
    services = random.choices(tuple(SERVICES), tuple(SERVICES.values()), k=1 << 15)
    levels = random.choices(tuple(LEVELS), tuple(LEVELS.values()), k=1 << 15)
    durations = [int(random.lognormvariate(3.5, 1.2)) for _ in range(1 << 15)]
    needle = int(count * NEEDLE_AT)
    at = Line()
    time_us = left = 0
    for number in range(count):
        bits = random.getrandbits(128)
        time_us += (bits & 0xFFFF) * step >> 15
        if not left:
            left, tenant, request = 1 + (bits >> 16 & 7), bits >> 19 & 0xFFFF, _request(random, at)
        left -= 1
        service, at.level = services[bits >> 35 & 0x7FFF], levels[bits >> 50 & 0x7FFF]
        at.bits, at.ms = random.getrandbits(64), durations[bits >> 65 & 0x7FFF]
        title, tail = messages[service][(bits >> 80 & 0xFFFF) % KINDS_EACH]
        more = f" {NEEDLE}" if number == needle else ""
        if (bits >> 96) % DEADLOCK_EVERY == 0:
            more += " deadlock found, one transaction was cancelled"
        yield (
            f'{{"ts":{start + time_us},"level":"{at.level}","service":"{service}","title":"{title}",'
            f'"message":"{title} {tail(at)}{more}",{request},"span_id":"{random.getrandbits(64):016x}",'
            f'"metadata":{_metadata(at, bits >> 96, tenant % 50)}}}'
        ).encode()


def _messages() -> dict[str, list[tuple[str, Tail]]]:
    """For each service its titles, and what follows them."""
    kinds = [
        (f"{VERBS[kind % 20]} {NOUNS[kind // 10 % 20]}", TAILS[(kind * 7 + kind // 20) % 10]) for kind in range(KINDS)
    ]
    return {
        service: [kinds[(place * 20 + kind) % KINDS] for kind in range(KINDS_EACH)]
        for place, service in enumerate(sorted(SERVICES))
    }


def _request(random: Random, at: Line) -> str:
    bits = random.getrandbits(256)
    at.user = (bits >> 216) % USERS
    at.address = f"10.{bits & 255}.{bits >> 8 & 255}.{bits >> 16 & 255}"
    return f'"request_id":"req-{bits >> 24 & 0xFFFFFFFFFFFFFFFF:016x}","trace_id":"{bits >> 88 & (1 << 128) - 1:032x}"'


def _metadata(at: Line, bits: int, tenant: int) -> str:
    keys = (
        f'"region":"{REGIONS[bits & 3]}","env":"{ENVIRONMENTS[bits >> 2 & 3]}","tenant":"t{tenant:02d}"',
        f'"user_id":{at.user}',
        f'"duration_ms":{at.ms}',
        f'"http_status":{STATUSES[at.level]}',
        f'"host":"node-{at.count % 24:02d}"',
        f'"version":"2.{at.count % 7}.{at.count % 5}"',
    )
    return "{" + ",".join(keys[: 1 + (bits >> 4) % 6]) + "}"


def bodies(count: int, size: int = 1_000, *, seed: int = SEED) -> list[bytes]:
    """`count` lines as NDJSON bodies of `size` lines; the last may be shorter."""
    source = lines(count, seed=seed)
    found = []
    while body := b"\n".join(islice(source, size)):
        found.append(body)
    return found


def restamped(line: bytes, time_us: int) -> bytes:
    """The line with another time."""
    return b'{"ts":%d%s' % (time_us, line[line.index(b",") :])


def marked(line: bytes, mark: str) -> bytes:
    """The line with `mark` at the beginning of its message."""
    return line.replace(b'"message":"', b'"message":"%s ' % mark.encode(), 1)


def now() -> int:
    """µs since the epoch."""
    return time.time_ns() // 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the benchmarks' log lines as NDJSON.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    for line in lines(options.lines, seed=options.seed):
        sys.stdout.buffer.write(line + b"\n")


if __name__ == "__main__":
    main()
