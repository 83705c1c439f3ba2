"""A line of text that a program wrote becomes a record; what isn't known is not claimed."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import clock
from logs import plain
from logs.records import NAME_MAX, Level, LogRecord, parse_timestamp

RECEIVED = parse_timestamp("2026-11-21T12:00:00Z")
AT = "10:30:45.123"  # what most lines say

D, I, W, E, F = Level.DEBUG, Level.INFO, Level.WARN, Level.ERROR, Level.FATAL  # noqa: E741
NO = None  # no time of its own


def metadata(record: LogRecord) -> Any:
    return json.loads(record.metadata)


# (line, level, UTC time of 21 November 2026 or None, message)
LINES: list[tuple[str, Level, str | None, str]] = [
    # JSON and logfmt
    ('{"level":"warn","time":"2026-11-21T10:30:45.123Z","msg":"slow"}', W, AT, "slow"),
    ('{"level":50,"time":1795257045123,"msg":"pino"}', E, AT, "pino"),
    ('{"asctime":"x","levelname":"ERROR","message":"jsonlogger"}', E, NO, "jsonlogger"),
    ('{"timestamp":"2026-11-21 10:30:45,123","severity":"DEBUG","message":"m"}', D, AT, "m"),
    ('{"time":"quarter past ten","level":"error","msg":"odd time"}', E, NO, "odd time"),
    ('{"msg":"\\u001b[31mred\\u001b[0m"}', I, NO, "red"),
    ('{"error": 0', I, NO, '{"error": 0'),
    ("{level: error}", I, NO, "{level: error}"),
    ('time="2026-11-21T10:30:45.123Z" level=warning msg="a \\"b\\" c" n=1', W, AT, 'a "b" c'),
    ("ts=2026-11-21T10:30:45.123Z caller=main.go:12 level=info msg=up", I, AT, "up"),
    ('logger=migrator t=2026-11-21T10:30:45.123Z level=error msg="Grafana\'s"', E, AT, "Grafana's"),
    ("level=error code=7", E, NO, ""),
    ("x=1 y=2", I, NO, "x=1 y=2"),
    ("level=error is what he wrote", I, NO, "level=error is what he wrote"),
    ("level=error", I, NO, "level=error"),
    # Python
    ("2026-11-21 10:30:45,123 - app.views - ERROR - boom", E, AT, "boom"),
    ("2026-11-21 10:30:45,123 - ERROR - boom", E, AT, "boom"),
    ("2026-11-21 10:30:45,123 WARNING app.views: slow", W, AT, "slow"),
    ("2026-11-21 10:30:45,123 [ERROR] app.views: boom", E, AT, "boom"),
    ("2026-11-21 10:30:45,123 INFO plain words", I, AT, "plain words"),
    ("WARNING:root:careful", W, NO, "careful"),
    ("ERROR:app.db:lost: connection", E, NO, "lost: connection"),
    ("INFO 2026-11-21 10:30:45,123 views 123 140 Started", I, AT, "views 123 140 Started"),
    ("2026-11-21 10:30:45.123 | ERROR    | app.main:run:12 - loguru", E, AT, "loguru"),
    ("2026-11-21 10:30:45 [warning  ] slow query          ms=12", W, "10:30:45", "slow query          ms=12"),
    ("[2026-11-21 10:30:45 +0000] [12] [INFO] Booting worker", I, "10:30:45", "Booting worker"),
    ("[2026-11-21 10:30:45 +0100] [12] [CRITICAL] WORKER TIMEOUT", F, "09:30:45", "WORKER TIMEOUT"),
    ("[2026-11-21 10:30:45,123: WARNING/ForkPoolWorker-1] late", W, AT, "late"),
    ('INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK', I, NO, '127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK'),
    ("ERROR:    Application startup failed. Exiting.", E, NO, "Application startup failed. Exiting."),
    ("[W 2026-11-21 10:30:45.123 ServerApp] Forbidden", W, AT, "Forbidden"),
    ("[E 261121 10:30:45 web:2239] 500 GET /", E, "10:30:45", "500 GET /"),
    # The JVM
    ("2026-11-21T10:30:45.123Z  WARN 1 --- [shop] [           main] c.e.App    : slow", W, AT, "slow"),
    ("2026-11-21 10:30:45.123 ERROR 7 --- [nio-8080-exec-1] c.e.Web : boom", E, AT, "boom"),
    ("10:30:45.123 [main] ERROR com.example.App -- boom", E, NO, "boom"),
    ("2026-11-21 10:30:45.123 [main] DEBUG com.example.App - tick", D, AT, "tick"),
    ("2026-11-21 10:30:45,123 INFO  [main] com.example.App: up", I, AT, "up"),
    ("[2026-11-21 10:30:45,123] WARN [Controller id=1] moved (kafka.controller.Controller)", W, AT,
     "moved (kafka.controller.Controller)"),
    ("[2026-11-21T10:30:45,123][WARN ][o.e.n.Node               ] [node-1] low", W, AT, "[node-1] low"),
    ("21-Nov-2026 10:30:45.123 SEVERE [main] org.apache.catalina.core.X.start failed", E, AT, "failed"),
    ("SEVERE: Servlet failed", E, NO, "Servlet failed"),
    # Go, Kubernetes
    ("I1121 10:30:45.123456       1 controller.go:116] Starting", I, "10:30:45.123456", "Starting"),
    ("E1121 10:30:45.123456       1 reflector.go:9] Failed to watch", E, "10:30:45.123456", "Failed to watch"),
    ("W1121 10:30:45.123456   12345 x.go:1] w", W, "10:30:45.123456", "w"),
    ("2026/11/21 10:30:45 listening on :8080", I, "10:30:45", "listening on :8080"),
    ("2026/11/21 10:30:45.123456 main.go:12: no error here", I, "10:30:45.123456", "no error here"),
    ("2026-11-21T10:30:45.123Z\tERROR\tapp/main.go:12\tboom\t{\"code\": 7}", E, AT, "boom"),
    ("2026/11/21 10:30:45.123\tINFO\thttp.log.access\thandled request", I, AT, "handled request"),
    ("2026-11-21T10:30:45.123Z [WARN]  agent: leaving", W, AT, "agent: leaving"),
    ("2026-11-21T10:30:45Z ERR unable to connect error=refused", E, "10:30:45", "unable to connect error=refused"),
    ("10:30AM INF Starting", I, NO, "Starting"),
    ("WARN[0012] slow", W, NO, "slow"),
    ("FATA[0012] gone", F, NO, "gone"),
    # Rust, Ruby, .NET, PHP, Elixir
    ("2026-11-21T10:30:45.123456Z ERROR my_app::db: refused", E, "10:30:45.123456", "refused"),
    ("2026-11-21T10:30:45.123456Z  INFO my_app: up port=80", I, "10:30:45.123456", "up port=80"),
    ("[2026-11-21T10:30:45Z WARN  my_app::web] slow", W, "10:30:45", "slow"),
    ('I, [2026-11-21T10:30:45.123456 #12]  INFO -- : Started GET "/"', I, "10:30:45.123456", 'Started GET "/"'),
    ("E, [2026-11-21T10:30:45.123456 #12] ERROR -- app: boom", E, "10:30:45.123456", "boom"),
    ("fail: Microsoft.AspNetCore.Server.Kestrel[13]", E, NO, ""),
    ("[10:30:45 WRN] slow", W, NO, "slow"),
    ("2026-11-21 10:30:45.123 +00:00 [ERR] boom", E, AT, "boom"),
    ("[21-Nov-2026 10:30:45 UTC] PHP Warning:  Undefined variable $x in /a.php on line 3", W, "10:30:45",
     "Undefined variable $x in /a.php on line 3"),
    ("[21-Nov-2026 10:30:45] NOTICE: fpm is running, pid 1", I, "10:30:45", "fpm is running, pid 1"),
    ("[2026-11-21 10:30:45] local.ERROR: boom", E, "10:30:45", "boom"),
    ("10:30:45.123 [error] GenServer terminating", E, NO, "GenServer terminating"),
    # Servers
    ("2026/11/21 10:30:45 [error] 31#31: *1 open() failed", E, "10:30:45", "*1 open() failed"),
    ("2026/11/21 10:30:45 [notice] 1#1: start worker processes", I, "10:30:45", "start worker processes"),
    ('1.2.3.4 - - [21/Nov/2026:10:30:45 +0000] "GET /errors HTTP/1.1" 200 12 "-" "curl/8"', I, "10:30:45",
     "GET /errors HTTP/1.1 200"),
    ('::1 - bob [21/Nov/2026:11:30:45 +0100] "POST / HTTP/1.1" 404 0', W, "10:30:45", "POST / HTTP/1.1 404"),
    ('1.2.3.4 - - [21/Nov/2026:10:30:45 +0000] "GET / HTTP/2.0" 502 0 "-" "-" 1', E, "10:30:45", "GET / HTTP/2.0 502"),
    ('1.2.3.4 - - [21/Nov/2026:10:30:45 +0000] "\\x16\\x03" 400 0', W, "10:30:45", "\\x16\\x03 400"),
    ("[Sat Nov 21 10:30:45.123456 2026] [core:error] [pid 12:tid 34] [client 1.2.3.4:5] denied", E, "10:30:45.123456",
     "denied"),
    ("2026-11-21 10:30:45.123 UTC [77] LOG:  database system is ready", I, AT, "database system is ready"),
    ("2026-11-21 10:30:45.123 CET [77] app@shop ERROR:  duplicate key", E, AT, "duplicate key"),
    ("2026-11-21 10:30:45.123 UTC [77] HINT:  see the error", I, AT, "see the error"),
    ("1:M 21 Nov 2026 10:30:45.123 * Ready to accept connections", I, AT, "Ready to accept connections"),
    ("1:S 21 Nov 2026 10:30:45.123 # Connection with master lost", W, AT, "Connection with master lost"),
    ("2026-11-21T10:30:45.123456Z 0 [Warning] [MY-010068] [Server] CA is self signed.", W, "10:30:45.123456",
     "CA is self signed."),
    ("2026-11-21 10:30:45 0 [Note] ready for connections.", I, "10:30:45", "ready for connections."),
    ("2026-11-21 10:30:45.123456+00:00 [error] <0.2.0> closed", E, "10:30:45.123456", "<0.2.0> closed"),
    ("[WARNING]  (1) : config : missing timeouts", W, NO, "(1) : config : missing timeouts"),
    ("Nov 21 10:30:45 web-1 sshd[812]: error: kex", I, "10:30:45", "error: kex"),
    # Colours and control characters
    ("\x1b[32mINFO\x1b[0m: up", I, NO, "up"),
    ("2026-11-21T10:30:45.123Z \x1b[31mERROR\x1b[0m boom", E, AT, "boom"),
    ("\x1b]0;title\x07hello\x00\x08", I, NO, "hello"),
    ("10 %\r100 %\r\n", I, NO, "10 %\n100 %"),
    ("half a pair \ud83d", I, NO, "half a pair \N{REPLACEMENT CHARACTER}"),
    # Traps: a word of a sentence is no level, a number no time
    ("0 errors found", I, NO, "0 errors found"),
    ("error handling enabled", I, NO, "error handling enabled"),
    ("Error: something", I, NO, "Error: something"),
    ("error: maybe", I, NO, "error: maybe"),
    ("debug: true", I, NO, "debug: true"),
    ("ERROR=1", I, NO, "ERROR=1"),
    ("ERROR = 1", I, NO, "ERROR = 1"),
    ("DEBUG: ", I, NO, "DEBUG:"),
    ("ALL tests passed", I, NO, "ALL tests passed"),
    ("FINE, thanks", I, NO, "FINE, thanks"),
    ("INFORMATION about errors", I, NO, "INFORMATION about errors"),
    ("ERRORS: 0", I, NO, "ERRORS: 0"),
    ("GET /errors/fatal 200", I, NO, "GET /errors/fatal 200"),
    ("[errors] 0", I, NO, "[errors] 0"),
    ("[config] loaded", I, NO, "[config] loaded"),
    ("[alert] is a component here", I, NO, "[alert] is a component here"),
    ("[1, 2, 3]", I, NO, "[1, 2, 3]"),
    ("2026-11-21 10:30:45 no ERROR was found", I, "10:30:45", "no ERROR was found"),
    ("2026-11-21 10:30:45 Errors: 0", I, "10:30:45", "Errors: 0"),
    ("2026-11-21 is the day", I, NO, "2026-11-21 is the day"),
    ("2026-13-45 10:30:45 no such day", I, NO, "2026-13-45 10:30:45 no such day"),
    ("2026-11-21 10:30:45 -10 degrees", I, "10:30:45", "-10 degrees"),
    ("Warning! low disk", I, NO, "Warning! low disk"),
    ("npm WARN deprecated x", I, NO, "npm WARN deprecated x"),
    ("   indented", I, NO, "   indented"),
    ("", I, NO, ""),
]  # fmt: skip


@pytest.mark.parametrize(("line", "level", "time", "message"), LINES, ids=[line[0] for line in LINES])
def test_a_line_becomes_a_record(line: str, level: Level, time: str | None, message: str) -> None:
    record = plain.read(line, RECEIVED)
    assert record.message == message
    assert record.level is level
    assert record.timestamp == (RECEIVED if time is None else parse_timestamp(f"2026-11-21T{time}Z"))


def test_the_transports_time_goes_before_one_that_does_not_say_its_zone() -> None:
    sent = parse_timestamp("2026-11-21T09:30:45.120Z")
    local = plain.read("2026-11-21 10:30:45,123 - app - INFO - from Berlin", RECEIVED, timestamp=sent)
    zoned = plain.read("2026-11-21T10:30:45.123+01:00 INFO from Berlin", RECEIVED, timestamp=sent)
    same = plain.read("2026-11-21 09:30:45,123 - app - INFO - in UTC", RECEIVED, timestamp=sent)
    assert (local.timestamp, metadata(local)) == (sent, {"local_time": "2026-11-21T10:30:45.123000"})
    assert (zoned.timestamp, metadata(zoned)) == (sent + 3_000, {})
    assert (same.timestamp, metadata(same)) == (sent, {})


def test_the_transports_time_goes_before_one_of_json_that_does_not_say_its_zone() -> None:
    sent = parse_timestamp("2026-11-21T09:30:45.120Z")
    record = plain.read('{"msg":"m","time":"2026-11-21 10:30:45","n":1}', RECEIVED, timestamp=sent)
    assert (record.timestamp, metadata(record)) == (sent, {"n": 1, "local_time": "2026-11-21 10:30:45"})
    assert plain.read('{"msg":"m","time":1795257045}', RECEIVED, timestamp=sent).timestamp == 1795257045 * clock.SECOND


def test_a_clock_that_was_never_set_says_nothing() -> None:
    assert plain.read("1970-01-01T00:00:09Z INFO boot", RECEIVED).timestamp == RECEIVED
    assert plain.read("2036-01-01T00:00:09Z INFO ahead", RECEIVED).timestamp == RECEIVED


def test_a_day_without_a_year_is_the_one_just_gone() -> None:
    new_year = parse_timestamp("2027-01-01T00:00:05Z")
    record = plain.read("I1231 23:59:59.000000       1 x.go:1] late", new_year)
    assert clock.iso(record.timestamp) == "2026-12-31T23:59:59.000000Z"


def test_what_the_transport_knows_fills_what_the_line_does_not_say() -> None:
    bare = plain.read("listening", RECEIVED, service="web", level=Level.WARN)
    own = plain.read('{"service":"shop","level":"debug","msg":"m"}', RECEIVED, service="web", level=Level.WARN)
    logger = plain.read('{"logger":"app.db","msg":"m"}', RECEIVED, service="web", level=Level.WARN)
    assert (bare.service, bare.level) == ("web", Level.WARN)
    assert (own.service, own.level) == ("shop", Level.DEBUG)
    assert (logger.service, logger.logger, logger.level) == ("web", "app.db", Level.WARN)
    assert plain.read("listening", RECEIVED).service == "unknown"
    assert plain.read("m", RECEIVED, service="s" * 500).service == "s" * NAME_MAX


@pytest.mark.parametrize("line", ['{"msg":"m","image":"mine"}', 'msg=m image="mine"'])
def test_labels_join_the_metadata_and_overwrite_nothing(line: str) -> None:
    record = plain.read(line, RECEIVED, labels={"container": "web-1", "image": "theirs"})
    assert metadata(record) == {"image": "mine", "container": "web-1"}


def test_labels_join_what_the_beginning_of_a_line_says() -> None:
    record = plain.read("2026/11/21 10:30:45 [error] 31#31: x", RECEIVED, labels={"host": "a", "pid": "1"})
    assert metadata(record) == {"pid": "31", "host": "a"}


def test_an_access_line_is_taken_apart() -> None:
    line = '1.2.3.4 - bob [21/Nov/2026:10:30:45 +0000] "GET /a?b=1 HTTP/1.1" 503 12 "https://x.y/" "curl/8 \\"q\\""'
    assert metadata(plain.read(line, RECEIVED)) == {
        "remote_addr": "1.2.3.4",
        "user": "bob",
        "method": "GET",
        "path": "/a?b=1",
        "status": 503,
        "bytes": 12,
        "referer": "https://x.y/",
        "user_agent": 'curl/8 \\"q\\"',
    }


def test_a_stack_trace_is_kept_whole_below_its_first_line() -> None:
    text = '2026-11-21 10:30:45,123 ERROR failed\nTraceback (most recent call last):\n  File "a.py", line 1\nOSError: x'
    record = plain.read(text, RECEIVED)
    assert (record.level, record.message) == (Level.ERROR, "failed")
    assert metadata(record) == {"stack_trace": text}


def test_a_trace_by_itself_is_an_error_and_is_called_what_it_says() -> None:
    text = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nValueError: bad'
    record = plain.read(text, RECEIVED)
    assert (record.level, record.message) == (Level.ERROR, "ValueError: bad")
    assert plain.read(text, RECEIVED, level=Level.INFO).level is Level.INFO


def test_other_lines_below_a_line_stay_in_the_message() -> None:
    record = plain.read("2026-11-21 10:30:45 UTC [7] LOG:  statement: SELECT\n\t1", RECEIVED)
    assert (record.message, metadata(record)) == ("statement: SELECT\n\t1", {"pid": "7"})


def test_what_is_too_long_is_cut_and_says_so() -> None:
    record = plain.read("x" * (1 << 21), RECEIVED)
    assert len(record.message) == 1 << 20
    assert metadata(record) == {"characters_cut": 1 << 20}


def test_slow_patterns_have_nothing_to_slow_down() -> None:
    for piece in ('a="', "a=b ", "[", "1:", "a.", "\\", "x::", '"', "- ", "2026-11-21 10:30:45 [", "\x1b["):
        plain.read(piece * 20_000, RECEIVED)  # a pattern that goes back and forth would take minutes


PIECES = st.sampled_from(
    ["2026-11-21T10:30:45Z", "10:30:45", " INFO ", "[error]", "{", "}", '"', "=", "a=b ", '{"time":', '{"level":[]}',
     "Nov 31 10:30:45 a b: c", "1:M 31 Feb 2026 10:30:45.1 * x", "I9999 10:30:45.1 1 a:1] x", "\x1b[3", "\n",
     "\ud800", " - "]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=20), max_size=8).map("".join), st.none() | st.just(RECEIVED))
def test_any_text_becomes_a_record(text: str, timestamp: int | None) -> None:
    record = plain.read(text, RECEIVED, timestamp=timestamp, labels={"container": "web"})
    assert metadata(record)["container"]
    record.message.encode()


@given(st.text(alphabet=st.characters(exclude_characters="\x1b\x9b{=[", exclude_categories=["Cs"])))
def test_every_character_of_a_line_that_is_not_known_is_kept(text: str) -> None:
    text = f"say {text}"
    kept = "".join(letter for letter in text if letter.isprintable() and letter not in string.whitespace)
    message = plain.read(text, RECEIVED).message
    assert "".join(letter for letter in message if letter.isprintable() and letter not in string.whitespace) == kept
