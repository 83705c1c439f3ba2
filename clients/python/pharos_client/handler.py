"""The standard library's logging, sent to Pharos."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pharos_client import context, lines, values, ways
from pharos_client.settings import DEVELOPMENT, Settings
from pharos_client.values import Cleaner, are_plain

# What every record has, and begins with; the rest came with `extra`. Django and uvicorn add the last ones, which are no
# data.
_OWN: Final = tuple(vars(logging.LogRecord("", 0, "", 0, "", (), None)))
_STANDARD: Final = frozenset(_OWN) | {"message", "asctime", "taskName", "request", "color_message"}


class PharosHandler(logging.Handler):
    """What isn't given is read from the environment (docs/clients.md). Works in dictConfig as it stands:

        {"class": "pharos_client.PharosHandler", "service": "shop", "redis_url": "redis://redis:6379"}

    Extras become metadata, an exception name, message and stack. `extra={"title": …}` is the line's title.
    """

    def __init__(
        self,
        service: str | None = None,
        *,
        level: int | str = logging.NOTSET,
        url: str | None = None,
        api_key: str | None = None,
        redis_url: str | None = None,
        stream: str | None = None,
        stream_maxlen: int | None = None,
        environment: str | None = None,
        redact: Iterable[str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(level)
        self.settings = settings or Settings.read(
            service=service,
            url=url,
            api_key=api_key,
            redis_url=redis_url,
            stream=stream,
            stream_maxlen=stream_maxlen,
            environment=environment,
            redact=redact,
        )
        self._cleaner = Cleaner(self.settings.redact)
        self.way = ways.chosen(self.settings)

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the handler's lock: lines are made side by side, and none waits for another.
        passed: Any = not self.filters or self.filter(record)
        if isinstance(passed, logging.LogRecord):  # a filter may give another, from Python 3.12 on
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        # In as few steps as there can be (`pharos_client.sender` says why): a copy of the record, which another handler
        # may change, becomes the line when there is time, if nothing in it can change until then.
        try:
            fields, around = vars(record).copy(), context.current()
            args = fields.pop("args")
            if (
                type(args) is tuple
                and are_plain(map(type, fields.values()))
                and are_plain(map(type, args))
                and are_plain(map(type, around.values()))
                and type(record) is logging.LogRecord
            ):
                self.way.put_later((self, fields, args, around))
            else:
                self.way.put(self._line(record, around))
        except Exception:  # noqa: BLE001 - a bad line must not hurt who logs it
            self.handleError(record)

    def size_of(self, fields: Mapping[str, Any], args: tuple[Any, ...], around: Mapping[str, Any]) -> int:
        extra = list(fields.values())[len(_OWN) - 1 :]
        return values.size((fields.get("msg"), fields.get("exc_text"), *args, *extra, *around.values()))

    def line_of(self, fields: Mapping[str, Any], args: tuple[Any, ...], around: Mapping[str, Any]) -> lines.Line:
        record = object.__new__(logging.LogRecord)
        vars(record).update(fields, args=args)
        return self._line(record, around)

    def _line(self, record: logging.LogRecord, around: Mapping[str, Any]) -> lines.Line:
        more = {**around, **_extra(record)}
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that don't fit the text
            message, more = values.text(record.msg), {**more, "args": record.args}
        return lines.make(
            self._cleaner,
            level=level_of(record.levelno),
            service=self.settings.service,
            message=message,
            logger=record.name,
            more=more,
            error=_error(record),
            at=record.created,
        )

    def flush(self) -> None:
        """Waits for what was logged, at most two seconds."""
        self.way.flush()

    def close(self) -> None:
        self.way.close()
        super().close()


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What came with the record."""
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.stack_info:
        extra["stack_info"] = record.stack_info
    return extra


def level_of(number: int) -> str:
    """Python's levels, and what lies between them."""
    if number >= logging.CRITICAL:
        return "fatal"
    return lines.LEVELS[max(number, 0) // 10]


def _error(record: logging.LogRecord) -> Mapping[str, str] | None:
    if record.exc_info and record.exc_info[1]:
        return values.error(record.exc_info[1])
    return {"stack": record.exc_text} if record.exc_text else None


def configure(service: str | None = None, *, level: int | str | None = None, **options: Any) -> PharosHandler:
    """A handler on the root logger, at `level`, PHAROS_LOG_LEVEL, or INFO (DEBUG in development)."""
    handler = PharosHandler(service, **options)
    default = "DEBUG" if handler.settings.environment == DEVELOPMENT else "INFO"
    root = logging.getLogger()
    root.setLevel(level or os.environ.get("PHAROS_LOG_LEVEL", default).upper())
    root.addHandler(handler)
    return handler
