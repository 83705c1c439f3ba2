"""The benchmarks' lines have the statistics that their figures rest on."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks import corpus
from logs.sources import json_lines

LINES = 20_000


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return list(corpus.lines(LINES))


def test_it_is_the_same_every_time(lines: list[bytes]) -> None:
    assert list(corpus.lines(LINES)) == lines
    assert list(corpus.lines(LINES, seed=8)) != lines


def test_lines_have_about_390_bytes_and_come_in_order(lines: list[bytes]) -> None:
    assert sum(map(len, lines)) / LINES + 1 == pytest.approx(390, abs=3)
    times = [json.loads(line)["ts"] for line in lines]
    assert times == sorted(times)
    assert times[-1] - corpus.START == pytest.approx(LINES * corpus.STEP, rel=0.02)


def test_shares_are_as_said(lines: list[bytes]) -> None:
    records = [json.loads(line) for line in lines]
    levels = Counter(record["level"] for record in records)
    assert {level: round(100 * levels[level] / LINES) for level in ("debug", "info", "warning")} == {
        "debug": pytest.approx(18, abs=1),
        "info": pytest.approx(68, abs=1),
        "warning": pytest.approx(9, abs=1),
    }
    assert {record["service"] for record in records} == set(corpus.SERVICES)
    assert {len(record["metadata"]) for record in records} == {3, 4, 5, 6, 7, 8}
    assert len({record["metadata"]["tenant"] for record in records}) == 50
    requests = Counter(record["request_id"] for record in records)
    assert max(requests.values()) == 8
    assert sum("timeout" in record["message"] for record in records) / LINES == pytest.approx(0.1, abs=0.01)


def test_the_needle_is_there_once(lines: list[bytes]) -> None:
    assert [number for number, line in enumerate(lines) if corpus.NEEDLE.encode() in line] == [int(0.37 * LINES)]


def test_bodies_hold_every_line_once(lines: list[bytes]) -> None:
    bodies = corpus.bodies(2_500)

    assert [len(json_lines.parse(body, received=0).records) for body in bodies] == [1_000, 1_000, 500]


def test_a_line_can_be_given_another_time_and_a_mark(lines: list[bytes]) -> None:
    before = json.loads(lines[0])

    after = json.loads(corpus.marked(corpus.restamped(lines[0], 17), "here-1"))

    assert after == {**before, "ts": 17, "message": f"here-1 {before['message']}"}
