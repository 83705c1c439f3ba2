"""The two ways to Pharos. A transport sends one batch at a time and belongs to the sending thread."""

from __future__ import annotations

import email.utils
import encodings.idna  # noqa: F401 - else the socket module imports it in the sending thread, where a fork may cut it off
import http.client
import json
import time
import urllib.parse
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

from pharos_client import packing
from pharos_client.settings import Settings

TIMEOUT: Final = 2.0  # seconds that Redis may take to answer
HTTP_TIMEOUT: Final = 5.0
RETRY_AFTER_MAX: Final = 60.0  # seconds
ANSWER_MAX: Final = 64 << 10  # bytes of an answer that are read
# Whoever is in between says so with these; the lines themselves are fine.
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class AwayError(Exception):
    """The batch can't be sent now; try again, if `retry_after` (seconds) is there not before that."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class RefusedError(Exception):
    """The batch will never be taken."""


class Transport(Protocol):
    name: str  # for messages: "Redis"

    def send(self, lines: Sequence[bytes]) -> str:
        """Returns a complaint about some of the lines, mostly "". Raises AwayError or RefusedError."""

    def forget(self) -> None:
        """Drops the connection without a word: after a fork it is the parent's."""


def chosen(settings: Settings) -> Transport:
    return RedisTransport(settings) if settings.redis_url else HttpTransport(settings)


class RedisTransport:
    """One XADD with one field for each batch."""

    name = "Redis"

    def __init__(self, settings: Settings) -> None:
        # Not at the top: who sends over HTTP needs no redis. Not in the sending thread: a fork in the middle of an
        # import leaves the child with a lock that nobody opens.
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._settings = settings
        # Retries are the breaker's. Protocol 2 says no HELLO, which a user with +xadd alone may not.
        self._connect = partial(
            redis.Redis.from_url,
            settings.redis_url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._client = self._connect()

    def send(self, lines: Sequence[bytes]) -> str:
        data, _ = packing.packed(lines)
        try:
            self._client.xadd(
                self._settings.stream, {"lines": data}, maxlen=self._settings.stream_maxlen or None, approximate=True
            )
        except Exception as error:
            # Also a full Redis or a user without rights: the operator can put that right while the lines wait.
            raise AwayError(f"{type(error).__name__}: {error}") from error
        return ""

    def forget(self) -> None:
        self._client = self._connect()  # connects when it sends


class HttpTransport:
    """`POST /api/logs` over one kept connection."""

    name = "Pharos"

    def __init__(self, settings: Settings) -> None:
        address = urllib.parse.urlsplit(settings.url)
        self._host, self._is_secure = address.netloc.rpartition("@")[2], address.scheme == "https"
        self._path = f"{address.path.rstrip('/')}/api/logs"
        self._headers = {
            "Authorization": f"Bearer {settings.api_key}",
            "Content-Type": "application/x-ndjson",
            "User-Agent": "pharos-client (Python)",
        }
        self._connection: http.client.HTTPConnection | None = None

    def send(self, lines: Sequence[bytes]) -> str:
        body, encoding = packing.packed(lines)
        headers = self._headers if encoding == "identity" else {**self._headers, "Content-Encoding": encoding}
        is_kept = self._connection is not None
        try:
            try:
                answer = self._post(body, headers)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if not is_kept:
                    raise
                answer = self._post(body, headers)  # the server had closed a connection that was idle
            text = answer.read(ANSWER_MAX)
            if answer.will_close or not answer.isclosed():
                self.forget()
        except Exception as error:
            self.forget()
            raise AwayError(f"{type(error).__name__}: {error}") from error
        return _judged(answer.status, answer.headers.get("Retry-After", ""), text)

    def _post(self, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection is None:
            make = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
            self._connection = make(self._host, timeout=HTTP_TIMEOUT)
        try:
            self._connection.request("POST", self._path, body, headers)
            return self._connection.getresponse()
        except BaseException:
            self.forget()
            raise

    def forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _judged(status: int, retry_after: str, text: bytes) -> str:
    if 200 <= status < 300:
        rejected = _member(text, "rejected")
        return f"{len(rejected):,} lines were rejected: {rejected[0].get('error')}" if rejected else ""
    said = _member(text, "error") or text[:200].decode("utf-8", "replace")
    if status in _LATER:
        raise AwayError(f"HTTP {status}: {said}", _seconds(retry_after))
    raise RefusedError(f"HTTP {status}: {said}")


def _member(text: bytes, name: str) -> Any:
    try:
        return json.loads(text).get(name)
    except (ValueError, AttributeError):
        return None


def _seconds(retry_after: str) -> float | None:
    """A number of seconds or a date (RFC 9110), at most RETRY_AFTER_MAX."""
    try:
        seconds = float(retry_after) if retry_after.isdecimal() else _until(retry_after)
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)


def _until(when: str) -> float:
    return email.utils.parsedate_to_datetime(when).timestamp() - time.time()
