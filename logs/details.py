"""What an opened line shows: its fields, its metadata as a tree, its stack trace, and the line as JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from core import clock
from logs import query, rows
from logs.query.metadata import key_forms
from logs.records import LogRecord, decode
from logs.sequence import received_at

IDS: Final = ("request_id", "trace_id", "span_id")
FIELDS: Final = ("service", "logger", *IDS)
TREE_MAX: Final = 200  # rows of metadata; the JSON has all of it
VALUE_MAX: Final = 2_000
TEXT_MAX: Final = 100_000
RAW_MAX: Final = 256_000

# Where loggers put a stack trace, in the order in which we look; dots lead into objects.
STACK_KEYS: Final = (
    "stackTrace", "stack_trace", "stacktrace", "stack", "traceback", "exc_info", "exc_text", "exception", "error.stack",
    "error.stackTrace", "error.stack_trace", "err.stack", "exception.stack", "exception.stacktrace",
    "exception.stackTrace",
)  # fmt: skip
_FRAME = re.compile(r'\s*(at |File "|\d+: )')
_LIBRARY = re.compile(
    r"site-packages|dist-packages|/lib/python\d|node_modules|node:internal|"
    r"\bat (java|javax|jdk|sun|org\.springframework|org\.apache|System|Microsoft)\."
)


class Leaf(NamedTuple):
    """One row of a tree. `term` is the query that finds lines like it; "" when there is none."""

    depth: int
    name: str
    value: str
    term: str
    user: bool = False  # it names the user of the line

    @property
    def field(self) -> str:
        """The field whose values can be counted; "" if each line has another one, or no query can name it."""
        field, colon, _ = self.term.partition(":")
        return field if colon and field not in IDS and '"' not in field else ""


class Frames(NamedTuple):
    """Lines of a stack trace with this number of frames. Those of libraries are folded."""

    text: str
    folded: bool
    frames: int


class Details(NamedTuple):
    record: LogRecord
    time: Any  # datetimes, for the template to show in the reader's zone
    received: Any
    fields: list[Leaf]
    user: str  # whom the metadata names: user_id, userId, context.userId, …
    tree: list[Leaf]
    more: bool  # the tree was cut
    title: str
    message: str
    long: bool  # the row can't show all of the message
    stack: list[Frames]
    raw: str
    raw_cut: bool
    plain: str  # the line as text, for copying


def details_of(record: LogRecord) -> Details:
    metadata = _decoded(record.metadata)
    stack_key, stack = _find_stack(metadata)
    user = _user(metadata)
    tree = []
    for leaf in _leaves(metadata, "metadata", 0, skip=f"metadata.{stack_key}"):
        tree.append(leaf._replace(user=_names(leaf, user)))
        if len(tree) > TREE_MAX:
            break
    raw = _raw(record, metadata)
    return Details(
        record=record,
        time=clock.moment(record.timestamp),
        received=clock.moment(received_at(record.sequence)) if record.sequence else None,
        fields=[_field(name, getattr(record, name)) for name in FIELDS if getattr(record, name)],
        user=user,
        tree=tree[:TREE_MAX],
        more=len(tree) > TREE_MAX,
        title=rows.visible(record.title),
        message=rows.visible(record.message[:TEXT_MAX], lines=True),
        long=len(record.message) > rows.MATCH_FROM or "\n" in record.message,
        stack=fold(rows.visible(stack[:TEXT_MAX], lines=True)) if stack else [],
        raw=raw[:RAW_MAX],
        raw_cut=len(raw) > RAW_MAX,
        plain=_plain(record),
    )


def _field(name: str, value: str) -> Leaf:
    return Leaf(0, name.removesuffix("_id"), rows.visible(value), query.term(name, value))


def _user(metadata: dict[str, Any]) -> str:
    value = query.lookup(metadata, ("user_id",))
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= rows.MATCH_FROM else ""


def _names(leaf: Leaf, user: str) -> bool:
    key = leaf.name.rpartition(".")[2].casefold()
    return user != "" and leaf.value == rows.visible(user) and key in key_forms("user_id")


def _plain(record: LogRecord) -> str:
    words = [clock.iso(record.timestamp), record.level.name, record.service, record.title, record.message]
    return rows.visible(" ".join(filter(None, words))[:TEXT_MAX], lines=True)


def _decoded(metadata: bytes) -> dict[str, Any]:
    try:
        found = decode(metadata)
    except (msgspec.DecodeError, RecursionError):
        return {"(not JSON)": metadata.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"(value)": found}


def _leaves(found: dict[str, Any], path: str, depth: int, skip: str) -> Iterator[Leaf]:
    for key, value in found.items():
        inner = f"{path}.{key}"
        if inner == skip:
            continue
        name = rows.visible(key)
        if isinstance(value, dict) and value:
            yield Leaf(depth, name, "", "")
            yield from _leaves(value, inner, depth + 1, skip)
        else:
            yield Leaf(depth, name, _shown(value), _term(inner, value))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return rows.visible(text if len(text) <= VALUE_MAX else text[:VALUE_MAX] + " …", lines=True)


def _term(path: str, value: Any) -> str:
    if value is None or isinstance(value, (list, dict)):
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return query.term(path, text) if 0 < len(text) <= rows.MATCH_FROM else ""


# --- Stack traces --------------------------------------------------------------------------------------------------


def _find_stack(metadata: dict[str, Any]) -> tuple[str, str]:
    for key in STACK_KEYS:
        value: Any = metadata.get(key)  # OpenTelemetry's names have their dots within one key
        if value is None:
            value = metadata
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            value = "\n".join(line.rstrip("\n") for line in value)
        if isinstance(value, str) and "\n" in value.strip():
            return key, value.strip("\n")
    return "", ""


def fold(stack: str) -> list[Frames]:
    """Runs of frames, ours and those of libraries in turn."""
    runs = []
    for folded, lines in groupby(_tagged(stack), key=lambda line: line.folded):
        run = list(lines)
        frames = sum(line.starts for line in run)
        runs.append(Frames("\n".join(line.text for line in run), folded and frames > 1, frames))
    return runs


class _Line(NamedTuple):
    text: str
    starts: bool  # a frame; what follows indented is part of it
    folded: bool


def _tagged(stack: str) -> Iterator[_Line]:
    folded = False
    for text in stack.splitlines():
        starts = _FRAME.match(text) is not None
        if starts:
            folded = _LIBRARY.search(text) is not None
        elif not text.startswith((" ", "\t")):
            folded = False  # the error's own words
        yield _Line(text, starts, folded)


# --- JSON ----------------------------------------------------------------------------------------------------------


def _raw(record: LogRecord, metadata: dict[str, Any]) -> str:
    line = {
        "id": record.id,
        "timestamp": clock.iso(record.timestamp),
        "level": record.level.label,
        **{name: getattr(record, name) for name in ("service", "logger", "title", "message")},
        **{name: getattr(record, name) for name in ("request_id", "trace_id", "span_id")},
        "metadata": metadata,
    }
    # Characters that can't be seen are written as JSON writes them: it stays the same JSON, and shows what is in it.
    return rows.INVISIBLE.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(line, indent=2, ensure_ascii=False))
