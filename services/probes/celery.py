"""Queues of Celery on Redis: how much waits in them, and whether workers are there."""

from __future__ import annotations

import base64
import json
from time import perf_counter
from typing import Final

import msgspec

from core import outbound
from services.probes.base import Asked, Measurement, Part, elapsed_ms, fitted
from services.probes.redis import Client, Secrets, opened, place_of
from services.status import Outcome

LABEL = "Celery: queue lengths and workers"
TARGET = "the broker, redis://host:6379/0, without a password"
QUEUES_MAX: Final = 50
# A queue with priorities is several lists: "celery", "celery\x06\x163", …
PRIORITIES: Final = ("", "\x06\x163", "\x06\x166", "\x06\x169")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    queues: dict[str, int] = msgspec.field(default_factory=lambda: {"celery": 100})  # name → how many tasks may wait
    workers: int = 0  # so many are connected at least; 0: nobody looks
    prefix: str = ""  # `global_keyprefix` of the broker's transport options
    verify: bool = True
    ca: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.queues) <= QUEUES_MAX:
            raise ValueError(f"expected 1 to {QUEUES_MAX} queues, got {len(self.queues)}")
        if self.ca:
            outbound.tls_context(ca=self.ca)


__all__ = ["LABEL", "TARGET", "Options", "Secrets", "check_target", "run"]


def check_target(target: str) -> None:
    place_of(target)


async def run(asked: Asked) -> Measurement:
    options, secrets = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    began = perf_counter()
    async with await opened(asked, secrets, verify=options.verify, ca=options.ca) as client:
        lengths = {name: await _length(client, options.prefix + name) for name in options.queues}
        latency = elapsed_ms(began)
        listening = await _workers(client, options, place_of(asked.address).database) if options.workers else 0
    parts = [_part(f"queues.{name.replace('.', '_')}", lengths[name], most) for name, most in options.queues.items()]
    said = [f"{name}: {length} waiting" for name, length in lengths.items()]
    if options.workers:
        fails = listening < options.workers
        wrong = f"fewer than {options.workers} connected" if fails else ""
        parts.append(Part("workers", Outcome.FAILING if fails else Outcome.UP, wrong))
        said.append(f"workers: {listening} connected")
    ill = [f"{part.path.removeprefix('queues.')}: {part.detail}" for part in parts if part.outcome != Outcome.UP]
    outcome = Outcome.FAILING if ill else Outcome.UP
    return Measurement(outcome, ", ".join(ill[:3]), latency, tuple(parts), raw="\n".join(said))


def _part(path: str, length: int, most: int) -> Part:
    return Part(path, Outcome.FAILING, f"more than {most} waiting") if length > most else Part(path, Outcome.UP)


async def _length(client: Client, queue: str) -> int:
    return sum([int(await client.ask("LLEN", queue + priority)) for priority in PRIORITIES])


async def _workers(client: Client, options: Options, database: int) -> int:
    """Each worker listens to the channel of remote control. PUBLISH says how many do; a ping without a reply address
    is something that none of them minds."""
    return int(await client.ask("PUBLISH", f"{options.prefix}/{database}.celery.pidbox", PING))


# As kombu wraps what `celery inspect ping` sends.
_BODY: Final = json.dumps({"method": "ping", "arguments": {}, "destination": None, "pattern": None, "matcher": None})
PING: Final = json.dumps(
    {
        "body": base64.b64encode(_BODY.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"clock": 1},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "00000000-0000-0000-0000-000000000000",
        },
    }
)
