"""YAML that others wrote: as texts, and refused where it would blow up."""

from __future__ import annotations

import pytest

from core import yaml_text
from core.yaml_text import YamlError


def read(text: str) -> object:
    return yaml_text.texts(yaml_text.compose(text))


def test_values_are_texts_as_they_are_written() -> None:
    text = 'severity: no\nwait: 1m\nsince: 2026-11-21\nrate: 010\nquoted: ""\nlist: [on, ~, 1e3]\nnothing:\nnull_: ~'
    expected = {"severity": "no", "wait": "1m", "since": "2026-11-21", "rate": "010", "quoted": ""}
    assert read(text) == {**expected, "list": ["on", "1e3"]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is there twice"),
        ("[a]: 1", "line 1: expected a name, not a list or a mapping"),
        ("a: &x [1]\nb: *x", "line 1: expected no anchors"),
        ("[" * 30 + "]" * 30, "line 1: expected at most 20 levels"),
        ("a:\n - b\n c", "line 3: expected YAML: "),
        ("a: [b", "line 1: expected YAML: "),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(YamlError) as caught:
        read(text)
    assert str(caught.value).startswith(sentence)


def test_what_is_written_is_read() -> None:
    document = {"b": ["x", "y: z"], "a": {"text": "no\nyes", "list": ["{", "#"]}}
    assert list(document) == list(yaml_text.texts(yaml_text.compose(yaml_text.write(document))))
    assert read(yaml_text.write(document)) == document


def test_an_empty_text_has_no_root() -> None:
    assert yaml_text.compose("# nothing\n") is None
