"""Lines that belong together become one group; lines that don't never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import clock
from logs import plain
from logs.multiline import CHARACTERS_MAX, GAP_MAX, LINES_MAX, Group, Grouper
from logs.records import Level
from logs.terminal import clean

ERROR = "2026-11-21 10:30:45,123 ERROR app failed"
INFO = "2026-11-21 10:30:45,123 INFO app went on"
PYTHON = """Traceback (most recent call last):
  File "/app/a.py", line 1, in <module>
    f()
    ~^^
ValueError: bad"""
PYTHON_CHAINED = f"""{PYTHON}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/a.py", line 9, in <module>
    g()
app.errors.Boom: worse"""
PYTHON_GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/app/a.py", line 1, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------"""
JAVA = """java.lang.IllegalStateException: no order
\tat com.example.Orders.get(Orders.java:12)
\tat java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.io.IOException: closed
\tat com.example.Db.read(Db.java:3)
\t... 12 more"""
GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.get(...)
\t/app/main.go:12
main.main()
\t/app/main.go:7 +0x1d

goroutine 18 [select]:
net/http.(*Server).Serve(0xc0000b4000, {0x7f5e, 0xc00})
\t/usr/local/go/src/net/http/server.go:3 +0x85
created by main.main in goroutine 1
\t/app/main.go:5 +0x99
exit status 2"""
NODE = """TypeError: Cannot read properties of undefined (reading 'id')
    at get (/app/orders.js:3:9)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {
  code: 'E_ORDER'
}"""
NODE_UNCAUGHT = """/app/orders.js:3
    throw new Error("boom")
    ^

Error: boom
    at Object.<anonymous> (/app/orders.js:3:9)"""
DOTNET = """Unhandled exception. System.InvalidOperationException: no order
 ---> System.IO.IOException: closed
   at Shop.Db.Read() in /src/Db.cs:line 3
   --- End of inner exception stack trace ---
   at Shop.Orders.Get() in /src/Orders.cs:line 12"""
RUST = """thread 'main' panicked at src/main.rs:2:5:
index out of bounds
stack backtrace:
   0: rust_begin_unwind
             at /rustc/1/library/std/src/panicking.rs:1:5
   1: shop::main
note: Some details are omitted"""
RUBY = """app.rb:3:in 'get': no order (RuntimeError)
\tfrom app.rb:7:in 'block in <main>'
\tfrom app.rb:9:in '<main>'"""
PHP = """PHP Fatal error:  Uncaught RuntimeException: no order in /app/a.php:3
Stack trace:
#0 /app/a.php(7): get()
#1 {main}
  thrown in /app/a.php on line 3"""
TRACES = {
    "Python": (PYTHON, "ValueError: bad"),
    "Python, chained": (PYTHON_CHAINED, "app.errors.Boom: worse"),
    "Java": (JAVA, "java.lang.IllegalStateException: no order"),
    "Go": (GO, "panic: runtime error: index out of range [5] with length 3"),
    "Node": (NODE, "TypeError: Cannot read properties of undefined (reading 'id')"),
    "Node, uncaught": (NODE_UNCAUGHT, "Error: boom"),
    ".NET": (DOTNET, "Unhandled exception. System.InvalidOperationException: no order"),
    "Rust": (RUST, "thread 'main' panicked at src/main.rs:2:5: index out of bounds"),
    "Ruby": (RUBY, "app.rb:3:in 'get': no order (RuntimeError)"),
    "PHP": (PHP, "PHP Fatal error:  Uncaught RuntimeException: no order in /app/a.php:3"),
}


def grouped(*texts: str) -> list[str]:
    """The groups of lines that come one millisecond after the other."""
    grouper: Grouper[int] = Grouper()
    groups: list[Group[int]] = []
    for number, line in enumerate("\n".join(texts).split("\n")):
        groups += grouper.feed(line, number * 1_000, number)
    return [group.text for group in groups + grouper.flush()]


@pytest.mark.parametrize("trace", [trace for trace, _ in TRACES.values()], ids=TRACES)
def test_a_trace_between_two_lines_is_one_group(trace: str) -> None:
    assert grouped("before", trace, INFO) == ["before", trace, INFO]


@pytest.mark.parametrize(("trace", "message"), TRACES.values(), ids=TRACES)
def test_a_trace_becomes_an_error_that_says_what_happened(trace: str, message: str) -> None:
    record = plain.read(trace, 0)
    assert (record.level, record.message) == (Level.ERROR, message)
    assert plain.read(f"{ERROR}\n{trace}", 0).message in ("app failed", f"app failed\n{trace}")


@pytest.mark.parametrize("trace", [PYTHON_CHAINED, JAVA, NODE, PYTHON_GROUP])
def test_a_trace_below_the_line_that_logs_it_belongs_to_it(trace: str) -> None:
    assert grouped(INFO, ERROR, trace, INFO) == [INFO, f"{ERROR}\n{trace}", INFO]


def test_a_trace_below_a_line_that_says_nothing_bad_is_its_own() -> None:
    assert grouped(INFO, PYTHON, PYTHON, "done") == [INFO, PYTHON, PYTHON, "done"]


def test_a_line_in_the_middle_of_a_trace_is_not_swallowed() -> None:
    begin, end = PYTHON.split("\n")[:2], PYTHON.split("\n")[2:]
    groups = grouped(*begin, INFO, *end)
    assert groups[0] == "\n".join(begin)
    assert groups[1].split("\n")[0] == INFO
    assert grouped(*begin, '{"msg": "other"}', *end)[:2] == ["\n".join(begin), '{"msg": "other"}']


def test_json_is_never_grouped() -> None:
    lines = ['{"msg": "a"}', '  {"msg": "b"}', '{"stack": "x\\n    at y"}', "    at z"]
    assert grouped(*lines) == lines


def test_json_over_several_lines_is_one_group() -> None:
    text = '{\n  "level": "error",\n  "msg": "pretty"\n}'
    assert grouped("before", text, "after") == ["before", text, "after"]
    assert plain.read(text, 0).message == "pretty"


def test_indented_lines_belong_to_the_line_before() -> None:
    assert grouped("SELECT", "\t1", "  2", "next", "", "  apart") == ["SELECT\n\t1\n  2", "next", "  apart"]


def test_empty_lines_are_left_out() -> None:
    assert grouped("", "a", "", "", "b", "") == ["a", "b"]


def test_colours_hide_nothing() -> None:
    coloured = [f"\x1b[31m{line}\x1b[0m" for line in PYTHON.split("\n")]
    assert grouped(*coloured) == [PYTHON]


def test_a_group_has_the_time_of_its_first_line_and_the_mark_of_its_last() -> None:
    grouper: Grouper[str] = Grouper()
    assert grouper.feed("a", 1, "one") == []
    assert grouper.feed("  b", 2, "two") == []
    assert grouper.feed("c", 3, "three") == [Group("a\n  b", 1, "two")]
    assert grouper.flush() == [Group("c", 3, "three")]
    assert grouper.flush() == []


def test_a_group_waits_for_its_next_line_but_not_for_ever() -> None:
    grouper: Grouper[int] = Grouper()
    grouper.feed("a", 10, 0)
    assert grouper.flush(older_than=9) == []
    assert grouper.flush(older_than=10) == [Group("a", 10, 0)]


def test_what_comes_late_does_not_belong() -> None:
    grouper: Grouper[int] = Grouper()
    grouper.feed("a", clock.SECOND, 0)
    assert grouper.feed("  b", clock.SECOND + GAP_MAX + 1, 1) == [Group("a", clock.SECOND, 0)]


def test_a_group_has_a_most() -> None:
    groups = grouped(*["  more"] * (LINES_MAX + 1))
    assert [group.count("\n") + 1 for group in groups] == [LINES_MAX, 1]
    long = "  " + "x" * (CHARACTERS_MAX // 2)
    assert len(grouped(long, long, long)) == 3


LINE = st.text(max_size=30) | st.sampled_from("\n".join(trace for trace, _ in TRACES.values()).split("\n"))


@given(st.lists(LINE, max_size=30))
def test_every_line_comes_out_once_and_in_its_order(lines: list[str]) -> None:
    grouper: Grouper[int] = Grouper()
    groups = [group for at, line in enumerate(lines) for group in grouper.feed(line, at, at)] + grouper.flush()
    came = [line for group in groups for line in group.text.split("\n") if line]
    assert came == [line for text in lines for line in clean(text).split("\n") if line]
    assert [group.mark for group in groups] == sorted(group.mark for group in groups)
