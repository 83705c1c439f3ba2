"""What the stores are asked, in their language and in SQL as a developer would write it, and the right answers.

The answers come from the corpus itself, read line by line: no search has a part in them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Final, Literal

import msgspec

from benchmarks import corpus
from core import clock
from logs import query
from logs.store import BaseLogStore
from logs.store.base import Position

PAGE: Final = 100
LEVELS: Final = {"debug": 1, "info": 2, "warning": 3, "error": 4, "fatal": 5}
BUCKETS: Final = 100  # about, of a histogram
REQUEST_AT: Final = 1_000  # the line whose ids are looked for
LINES_MIN: Final = 2_000
RARE_USER: Final = 4_242
SLOW_MS: Final = 2_000
INFIX: Final = corpus.NEEDLE[3:-2]
ABSENT, ABSENT_INFIX = "unobtainium", "btainiu"

Key = tuple[int, str]  # timestamp and span id: no two lines of the corpus have the same
# Lines newest first; lines by (start of bucket, level); lines by service.
Answer = list[Key] | dict[tuple[int, int], int] | dict[str, int]
Kind = Literal["newest", "page", "context", "histogram", "values"]


class TooSlowError(Exception):
    """No answer within the time that was given."""


class Line(msgspec.Struct, gc=False):
    """What the questions ask of a line of the corpus."""

    ts: int
    level: str
    service: str
    request_id: str
    trace_id: str
    span_id: str
    metadata: dict[str, str | int]
    raw: bytes = b""


@dataclass(frozen=True)
class Question:
    name: str
    query: str = ""
    matches: Callable[[Line], bool] = lambda line: True
    sqlite: str = "TRUE"  # the condition of a SELECT
    postgres: str = "TRUE"
    kind: Kind = "newest"


def _text(name: str, text: str, *, postgres: str = "", kind: Kind = "newest") -> Question:
    data = text.encode()
    like = f"(title LIKE '%{text}%' OR message LIKE '%{text}%')"
    return Question(name, text, lambda line: data in line.raw, like, postgres or like.replace("LIKE", "ILIKE"), kind)


def _word(name: str, word: str, kind: Kind = "newest") -> Question:
    return _text(
        name, word, postgres=f"to_tsvector('simple', message) @@ plainto_tsquery('simple', '{word}')", kind=kind
    )


def _of(name: str, level: str, service: str) -> Question:
    where = f"level = '{level}' AND service = '{service}'"
    node = f"level:{level} service:{service}"
    return Question(name, node, lambda line: line.level == level and line.service == service, where, where)


def _id(column: Literal["request_id", "trace_id"], value: str) -> Question:
    where = f"{column} = '{value}'"
    return Question(
        column.replace("_", " "), f"{column}:{value}", lambda line: getattr(line, column) == value, where, where
    )


@lru_cache
def questions() -> dict[str, Question]:
    """By name, in the order in which they are asked. Their ids are those of one line of the corpus."""
    line = read(next(islice(corpus.lines(LINES_MIN), REQUEST_AT, None)))
    trace = _text("trace id as text", line.trace_id)
    or_ids = f" OR request_id = '{line.trace_id}' OR trace_id = '{line.trace_id}'"
    timeout, billing = _word("", "timeout"), _of("", "error", "billing")
    found = (
        Question("newest 100"),
        _of("error + billing", "error", "billing"),
        _of("fatal + scheduler", "fatal", "scheduler"),
        Question("page in the middle", kind="page"),
        _word("word in 10 %", "timeout"),
        _word("word in 0.02 %", "deadlock"),
        _word("word once", corpus.NEEDLE),
        _word("word absent", ABSENT),
        _id("request_id", line.request_id),
        _id("trace_id", line.trace_id),
        Question(trace.name, trace.query, trace.matches, trace.sqlite + or_ids, trace.postgres + or_ids),
        Question(
            "metadata, rare value",
            f"metadata.user_id:{RARE_USER}",
            lambda line: line.metadata.get("user_id") == RARE_USER,
            f"json_extract(metadata, '$.user_id') = {RARE_USER}",
            f"""metadata @> '{{"user_id": {RARE_USER}}}'""",
        ),
        Question(
            "metadata, larger than",
            f"metadata.duration_ms:>{SLOW_MS}",
            lambda line: int(line.metadata.get("duration_ms", 0)) > SLOW_MS,
            f"json_extract(metadata, '$.duration_ms') > {SLOW_MS}",
            f"metadata -> 'duration_ms' > '{SLOW_MS}'",
        ),
        Question(
            "metadata, key exists",
            "exists:version",
            lambda line: "version" in line.metadata,
            "json_type(metadata, '$.version') IS NOT NULL",
            "metadata ? 'version'",
        ),
        _text("infix once", INFIX),
        _text("infix absent", ABSENT_INFIX),
        Question(
            "word + error + billing",
            f"{timeout.query} {billing.query}",
            lambda line: timeout.matches(line) and billing.matches(line),
            f"{timeout.sqlite} AND {billing.sqlite}",
            f"{timeout.postgres} AND {billing.postgres}",
        ),
        Question("context, 50 + 50", kind="context"),
        Question("histogram", kind="histogram"),
        _word("histogram of a word", "timeout", kind="histogram"),
        Question("values of service", kind="values"),
    )  # fmt: skip
    return {question.name: question for question in found}


_decode = msgspec.json.Decoder(Line).decode


def read(raw: bytes) -> Line:
    line = _decode(raw)
    line.raw = raw
    return line


# --- The right answers -----------------------------------------------------------------------------------------------


@dataclass
class Facts:
    """What is in the first `lines` lines of the corpus. Times are µs."""

    lines: int
    first: int = 0
    last: int = 0
    middle: int = 0  # of the line in the middle
    fifth: int = 0  # of the first line that is younger than the oldest 20 %
    needle: int = 0
    position: Position = (0, 0)  # of the needle, as the store has it
    newest: dict[str, list[Key]] = field(default_factory=dict)  # by question, newest first
    before_middle: list[Key] = field(default_factory=list)
    around: list[Key] = field(default_factory=list)
    minutes: dict[str, Counter[tuple[int, int]]] = field(default_factory=dict)  # by question: (minute, level)
    services: Counter[str] = field(default_factory=Counter)

    @property
    def step(self) -> int:
        """Of a histogram: whole minutes."""
        return max(1, (self.last - self.first) // BUCKETS // clock.MINUTE) * clock.MINUTE

    @property
    def end(self) -> int:
        """The first whole minute after the last line."""
        return self.last - self.last % clock.MINUTE + clock.MINUTE

    def answer(self, question: Question) -> Answer:
        match question.kind:
            case "histogram":
                return buckets(self.minutes[question.name], self.step)
            case "values":
                return dict(self.services)
            case "page":
                return self.before_middle
            case "context":
                return self.around
            case _:
                return self.newest[question.name]


def buckets(counts: dict[tuple[int, int], int], step: int) -> dict[tuple[int, int], int]:
    """Lines by (start of bucket, level)."""
    found: Counter[tuple[int, int]] = Counter()
    for (time, level), lines in counts.items():
        found[time - time % step, level] += lines
    return dict(found)


def facts(count: int) -> Facts:
    """Reads the corpus once."""
    found = Facts(count)
    newest = {name: deque[Key](maxlen=PAGE) for name, each in questions().items() if each.kind == "newest"}
    counted = {name: each for name, each in questions().items() if each.kind == "histogram"}
    found.minutes = {name: Counter() for name in counted}
    needle, latest = int(count * corpus.NEEDLE_AT), deque[Key](maxlen=2 * PAGE)
    around: list[Key] = []
    asked = [(each.matches, newest[name]) for name, each in questions().items() if each.kind == "newest"]
    for number, line in enumerate(_lines(count)):
        key = (line.ts, line.span_id)
        if number == count // 2:
            found.middle = line.ts
            found.before_middle = [each for each in reversed(latest) if each[0] < line.ts][:PAGE]
        elif number == count // 5:
            found.fifth = line.ts
        if abs(number - needle) <= PAGE // 2:
            around.append(key)
            found.needle = line.ts if number == needle else found.needle
        latest.append(key)
        for matches, keys in asked:
            if matches(line):
                keys.append(key)
        minute = (line.ts - line.ts % clock.MINUTE, LEVELS[line.level])
        for name, each in counted.items():
            if each.matches(line):
                found.minutes[name][minute] += 1
        found.services[line.service] += 1
        found.first, found.last = found.first or line.ts, line.ts
    found.newest = {name: list(reversed(keys)) for name, keys in newest.items()}
    found.around = around[::-1]
    return found


def _lines(count: int) -> Iterator[Line]:
    return map(read, corpus.lines(count))


# --- Asking the store ------------------------------------------------------------------------------------------------

parse = lru_cache(query.parse)


def ask(store: BaseLogStore, question: Question, facts: Facts, patience: float) -> Answer:
    """Raises TooSlowError after about `patience` seconds."""
    node = parse(question.query)
    match question.kind:
        case "histogram":
            counted = store.histogram(node, start=facts.first, end=facts.end, step=facts.step, deadline=patience)
            if not counted.complete:
                raise TooSlowError
            return {
                (begin, level): lines
                for begin, levels in counted.buckets.items()
                for level, lines in enumerate(levels)
                if lines
            }
        case "values":
            return dict(store.values(node, "service", deadline=patience).counts)
        case "context":
            records = store.context(facts.position, node=node, before=PAGE // 2, after=PAGE // 2)
        case _:
            after = (facts.middle, 0) if question.kind == "page" else None
            page = store.search(node, limit=PAGE, after=after, deadline=patience)
            if not page.complete:
                raise TooSlowError
            records = page.records
    return [(record.timestamp, record.span_id) for record in records]


def find_needle(store: BaseLogStore, facts: Facts) -> Position:
    """As a link to the line has it. The nearest line if it is missing, so that the answer is wrong and no error."""
    page = store.search(parse(""), start=facts.needle, limit=1, direction="newer")
    return page.records[0].position if page.records else (facts.needle, 0)
