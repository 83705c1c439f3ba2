"""What the current request is called, for every line that is written on its behalf."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

request_id: ContextVar[str] = ContextVar("request_id", default="")
trace: ContextVar[tuple[str, str]] = ContextVar("trace", default=("", ""))  # W3C trace id, span id

_ID: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}.*")


def adopt(headers: Mapping[str, str]) -> str:
    """The request's id: one that it brings (header names in lower case) or a new one. Takes up its trace as well."""
    given = headers.get("x-request-id") or headers.get("x-correlation-id") or ""
    name = given if _ID.fullmatch(given) else secrets.token_hex(8)
    request_id.set(name)
    traced = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    trace.set((traced[1], traced[2]) if traced else ("", ""))
    return name
