"""A logger with titles and metadata, for coroutines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pharos_client import lines, ways
from pharos_client.context import current, set_context
from pharos_client.settings import Settings
from pharos_client.values import Cleaner, error

Metadata = Mapping[str, Any]


class RedisLogger:
    """`source` is the service. No method waits for anything, none raises; `await` them all the same.

    log = RedisLogger("ocr", "redis://redis:6379")
    await log.info("Receipt read", "17 lines", {"receipt_id": "r-7"})
    """

    set_context = staticmethod(set_context)

    def __init__(self, source: str | None = None, redis_url: str | None = None, **options: Any) -> None:
        """`options` are fields of Settings; what isn't given is read from the environment."""
        self.settings = Settings.read(service=source, redis_url=redis_url, **options)
        self.name = ""
        self._cleaner = Cleaner(self.settings.redact)
        self._way = ways.chosen(self.settings)

    def named(self, name: str) -> RedisLogger:
        """The logger of a part of the service: `api`, `database`. It shares the connection."""
        part = object.__new__(RedisLogger)
        part.__dict__.update(self.__dict__, name=name)
        return part

    async def log(self, level: str, title: str, message: str, metadata: Metadata | None = None) -> None:
        self._put(level, title, message, metadata)

    async def trace(self, title: str, message: str = "", metadata: Metadata | None = None) -> None:
        self._put("trace", title, message, metadata)

    async def debug(self, title: str, message: str = "", metadata: Metadata | None = None) -> None:
        self._put("debug", title, message, metadata)

    async def info(self, title: str, message: str = "", metadata: Metadata | None = None) -> None:
        self._put("info", title, message, metadata)

    async def warn(self, title: str, message: str = "", metadata: Metadata | None = None) -> None:
        self._put("warn", title, message, metadata)

    async def error(
        self,
        title: str,
        message: str = "",
        exception: BaseException | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        self._put("error", title, message, metadata, exception)

    async def fatal(
        self,
        title: str,
        message: str = "",
        exception: BaseException | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        self._put("fatal", title, message, metadata, exception)

    def _put(
        self, level: str, title: str, message: str, metadata: Metadata | None, exception: BaseException | None = None
    ) -> None:
        try:
            line = lines.make(
                self._cleaner,
                level=lines.level_named(level),
                service=self.settings.service,
                logger=self.name,
                message=message,
                more={**current(), **(metadata or {}), "title": title},
                error=error(exception) if exception else None,
            )
        except Exception as wrong:  # noqa: BLE001 - metadata that is no mapping, for instance
            line = lines.unmade(self.settings.service, wrong)
        self._way.put(line)

    def flush(self, seconds: float = 2.0) -> bool:
        """Waits for what was logged: True if nothing is left. Blocks; at exit it is done by itself."""
        return self._way.flush(seconds)

    def close(self, seconds: float = 2.0) -> None:
        self._way.close(seconds)
