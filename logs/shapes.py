"""Many lines at once: what `records.from_json` makes of each of them, several times as fast.

The lines of a program have few sets of names. For each set there is a `Shape`: a struct into which msgspec decodes a
line, and what its columns mean. A column is then checked and converted as a whole. This way knows usual values only;
a line with any other goes through `from_json`, which has the last word: a test sends lines of every kind through both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from logs import records
from logs.lines import Lines
from logs.records import (
    EARLIEST,
    FUTURE_MAX,
    ID_FIELDS,
    ID_MAX,
    LINE_MAX,
    NAME_MAX,
    UNKNOWN_SERVICE,
    Level,
    LogRecord,
    RecordError,
    compact,
    epoch_unit,
    from_json,
    has_nested_id,
    lift,
    names_of,
    parse_level,
    parse_timestamp,
    sorted_out,
    with_rest,
)

NAMES_MAX: Final = 64  # of one line; one with more goes the exact way
SHAPES_MAX: Final = 256
WORDS_MAX: Final = 4_096
_BETWEEN: Final = b"\xff"  # no byte of UTF-8
_SPACES: Final = (b" ", b"\n", b"\t", b"\r")  # of JSON

_TYPES: Final[dict[str, Any]] = {
    "timestamp": int | float | str,
    "level": str | int,
    "service": str,
    "message": str,
    "title": str,
    "logger": str,
    "request_id": str,
    "trace_id": str,
    "span_id": str,
    "metadata": Raw,
}


T = TypeVar("T")


class OddError(ValueError):
    """A value that only `from_json` understands."""


class _Words(dict[Any, T]):
    """What the words mean that come again and again: levels, names of services."""

    def __init__(self, meaning: Callable[[Any], T]) -> None:
        self.meaning = meaning

    def __missing__(self, word: Any) -> T:
        meant = self.meaning(word)
        if len(self) < WORDS_MAX:
            self[word] = meant
        return meant


def _known_level(word: object) -> Level:
    if (level := parse_level(word)) is None:
        raise OddError
    return level


def _short_name(name: str) -> str:
    text = name.strip()
    if len(text) > NAME_MAX or (name and not text):
        raise OddError
    return text


_levels: Final = _Words(_known_level)
_names: Final = _Words(_short_name)


class Shape:
    """How lines with one set of names are read."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Raises OddError for names that no struct can have."""
        found, rest = sorted_out(dict.fromkeys(names, Raw()))
        own = {name: field for field, (name, _) in found.items()}
        self.rest = {f"rest_{place}": name for place, name in enumerate(rest)}
        self.own = frozenset(found)
        attributes = own | {name: attribute for attribute, name in self.rest.items()}
        if not 0 < len(names) <= NAMES_MAX:
            raise OddError
        try:
            struct = msgspec.defstruct(
                "Line",
                [(attributes[name], _TYPES.get(attributes[name], Raw)) for name in names],
                rename={attributes[name]: name for name in names},
                forbid_unknown_fields=True,
                gc=False,
            )
        except ValueError:
            raise OddError from None
        decoder = msgspec.json.Decoder(struct)
        self.decode, self.decode_lines = decoder.decode, decoder.decode_lines
        pairs = [msgspec.json.encode(name).replace(b"%", b"%%") + b":%b" for name in rest]
        self.rest_form = b"{" + b",".join(pairs) + b"}"

    def lines(self, decoded: Sequence[Any], received: Sequence[int], places: Sequence[int]) -> Lines:
        """Decoded lines as columns. `received` stands in for missing times; `places` become the sequences.

        Raises OddError if a line has an unusual value.
        """
        # Lists of one attribute, not rows: thousands of tuples would keep the garbage collector busy.
        own, count = self.own, len(decoded)
        timestamp = _timestamps([line.timestamp for line in decoded], received) if "timestamp" in own else received
        level = _all(_levels, [line.level for line in decoded]) if "level" in own else [Level.INFO] * count
        logger = _all(_names, [line.logger for line in decoded]) if "logger" in own else [""] * count
        service = _all(_names, [line.service for line in decoded]) if "service" in own else [""] * count
        if "" in set(service):
            service = [name or other or UNKNOWN_SERVICE for name, other in zip(service, logger, strict=True)]
        ids = [_ids(list(map(attrgetter(f), decoded))) if f in own else [""] * count for f in ID_FIELDS]
        try:
            metadata = self._metadata(decoded, ids)
        except (msgspec.DecodeError, RecursionError):
            raise OddError from None
        return Lines(
            list(timestamp),
            level,
            service,
            [line.message for line in decoded] if "message" in own else [""] * count,
            [line.title for line in decoded] if "title" in own else [""] * count,
            logger,
            *ids,
            metadata,
            places,
        )

    def _metadata(self, decoded: Sequence[Any], ids: list[list[str]]) -> list[bytes]:
        """The column of metadata. Fills `ids` that are in it."""
        if "metadata" in self.own:
            metadata = _BETWEEN.join([line.metadata for line in decoded]).split(_BETWEEN)
            if set(map(itemgetter(0), metadata)) != {ord("{")}:
                raise OddError
        else:
            metadata = [b"{}"] * len(decoded)
        if self.rest:
            rows = map(attrgetter(*self.rest), decoded) if len(self.rest) > 1 else ((line.rest_0,) for line in decoded)
            if "metadata" in self.own:
                names = self.rest.values()
                both = zip(metadata, rows, strict=True)
                metadata = [with_rest(base, dict(zip(names, row, strict=True))) for base, row in both]
            else:
                metadata = list(map(self.rest_form.__mod__, rows))
        column = _BETWEEN.join(metadata)
        if any(space in column for space in _SPACES):
            metadata = list(map(compact, metadata))
        if any("" in known for known in ids) and has_nested_id(column):
            _lift(ids, metadata)
        return metadata


def _all(words: _Words[T], values: Sequence[Any]) -> list[T]:
    return list(map(words.__getitem__, values))


def _timestamps(values: Sequence[Any], received: Sequence[int]) -> list[int]:
    """Whole numbers of one unit at once, others one by one. Raises OddError."""
    if set(map(type, values)) == {int} and (unit := epoch_unit(min(values))) and unit == epoch_unit(max(values)):
        found = [value * unit for value in values] if unit > 1 else list(values)
    else:
        try:
            found = list(map(parse_timestamp, values))
        except RecordError:
            raise OddError from None
    if not EARLIEST <= min(found) <= max(found) <= min(received) + FUTURE_MAX:
        raise OddError
    return found


def _ids(values: list[str]) -> list[str]:
    stripped = list(map(str.strip, values))
    if max(map(len, stripped)) > ID_MAX or (stripped != values and stripped.count("") > values.count("")):
        raise OddError
    return stripped


def _lift(ids: list[list[str]], metadata: Sequence[bytes]) -> None:
    for place, text in enumerate(metadata):
        known = {field: column[place] for field, column in zip(ID_FIELDS, ids, strict=True)}
        if not all(known.values()) and has_nested_id(text):
            lift(known, text)
            for field, column in zip(ID_FIELDS, ids, strict=True):
                column[place] = known[field]


@lru_cache(SHAPES_MAX)
def _shape(names: tuple[str, ...], generation: int) -> Shape | None:
    try:
        return Shape(names)
    except OddError:
        return None


def shape_of(line: bytes) -> Shape | None:
    """The shape of a line; None if it has none."""
    try:
        return _shape(names_of(line), records.generation)
    except (msgspec.DecodeError, RecursionError):
        return None


def read_whole(body: bytes, received: Sequence[int]) -> Lines | None:
    """Lines of one shape, with usual values, from the bytes of all of them; None: `read` them one by one.

    `received` has the time of each. The sequences are the places of the lines.
    """
    if len(body) > LINE_MAX or (shape := shape_of(body.partition(b"\n")[0])) is None:
        return None
    try:
        decoded = shape.decode_lines(body)
        # An object may have line ends in it, where it is not one of many; then the numbers differ.
        return shape.lines(decoded, received, range(len(decoded))) if len(decoded) == len(received) else None
    except (OddError, msgspec.DecodeError, RecursionError):
        return None


def read(lines: Sequence[bytes], received: Sequence[int]) -> tuple[Lines, list[tuple[int, str]]]:
    """Any lines. The sequences of the records are their places among `lines`; the rest is (place, reason)."""
    reading = _Reading(lines, received)
    groups: dict[Shape, tuple[list[Any], list[int]]] = {}
    shape: Shape | None = None
    for place, line in enumerate(lines):
        decoded = shape and _decoded(shape, line)
        if decoded is None and (shape := shape_of(line)):
            decoded = _decoded(shape, line)
        if shape is None or decoded is None or len(line) > LINE_MAX:
            reading.one(place)
        else:
            of_shape, places = groups.setdefault(shape, ([], []))
            of_shape.append(decoded)
            places.append(place)
    for shape, (of_shape, places) in groups.items():
        reading.many(shape, of_shape, places)
    return reading.result()


def _decoded(shape: Shape, line: bytes) -> msgspec.Struct | None:
    try:
        return shape.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None


class _Reading:
    """The lines of one batch, as they become known."""

    def __init__(self, lines: Sequence[bytes], received: Sequence[int]) -> None:
        self.lines, self.received = lines, received
        self.parts: list[Lines] = []
        self.single: list[LogRecord] = []
        self.rejected: list[tuple[int, str]] = []

    def one(self, place: int) -> None:
        try:
            record = from_json(self.lines[place], self.received[place])
        except RecordError as error:
            self.rejected.append((place, str(error)))
        else:
            self.single.append(msgspec.structs.replace(record, sequence=place))

    def many(self, shape: Shape, decoded: Sequence[msgspec.Struct], places: Sequence[int]) -> None:
        """An unusual value is looked for by halves: the line that has it goes alone, the others together."""
        try:
            self.parts.append(shape.lines(decoded, [self.received[place] for place in places], places))
        except OddError:
            if len(places) == 1:
                self.one(places[0])
                return
            half = len(places) // 2
            self.many(shape, decoded[:half], places[:half])
            self.many(shape, decoded[half:], places[half:])

    def result(self) -> tuple[Lines, list[tuple[int, str]]]:
        found = Lines.together([*self.parts, Lines.of(self.single)])
        if self.single or len(self.parts) > 1:
            found = found.picked(sorted(range(len(found)), key=found.sequence.__getitem__))
        return found, sorted(self.rejected)
