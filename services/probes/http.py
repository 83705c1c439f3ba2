"""An answer over HTTP: its status, what is in it, and the certificate that it came with."""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from services.probes import health_body, web
from services.probes.base import Asked, Measurement, elapsed_ms, fitted
from services.status import Outcome

if TYPE_CHECKING:
    from core.http import Answer

LABEL = "HTTP(S): status, keyword, JSON value"
TARGET = "a URL: https://example.org/login"
BODY_MAX = 64 << 10  # characters that are sent


class JsonRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the value at `path` (JMESPath) must be. Nothing but the path: it must be there, and not false or empty."""

    path: str
    equals: Any = msgspec.UNSET
    not_equals: Any = msgspec.UNSET
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        from jmespath.exceptions import JMESPathError

        try:
            compiled(self.path)
        except JMESPathError:
            raise ValueError(f"expected a JMESPath like data.queue.length, got {self.path!r}") from None


class Options(web.WebOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    body: str = ""
    expected: list[int | str] = msgspec.field(default_factory=lambda: ["200-299"])  # statuses and ranges of them
    keyword: str = ""  # is in the body
    keyword_absent: str = ""  # is not
    json: list[JsonRule] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        statuses(tuple(self.expected))
        if len(self.body) > BODY_MAX:
            raise ValueError(f"expected a body of {BODY_MAX:,} characters at most, got {len(self.body):,}")


Secrets = web.WebSecrets


def check_target(target: str) -> None:
    web.check_url(target)


async def run(asked: Asked) -> Measurement:
    options, secrets = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    began = perf_counter()
    answer = await web.answer_of(asked, options, secrets, method=options.method, body=options.body)
    latency = elapsed_ms(began)
    expires_at, soon = web.expiry(answer.certificate, options.warn_days)
    outcome, detail = web.worse(*judge(answer, options), soon)
    return Measurement(outcome, detail, latency, expires_at=expires_at, raw=web.raw(answer))


def judge(answer: Answer, options: Options) -> tuple[Outcome, str]:
    if answer.status not in statuses(tuple(options.expected)):
        return _of_status(answer)
    if wrong := _of_keywords(answer, options) or _of_json(answer, options):
        return Outcome.FAILING, wrong
    return Outcome.UP, ""


def _of_status(answer: Answer) -> tuple[Outcome, str]:
    if answer.status < 500:
        return Outcome.FAILING, f"answered {answer.status}"
    # A service that can say how ill it is runs.
    reading = health_body.read(answer.body)
    if reading and reading.sure and reading.outcome != Outcome.UP:
        return reading.outcome, reading.detail
    return Outcome.UNREACHABLE, f"answered {answer.status}"


def _of_keywords(answer: Answer, options: Options) -> str:
    """What is wrong, or ""."""
    if options.keyword and options.keyword.encode() not in answer.body:
        return "the keyword is not in the answer" + (", which is too long to be read whole" if answer.cut else "")
    if options.keyword_absent:
        if options.keyword_absent.encode() in answer.body:
            return "the unwanted keyword is in the answer"
        if answer.cut:
            return "the answer is too long to look for the unwanted keyword"
    return ""


def _of_json(answer: Answer, options: Options) -> str:
    if not options.json:
        return ""
    if answer.cut:
        return "the answer is too long for JSON"
    try:
        content = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        return "the answer is not JSON"
    return next((wrong for rule in options.json if (wrong := _wrong(rule, content))), "")


def _wrong(rule: JsonRule, content: Any) -> str:
    from jmespath.exceptions import JMESPathError

    try:
        value = compiled(rule.path).search(content)
    except (JMESPathError, RecursionError):
        return f"{rule.path} can't be read from the answer"
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if rule.equals is not msgspec.UNSET and not _same(value, rule.equals):
        return f"{rule.path} is not {_shown(rule.equals)}"
    if rule.not_equals is not msgspec.UNSET and _same(value, rule.not_equals):
        return f"{rule.path} is {_shown(rule.not_equals)}"
    if rule.at_least is not None and (number is None or number < rule.at_least):
        return f"{rule.path} is below {rule.at_least:g}" if number is not None else f"{rule.path} is not a number"
    if rule.at_most is not None and (number is None or number > rule.at_most):
        return f"{rule.path} is above {rule.at_most:g}" if number is not None else f"{rule.path} is not a number"
    compared = any(each is not msgspec.UNSET for each in (rule.equals, rule.not_equals)) or (
        rule.at_least is not None or rule.at_most is not None
    )
    return "" if compared or value else f"{rule.path} is not there"


def _same(value: Any, wanted: Any) -> bool:
    """true is not 1."""
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:80]


@lru_cache(1024)
def compiled(path: str) -> Any:
    import jmespath

    return jmespath.compile(path)


@lru_cache(256)
def statuses(expected: tuple[int | str, ...]) -> frozenset[int]:
    """[200, "300-399", "4xx"] → the statuses. Raises ValueError."""
    found: set[int] = set()
    for each in expected:
        text = str(each).strip().lower()
        low, _, high = text.replace("xx", "00").partition("-")
        high = high or (low[:1] + "99" if text.endswith("xx") else low)
        if not (low.isdecimal() and high.isdecimal() and 100 <= int(low) <= int(high) <= 599):
            raise ValueError(f'expected statuses like 200, "200-299" or "2xx", got {each!r}')
        found.update(range(int(low), int(high) + 1))
    if not found:
        raise ValueError("expected one status at least")
    return frozenset(found)
