"""Matchers of labels: how they are written, and what they match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.matchers import Matcher, MatcherError, all_match, parse, parse_all, split

LABELS = {"severity": "critical", "service": "api", "path": 'C:\\temp "new"'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('severity="critical"', True),
        ("severity=critical", True),
        (' severity = "critical" ', True),
        ('severity="crit"', False),
        ('severity!="high"', True),
        ('severity=~"crit.*|high"', True),
        # The whole value, as in Alertmanager.
        ('severity=~"crit"', False),
        ('severity!~"crit"', True),
        ('severity!~"high|critical"', False),
        # What is missing is empty.
        ('team=""', True),
        ("team=", True),
        ('team!=""', False),
        ('team!="a"', True),
        ('team=~".*"', True),
        ('team=~".+"', False),
        ('team!~".+"', True),
        (r'path="C:\\temp \"new\""', True),
        (r'service=~"\w+"', True),
        (r"service=~\w+", True),
        (r'service=~"\\w+"', True),
        (r'service=~"\d+"', False),
    ],
)
def test_what_a_matcher_matches(text: str, expected: bool) -> None:
    assert parse(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Expected a label"),
        ("severity", "Expected a label"),
        ('0severity="x"', "Expected a label"),
        ('severity=="x"', "Expected a label"),
        ('severity="x', "Expected a label"),
        ('severity="x"y"', "Expected a label"),
        ('severity=x"y', "Expected a label"),
        ('a="b", c="d"', "Expected a label"),
        ('severity=~"("', "Expected a regular expression of RE2"),
        ('severity=~"(?=x)"', "Expected a regular expression of RE2"),
        ('a="' + "x" * 2_000 + '"', "at most 2,000 characters, got 2,004"),
    ],
)
def test_what_is_no_matcher_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(MatcherError, match=sentence.replace("(", r"\(")):
        parse(text)


@pytest.mark.parametrize("value", ["severity=x", {"severity": "x"}, [1], [["severity=x"]], None])
def test_rows_keep_a_list_of_texts(value: object) -> None:
    with pytest.raises(MatcherError, match="Expected a list of matchers"):
        parse_all(value)


def test_there_is_a_limit() -> None:
    assert len(parse_all(["a=b"] * 50)) == 50
    with pytest.raises(MatcherError, match="at most 50 matchers, got 51"):
        parse_all(["a=b"] * 51)


@given(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,10}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.booleans(),
)
def test_what_is_written_is_read_again(name: str, value: str, is_equal: bool) -> None:
    matcher = Matcher(name, value, is_equal=is_equal)

    assert parse(str(matcher)) == matcher
    assert split(f"{{{matcher}, {matcher}}}") == [matcher, matcher]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("{}", []),
        ('{a="b"}', ["a"]),
        ('a="b",c!="d"', ["a", "c"]),
        ('{a="b,c", d=~"e|f", }', ["a", "d"]),
        (r'{quote="She said: \"Hi, ladies!\"", b=c}', ["quote", "b"]),
    ],
)
def test_several_in_one_text(text: str, names: list[str]) -> None:
    assert [matcher.name for matcher in split(text)] == names


def test_all_of_them_must_match() -> None:
    assert all_match(split('severity="critical", service="api"'), LABELS)
    assert not all_match(split('severity="critical", service="web"'), LABELS)
    assert all_match([], LABELS)
