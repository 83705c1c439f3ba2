"""Secrets that are known by what they look like: where they stand in a text.

Pure. A text is UTF-8; a detector gives the spans of the secrets in it. All patterns are google-re2's: whatever a line
holds, the time grows with its length and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from core import expressions

Span = tuple[int, int]


class Detector(NamedTuple):
    title: str
    mark: str  # what stands for the secret afterwards
    hint: bytes  # a pattern that matches wherever there may be one; the columns of many lines are searched for it
    spans: Callable[[bytes], Iterator[Span]]
    needs: bytes = b""  # is in every text that has one


@cache
def compiled(pattern: bytes, *, text: bool = False) -> Any:
    """`text`: for patterns of people, where `.` is a letter and no byte. Raises ValueError."""
    return expressions.compiled(pattern, octets=not text)


def _groups(pattern: bytes) -> Callable[[bytes], Iterator[Span]]:
    """The spans of the pattern's group, or of its matches if it has none."""

    def spans(text: bytes) -> Iterator[Span]:
        found = compiled(pattern)
        for match in found.finditer(text):
            yield match.span(found.groups)

    return spans


# --- Card numbers ---------------------------------------------------------------------------------------------------

_CARD: Final = rb"[0-9]{13,19}|[0-9]{4}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{1,3})?|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5}"
_FIRST_DIGITS: Final = re.compile(rb"[0-9]+")
# What numbers of cards begin with and how long they are (ISO/IEC 7812, as the schemes publish it). Times since 1970 and
# most ids of databases begin otherwise.
_SCHEMES: Final = re.compile(
    rb"""4(?:\d{12}|\d{15}|\d{18})                                # Visa
    | (?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}  # Mastercard
    | 3[47]\d{13}                                                 # American Express
    | 3(?:0[0-5]|[689]\d)\d{11}                                   # Diners
    | (?:6011|64[4-9]\d|65\d\d|35[2-8]\d|62\d\d|220[0-4])\d{12,15}  # Discover, JCB, UnionPay, Mir
    | (?:50|5[6-8]|63|67)\d{11,17}                                # Maestro
    """,
    re.VERBOSE,
)
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")


def is_card(digits: bytes) -> bool:
    if not _SCHEMES.fullmatch(digits):
        return False
    others, doubled = digits[-1::-2], digits[-2::-2].translate(_DOUBLED)
    return (sum(others) + sum(doubled) - 48 * len(digits)) % 10 == 0  # 48 is the byte of "0"


def _cards(text: bytes) -> Iterator[Span]:
    place = 0
    while match := compiled(_CARD).search(text, place):
        start, end = match.span()
        if found := _card_at(text, start, end):
            yield found
            place = found[1]
        else:  # "2026 4111 1111 1111 1111" begins with something else
            first = _FIRST_DIGITS.match(text, start)
            place = first.end() if first else end


def _card_at(text: bytes, start: int, end: int) -> Span | None:
    number = text[start:end]
    for tail in (0, len(number) - max(number.rfind(b" "), number.rfind(b"-"), 0)):
        stop = end - tail
        if stop > start and is_card(number[: stop - start].translate(None, b" -")) and _is_alone(text, start, stop):
            return start, stop
    return None


_BEFORE: Final = re.compile(rb"[A-Za-z0-9]\Z|[0-9][.-]\Z")  # part of an id, of a fraction, of a UUID
_AFTER: Final = re.compile(rb"[A-Za-z0-9]|-[A-Za-z0-9]|\.[0-9]")


def _is_alone(text: bytes, start: int, end: int) -> bool:
    return not _BEFORE.search(text[max(start - 2, 0) : start]) and not _AFTER.match(text, end)


# --- The others -----------------------------------------------------------------------------------------------------

_BEARER: Final = rb"(?i:\bbearer)[ \t]+([A-Za-z0-9._~+/=-]{6,})"
_LONG: Final = 16  # "bearer authentication" is no token
_IBAN: Final = rb"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"


def _bearers(text: bytes) -> Iterator[Span]:
    for match in compiled(_BEARER).finditer(text):
        token = match.group(1)
        if len(token) >= _LONG or any(byte in b"0123456789" for byte in token):
            yield match.span(1)


def _ibans(text: bytes) -> Iterator[Span]:
    for match in compiled(_IBAN).finditer(text):
        number = match.group()
        while number and not is_iban(number.replace(b" ", b"")):
            number = number.rpartition(b" ")[0]  # a word in capitals follows
        if number:
            yield match.start(), match.start() + len(number)


def is_iban(number: bytes) -> bool:
    """ISO 13616: the country and the check digits go to the end, letters are 10 to 35, and the remainder is 1."""
    moved = number[4:] + number[:4]
    return len(number) >= 15 and int("".join(str(int(letter, 36)) for letter in moved.decode())) % 97 == 1


_KEY_BLOCK: Final = rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_KEY_END: Final = rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

DETECTORS: Final = {
    "private-key": Detector(
        "private keys (PEM, PGP)",
        "[redacted:private-key]",
        rb"PRIVATE KEY",
        _groups(rb"(?s:" + _KEY_BLOCK + rb".*?(?:" + _KEY_END + rb"|\z))"),  # one that is cut has no end
        b"PRIVATE KEY",
    ),
    "url-password": Detector(
        "passwords in URLs",
        "[redacted]",
        rb":(?:\\?/){2}[^\s/@\"]*:[^\s/\"]*@",
        _groups(rb"://[^\s/@\"':]*:([^\s/\"]+)@"),
        b"://",
    ),
    "bearer": Detector("bearer tokens", "[redacted:token]", rb"(?i:bearer)[\s\\]", _bearers),
    "jwt": Detector(
        "JSON web tokens",
        "[redacted:jwt]",
        rb"eyJ[A-Za-z0-9_-]{5}",
        _groups(rb"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*"),
        b"eyJ",
    ),
    "card": Detector(
        "card numbers (Luhn)",
        "[redacted:card]",
        rb"(?:^|[^0-9A-Za-z]|\\[bfnrt])[2-6][0-9]{12}|[2-6][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}|3[0-9]{3}[ -][0-9]{6}[ -]",
        _cards,
    ),
    "email": Detector(
        "e-mail addresses",
        "[redacted:email]",
        rb"@[A-Za-z0-9-]+\.",
        _groups(rb"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"),
        b"@",
    ),
    "iban": Detector("account numbers (IBAN)", "[redacted:iban]", rb"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}", _ibans),
}
