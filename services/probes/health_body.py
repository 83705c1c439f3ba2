"""What services say of themselves, in the shapes that there are → what it means. Pure.

{"status": "healthy", "checks": {"database": {"status": "healthy", "latency": 12}, "cache": "degraded"}, "version": …}
{"status": "not_ready", "checks": {"redis": "unhealthy", "queue": "unknown"}}
{"status": "UP", "components": {…}} of Spring, {"status": "Healthy", "entries": {…}} of ASP.NET,
{"status": "pass", "checks": {"db:responseTime": [{…}]}} of the draft "Health Check Response Format",
{"Cache": "working"} of django-health-check, and one word alone: "Healthy".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from services.probes.base import PARTS_MAX, Part
from services.status import Outcome

DEPTH_MAX: Final = 6
NAMED_MAX: Final = 3  # culprits that a sentence names
TEXT_MAX: Final = 200  # characters of a part's name or message

WORDS: Final[dict[str, Outcome]] = {
    word: outcome
    for outcome, words in {
        Outcome.UP: "healthy ok okay up pass passed passing alive live ready running available working serving success",
        # Nobody knows is not "all is well".
        Outcome.DEGRADED: "degraded warn warning partial unstable maintenance starting unknown",
        Outcome.FAILING: "unhealthy not_ready notready unready fail failed failing failure error down dead critical"
        " outage out_of_service unavailable not_serving disconnected timeout",
    }.items()
    for word in words.split()
}
STATUS: Final = ("status", "state", "health")
CHILDREN: Final = ("checks", "components", "entries", "results", "details", "dependencies", "services", "subsystems")
MESSAGES: Final = ("error", "message", "detail", "description", "output", "reason")
# Name → milliseconds of one.
LATENCIES: Final = {
    "latency": 1, "latency_ms": 1, "latencyMs": 1, "response_time": 1, "response_time_ms": 1, "responseTime": 1,
    "responseTimeMs": 1, "duration_ms": 1, "durationMs": 1, "took_ms": 1, "time_ms": 1,
    "latency_seconds": 1_000, "duration_seconds": 1_000, "latency_s": 1_000,
}  # fmt: skip
SPAN: Final = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # of .NET
NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)?")


class Reading(msgspec.Struct, frozen=True):
    outcome: Outcome
    detail: str  # "database unhealthy, redis unhealthy"
    parts: tuple[Part, ...] = ()
    sure: bool = True  # False: it may as well be the error page of an API


def read(body: bytes) -> Reading | None:
    """None if the body says nothing about health."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        content = body[:64].decode(errors="replace").strip() if len(body) <= 64 else None
    if isinstance(content, str):
        known = WORDS.get(_word(content))
        return None if known is None else Reading(known, _said(known, content))
    return _of_dict(content) if isinstance(content, dict) else None


def _of_dict(content: dict[str, Any]) -> Reading | None:
    word = _status(content)
    # Checks that stand at the top, as django-health-check has them.
    source = content if word is not None or any(key in content for key in CHILDREN) else {"checks": _judged(content)}
    parts = tuple(_first(_parts(source, "", 1), PARTS_MAX))
    if word is None and not parts:
        return None
    worst = max((part.outcome for part in parts), default=Outcome.UP)
    outcome = worst if word is None else _outcome(word)
    if outcome == Outcome.UP and worst >= Outcome.FAILING:
        # It calls itself well, and names a part that isn't: it may live without, but not unseen.
        outcome = Outcome.DEGRADED
    return Reading(outcome, _sentence(outcome, parts, word), parts, sure=bool(parts) or _word(word) != "error")


def _judged(content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `content` that are about health without a doubt."""
    return {
        name: value
        for name, value in content.items()
        if (isinstance(value, str) and _word(value) in WORDS)
        or (isinstance(value, dict) and isinstance(_status(value), str) and _word(_status(value)) in WORDS)
    }


def _parts(node: Mapping[str, Any], path: str, depth: int) -> Iterator[Part]:
    if depth > DEPTH_MAX:
        return
    for key in CHILDREN:
        children = node.get(key)
        if isinstance(children, list):
            children = {str(each.get("name", number)): each for number, each in enumerate(children)
                        if isinstance(each, dict)}  # fmt: skip
        if not isinstance(children, dict):
            continue
        for name, child in children.items():
            below = f"{path}.{_name(name)}" if path else _name(name)
            # Spring's details and ASP.NET's are notes, not checks, unless they have a status.
            yield from _part(child, below, depth, strict=key in ("details", "results"))


def _part(child: Any, path: str, depth: int, *, strict: bool) -> Iterator[Part]:
    if isinstance(child, list):
        yield from _of_list(child, path, depth)
    elif isinstance(child, dict):
        below = tuple(_parts(child, path, depth + 1))
        word = _status(child)
        if word is None and not below:
            return
        outcome = max(part.outcome for part in below) if word is None else _outcome(word)
        yield Part(path, outcome, _message(child, word, outcome), _latency(child))
        yield from below
    elif isinstance(child, (str, bool)) and (not strict or _word(child) in WORDS):
        outcome = _outcome(child)
        yield Part(path, outcome, _remark(child, outcome))


def _of_list(children: list[Any], path: str, depth: int) -> Iterator[Part]:
    """Of one thing measured at several nodes."""
    found = [each for each in children if isinstance(each, dict)]
    for number, child in enumerate(found):
        name = path if len(found) == 1 else f"{path}.{_name(child.get('componentId') or number)}"
        yield from _part(child, name, depth + 1, strict=True)


# --- Words and numbers ---------------------------------------------------------------------------------------------


def _status(node: Mapping[str, Any]) -> str | bool | None:
    return next((node[key] for key in STATUS if isinstance(node.get(key), (str, bool))), None)


def _word(said: Any) -> str:
    if isinstance(said, bool):
        return "healthy" if said else "unhealthy"
    return re.sub(r"[\s-]+", "_", str(said).strip().lower())


def _outcome(said: str | bool) -> Outcome:
    return WORDS.get(_word(said), Outcome.DEGRADED)


def _said(outcome: Outcome, word: str | bool | None) -> str:
    return "" if outcome == Outcome.UP or word is None else f"it says “{str(word).strip()[:40]}”"


def _sentence(outcome: Outcome, parts: tuple[Part, ...], word: str | bool | None) -> str:
    if outcome == Outcome.UP:
        return ""
    ill = [part for part in parts if part.outcome != Outcome.UP]
    # The part of a part says more than the whole.
    ill = [part for part in ill if not any(each.path.startswith(f"{part.path}.") for each in ill)]
    ill.sort(key=lambda part: -part.outcome)
    if not ill:
        return _said(outcome, word)
    named = ", ".join(f"{part.path} {_adjective(part)}" for part in ill[:NAMED_MAX])
    return named if len(ill) <= NAMED_MAX else f"{named} and {len(ill) - NAMED_MAX} more"


def _adjective(part: Part) -> str:
    if part.detail.startswith("unknown"):
        return "unknown"
    return "degraded" if part.outcome == Outcome.DEGRADED else "unhealthy"


def _remark(said: str | bool, outcome: Outcome) -> str:
    """What a part says, where the outcome alone doesn't."""
    word = _word(said)
    if outcome == Outcome.UP or word in ("degraded", "unhealthy"):
        return ""
    return word[:TEXT_MAX] if word in WORDS else f"unknown: {str(said)[:40]}"


def _message(node: Mapping[str, Any], word: str | bool | None, outcome: Outcome) -> str:
    if outcome == Outcome.UP:
        return ""
    message = next((node[key] for key in MESSAGES if isinstance(node.get(key), str) and node[key]), "")
    remark = "" if word is None else _remark(word, outcome)
    return ": ".join(filter(None, (remark, message)))[:TEXT_MAX]


def _name(name: object) -> str:
    """Dots lead down the tree."""
    return str(name).replace(".", "_")[:TEXT_MAX]


def _latency(node: Mapping[str, Any]) -> float | None:
    for key, factor in LATENCIES.items():
        if (found := _milliseconds(node.get(key))) is not None:
            return found * factor
    if node.get("observedUnit") == "ms":
        return _milliseconds(node.get("observedValue"))
    if isinstance(span := node.get("duration"), str) and (match := SPAN.fullmatch(span)):
        return (int(match[1]) * 3_600 + int(match[2]) * 60 + float(match[3])) * 1_000
    return None


def _milliseconds(value: Any) -> float | None:
    if isinstance(value, str) and (match := NUMBER.fullmatch(value.strip())):
        return float(match[1]) * (1_000 if match[2] == "s" else 1)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    return None


def _first(parts: Iterator[Part], count: int) -> Iterator[Part]:
    for _, part in zip(range(count), parts, strict=False):
        yield part
