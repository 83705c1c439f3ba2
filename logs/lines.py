"""Lines as columns: the same records, in the layout in which thousands of them are checked and stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, Self, overload

from msgspec.structs import astuple

from logs.records import Level, LogRecord

FIELDS: Final = LogRecord.__struct_fields__


class Lines(Sequence[LogRecord]):
    """One list for each field of a record, under the field's name; as a sequence, the records.

    Steps that change every line (and none that drops one) belong between reading and `codec.encode`: they see a field
    of all lines as one list.
    """

    __slots__ = FIELDS

    timestamp: list[int]
    level: list[Level]
    service: list[str]
    message: list[str]
    title: list[str]
    logger: list[str]
    request_id: list[str]
    trace_id: list[str]
    span_id: list[str]
    metadata: list[bytes]
    sequence: Sequence[int]

    def __init__(self, *columns: Sequence[object]) -> None:
        """`columns` in the order of a record's fields; none of them: no lines."""
        for name, column in zip(FIELDS, columns or [[] for _ in FIELDS], strict=True):
            setattr(self, name, column)

    @classmethod
    def of(cls, records: Iterable[LogRecord]) -> Self:
        if isinstance(records, cls):
            return records
        return cls(*map(list, zip(*map(astuple, records), strict=True)))

    @classmethod
    def together(cls, parts: Iterable[Self]) -> Self:
        """The lines of all parts, one after the other; where only one has any, that part itself."""
        some = [part for part in parts if part]
        if len(some) == 1:
            return some[0]
        columns = zip(*[part.columns for part in some], strict=True)
        return cls(*map(list, map(chain.from_iterable, columns)))

    @property
    def columns(self) -> list[Sequence[object]]:
        return [getattr(self, name) for name in FIELDS]

    def picked(self, places: Iterable[int]) -> Self:
        return type(self)(*[list(map(column.__getitem__, places)) for column in self.columns])

    def __len__(self) -> int:
        return len(self.timestamp)

    def __iter__(self) -> Iterator[LogRecord]:
        return map(LogRecord, *self.columns)

    @overload
    def __getitem__(self, place: int) -> LogRecord: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> LogRecord | Self:
        values = [column[place] for column in self.columns]
        return type(self)(*values) if isinstance(place, slice) else LogRecord(*values)  # type: ignore[arg-type]
