"""What a line of the client looks like, whatever was logged, and what Pharos makes of it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
import redis
import structlog
from django.conf import settings
from pharos_client import (
    REDACT,
    PharosHandler,
    RedisLogger,
    Settings,
    SettingsError,
    bound_context,
    clear_context,
    configure,
    set_context,
)
from pharos_client.console import Console, pretty
from pharos_client.lines import LINE_MAX, encoded
from pharos_client.sender import Sender
from pharos_client.settings import STREAM_MAXLEN
from pharos_client.structlog import PharosProcessor
from pharos_client.values import DEPTH, Cleaner

from logs import stream
from logs.records import Level
from logs.store.codec import Block
from tests.pharos_client.receiving import CLIENT, STREAM, Gathered, run


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    clear_context()
    yield
    clear_context()


@pytest.fixture
def gathered() -> Gathered:
    return Gathered()


@pytest.fixture
def log(gathered: Gathered) -> logging.Logger:
    """Keeps its lines in `gathered`."""
    handler = PharosHandler("shop", environment="development")
    handler.way = gathered
    log = logging.Logger("shop.db")
    log.addHandler(handler)
    return log


# --- From the client into Pharos -----------------------------------------------------------------------------------


def read(client: redis.Redis) -> list[Any]:
    """Records, as ingest reads them."""
    found: Any = client.xrange(STREAM)
    entries = [[entry_id, [part for pair in fields.items() for part in pair]] for entry_id, fields in found]
    reading = stream.read([stream.Arrived(STREAM, entries)])
    assert reading.refused == []
    contents = [taken.content for taken in reading.taken]
    return [record for content in contents if not isinstance(content, Block) for record in content]


def test_lines_of_logging_become_records(redis_client: redis.Redis) -> None:
    handler = PharosHandler("shop", redis_url=settings.REDIS_URL)
    log = logging.Logger("shop.db")
    log.addHandler(handler)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    with bound_context(request_id="r-1", trace_id=trace_id, user_id="u-7"):
        log.info("Query took %s ms", 7, extra={"title": "Slow query", "rows": 3, "password": "hunter2"})
    try:
        raise ValueError("no such order") from KeyError("order")
    except ValueError:
        log.exception("Order failed")
    handler.flush()
    handler.close()

    first, second = read(redis_client)
    assert (first.title, first.message, first.service, first.logger) == (
        "Slow query", "Query took 7 ms", "shop", "shop.db",
    )  # fmt: skip
    assert (first.level, first.request_id, first.trace_id) == (Level.INFO, "r-1", trace_id)
    assert json.loads(first.metadata) == {"user_id": "u-7", "rows": 3, "password": "[redacted]"}
    error = json.loads(second.metadata)["error"]
    assert (second.level, second.request_id) == (Level.ERROR, "")
    assert (error["name"], error["message"]) == ("ValueError", "no such order")
    assert "KeyError: 'order'" in error["stack"]
    assert "direct cause" in error["stack"]
    assert abs(first.timestamp - datetime.now(UTC).timestamp() * 1e6) < 60e6


async def test_lines_of_the_logger_for_coroutines_become_records(redis_client: redis.Redis) -> None:
    log = RedisLogger("ocr", settings.REDIS_URL)
    await log.log("WARNING", "Slow", "took 30 s", {"receipt_id": "r-7"})
    await log.named("database").error("Failed", "no answer", TimeoutError("after 30 s"), {"n": 1})
    await log.fatal("Broken")
    await log.info("Odd", "metadata", 7)  # type: ignore[arg-type]
    assert log.flush()
    log.close()

    slow, failed, broken, odd = read(redis_client)
    assert (slow.level, slow.title, slow.message, slow.service) == (Level.WARN, "Slow", "took 30 s", "ocr")
    assert json.loads(slow.metadata) == {"receipt_id": "r-7"}
    assert (failed.level, failed.logger) == (Level.ERROR, "database")
    assert json.loads(failed.metadata)["error"]["name"] == "TimeoutError"
    assert json.loads(failed.metadata)["n"] == 1
    assert broken.level is Level.FATAL
    assert odd.title == "A line could not be made"


def test_events_of_structlog_become_records(redis_client: redis.Redis) -> None:
    processor = PharosProcessor("shop", redis_url=settings.REDIS_URL)
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.TimeStamper(fmt="%H:%M"), processor],
    )
    with structlog.contextvars.bound_contextvars(request_id="r-9"):
        log.bind(order=7).warning("card declined", token="t")
    try:
        raise OSError("disk")
    except OSError:
        log.exception("boom")
    processor.way.flush()
    processor.way.close()

    declined, boom = read(redis_client)
    assert (declined.message, declined.level, declined.request_id) == ("card declined", Level.WARN, "r-9")
    assert json.loads(declined.metadata) == {"order": 7, "token": "[redacted]"}
    assert boom.level is Level.ERROR
    assert json.loads(boom.metadata)["error"]["message"] == "disk"


def test_an_event_of_structlog_may_go_on_to_a_renderer(gathered: Gathered) -> None:
    processor = PharosProcessor("shop", environment="development", passes_on=True)
    processor.way = gathered
    event = {"event": "hello", "level": "debug", "exception": "Traceback …"}
    assert processor(None, "info", event) is event
    assert event["event"] == "hello"
    assert gathered.lines[0]["level"] == "debug"
    assert gathered.lines[0]["error"] == {"stack": "Traceback …"}


# --- Context -------------------------------------------------------------------------------------------------------


def test_the_context_is_in_every_line_and_the_line_wins(log: logging.Logger, gathered: Gathered) -> None:
    set_context(user_id="u-1", tenant="t-1")
    set_context(tenant="t-2")
    log.info("one", extra={"user_id": "u-2"})
    clear_context()
    log.info("two")
    assert gathered.lines[0]["metadata"] == {"user_id": "u-2", "tenant": "t-2"}
    assert "metadata" not in gathered.lines[1]


async def test_tasks_have_a_context_each(log: logging.Logger, gathered: Gathered) -> None:
    async def work(name: str) -> None:
        set_context(request_id=name)
        await asyncio.sleep(0)
        log.info(name)

    await asyncio.gather(work("a"), work("b"))
    assert sorted((line["message"], line["request_id"]) for line in gathered.lines) == [("a", "a"), ("b", "b")]


def test_a_bound_context_ends(log: logging.Logger, gathered: Gathered) -> None:
    with bound_context(user_id=1), bound_context(job="j"):
        log.info("in")
    log.info("out")
    assert gathered.lines[0]["metadata"] == {"user_id": 1, "job": "j"}
    assert "metadata" not in gathered.lines[1]
    assert contextvars.copy_context().run(lambda: True)


# --- Values that are no JSON ---------------------------------------------------------------------------------------


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Endless(dict[str, Any]):
    def items(self) -> Any:
        raise RecursionError


def cyclic() -> dict[str, Any]:
    circle: dict[str, Any] = {"name": "circle"}
    circle["self"] = circle
    circle["list"] = [circle, [circle]]
    return circle


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (10**5_000, "integer of 16610 bits"),
        (b"\xff\x00ok", "\\xff\x00ok"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 11, 21, tzinfo=UTC), "2026-11-21T00:00:00+00:00"),
        (Level.ERROR, 4),
        ((1, {2}), [1, [2]]),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        (Unprintable(), "<unprintable Unprintable>"),
        (Unprintable, "<class 'tests.pharos_client.test_lines.Unprintable'>"),
        ("x" * 40_000, "x" * 32_768 + "… (7,232 characters more)"),
        ("lone \udc80", "lone ?"),
    ],
    ids=["nan", "infinity", "huge", "bytes", "uuid", "datetime", "enum", "items", "keys", "unprintable", "class",
         "long", "surrogate"],
)  # fmt: skip
def test_a_value_becomes_json(value: Any, wanted: Any) -> None:
    cleaned = encoded({"metadata": Cleaner().clean({"value": value})})
    assert json.loads(cleaned)["metadata"]["value"] == wanted


@pytest.mark.parametrize(
    "value",
    [cyclic(), Endless(), [[[[[[[[[[[[]]]]]]]]]]]], {str(n): n for n in range(100_000)}, [[0] * 1_000] * 1_000,
     ["x" * 30_000] * 900],
    ids=["cyclic", "endless", "deep", "wide", "square", "heavy"],
)  # fmt: skip
def test_what_is_too_much_is_cut_and_a_line_remains(log: logging.Logger, gathered: Gathered, value: Any) -> None:
    log.info("hello", extra={"value": value})
    line = encoded(gathered.lines[0])
    assert len(line) <= LINE_MAX
    assert msgspec.json.decode(line)["message"] == "hello"


def test_the_depth_is_bounded() -> None:
    value: Any = "deep"
    for _ in range(DEPTH + 5):
        value = {"in": value}
    text = json.dumps(Cleaner().clean({"value": value}), ensure_ascii=False)
    assert "deep" not in text
    assert text.count("in") <= DEPTH


def test_arguments_that_dont_fit_are_kept(log: logging.Logger, gathered: Gathered) -> None:
    log.info("%d apples", "many")
    log.info(Unprintable())
    assert gathered.lines[0]["message"] == "%d apples"
    assert gathered.lines[0]["metadata"] == {"args": ["many"]}
    assert gathered.lines[1]["message"] == "<unprintable Unprintable>"


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (5, "trace"),
        (10, "debug"),
        (20, "info"),
        (25, "info"),
        (30, "warn"),
        (40, "error"),
        (50, "fatal"),
        (90, "fatal"),
    ],
)
def test_levels(log: logging.Logger, gathered: Gathered, number: int, level: str) -> None:
    log.log(number, "x")
    assert gathered.lines[0]["level"] == level


def test_secrets_stay_here_in_any_spelling_and_depth() -> None:
    values = {"Password": 1, "API-Key": 2, "a": [{"set-cookie": 3, "iban": 4}], "passwords": 5}
    assert Cleaner().clean(values) == {
        "Password": "[redacted]", "API-Key": "[redacted]", "a": [{"set-cookie": "[redacted]", "iban": 4}],
        "passwords": 5,
    }  # fmt: skip
    assert Cleaner([*REDACT, "iban"]).clean({"IBAN": 1, "token": 2}) == {"IBAN": "[redacted]", "token": "[redacted]"}


# --- Settings and console ------------------------------------------------------------------------------------------


def test_the_names_of_older_services_are_read() -> None:
    read = Settings.read(
        {
            "Logging__RedisConnection": "redis:6379",
            "Logging__StreamName": "wib:logs",
            "Logging__MaxStreamLength": "10000",
        }
    )
    assert (read.redis_url, read.stream, read.stream_maxlen) == ("redis://redis:6379", "wib:logs", 10_000)
    assert read.ships


def test_the_environment_decides_where_lines_go() -> None:
    pharos = {"PHAROS_URL": "http://pharos:8000", "PHAROS_API_KEY": "k", "PHAROS_SERVICE": "shop"}
    assert Settings.read(pharos).ships
    assert not Settings.read({**pharos, "PHAROS_ENV": "development"}).ships
    assert not Settings.read({}).ships
    assert Settings.read(pharos, service="other").service == "other"
    assert Settings.read({"PHAROS_REDACT": "iban, pin"}).redact == (*REDACT, "iban", "pin")
    assert Settings.read({}).stream_maxlen == STREAM_MAXLEN
    assert not Settings.read({"PHAROS_STDERR": "0"}).stderr


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"PHAROS_URL": "pharos:8000"}, "expected the address of Pharos as http:// or https://, got 'pharos:8000'"),
        ({"PHAROS_URL": "http://pharos"}, "expected an API key for HTTP"),
        ({"PHAROS_ENV": "staging"}, "expected PHAROS_ENV development or production, got 'staging'"),
        ({"PHAROS_LOG_STREAM_MAXLEN": "many"}, "expected a number of entries"),
    ],
)
def test_settings_that_cant_be_used_say_so(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Settings.read(environ)


def test_in_development_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    handler = PharosHandler("shop", redis_url="redis://127.0.0.1:1", environment="development")
    assert isinstance(handler.way, Console)
    log = logging.Logger("shop.db")
    log.addHandler(handler)
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("Order failed", extra={"title": "Payment", "order": 7, "note": "two words"})
    written = capsys.readouterr().err
    assert 'ERROR shop.db Payment: Order failed  order=7 note="two words"\nTraceback' in written
    assert written.endswith("ValueError: bad\n")


def test_colours_are_for_terminals() -> None:
    line = {"timestamp": 0, "level": "error", "service": "shop", "message": "x"}
    assert "\x1b[31mERROR\x1b[0m shop x" in pretty(line, coloured=True)
    assert "\x1b" not in pretty(line)


def test_configure_takes_the_level_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before = root.level
    monkeypatch.setenv("PHAROS_LOG_LEVEL", "warning")
    handler = configure("shop")
    try:
        assert root.level == logging.WARNING
        assert handler in root.handlers
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def test_the_client_needs_nothing_of_pharos_and_http_needs_no_redis() -> None:
    program = """
import importlib, pathlib, sys
sys.modules["redis"] = None
import pharos_client
for path in pathlib.Path(pharos_client.__file__).parent.glob("*.py"):
    importlib.import_module("pharos_client" if path.stem == "__init__" else f"pharos_client.{path.stem}")
pharos_client.PharosHandler("shop", url="http://127.0.0.1:1", api_key="k")
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"logs", "core", "accounts", "monitor", "msgspec"}))
"""
    done = run(program)
    assert (done.stderr, done.stdout) == ("", "\n")
    assert (CLIENT / "pharos_client" / "py.typed").exists()


def test_a_sender_is_chosen_for_redis() -> None:
    assert isinstance(PharosHandler("shop", redis_url="redis://127.0.0.1:1").way, Sender)
