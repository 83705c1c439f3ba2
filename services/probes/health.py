"""A health address: what the service says of itself and of the parts that it needs."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from services.probes import health_body, web
from services.probes.base import Asked, Measurement, Part, elapsed_ms, fitted
from services.status import Outcome

if TYPE_CHECKING:
    from core.http import Answer

LABEL = "health: what a service says of itself, with its parts"
TARGET = "a URL: http://api:8000/health/ready"


class Options(web.WebOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


Secrets = web.WebSecrets


def check_target(target: str) -> None:
    web.check_url(target)


async def run(asked: Asked) -> Measurement:
    options, secrets = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    began = perf_counter()
    answer = await web.answer_of(asked, options, secrets)
    latency = elapsed_ms(began)
    expires_at, soon = web.expiry(answer.certificate, options.warn_days)
    outcome, detail, parts = judge(answer)
    outcome, detail = web.worse(outcome, detail, soon)
    return Measurement(outcome, detail, latency, parts, expires_at, web.raw(answer))


def judge(answer: Answer) -> tuple[Outcome, str, tuple[Part, ...]]:
    """The body counts for more than the status: many answer 503 while they are degraded, as load balancers want it."""
    reading = None if answer.cut else health_body.read(answer.body)
    if 200 <= answer.status < 300:
        if reading:
            return reading.outcome, reading.detail, reading.parts
        if not answer.body:
            return Outcome.UP, "", ()
        return Outcome.FAILING, "the answer says nothing about health", ()
    if reading and reading.sure and _believed(answer.status, reading.outcome):
        return reading.outcome, reading.detail, reading.parts
    outcome = Outcome.FAILING if answer.status < 500 or (reading and reading.sure) else Outcome.UNREACHABLE
    return outcome, f"answered {answer.status}", reading.parts if reading and reading.sure else ()


def _believed(status: int, outcome: Outcome) -> bool:
    # 429 with a warning is Consul's; other answers 4xx are about the request.
    return outcome != Outcome.UP if status >= 500 else outcome == Outcome.DEGRADED
