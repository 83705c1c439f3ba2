"""Any value of Python as one that JSON can hold: bounded in depth, size and number, and never an exception."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from traceback import TracebackException
from typing import Any, Final
from uuid import UUID

REDACT: Final = (
    "password", "password_hash", "passwd", "secret", "client_secret", "token", "access_token", "refresh_token",
    "id_token", "authorization", "proxy_authorization", "api_key", "x_api_key", "private_key", "cookie", "set_cookie",
)  # fmt: skip
REDACTED: Final = "[redacted]"
DEPTH: Final = 8
ITEMS: Final = 1_000  # of one mapping or sequence
NODES: Final = 5_000  # of one line
TEXT: Final = 32_768  # characters of one text
STACK: Final = 131_072
_MORE: Final = "…"
_AS_TEXT: Final = (UUID, Decimal, PurePath)

# Of types: whether nothing of these kinds can change, or holds what can.
are_plain: Final = frozenset({str, int, float, bool, type(None)}).issuperset


def size(values: Iterable[Any]) -> int:
    """The bytes that plain values take."""
    return sum(map(sys.getsizeof, values))


class Cleaner:
    """Makes values fit for JSON and takes out the keys in `redact`; letter case, `-` and `_` don't matter."""

    def __init__(self, redact: Iterable[str] = REDACT) -> None:
        self._redact = frozenset(map(_canonical, redact))
        self._hidden: dict[str, bool] = {}

    def clean(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return _Walk(self).mapping(values, 0)

    def hides(self, key: str) -> bool:
        known = self._hidden.get(key)
        if known is None:
            if len(self._hidden) > ITEMS:  # keys that are data
                self._hidden = {}
            known = self._hidden[key] = _canonical(key) in self._redact
        return known


def _canonical(key: str) -> str:
    return key.lower().replace("-", "").replace("_", "")


class _Walk:
    """Through the values of one line. Cycles end at DEPTH, wide ones at NODES."""

    __slots__ = ("cleaner", "left")

    def __init__(self, cleaner: Cleaner) -> None:
        self.cleaner, self.left = cleaner, NODES

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        hides = self.cleaner.hides
        for key, value in values.items():
            if len(cleaned) == ITEMS or self.left <= 0:
                cleaned[_MORE] = f"{len(values) - len(cleaned)} more keys"
                break
            name = key if type(key) is str and len(key) < 200 else text(key, 200)
            cleaned[name] = REDACTED if hides(name) else self.value(value, depth + 1)
        return cleaned

    def value(self, value: Any, depth: int) -> Any:
        self.left -= 1
        kind = type(value)
        if kind is str:
            return value if len(value) <= TEXT else shortened(value, TEXT)
        if kind is bool or value is None:
            return value
        if kind is int:
            return value if value.bit_length() <= 1_024 else f"integer of {value.bit_length()} bits"
        if kind is float:
            return value if math.isfinite(value) else str(value)
        if depth > DEPTH or self.left <= 0:
            return _MORE
        try:
            return self._other(value, depth)
        except Exception:  # noqa: BLE001 - whatever somebody's class does must not reach who logs it
            return text(value)

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            items: list[Any] = []
            for item in value:
                if len(items) == ITEMS or self.left <= 0:
                    items.append(f"{_MORE} {len(value) - len(items)} more")
                    break
                items.append(self.value(item, depth + 1))
            return items
        if isinstance(value, Enum):
            return self.value(value.value, depth + 1)
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, (bytes, bytearray)):
            return shortened(bytes(value[:TEXT]).decode("utf-8", "backslashreplace"), TEXT)
        if isinstance(value, _AS_TEXT):
            return text(value)
        if isinstance(value, BaseException):
            return error(value)
        return _represented(value, TEXT)


def text(value: object, longest: int = TEXT) -> str:
    """`str(value)`, shortened, whatever its class does."""
    try:
        return shortened(str(value), longest)
    except Exception:  # noqa: BLE001 - see above
        return f"<unprintable {type(value).__name__}>"


def _represented(value: object, longest: int) -> str:
    try:
        return shortened(repr(value), longest)
    except Exception:  # noqa: BLE001 - see above
        return f"<unprintable {type(value).__name__}>"


def shortened(value: str, longest: int) -> str:
    # str(): subclasses may have any methods, but a line is made of plain texts.
    if len(value) <= longest:
        return str.__str__(value)
    return f"{value[:longest]}{_MORE} ({len(value) - longest:,} characters more)"


def error(exception: BaseException) -> dict[str, str]:
    """As docs/records.md has it: name, message and stack, with the exceptions that led to it. A long stack keeps both
    ends: where it began, and what was raised.
    """
    told = {"name": type(exception).__name__, "message": text(exception)}
    try:
        stack = "".join(TracebackException.from_exception(exception, limit=-50).format()).rstrip("\n")
    except Exception:  # noqa: BLE001 - see above
        return told
    if len(stack) > STACK:
        stack = f"{stack[: STACK // 2]}\n{_MORE}\n{stack[-STACK // 2 :]}"
    return {**told, "stack": stack}
