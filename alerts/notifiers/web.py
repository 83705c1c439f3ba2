"""What the notifiers over HTTP share: one request through `core.http`, and what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from alerts.notifiers.base import NotifierError, RefusedError

if TYPE_CHECKING:
    from core.http import Answer

ANSWER_MAX: Final = 16 << 10  # bytes of an answer that are read
SAID_MAX: Final = 200  # characters of it that are kept
BUSY: Final = frozenset({408, 425, 429})  # and 5xx: it may work later
REFUSED: Final = frozenset({400, 413, 422})  # this message, and perhaps no other
STARTING: Final = frozenset({404, 405})  # some proxies say so while the service behind them starts


def check_url(url: str) -> None:
    """Raises ValueError."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("expected an address that begins with https:// or http://")


async def post(
    url: str,
    body: bytes,
    *,
    timeout: float,  # noqa: ASYNC109 - all told
    headers: Mapping[str, str] | None = None,
    secret_headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
    later: frozenset[int] = BUSY,
) -> Answer:
    """Any answer below 300. Raises NotifierError; a redirect is one, for the message would go somewhere else."""
    from core import http
    from core.outbound import AddressRefusedError, OutboundError

    try:
        answer = await http.fetch(
            url, method="POST", headers={"Content-Type": content_type, **(headers or {})},
            secret_headers=secret_headers, body=body, timeout=timeout, redirects=0, body_max=ANSWER_MAX,
        )  # fmt: skip
    except AddressRefusedError as error:
        raise NotifierError(str(error), permanent=True) from None
    except OutboundError as error:
        raise NotifierError(str(error)) from None
    judge(answer.status, said(answer), answer.headers.get("Retry-After", ""), later)
    return answer


def judge(status: int, detail: str, retry_after: str = "", later: frozenset[int] = BUSY) -> None:
    """Raises NotifierError unless the message was taken. `detail` is what the other side said, `later` are the
    statuses below 500 after which it may work later."""
    if status < 300:
        return
    if status < 400:
        redirect = f"{status}: the address is a redirect, which is not followed; enter where it leads"
        raise NotifierError(redirect, permanent=status in (301, 308))
    if status in REFUSED:
        raise RefusedError(detail)
    if status in later or status >= 500:
        raise NotifierError(detail, retry_after=seconds(retry_after))
    raise NotifierError(detail, permanent=True)


def said(answer: Answer) -> str:
    """ "404 no_service": one line, without control characters."""
    text = " ".join(answer.body[: 4 * SAID_MAX].decode(errors="replace").split())
    shown = "".join(letter for letter in text if letter.isprintable())[:SAID_MAX]
    return f"{answer.status} {shown or answer.reason}".strip()


def seconds(retry_after: str) -> float | None:
    """Of the header: a number, or a date (RFC 9110, 10.2.3). None if it can't be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None
    return max(wait.total_seconds(), 0.0)
