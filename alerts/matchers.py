"""Matchers of labels, as Alertmanager writes them: `severity="critical"`, `service=~"api|web"`. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#matcher
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from alerts.labels import NAME, Labels
from core import expressions

MATCHERS_MAX: Final = 50
TEXT_MAX: Final = 2_000  # characters of one


class MatcherError(ValueError):
    """What was expected, and what came."""


class Matcher(msgspec.Struct, frozen=True):
    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def __str__(self) -> str:
        operator = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
        text = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{operator[self.is_regex, self.is_equal]}"{text}"'

    def matches(self, labels: Labels) -> bool:
        """A label that is missing has the value ""."""
        text = labels.get(self.name, "")
        found = _fits(self.value, text) if self.is_regex else text == self.value
        return found == self.is_equal


def all_match(matchers: Sequence[Matcher], labels: Labels) -> bool:
    return all(matcher.matches(labels) for matcher in matchers)


def parse(text: str) -> Matcher:
    """`severity="critical"`, `service=~api|web`: the quotes may be left out. Raises MatcherError."""
    if len(text) > TEXT_MAX:
        raise MatcherError(f"Expected a matcher of at most {TEXT_MAX:,} characters, got {len(text):,}.")
    found = _MATCHER.fullmatch(text.strip())
    if not found:
        raise MatcherError(
            f'Expected a label, one of = != =~ !~ and a value, like severity="critical"; got {text[:80]!r}.'
        )
    name, operator, quoted, bare = found.groups()
    value = _unescaped(bare if quoted is None else quoted)
    if operator.endswith("~"):
        try:
            pattern(value)
        except ValueError as error:
            raise MatcherError(f"Expected a regular expression of RE2 in {text[:80]!r}: {error}.") from None
    return Matcher(name, value, operator.endswith("~"), operator.startswith("="))


def parse_all(value: object) -> list[Matcher]:
    """Of a list of texts with one matcher each, as rows keep them. Raises MatcherError."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MatcherError("""Expected a list of matchers, like ['severity="critical"'].""")
    if len(value) > MATCHERS_MAX:
        raise MatcherError(f"Expected at most {MATCHERS_MAX} matchers, got {len(value)}.")
    return [parse(each) for each in value]


def split(text: str) -> list[Matcher]:
    """Several in one text, as amtool and `alertmanager.yml` have them: `{severity="critical", service=~"api|web"}`.

    Raises MatcherError.
    """
    inner = text.strip().removeprefix("{").removesuffix("}")
    parts = [part.strip() for part in _PARTS.findall(inner)]
    return parse_all([part for part in parts if part])


@lru_cache(maxsize=1_024)
def pattern(expression: str) -> Any:
    """Of the whole value. Raises ValueError."""
    return expressions.compiled(expression)


@lru_cache(maxsize=10_000)
def _fits(expression: str, text: str) -> bool:
    """Kept, as many alerts have the same few values."""
    return bool(pattern(expression).fullmatch(text))


_MATCHER: Final = re.compile(
    rf'({NAME.pattern})\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^"{{}},\n]*?))\s*', re.DOTALL
)
# Commas between quotes belong to a value.
_PARTS: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
_ESCAPES: Final = {"n": "\n", '"': '"', "\\": "\\"}


def _unescaped(text: str) -> str:
    """What is no escape stays as it is, its backslash included: expressions have many."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text, flags=re.DOTALL)
