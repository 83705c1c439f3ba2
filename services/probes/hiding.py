"""Nothing that a probe says has a secret in it, whatever the other side answered."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from services.probes.base import Measurement

HIDDEN: Final = "•••"
SHORT: Final = 6  # characters: a piece of a secret that is shorter is only hidden with the rest of it
PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
PASSWORD_WORD: Final = re.compile(r"(?i)\bpassword\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")


def has_password(text: str) -> bool:
    return bool(PASSWORD.search(text) or PASSWORD_WORD.search(text))


def hidden(measurement: Measurement, secrets: Mapping[str, Any]) -> Measurement:
    """Without the secrets that the probe was given, and without passwords in URLs."""
    terms = sorted({*_terms(secrets)}, key=len, reverse=True)
    said = (measurement.detail, measurement.raw, *(part.detail for part in measurement.parts))
    if not terms and not any("@" in text for text in said):
        return measurement
    parts = tuple(msgspec.structs.replace(part, detail=_without(part.detail, terms)) for part in measurement.parts)
    return msgspec.structs.replace(
        measurement, detail=_without(measurement.detail, terms), raw=_without(measurement.raw, terms), parts=parts
    )


def _without(text: str, terms: list[str]) -> str:
    for term in terms:
        text = text.replace(term, HIDDEN)
    return PASSWORD.sub(rf"\1:{HIDDEN}@", text) if "@" in text else text


def _terms(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _terms(each)
        if "username" in value and "password" in value:
            yield base64.b64encode(f"{value['username']}:{value['password']}".encode()).decode()
    elif isinstance(value, str) and value:
        yield from {value, unquote(value), json.dumps(value)[1:-1]}
        yield from (piece for piece in value.split() if len(piece) >= SHORT)
        yield from _of_address(value)


def _of_address(value: str) -> Iterator[str]:
    """A DSN's password and host."""
    if "://" in value:
        try:
            parsed = urlsplit(value)
            found = (parsed.password, parsed.hostname)
        except ValueError:
            return
        yield from (each for part in found if part for each in {part, unquote(part)})
    for match in PASSWORD_WORD.finditer(value):
        yield match[1].strip("'")
