"""Where lines go, from arguments or from the environment. docs/clients.md lists the variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from pharos_client.values import REDACT

# The last resort for a stream that nobody reads: what it cuts off is gone, others' lines as well.
STREAM_MAXLEN: Final = 1_000_000
DEVELOPMENT, PRODUCTION = "development", "production"


class SettingsError(ValueError):
    """Something that was set can't be used. The message says what was expected and what came."""


@dataclass(frozen=True)
class Settings:
    """`redis_url` or `url` (with `api_key`): where to send; Redis if both are there, the console if neither is.

    With the environment `development` lines are printed for people instead.
    """

    service: str = "unknown"
    url: str = ""
    api_key: str = ""
    redis_url: str = ""
    stream: str = "pharos:logs"
    stream_maxlen: int = STREAM_MAXLEN  # entries; 0: no limit
    environment: str = ""
    redact: tuple[str, ...] = REDACT
    stderr: bool = True  # lines that can't be sent at once are written there, too
    buffer_lines: int = 10_000
    buffer_bytes: int = 16 << 20
    batch_lines: int = 500
    batch_seconds: float = 0.1

    def __post_init__(self) -> None:
        if self.url and not self.url.startswith(("http://", "https://")):
            raise SettingsError(f"expected the address of Pharos as http:// or https://, got {self.url!r}")
        if self.url and not self.redis_url and not self.api_key:
            raise SettingsError("expected an API key for HTTP: api_key=… or PHAROS_API_KEY")
        if self.redis_url and "://" not in self.redis_url:  # as StackExchange.Redis writes it: host:port
            object.__setattr__(self, "redis_url", f"redis://{self.redis_url}")
        if self.environment not in ("", DEVELOPMENT, PRODUCTION):
            raise SettingsError(f"expected PHAROS_ENV development or production, got {self.environment!r}")
        if not 1 <= self.batch_lines <= 1_000:
            raise SettingsError(f"expected batches of 1 to 1,000 lines, got {self.batch_lines:,}")

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """What is `given`, and the environment for what isn't (or is None)."""
        given = {name: value for name, value in given.items() if value is not None}
        if "redact" in given:
            given["redact"] = tuple(given["redact"])
        return cls(**{**_from(os.environ if environ is None else environ), **given})

    @property
    def ships(self) -> bool:
        return bool(self.redis_url or self.url) and self.environment != DEVELOPMENT


def _from(environ: Mapping[str, str]) -> dict[str, Any]:
    def first(*names: str) -> str:
        return next((environ[name] for name in names if environ.get(name)), "")

    texts = {
        "service": first("PHAROS_SERVICE"),
        "url": first("PHAROS_URL"),
        "api_key": first("PHAROS_API_KEY"),
        "redis_url": first("PHAROS_REDIS_URL", "Logging__RedisConnection"),
        "stream": first("PHAROS_LOG_STREAM", "Logging__StreamName"),
        "environment": first("PHAROS_ENV").lower(),
    }
    found: dict[str, Any] = {name: value for name, value in texts.items() if value}
    if length := first("PHAROS_LOG_STREAM_MAXLEN", "Logging__MaxStreamLength"):
        if not length.isdecimal():
            raise SettingsError(f"expected a number of entries as PHAROS_LOG_STREAM_MAXLEN, got {length!r}")
        found["stream_maxlen"] = int(length)
    if names := first("PHAROS_REDACT"):
        found["redact"] = (*REDACT, *(name.strip() for name in names.split(",") if name.strip()))
    if first("PHAROS_STDERR") == "0":
        found["stderr"] = False
    return found
