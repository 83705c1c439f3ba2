"""What the store is compared with: a table with a row per line, as one would write it first in Django.

A column for each field, metadata as JSON, an index for each question that comes to mind; times are integers, which
is kinder to it than the text that Django's SQLite makes of them.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from abc import ABC, abstractmethod
from itertools import repeat
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from benchmarks.questions import LEVELS, PAGE, Answer, Facts, Key, Question, TooSlowError
from benchmarks.stores import Place, vacuum

Row = tuple[Any, ...]

COLUMNS: Final = "timestamp, level, service, logger, title, message, request_id, trace_id, span_id, metadata"
TABLE: Final = """
CREATE TABLE IF NOT EXISTS log (
    id {id},
    timestamp BIGINT NOT NULL,
    level VARCHAR(10) NOT NULL,
    service VARCHAR(200) NOT NULL,
    logger VARCHAR(200) NOT NULL,
    title TEXT NOT NULL,
    message TEXT NOT NULL,
    request_id VARCHAR(200) NOT NULL,
    trace_id VARCHAR(200) NOT NULL,
    span_id VARCHAR(200) NOT NULL,
    metadata {json} NOT NULL
);
CREATE INDEX IF NOT EXISTS log_timestamp ON log (timestamp);
CREATE INDEX IF NOT EXISTS log_service_level ON log (service, level);
CREATE INDEX IF NOT EXISTS log_request_id ON log (request_id);
CREATE INDEX IF NOT EXISTS log_trace_id ON log (trace_id);
"""
GIN: Final = """
CREATE INDEX IF NOT EXISTS log_metadata ON log USING gin (metadata jsonb_path_ops);
CREATE INDEX IF NOT EXISTS log_message ON log USING gin (to_tsvector('simple', message));
"""
TIMESTAMP, SPAN = 0, 8  # where they are in a row


def parsed(body: bytes) -> list[Row]:
    """An NDJSON body as rows to insert."""
    return [_row(json.loads(line)) for line in body.split(b"\n")]


def _row(line: dict[str, Any]) -> Row:
    names = ("ts", "level", "service", "logger", "title", "message", "request_id", "trace_id", "span_id")
    return (*map(line.get, names, repeat("")), json.dumps(line["metadata"]))


class Rows(ABC):
    """The table in one database. As a context manager it is closed in the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def append(self, rows: list[Row]) -> None:
        """In one transaction."""

    @abstractmethod
    def fetch(self, sql: str) -> list[Row]:
        """Raises TooSlowError."""

    @abstractmethod
    def delete(self, time: int) -> int:
        """Rows that are older than `time`."""

    @abstractmethod
    def analyse(self) -> None:
        """Has the planner learn what is in the table."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def where(self, question: Question) -> str: ...

    def count(self) -> int:
        return int(self.fetch("SELECT COUNT(*) FROM log")[0][0])

    def ask(self, question: Question, facts: Facts) -> Answer:
        """Raises TooSlowError."""
        where = self.where(question)
        match question.kind:
            case "histogram":
                bucket = f"timestamp / {facts.step} * {facts.step}"
                sql = f"SELECT {bucket}, level, COUNT(*) FROM log WHERE {where} GROUP BY 1, 2"
                return {(begin, LEVELS[level]): lines for begin, level, lines in self.fetch(sql)}
            case "values":
                sql = f"SELECT service, COUNT(*) FROM log WHERE {where} GROUP BY 1 ORDER BY 2 DESC LIMIT 50"
                return dict(self.fetch(sql))
            case "page":
                return self._keys(f"{where} AND timestamp < {facts.middle}", PAGE)
            case "context":
                newer = self._keys(f"timestamp > {facts.needle}", PAGE // 2, "ASC")
                return newer[::-1] + self._keys(f"timestamp <= {facts.needle}", PAGE // 2 + 1)
            case _:
                return self._keys(where, PAGE)

    def _keys(self, where: str, limit: int, order: str = "DESC") -> list[Key]:
        sql = f"SELECT {COLUMNS} FROM log WHERE {where} ORDER BY timestamp {order}, id {order} LIMIT {limit}"
        return [(row[TIMESTAMP], row[SPAN]) for row in self.fetch(sql)]


class SqliteRows(Rows):
    def __init__(self, place: Place, patience: float = 10.0) -> None:
        self.patience = patience
        self.connection = sqlite3.connect(place.directory / "rows.sqlite3")
        self.connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;")
        self.connection.executescript(TABLE.format(id="INTEGER PRIMARY KEY AUTOINCREMENT", json="TEXT"))

    def append(self, rows: list[Row]) -> None:
        with self.connection:
            self.connection.executemany(f"INSERT INTO log ({COLUMNS}) VALUES ({', '.join('?' * 10)})", rows)

    def fetch(self, sql: str) -> list[Row]:
        timer = threading.Timer(self.patience, self.connection.interrupt)
        timer.start()
        try:
            return self.connection.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            raise TooSlowError from None
        finally:
            timer.cancel()
            timer.join()

    def delete(self, time: int) -> int:
        with self.connection:
            return self.connection.execute("DELETE FROM log WHERE timestamp < ?", (time,)).rowcount

    def analyse(self) -> None:
        self.connection.execute("ANALYZE")

    def close(self) -> None:
        self.connection.close()

    def where(self, question: Question) -> str:
        return question.sqlite


class PostgresRows(Rows):
    def __init__(self, place: Place, patience: float = 10.0) -> None:
        self.url = place.url
        self.connection = psycopg.connect(place.url, autocommit=True, prepare_threshold=None)
        self.connection.execute("SET client_min_messages = warning")
        self.connection.execute(f"SET statement_timeout = {round(1_000 * patience)}".encode())
        table = TABLE.format(id="BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", json="JSONB")
        self.connection.execute((table + GIN).encode())

    def append(self, rows: list[Row]) -> None:
        copying = f"COPY log ({COLUMNS}) FROM STDIN".encode()
        with self.connection.transaction(), self.connection.cursor() as cursor, cursor.copy(copying) as copy:
            for row in rows:
                copy.write_row(row)

    def fetch(self, sql: str) -> list[Row]:
        try:
            return self.connection.execute(sql.encode()).fetchall()
        except psycopg.errors.QueryCanceled:
            raise TooSlowError from None

    def delete(self, time: int) -> int:
        self.connection.execute("SET statement_timeout = 0")
        return self.connection.execute("DELETE FROM log WHERE timestamp < %s", (time,)).rowcount

    def analyse(self) -> None:
        vacuum(self.url)

    def close(self) -> None:
        self.connection.close()

    def where(self, question: Question) -> str:
        return question.postgres


def opened(place: Place, patience: float = 10.0) -> Rows:
    return PostgresRows(place, patience) if place.url else SqliteRows(place, patience)
