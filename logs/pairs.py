"""Secrets that are known by their name: names in metadata, and name/value pairs in a text.

Pure. A text is UTF-8. It may hold `password=x`, `Authorization: Bearer x`, `?token=x&…`, JSON, also JSON as text within
JSON, what Python and Ruby print, `--password x` and `<password>x</password>`, whole or cut in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from logs.detectors import compiled

SHORT: Final = 4  # letters: "pwd" is a name of its own or a part of one, never the end of a word
NAME_MAX: Final = 64  # bytes of a name that are looked at
NAMES_MAX: Final = 4_096  # that are remembered
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z_]+")
_NO_LETTERS: Final = re.compile(r"[\W_]+")
_BEFORE: Final = re.compile(rb"[\w.-]*\Z")
# What stands for no secret, or for one that its sender has removed.
_NOTHING: Final = re.compile(
    rb"(?i:null|none|nil|undefined|true|false|\*+|x{3,}|[\[<(]?(?:redacted|filtered|masked|hidden|removed)[\])>]?)?"
)
MARK: Final = re.compile(rb"\[redacted(?::[a-z-]+)?\]")
_MARK_TEXT: Final = re.compile(MARK.pattern.decode())
_NEXT: Final = re.compile(rb"[\w.-]{1,64}=")
HEADERS: Final = ("cookie", "setcookie")  # several pairs, to the end of the line


class Pair(NamedTuple):
    """The value of a secret name in a text. `quote` goes around what replaces it, so that JSON stays JSON."""

    start: int
    end: int
    rule: str
    quote: bytes


def folded(name: str) -> str:
    """`X-Api-Key`, `xApiKey` and `x_api_key` are one name."""
    return _NO_LETTERS.sub("", name).lower()


class Names:
    """The rules for names: a name that is one, or ends with one."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._rules = {key: rule for rule in rules if (key := folded(rule))}
        self._long = tuple(key for key in self._rules if len(key) > SHORT)
        self._known: dict[str, str | None] = {}
        name, said = (self._pattern(between) for between in (rb"[-_.]?", rb"[-_. ]?"))
        self._pair = rb"(" + said + rb")((?:\\*[\"'`])?)[ \t]*(=>|:=|[:=>]|%3[dDaA])[ \t]*"
        self._option = rb"--([\w-]{0,40}?" + name + rb")[ \t]+"
        # In metadata a name may also be a value, and what follows is its own: {"name": "password", "value": "x"}.
        follows = rb"(?:[\\\"'`]*\s*(?:[:=>]|%3[dDaA])|\"\s*,)"
        said += rb"[\\\"'`]*\s*:"  # "API key: x", but of "session id=x" the name is "id"
        self.hint = b"|".join([name + follows, said, self._option]) if self._rules else b""

    def _pattern(self, between: bytes) -> bytes:
        words = (between.join(re.escape(letter.encode()) for letter in key) for key in sorted(self._rules))
        return rb"(?i:" + b"|".join(words) + rb")[0-9]{0,3}"

    def rule(self, name: str) -> str | None:
        """The rule that makes it the name of a secret."""
        try:
            return self._known[name]
        except KeyError:
            found = self._found(name)
        if len(self._known) < NAMES_MAX:
            self._known[name] = found
        return found

    def _found(self, name: str) -> str | None:
        name = _MARK_TEXT.sub("", name)
        key = folded(name)
        if key in self._rules:
            return self._rules[key]
        key = key.rstrip("0123456789")  # password2
        if ending := next((each for each in self._long if key.endswith(each)), None):
            return self._rules[ending]
        parts = _PARTS.findall(name.rstrip("0123456789"))
        return self._rules.get(parts[-1].lower()) if parts else None

    def pairs(self, text: bytes) -> Iterator[Pair]:
        if not self.hint:
            return
        values = _Values(text)
        for match in compiled(self._pair).finditer(text):
            begin = _begin(text, match.start())
            name, separator = text[begin : match.end(1)].decode("utf-8", "replace"), match.group(3)
            if separator != b":":
                name = name.rpartition(" ")[2]
            if text[match.end() - 1 : match.end()] in b" \t" and separator == b"=" and _NEXT.match(text, match.end()):
                continue  # "password= user=bob"
            if match.start() < values.done or not (rule := self.rule(name)):
                continue
            if separator != b">":
                yield from values.value(match.end(), rule, match.group(2), folded(name) if separator == b":" else "")
            elif text[begin - 1 : begin] == b"<":
                yield from values.element(match.end(), rule)
        values = _Values(text)
        for match in compiled(self._option).finditer(text):
            is_flag = text.startswith(b"-", match.end())  # --password --user bob
            if match.start() >= values.done and not is_flag and (rule := self.rule(match.group(1).decode())):
                yield from values.value(match.end(), rule)


def _begin(text: bytes, place: int) -> int:
    """Where the name begins that goes on at `place`."""
    before = _BEFORE.search(text, max(place - NAME_MAX, 0), place)
    return before.start() if before else place


_OPENING: Final = re.compile(rb"[bBuUrRfF]?(\\*)([\"'`])")
_BRACKETS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_ONE_WORD: Final = re.compile(rb"(?i:bearer|basic|token|apikey|negotiate|ntlm)[ \t]+")
_MANY_WORDS: Final = re.compile(rb"(?i:digest|hawk|oauth|signature|aws4-hmac-sha256)[ \t]+")
# Where a value without quotes ends. A comma, an ampersand or a bracket may be part of a password: it ends one if what
# follows is another pair, or nothing.
_END: Final = re.compile(
    rb"\s|[&,;](?=\s|\Z|[\"'\w.%\[\]-]{1,64}\\{0,4}[\"']?\s{0,4}(?:[=:]|%3[dD]))|[)\]}>](?=\s|\Z|[,;.)\]}>\"'])"
    rb"|\\{0,8}[\"'`](?=\s|\Z|[,;:)\]}>])|<|%26"
)
_LINE_END: Final = re.compile(rb"[\r\n]")
_END_OF_LINE: Final = re.compile(rb"[\r\n]|\\[rn]|\\{0,8}[\"'](?=\s|\Z|[,;)\]}])")


class _Values:
    """The values of one text, read from left to right; what is before `done` belongs to one already."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.done = 0
        self._unclosed = False  # a bracket is open to the end: the next needn't be followed so far

    def value(self, start: int, rule: str, quote: bytes = b"", header: str = "") -> Iterator[Pair]:
        """`quote`: that of the name. `header`: the name if it may be that of a header."""
        text = self.text
        if opening := _OPENING.match(text, start):
            start, quote = opening.end(), b""
            end = self._closing(opening)
        elif header in HEADERS:
            quote, end = b"", self._end(_END_OF_LINE, start)
        elif scheme := _MANY_WORDS.match(text, start):
            start, quote = scheme.end(), b""
            end = self._end(_LINE_END, start)
        else:
            if scheme := _ONE_WORD.match(text, start):
                start, quote = scheme.end(), b""
            mark = MARK.match(text, start)
            end = self._bracket(start) if text[start : start + 1] in (b"{", b"[") and not mark else 0
            end = end or self._end(_END, mark.end() if mark else start)
        yield from self._pair(start, end, rule, quote)

    def element(self, start: int, rule: str) -> Iterator[Pair]:
        end = self.text.find(b"<", start)
        if end >= 0 and self.text[end + 1 : end + 2] == b"/":
            yield from self._pair(start, end, rule, b"")

    def _pair(self, start: int, end: int, rule: str, quote: bytes) -> Iterator[Pair]:
        self.done = max(end, self.done)
        value = self.text[start:end]
        if not is_nothing(value) and value.strip(b"[]{} \t"):
            yield Pair(start, end, rule, quote)

    def _closing(self, opening: re.Match[bytes]) -> int:
        """Where the quotes end: within text in text they have as many backslashes as at the beginning."""
        slashes, quote = len(opening.group(1)), re.escape(opening.group(2))
        if slashes:
            closing = re.compile(rb"(?<!\\)\\{%d}%s" % (slashes, quote)).search(self.text, opening.end())
            return closing.start() if closing else len(self.text)
        inner = re.compile(rb"[^\\%s]*+(?:\\.[^\\%s]*+)*+" % (quote, quote), re.DOTALL).match(self.text, opening.end())
        return inner.end() if inner and inner.end() < len(self.text) else len(self.text)

    def _end(self, pattern: re.Pattern[bytes], start: int) -> int:
        found = pattern.search(self.text, start)
        return found.start() if found else len(self.text)

    def _bracket(self, start: int) -> int:
        """Where the bracket at `start` is closed; 0 if it isn't."""
        if self._unclosed:
            return 0
        depth = 0
        for match in _BRACKETS.finditer(self.text, start):
            token = match.group()
            depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
            if not depth:
                return match.end()
        self._unclosed = True
        return 0


def is_nothing(value: bytes) -> bool:
    return bool(_NOTHING.fullmatch(value) or MARK.fullmatch(value))
