"""A PostgreSQL: it takes a login, and a query gives what it should."""

from __future__ import annotations

import math
import re
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from core import outbound
from services.probes.base import RAW_MAX, Asked, FailingError, Measurement, ProbeError, elapsed_ms, fitted
from services.probes.sockets import answered
from services.status import Outcome

if TYPE_CHECKING:
    import psycopg

LABEL = "PostgreSQL: a login and a query"
TARGET = "postgres://user@host:5432/database, without a password"
PORT: Final = 5432
# Nothing that reads files of this machine or leads elsewhere.
PARAMETERS: Final = frozenset(
    {"host", "port", "dbname", "user", "password", "sslmode", "application_name", "options", "target_session_attrs",
     "channel_binding", "gssencmode", "client_encoding"}
)  # fmt: skip


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query: str = "SELECT 1"  # in a transaction that can't write
    expected: str | int | float | bool | None = None  # the first value of the first row


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: str = ""
    dsn: str = ""  # instead of the target


def check_target(target: str) -> None:
    parameters(target)


def parameters(dsn: str) -> dict[str, Any]:
    """Raises ValueError, without the DSN in it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = {name: value for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except ProgrammingError:
        raise ValueError("expected an address like postgres://user@host:5432/database") from None
    host = str(found.get("host") or "")
    if not host or host.startswith(("/", "@")) or "," in f"{host}{found.get('port', '')}":
        raise ValueError("expected one host in the address, like postgres://user@host:5432/database")
    if unknown := sorted(found.keys() - PARAMETERS):
        raise ValueError(f"expected only {', '.join(sorted(PARAMETERS))} in the address, got {', '.join(unknown)}")
    if not str(found.get("port", PORT)).isdecimal():
        raise ValueError("expected a number as the port")
    return found


async def run(asked: Asked) -> Measurement:
    import psycopg

    options, secrets = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    settings = await _checked(asked, secrets)
    began = perf_counter()
    try:
        async with await psycopg.AsyncConnection.connect(**settings) as connection:
            await connection.set_read_only(True)
            row = await _first_row(connection, options.query)
            latency = elapsed_ms(began)
    except psycopg.Error as error:
        raise _explained(error) from None
    value = None if row is None else row[0] if row else None
    raw = "no row" if row is None else str(value)[:RAW_MAX]
    if options.expected is not None and not _same(value, options.expected):
        return Measurement(Outcome.FAILING, f"the query did not return {options.expected}"[:200], latency, raw=raw)
    return Measurement(latency_ms=latency, raw=raw)


async def _checked(asked: Asked, secrets: Secrets) -> dict[str, Any]:
    """What psycopg connects with: addresses that are checked, and the name for TLS. Raises ProbeError."""
    try:
        settings = parameters(asked.address)
    except ValueError as error:
        raise FailingError(str(error)) from None
    if secrets.password:
        settings["password"] = secrets.password
    host, port = settings["host"], int(settings.get("port", PORT))
    with answered():
        found = await outbound.resolve(host, port)
    addresses = [address for _, address in found]
    return {
        "application_name": "pharos",
        # Whoever asks keeps the time; this is for connections that are left behind.
        "connect_timeout": math.ceil(asked.timeout) + 5,
        **settings,
        # Nothing from this machine's environment and home directory.
        "passfile": "/dev/null",
        "hostaddr": ",".join(addresses),
        "host": ",".join([host] * len(addresses)),
        "port": port,
        "prepare_threshold": None,
    }


async def _first_row(connection: psycopg.AsyncConnection[Any], query: str) -> Any:
    """A cursor of the server's: a query that finds millions of rows sends one."""
    async with connection.cursor(name="pharos") as cursor:
        await cursor.execute(query.encode())
        return await cursor.fetchone()


def _same(value: Any, expected: Any) -> bool:
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    try:
        return float(value) == float(expected)
    except (TypeError, ValueError):
        return str(value) == str(expected)


# What libpq says → what we say. Its own texts have addresses and users in them.
SAYINGS: Final = (
    (r"connection refused", ProbeError, "connection refused"),
    (r"timeout expired|timed out", ProbeError, "no answer in time"),
    (r"authentication failed|no password supplied|no pg_hba.conf entry", FailingError, "the login was refused"),
    (r"too many (clients|connections)|remaining connection slots", FailingError, "there are too many connections"),
    (r"database .* does not exist", FailingError, "the database does not exist"),
    (r"role .* does not exist", FailingError, "the login was refused"),
    (r"starting up", ProbeError, "the database is starting up"),
    (r"shutting down", ProbeError, "the database is shutting down"),
    (r"certificate", ProbeError, "certificate isn't trusted"),
    (r"ssl", ProbeError, "no TLS connection"),
    (r"server closed the connection|connection reset|eof detected", ProbeError, "the connection was closed"),
)


def _explained(error: psycopg.Error) -> ProbeError:
    text = str(error).lower()
    if error.sqlstate is None or error.sqlstate.startswith(("08", "28", "3D", "53", "57P")):
        for pattern, kind, sentence in SAYINGS:
            if re.search(pattern, text):
                return kind(sentence)
    if error.sqlstate:
        # The class of the error, as PostgreSQL's manual lists them: "UndefinedTable".
        return FailingError(f"the query failed: {type(error).__name__}")
    return ProbeError("no connection to the database")
