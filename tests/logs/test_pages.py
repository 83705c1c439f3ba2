"""The Logs page, its fragments, the page of a line: who sees them, what they show, what hostile text can't do."""

from __future__ import annotations

import json
import re
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from core import clock
from core.timezone import zone_of
from logs import charts, query, views
from logs.details import details_of, fold
from logs.records import Level, LogRecord
from logs.rows import render_rows, visible
from logs.search import parse_search
from logs.sequence import sequence_of
from logs.store import Incoming, log_stores

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

BERLIN = ZoneInfo("Europe/Berlin")
HTMX = {"HX-Request": "true"}
STACK = """Traceback (most recent call last):
  File "/srv/app/worker.py", line 41, in process
    text = ocr.extract(receipt)
  File "/usr/lib/python3.11/site-packages/httpx/_client.py", line 1054, in request
    return self.send(request)
  File "/usr/lib/python3.11/site-packages/httpx/_client.py", line 926, in send
    response = self.transport.handle(request)
TimeoutError: no answer in 30 s"""


# --- Alice may read logs, Bob may only log in, Mallory does neither ------------------------------------------------


@pytest.fixture
def alice() -> Client:
    user = User.objects.create_user("alice", password="secret")
    user.user_permissions.add(Permission.objects.get(codename="read_records"))
    return logged_in(user)


@pytest.fixture
def bob() -> Client:
    return logged_in(User.objects.create_user("bob", password="secret"))


@pytest.fixture
def mallory() -> Client:
    return Client()


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def line(message: str = "the line", **fields: Any) -> LogRecord:
    values: dict[str, Any] = {"timestamp": clock.now() - clock.SECOND, "level": Level.INFO, "service": "worker"}
    return LogRecord(message=message, **values | fields)


def stored(*records: LogRecord, entry: str = "1800000000000-0") -> list[LogRecord]:
    placed = [
        msgspec.structs.replace(record, sequence=sequence_of(entry, 0, place)) for place, record in enumerate(records)
    ]
    log_stores["default"].append([Incoming("pharos:logs", entry, tuple(placed))])
    return placed


def text_of(response: Any) -> str:
    content: str = response.content.decode()
    return content


def rendered(record: LogRecord, q: str = "", zone: ZoneInfo = BERLIN) -> str:
    return render_rows([record], parse_search(QueryDict(f"q={q}"), now=clock.now()), zone)


@pytest.fixture(params=["page", "older", "chart", "services", "values", "row"])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "row":
        return reverse("logs:row", args=[stored(line())[0].id])
    return reverse(f"logs:{request.param}") + ("?field=service" if request.param == "values" else "")


# --- The five questions --------------------------------------------------------------------------------------------


def test_it_works_as_a_page_and_as_a_fragment(alice: Client, address: str) -> None:
    assert alice.get(address, follow=True).status_code == 200
    fragment = alice.get(address, headers=HTMX)
    assert fragment.status_code == 200
    assert "<html" not in text_of(fragment)


def test_it_refuses_other_methods(alice: Client, address: str) -> None:
    assert alice.post(address).status_code == 405


def test_it_refuses_somebody_without_the_right(bob: Client, address: str) -> None:
    answer = bob.get(address, headers=HTMX)
    assert answer.status_code == 403
    assert "read logs" in text_of(answer)


def test_it_sends_strangers_to_the_login_page(mallory: Client, address: str) -> None:
    answer = mallory.get(address)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("login"))


def test_a_fragment_sends_the_whole_page_to_the_login_page(mallory: Client, address: str) -> None:
    answer = mallory.get(address, headers=HTMX | {"HX-Current-URL": "http://testserver/logs/?q=x"})
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == f"{reverse('login')}?next=/logs/%3Fq%3Dx"


def test_twice_it_says_the_same(alice: Client, address: str) -> None:
    def lasting(response: Any) -> str:
        return re.sub(r"\d+ ms|csrf\S+|value=\"\S+\"|\d{4}-\d\d-\d\d\S+|\d{10,}", "", text_of(response))

    assert lasting(alice.get(address, headers=HTMX)) == lasting(alice.get(address, headers=HTMX))


# --- The page ------------------------------------------------------------------------------------------------------


def test_the_page_shows_lines_newest_first(alice: Client) -> None:
    now = clock.now()
    stored(line("first", timestamp=now - 2 * clock.SECOND), line("second", timestamp=now - clock.SECOND))
    assert rows_in(text_of(alice.get("/logs/"))).split() == ["second", "first"]


def test_the_page_knows_the_commit_before_its_search(alice: Client) -> None:
    stored(line())
    assert f'data-commit="{log_stores["default"].last_commit()}"' in text_of(alice.get("/logs/"))


def test_an_open_end_is_live_with_the_same_query(alice: Client) -> None:
    page = text_of(alice.get("/logs/?q=receipt&level=error&from=-1h"))
    assert 'ws-connect="/ws/logs/?q=receipt&amp;level=error&amp;from=-1h"' in page


@pytest.mark.parametrize("ended", ["to=-1m", "after=1800000000000000-8"])
def test_a_closed_end_is_not_live(alice: Client, ended: str) -> None:
    assert "ws-connect" not in text_of(alice.get(f"/logs/?{ended}"))


def test_levels_and_services_are_filtered_by_the_server(alice: Client) -> None:
    stored(line("good"), line("bad", level=Level.ERROR), line("other", level=Level.ERROR, service="ocr"))
    page = text_of(alice.get("/logs/?level=error&service=worker"))
    assert "bad" in rows_in(page)
    assert "good" not in rows_in(page)
    assert "other" not in rows_in(page)


def rows_in(page: str) -> str:
    return " ".join(re.findall(r'<bdi class="msg">(.*?)</bdi>', page))


@pytest.mark.parametrize(
    ("given", "linked"),
    [
        ("", "level=trace%2Cdebug%2Cwarn%2Cerror%2Cfatal"),
        ("level=error", "level=info%2Cerror"),
        ("level=info", '/logs/"'),
    ],
)
def test_a_chip_toggles_its_level(alice: Client, given: str, linked: str) -> None:
    page = text_of(alice.get(f"/logs/?{given}"))
    chip = page[page.index('class="chip lv-info') :]
    assert linked in chip[: chip.index("</a>")]


@pytest.mark.parametrize(
    "field", ["q=a AND (b", "level=loud", "from=yesterday", "to=never", "after=x", "from=-1m&to=-5m"]
)
def test_a_search_that_cant_be_read_is_answered_with_the_reason(alice: Client, field: str) -> None:
    answer = alice.get(f"/logs/?{field}")
    assert answer.status_code == 400
    assert 'role="alert"' in text_of(answer)
    assert 'id="log-query"' in text_of(answer)
    assert "ws-connect" not in text_of(answer)


def test_a_bad_query_stays_in_the_box(alice: Client) -> None:
    assert 'value="a AND (&lt;b"' in text_of(alice.get("/logs/", {"q": "a AND (<b"}))


@pytest.mark.parametrize("name", ["older", "chart", "services"])
def test_a_fragment_of_a_bad_search_is_refused(alice: Client, name: str) -> None:
    assert alice.get(reverse(f"logs:{name}"), {"from": "never"}, headers=HTMX).status_code == 400


def test_local_times_become_a_link_that_means_the_same_to_everyone(alice: Client) -> None:
    alice.cookies["pharos_tz"] = "Europe/Berlin"
    answer = alice.get("/logs/?q=x&from=2026-07-01T12:00&to=2026-07-01T13:00:30")
    assert answer.status_code == 302
    assert QueryDict(answer["Location"].partition("?")[2]).dict() == {
        "q": "x", "from": "2026-07-01T10:00:00.000000Z", "to": "2026-07-01T11:00:30.000000Z",
    }  # fmt: skip


def test_a_local_time_that_does_not_exist_is_refused(alice: Client) -> None:
    assert alice.get("/logs/?from=2026-02-30T12:00").status_code == 400


def test_an_empty_store_says_how_to_send_the_first_line(alice: Client) -> None:
    page = text_of(alice.get("/logs/"))
    assert "curl http://testserver/api/logs" in page
    assert "Make an API key" not in page  # Alice may not


def test_no_match_says_what_to_relax(alice: Client) -> None:
    stored(line())
    page = text_of(alice.get("/logs/?q=nothing-like-it&level=error"))
    assert "No line matches" in page
    assert "Show every level" in page


def test_the_examples_of_the_help_are_queries() -> None:
    for example, _ in views.EXAMPLES:
        query.parse(example)


# --- Fragments -----------------------------------------------------------------------------------------------------


def test_older_rows_go_on_where_the_page_ended(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PAGE_ROWS", 2)
    now = clock.now()
    stored(*(line(f"line {n}", timestamp=now - n * clock.SECOND) for n in range(1, 6)))
    page = text_of(alice.get("/logs/"))
    seen = re.findall(r"line \d", rows_in(page))
    while 'id="log-older"' in page and "hidden" not in page[page.index('id="log-older"') :].split(">", 1)[0]:
        link = re.search(r'hx-get="(/logs/older/[^"]+)"', page)
        assert link
        page = text_of(alice.get(link[1].replace("&amp;", "&"), headers=HTMX))
        seen += re.findall(r"line \d", rows_in(page))
    assert seen == [f"line {n}" for n in range(1, 6)]
    assert "No older lines" in page


def test_a_page_holds_a_bounded_number_of_rows(alice: Client) -> None:
    stored(line())
    page = text_of(alice.get("/logs/older/", {"shown": views.ROWS_MAX}, headers=HTMX))
    assert "Continue from here" in page
    assert "hx-get" not in page


def test_the_chart_counts_all_levels_and_draws_those_chosen(alice: Client) -> None:
    stored(line(), line(level=Level.ERROR), line(level=Level.ERROR))
    answer = text_of(alice.get("/logs/chart/?level=error", headers=HTMX))
    assert '<b id="count-info" hx-swap-oob="true">1</b>' in answer
    assert '<b id="count-error" hx-swap-oob="true">2</b>' in answer
    assert ">2 lines ·" in answer
    found = re.search(r'<script id="log-chart-json" type="application/json">(.*?)</script>', answer)
    assert found
    data = json.loads(found[1])
    assert dict(data["levels"]) == {level.label: level is Level.ERROR for level in Level}
    assert sum(bucket[1 + Level.ERROR] for bucket in data["buckets"]) == 2
    assert len(data["buckets"]) <= charts.BARS_MAX + 1


@pytest.mark.parametrize("seconds", [1, 300, 900, 3600, 86_400, 30 * 86_400, 20 * 365 * 86_400])
def test_bars_are_few_and_of_a_round_length(seconds: int) -> None:
    step = charts.step_of(seconds * clock.SECOND)
    assert seconds * clock.SECOND / step <= charts.BARS_MAX + 1


def test_the_service_menu_lists_what_is_there_and_what_is_chosen(alice: Client) -> None:
    stored(line(service="ocr"), line(service="<b>"))
    answer = text_of(alice.get("/logs/services/?service=gone&q=ignored", headers=HTMX))
    assert 'value="ocr">' in answer
    assert 'value="&lt;b&gt;">' in answer
    assert 'value="gone" checked>' in answer


# --- One line ------------------------------------------------------------------------------------------------------


def test_an_opened_line_shows_fields_metadata_and_stack(alice: Client) -> None:
    metadata = json.dumps({"user": {"id": 42}, "error": {"stack": STACK, "code": "E1"}}).encode()
    record, *_ = stored(
        line("failed", request_id="r-1", metadata=metadata), line(request_id="r-1", service="ocr"), line(service="x")
    )
    page = text_of(alice.get(f"/logs/{record.id}/?level=error", headers=HTMX))
    assert "2 lines in 2 services" in page
    assert "level=error&amp;q=metadata.user.id%3A42" in page
    assert "q=-metadata.user.id%3A42" in page
    assert "2 frames of libraries" in page
    assert "TimeoutError: no answer in 30 s" in page
    assert page.count("no answer in 30 s") == 2  # in the stack and in the JSON, not in the tree again


def test_the_values_of_a_field_are_listed_with_links(alice: Client) -> None:
    stored(*(line(f"n {n}", metadata=b'{"tenant":"%s"}' % tenant) for n, tenant in enumerate((b"a b", b"<i>", b"a b"))))
    html = alice.get("/logs/values/?field=metadata.tenant&q=n", headers=HTMX).content.decode()
    assert html.index("a b</bdi>") < html.index("&lt;i&gt;</bdi>")
    assert "q=n+metadata.tenant%3A%22a+b%22" in html
    assert alice.get("/logs/values/?field=id", headers=HTMX).status_code == 400


def test_the_page_of_a_line_shows_what_is_around_it(alice: Client) -> None:
    now = clock.now()
    records = stored(
        line("before", timestamp=now - 3),
        line("itself", timestamp=now - 2),
        line("after", timestamp=now - 1, service="ocr"),
    )
    everything = text_of(alice.get(f"/logs/{records[1].id}/"))
    assert rows_in(everything).split() == ["after", "itself", "before"]
    assert f'marked" id="r-{records[1].id}"' in everything
    assert rows_in(text_of(alice.get(f"/logs/{records[1].id}/?around=service"))).split() == ["itself", "before"]


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize("record_id", ["1-2", "999999999999999999-9223372036854775807"])
def test_a_line_that_is_gone_says_so(alice: Client, headers: dict[str, str], record_id: str) -> None:
    answer = alice.get(f"/logs/{record_id}/", headers=headers)
    assert answer.status_code == 404
    assert "isn’t in the store" in text_of(answer)


def test_an_id_no_store_can_hold_is_not_found(alice: Client) -> None:
    assert alice.get("/logs/9999999999999999999-1/").status_code == 404


def test_metadata_of_any_shape_can_be_opened() -> None:
    deep: Any = "bottom"
    for _ in range(300):
        deep = {"k": deep}
    for metadata in (
        b"{}",
        b"[1]",
        b"not json",
        json.dumps(deep).encode(),
        json.dumps({"k" * 300: "v" * 9_000}).encode(),
    ):
        details_of(line(metadata=metadata))


def test_a_large_tree_is_cut_and_the_json_has_it_all() -> None:
    details = details_of(line(metadata=json.dumps({f"key{n}": n for n in range(500)}).encode()))
    assert details.more
    assert len(details.tree) == 200
    assert '"key499": 499' in details.raw


def test_only_runs_of_library_frames_are_folded() -> None:
    assert [(run.folded, run.frames) for run in fold(STACK)] == [(False, 1), (True, 2), (False, 0)]


# --- Rows ----------------------------------------------------------------------------------------------------------

HOSTILE = {
    "<script>alert(1)</script>": "&lt;script&gt;alert(1)&lt;/script&gt;",
    '"><img src=x onerror=alert(1)>': "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;",
    "admin\u202etxt.exe": "admin\\u202etxt.exe",
    "zero\u200bwidth": "zero\\u200bwidth",
    "nul\x00 bell\x07": "nul\\x00 bell\\x07",
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "one\r\n  two": "one ⏎ two",
    "lone \ud800": "lone \\ud800",
    "{{ settings.SECRET_KEY }}": "{{ settings.SECRET_KEY }}",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items())
@pytest.mark.parametrize("field", ["message", "title", "service", "request_id", "metadata"])
def test_hostile_text_is_seen_and_does_nothing(field: str, text: str, shown: str) -> None:
    if field == "metadata":
        record = line("", metadata=json.dumps({"k": text}, ensure_ascii=True).encode())
        row = rendered(record)
    else:
        row = rendered(line(**{"message": "", "title": "", field: text}))
        if field != "request_id":
            assert shown in row
    assert "<script" not in row
    assert "<img" not in row
    assert not re.search("[\x00-\x1f\x7f\u202a-\u202e\u200b\ud800]", row)
    row.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_nothing_in_an_opened_line(alice: Client, text: str) -> None:
    text = text.replace("\ud800", "")
    metadata = json.dumps({text: {text: text}, "stack": f"{text}\n at {text}"}).encode()
    (record,) = stored(line(text, title=text, service=text, logger=text, request_id=text, metadata=metadata))
    for headers in ({}, HTMX):
        page = text_of(alice.get(f"/logs/{record.id}/", headers=headers))
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert not re.search("[\x00-\x08\x1b\u202a-\u202e\u200b]", page)


def test_a_huge_message_is_cut_in_the_row_and_whole_when_opened(alice: Client) -> None:
    (record,) = stored(line("a" * 50_000 + "END"))
    assert len(rendered(record)) < 2_000
    assert "END" in text_of(alice.get(f"/logs/{record.id}/", headers=HTMX))


def test_matches_are_marked_without_regard_to_case() -> None:
    row = rendered(line("Receipt and RECEIPT", title="receipts"), q="receipt")
    assert "<mark>Receipt</mark> and <mark>RECEIPT</mark>" in row
    assert "<b><mark>receipt</mark>s</b>" in row


def test_what_is_excluded_is_not_marked() -> None:
    assert "<mark>" not in rendered(line("healthz"), q="-healthz")


def test_marks_are_escaped() -> None:
    assert "<mark>&lt;b&gt;</mark>x" in rendered(line("<b>x"), q="%3Cb%3E")


def test_a_match_far_to_the_right_is_moved_into_sight() -> None:
    row = rendered(line("x" * 5_000 + " needle " + "y" * 5_000), q="needle")
    assert "… x" in row
    assert "<mark>needle</mark>" in row


def test_times_are_the_readers_and_the_machine_readable_ones_utc() -> None:
    row = rendered(line(timestamp=1_782_000_000_123_456))  # 2026-06-21T00:00:00.123456Z
    assert 'datetime="2026-06-21T00:00:00.123456Z"' in row
    assert "<span>06-21</span> 02:00:00<i>.123</i>" in row


def test_todays_lines_have_no_date() -> None:
    assert "<span>" not in rendered(line(timestamp=clock.now())).partition("</time>")[0]


def test_a_line_without_words_shows_its_metadata() -> None:
    assert "&quot;event&quot;:&quot;ping&quot;" in rendered(line("", metadata=b'{"event":"ping"}'))


def test_the_request_id_leads_to_every_line_of_the_request() -> None:
    row = rendered(line(request_id='c "1"', timestamp=1_782_000_000_123_456))
    link = re.search(r'class="req" href="([^"]+)"', row)
    assert link
    search = parse_search(QueryDict(link[1].replace("&amp;", "&").partition("?")[2]), now=clock.now())
    assert search.node == query.parse(query.term("request_id", 'c "1"'))
    assert search.start is not None
    assert search.start < 1_782_000_000_123_456 - 12 * clock.HOUR
    assert search.services == ()


def test_visible_keeps_the_lines_that_are_asked_for() -> None:
    assert visible("a\n\tb\x07", lines=True) == "a\n\tb\\x07"


# --- The reader's zone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "Europe", "../../etc/passwd", "Mars/Olympus", "\x00", "Europe/Berlin\n"])
def test_a_cookie_that_names_no_zone_means_utc(name: str) -> None:
    assert zone_of({"pharos_tz": name}).key == "UTC"


def test_the_page_shows_times_in_the_zone_of_the_cookie(alice: Client) -> None:
    stored(line(timestamp=1_782_000_000_000_000))
    alice.cookies["pharos_tz"] = "Asia/Tokyo"
    page = text_of(alice.get("/logs/?from=2026-06-20T12:00Z"))
    assert "09:00:00<i>" in page
