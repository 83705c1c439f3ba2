"""What a query means: the syntax, and what people paste that only looks like syntax."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logs.query import (
    DEPTH_MAX,
    LENGTH_MAX,
    TERMS_MAX,
    And,
    Everything,
    Field,
    Level,
    Metadata,
    Node,
    Not,
    Operator,
    Or,
    QueryError,
    Text,
    all_of,
    any_of,
    literal,
    negate,
    parse,
    term,
)
from logs.records import Level as RecordLevel
from logs.records import LogRecord

EQUALS, PREFIX, CONTAINS, EXISTS = Operator.EQUALS, Operator.PREFIX, Operator.CONTAINS, Operator.EXISTS
ERROR, WARN, FATAL = RecordLevel.ERROR, RecordLevel.WARN, RecordLevel.FATAL


def record(message: str) -> LogRecord:
    return LogRecord(1_790_000_000_000_000, RecordLevel.INFO, "worker", message)


def texts(node: Node) -> list[str]:
    """The needles of a query that is nothing but texts."""
    children = node.children if isinstance(node, And) else (node,)
    assert all(isinstance(child, Text) for child in children), node
    return [child.needle for child in children if isinstance(child, Text)]


def level(*levels: RecordLevel) -> Level:
    return Level(frozenset(levels))


# --- Pasted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pasted",
    [
        "/api/v1/orders/",
        "http://x.example/y?z=1&b=2",
        "https://host:8443/a",
        "10.0.0.1:8080",
        "localhost:8080",
        "db.example.com:5432",
        "[::1]:80",
        "fe80:0:0:0:0:0:0:1",
        "aa:bb:cc:dd:ee:ff",
        "550e8400-e29b-41d4-a716-446655440000",
        "sha256:9f86d081884c7d659a2feaa0c55ad015",
        '{"userId": 42, "a"',
        '{"userId": 42, "a": "two words", "b": [1, 2, {"c": null}]}',
        '{ "path": "cut off in the mid',
        '"userId": 42, "a": 7}',
        '[{"id": 1}, {"id": 2}]',
        '["a b", "c"]',
        "ocr_client.py:88",
        "Foo.java:12",
        "app.js:10:5",
        "com.example.Foo.bar(Foo.java:12)",
        "node:internal/process/task_queues:95:5",
        "2026-11-20T12:05:59.997Z",
        "12:05:59",
        "C:\\Users\\x\\log.txt",
        "C:/Users/x",
        "\\\\server\\share",
        "a=b&c=d",
        'err="timed out after 3 s"',
        "user@example.com",
        "git@github.com:org/repo.git",
        "mailto:a@b.example",
        "jdbc:postgresql://db/app",
        "arn:aws:s3:::bucket",
        "foo::bar",
        "std::vector<int>",
        "tests/test_a.py::test_b",
        "key=[1,2]",
        "ids:[1,2]",
        "x:=5",
        "100%",
        "a*b",
        "*",
        "(",
        ")",
        "()",
        '"',
        "[",
        "}",
        "\\",
        ":",
        "::",
        "f(x",
        "(foo)bar",
        "AND",
        "OR",
        "NOT",
        "and",
        "--verbose",
        "->",
        "!=",
        "-",
        "+",
        "&&",
        "C#",
        "c++",
        "~/.ssh",
        "#42",
        "$x",
        "a~2",
        "a^3",
        "/[a-z]+/",
        "😀",
        "ошибка:таймаут",
        "接続エラー",
        "it's",
        "key:",
    ],
)
def test_pasted_text_means_itself_as_one_text(pasted: str) -> None:
    assert parse(pasted) == Text(pasted)
    assert parse(f"  {pasted}\n") == Text(pasted)


@pytest.mark.parametrize(
    "line",
    [
        'File "/app/worker.py", line 88, in process',
        "at OcrClient.extract (ocr_client.py:88)",
        "    at async Promise.all (index 0)",
        "at Object.<anonymous> (/app/index.js:10:5)",
        "at com.example.Foo.bar(Foo.java:12)",
        "ValueError: invalid literal for int() with base 10: 'x'",
        "Error: connect ECONNREFUSED 127.0.0.1:6379",
        'psycopg.OperationalError: connection failed: FATAL: database "x" does not exist',
        'GET /x HTTP/1.1" 200',
        '127.0.0.1 - - [20/Nov/2026:12:05:59 +0000] "GET /x HTTP/1.1" 200 612 "-" "curl/8.0"',
        "2026-11-20 12:05:59,123 ERROR [worker] job 7 (attempt=3) failed - will retry (in 5 s), see /x",
        'time=12:05:59 level=error msg="timed out" path="/a b" n=1',
        "panic: runtime error: index out of range [5] with length 3",
        "main.main() /app/main.go:42 +0x1d",
        "thread 'main' panicked at src/main.rs:4:5:",
        "KeyError: 'user_id' (in handler), then gave up :(",
        "x AND",
        "half a (bracket",
        "and half) a bracket",
        'a "quote that is open',
        "glob **/*.py and *.txt",
    ],
)
def test_a_pasted_line_finds_itself(line: str) -> None:
    node = parse(line)

    assert texts(node)
    assert node.matches(record(f"before {line} after"))
    assert not node.matches(record("something else"))


def test_a_leading_or_trailing_star_is_dropped_for_text_is_found_inside_words_anyway() -> None:
    assert parse("*.example.com") == Text(".example.com")
    assert parse("time*") == Text("time")


def test_a_json_fragment_ends_where_the_query_goes_on() -> None:
    assert texts(parse('{"a": 1} "timed out"')) == ['{"a": 1}', "timed out"]
    assert parse('{"a": 1, "b" level:error') == And((level(ERROR), Text('{"a": 1, "b"')))
    assert parse('"a": 1 NOT x') == And((Text('"a": 1'), Not(Text("x"))))


def test_a_quote_glued_to_what_follows_is_text() -> None:
    assert texts(parse('"/app/worker.py", line')) == ['"/app/worker.py",', "line"]


# --- Text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000", '""', '"" ""'])
def test_a_query_of_nothing_is_everything(text: str) -> None:
    assert parse(text) == Everything()


@pytest.mark.parametrize(
    ("query", "needle"),
    [
        ('"timed out"', "timed out"),
        ('"level:error"', "level:error"),
        ('"a AND b"', "a AND b"),
        ('" padded "', " padded "),
        (r'"say \"hi\""', 'say "hi"'),
        (r'"C:\Users\x"', r"C:\Users\x"),
        (r'"a\\b"', r"a\b"),
        ('"two\nlines"', "two\nlines"),
        ('"f(x) (y"', "f(x) (y"),
    ],
)
def test_quoted_text_is_that_text(query: str, needle: str) -> None:
    assert parse(query) == Text(needle)


def test_a_lone_surrogate_is_a_replacement_character() -> None:
    assert parse("a\ud800b") == Text("a\ufffdb")


# --- Operators -----------------------------------------------------------------------------------------------------

A, B, C, D = Text("a"), Text("b"), Text("c"), Text("d")


@pytest.mark.parametrize(
    ("query", "node"),
    [
        ("a b", And((A, B))),
        ("a AND b", And((A, B))),
        ("a OR b", Or((A, B))),
        ("a OR b c", Or((A, And((B, C))))),
        ("a b OR c d", Or((And((A, B)), And((C, D))))),
        ("a AND b OR c", Or((And((A, B)), C))),
        ("(a OR b) c", And((Or((A, B)), C))),
        ("(a OR b) AND NOT c", And((Or((A, B)), Not(C)))),
        ("a AND (b AND (c d))", And((A, B, C, D))),
        ("((a))", A),
        ("a a a", A),
        ("NOT a b", And((Not(A), B))),
        ("NOT a OR b", Or((Not(A), B))),
        ("-a", Not(A)),
        ("!a", Not(A)),
        ("+a -b", And((A, Not(B)))),
        ("-(a OR b)", Not(Or((A, B)))),
        ("NOT(a OR b)", Not(Or((A, B)))),
        ("NOT NOT a", A),
        ("NOT -a", A),
        ("NOT NOT NOT a", Not(A)),
        ("NOT (NOT a)", A),
        ('-"a b"', Not(Text("a b"))),
        ("-*.x", Not(Text(".x"))),
        ("a AND AND b", And((A, Text("AND"), B))),
        ("OR a", And((Text("OR"), A))),
        ("(a OR)", And((A, Text("OR")))),
        ("a\nOR\nb", Or((A, B))),
        ("a or b", And((A, Text("or"), B))),
        ("() OR a", Or((Text("()"), A))),
        ("f(x) OR a", Or((Text("f(x)"), A))),
        ("a ORDER", And((A, Text("ORDER")))),
    ],
)
def test_operators(query: str, node: Node) -> None:
    assert parse(query) == node


# --- Fields --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "node"),
    [
        ("service:Worker", Field("service", EQUALS, "worker")),
        ("service:api-*", Field("service", PREFIX, "api-")),
        ("service:*api*", Field("service", CONTAINS, "api")),
        ('service:"api-*"', Field("service", EQUALS, "api-*")),
        ("service:*", Field("service", EXISTS, "")),
        ('service:""', Not(Field("service", EXISTS, ""))),
        ("SOURCE:x", Field("service", EQUALS, "x")),
        ("correlationId:r-1", Field("request_id", EQUALS, "r-1")),
        ("traceId:t", Field("trace_id", EQUALS, "t")),
        (
            "request_id:550e8400-e29b-41d4-a716-446655440000",
            Field("request_id", EQUALS, "550e8400-e29b-41d4-a716-446655440000"),
        ),
        ('message:"A b"', Field("message", CONTAINS, "a b")),
        ("msg:time*", Field("message", CONTAINS, "time")),
        ("title:x", Field("title", CONTAINS, "x")),
        ("id:1790000000000000-7", Field("id", EQUALS, "1790000000000000-7")),
        ("service:AND", Field("service", EQUALS, "and")),
        ("service:-x", Field("service", EQUALS, "-x")),
        ("service:f(x)", Field("service", EQUALS, "f(x)")),
        ("(service:a)", Field("service", EQUALS, "a")),
        ("-service:a", Not(Field("service", EQUALS, "a"))),
        ("service:(worker OR ocr)", Or((Field("service", EQUALS, "worker"), Field("service", EQUALS, "ocr")))),
        (
            'service:(-a* NOT "b c")',
            And((Not(Field("service", PREFIX, "a")), Not(Field("service", EQUALS, "b c")))),
        ),
        ("service:(a:b OR level:x)", Or((Field("service", EQUALS, "a:b"), Field("service", EQUALS, "level:x")))),
        ("exists:trace_id", Field("trace_id", EXISTS, "")),
        ("NOT exists:traceId", Not(Field("trace_id", EXISTS, ""))),
        ("_exists_:user.id", Metadata(("user", "id"), EXISTS, "")),
        ("exists:level", Everything()),
        ("exists:metadata.level", Metadata(("level",), EXISTS, "")),
        (
            "exists:(trace_id OR a.b)",
            Or((Field("trace_id", EXISTS, ""), Metadata(("a", "b"), EXISTS, ""))),
        ),
    ],
)
def test_fields_of_the_record(query: str, node: Node) -> None:
    assert parse(query) == node


@pytest.mark.parametrize(
    ("query", "node"),
    [
        ("user_id:42", Metadata(("user_id",), EQUALS, "42")),
        ("metadata.user_id:42", Metadata(("user_id",), EQUALS, "42")),
        ("user.id:7", Metadata(("user", "id"), EQUALS, "7")),
        ("metadata.service:x", Metadata(("service",), EQUALS, "x")),
        ("metadata.main.py:88", Metadata(("main", "py"), EQUALS, "88")),
        ("metadata.ключ:x", Metadata(("ключ",), EQUALS, "x")),
        ("@type:X", Metadata(("@type",), EQUALS, "x")),
        ("path:/api/v1/x", Metadata(("path",), EQUALS, "/api/v1/x")),
        ("path:/api/*", Metadata(("path",), PREFIX, "/api/")),
        ("url:http://x/y", Metadata(("url",), EQUALS, "http://x/y")),
        ("host:10.0.0.1:8080", Metadata(("host",), EQUALS, "10.0.0.1:8080")),
        ("file:C:\\x\\y", Metadata(("file",), EQUALS, "c:\\x\\y")),
        ("x:*", Metadata(("x",), EXISTS, "")),
        ("duration_ms:>500", Metadata(("duration_ms",), Operator.GT, "500")),
        ("duration_ms:>= 500", Metadata(("duration_ms",), Operator.GTE, "500")),
        ("duration_ms:<-5", Metadata(("duration_ms",), Operator.LT, "-5")),
        ('day:<="2026-11-20"', Metadata(("day",), Operator.LTE, "2026-11-20")),
        (
            "duration_ms:[100 TO 500]",
            And((Metadata(("duration_ms",), Operator.GTE, "100"), Metadata(("duration_ms",), Operator.LTE, "500"))),
        ),
        (
            "duration_ms:{100 to 500]",
            And((Metadata(("duration_ms",), Operator.GT, "100"), Metadata(("duration_ms",), Operator.LTE, "500"))),
        ),
        ("duration_ms:{100 TO *}", Metadata(("duration_ms",), Operator.GT, "100")),
        ("duration_ms:[* TO -5}", Metadata(("duration_ms",), Operator.LT, "-5")),
        ("duration_ms:[* TO *]", Metadata(("duration_ms",), EXISTS, "")),
        (
            "x:(>5 AND <=9)",
            And((Metadata(("x",), Operator.GT, "5"), Metadata(("x",), Operator.LTE, "9"))),
        ),
        ("TO:x", Metadata(("TO",), EQUALS, "x")),
    ],
)
def test_any_other_name_is_a_key_of_the_metadata(query: str, node: Node) -> None:
    assert parse(query) == node


@pytest.mark.parametrize(
    ("query", "node"),
    [
        ("level:error", level(ERROR)),
        ("severity:ERR", level(ERROR)),
        ("level:critical", level(FATAL)),
        ("level:(error OR warn)", level(ERROR, WARN)),
        ("level:error OR level:warn", level(ERROR, WARN)),
        ("level:>=warn", level(WARN, ERROR, FATAL)),
        ("level:>warn", level(ERROR, FATAL)),
        ("level:<debug", level(RecordLevel.TRACE)),
        ("level:[warn TO error]", level(WARN, ERROR)),
        ("level:[warn TO fatal}", level(WARN, ERROR)),
        ("level:err*", level(ERROR)),
        ("level:wa*", level(WARN)),
        ("-level:(trace OR debug OR info)", level(WARN, ERROR, FATAL)),
        ("level:>=warn -level:error", level(WARN, FATAL)),
        ("level:*", Everything()),
        ("level:>=trace", Everything()),
    ],
)
def test_levels(query: str, node: Node) -> None:
    assert parse(query) == node


def test_a_comparison_that_no_level_passes_matches_no_record() -> None:
    assert parse("level:>fatal") == level()
    assert not parse("level:>fatal").matches(record("x"))


def test_the_example_of_the_manual() -> None:
    assert parse(
        'level:error service:worker "timed out" request_id:r-1 metadata.user_id:42 duration_ms:>500 -healthz'
    ) == And(
        (
            level(ERROR),
            Field("service", EQUALS, "worker"),
            Text("timed out"),
            Field("request_id", EQUALS, "r-1"),
            Metadata(("user_id",), EQUALS, "42"),
            Metadata(("duration_ms",), Operator.GT, "500"),
            Not(Text("healthz")),
        )
    )


# --- Errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "position", "says"),
    [
        ("a level:foo", 9, '"foo" at position 9 is not a level; write one of trace, debug, info, warn, error, fatal'),
        ("level:(error OR foo)", 17, "is not a level"),
        ("a timestamp:2026", 3, "choose a time range"),
        ("time:>now", 1, "choose a time range"),
        ("metadata:x", 1, "write metadata.user_id:42"),
        ("exists:a*", 8, "write exists:trace_id"),
        ("exists:metadata", 8, "write exists:trace_id"),
        ("exists:a..b", 8, "write exists:trace_id"),
        ("service:>b", 9, "write service:value or service:start*"),
        ("x:>", 4, "A value is missing"),
        ("(x:> )", 6, "A value is missing"),
        ('a message:"b c', 11, "The quote at position 11 is not closed"),
        ('service:"a"b', 11, "put a space there"),
        ("level:error)", 12, 'The ")" at position 12 has no "(" before it; put text that contains brackets in quotes'),
        ("(level:error b", 1, 'has no ")"'),
        ("service:(a b", 9, 'has no ")"'),
        ("a OR b)", 7, 'has no "("'),
        ("(a OR b", 1, 'has no ")"'),
        ("(a OR b)c", 1, 'has no ")"'),
    ],
)
def test_an_error_says_where_and_what_to_write_instead(query: str, position: int, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)

    assert caught.value.position == position
    assert says in caught.value.message
    assert str(caught.value) == caught.value.message
    assert str(position) in caught.value.message


def test_a_query_has_bounds() -> None:
    parse("x" * LENGTH_MAX)
    with pytest.raises(QueryError, match="2,001 characters and may have 2,000"):
        parse("x" * (LENGTH_MAX + 1))

    parse("a " * TERMS_MAX)
    with pytest.raises(QueryError, match="more than 50 terms, the next one at position 101"):
        parse("a " * (TERMS_MAX + 1))

    parse("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX)
    with pytest.raises(QueryError, match="position 21 is nested deeper than 20"):
        parse("(" * (DEPTH_MAX + 1) + "a" + ")" * (DEPTH_MAX + 1))


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 2_000,
        "(a " * 600,
        '"' * 2_000,
        '="\\' * 600,
        '{"a"' * 500,
        "NOT " * 499,
        "a:" * 999,
        "aa:" * 600,
        "a-." * 600,
    ],
)
def test_a_hostile_query_does_not_take_ages(hostile: str) -> None:
    # It takes some milliseconds; a pattern that backtracks would take minutes. The bound tells the two apart on any
    # machine, and is no figure.
    begin = perf_counter()
    with suppress(QueryError):
        parse(hostile)
    assert perf_counter() - begin < 10


MANUAL = (Path(__file__).parents[2] / "docs" / "query-language.md").read_text()


def test_every_query_in_the_manual_is_one() -> None:
    first_columns = [row.split("|")[1] for row in MANUAL.splitlines() if row.startswith("| `")]
    queries = [query for column in first_columns for query in re.findall(r"`([^`]+)`", column)]

    assert len(queries) > 30
    for query in queries:
        assert parse(query) != Everything(), query


def test_the_manual_quotes_the_error_and_the_bounds_as_they_are() -> None:
    with pytest.raises(QueryError) as caught:
        parse("level:foo")

    assert f"> {caught.value}" in MANUAL
    assert f"{LENGTH_MAX:,} characters, {TERMS_MAX} terms, {DEPTH_MAX} brackets deep" in MANUAL


# --- Building queries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "query"),
    [
        ("service", "worker", "service:worker"),
        ("request_id", "a b", 'request_id:"a b"'),
        ("request_id", 'say "x"', r'request_id:"say \"x\""'),
        ("service", "api-*", 'service:"api-*"'),
        ("path", "/api/v1", 'path:"/api/v1"'),
        ("n", "-5", 'n:"-5"'),
        ("main.py", "88", 'main.py:"88"'),
        ("localhost", "80", 'localhost:"80"'),
        ("x", "", 'x:""'),
        ("a/b", "1", '"1"'),
        ("ключ", "1", "metadata.ключ:1"),
        ("two words", "a b", '"a b"'),
    ],
)
def test_a_term_is_quoted_where_it_needs_to_be(field: str, value: str, query: str) -> None:
    assert term(field, value) == query


@given(
    st.sampled_from(["service", "logger", "request_id", "trace_id", "span_id"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
)
@example("service", "*")
@example("service", "a:b")
@example("service", ">5")
@example("service", "AND")
def test_a_term_means_its_field_and_value(field: str, value: str) -> None:
    assert parse(term(field, value)) == Field(field, EQUALS, value.casefold())


@given(
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True).map("metadata.{}".format),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)
def test_a_term_means_its_key_and_value(key: str, value: str) -> None:
    assert parse(term(key, value)) == Metadata((key.removeprefix("metadata."),), EQUALS, value.casefold())


def test_nodes_are_put_together_flat() -> None:
    assert all_of() == Everything()
    assert all_of(A, Everything(), And((B, C)), A) == And((A, B, C))
    assert all_of(level(ERROR, WARN), A, level(WARN, FATAL)) == And((level(WARN), A))
    assert any_of() == Not(Everything())
    assert any_of(A, Everything()) == Everything()
    assert any_of(Or((A, B)), C, A) == Or((A, B, C))
    assert negate(negate(A)) == A
    assert negate(level(*RecordLevel)) == level()


def test_equal_queries_have_equal_trees_that_are_keys() -> None:
    query = "level:error service:a -b x:>5 (c OR d)"

    assert len({parse(query), parse(query)}) == 1
    assert parse(query) != parse("level:error")


def test_threads_parse_at_the_same_time() -> None:
    queries = [f"level:error x:{n} (a{n} OR b{n}) -c{n}" for n in range(8)]
    expected = [parse(query) for query in queries]
    wrong: list[str] = []

    def work(number: int) -> None:
        wrong.extend(queries[number] for _ in range(50) if parse(queries[number]) != expected[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(queries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- For any text --------------------------------------------------------------------------------------------------

_PIECES = (
    *("AND", "OR", "NOT", "TO", "(", ")", '"', "\\", ":", "*", "-", "+", "!", "[", "]", "{", "}", ">", "<=", "=", ","),
    *(" ", "\n", "\u3000", "a", "é", "42", "level", "error", "service:", "exists:", "x.y:", "metadata", "//", "a.py:1"),
    *("'", "~", "^", "/", "&&", "\x00", "\x1c", "\x85", "\ud800", '{"a":', "@", "."),
)
syntax = st.lists(st.sampled_from(_PIECES), max_size=30).map("".join)


@given(st.one_of(syntax, st.text(max_size=200)))
@example("a\x1cOR\x85b")
@example("x:\u3000y")
@example("\\")
@example('x:"\\"')
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    try:
        node = parse(text)
    except QueryError as error:
        position = error.position or 1
    else:
        position = 1
        assert node.matches(record(text)) in (True, False)
        assert hash(node) == hash(parse(text))
    assert 1 <= position <= len(text) + 1


@given(st.one_of(syntax, st.text(max_size=200)).filter(str.strip).filter(lambda text: not set(text) & {"\ud800"}))
@example("\u0130")
@example("ß")
@example('a\\"b\\')
def test_a_literal_finds_every_message_that_holds_it(text: str) -> None:
    node = parse(literal(text))

    assert node == Text(text)
    assert node.matches(record(f"<{text}>"))
    assert node.matches(record(text))
    assert not node.matches(LogRecord(0, RecordLevel.INFO, "", "", metadata=b""))


@given(st.text(st.characters(exclude_characters=':"()[]{}-!', exclude_categories=["Cs"]), max_size=100))
def test_text_without_marks_finds_itself(text: str) -> None:
    assert parse(text.lower()).matches(record(text.lower()))
