"""What the middlewares share: the id of a request, its trace, and its lines."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

log = logging.getLogger("pharos_client.request")

_ID: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}.*")


def identity(header: Callable[[str], str | None]) -> dict[str, str]:
    """The context of a request: `request_id`, which it brings or gets, and its `trace_id` and `span_id`.

    `header` gives the value of a header in lower case, or None.
    """
    given = header("x-request-id") or header("x-correlation-id") or ""
    found = {"request_id": given if _ID.fullmatch(given) else secrets.token_hex(8)}
    if traced := _TRACEPARENT.fullmatch(header("traceparent") or ""):
        found |= {"trace_id": traced[1], "span_id": traced[2]}
    return found


class Exchange:
    """A request and its answer: a line at DEBUG when it begins, one with status and duration at its end."""

    def __init__(self, method: str, path: str, client: str = "") -> None:
        self._about = {"method": method, "endpoint": path, **({"client": client} if client else {})}
        self._began = time.perf_counter()
        log.debug("%s %s", method, path, extra=self._about)

    def answered(self, status: int, error: BaseException | None = None, more: Mapping[str, Any] | None = None) -> None:
        milliseconds = round((time.perf_counter() - self._began) * 1_000, 1)
        log.log(
            level(status),
            "%s %s → %s in %s ms",
            self._about["method"],
            self._about["endpoint"],
            status,
            milliseconds,
            exc_info=error,
            extra={**self._about, "status": status, "duration_ms": milliseconds, **(more or {})},
        )


def level(status: int) -> int:
    if status >= 500:
        return logging.ERROR
    return logging.WARNING if status in (401, 403, 429) else logging.INFO
