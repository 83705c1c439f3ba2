"""The standard library's logging, sent to Pharos."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from pharos_client import context, lines, values, ways
from pharos_client.settings import DEVELOPMENT, Settings
from pharos_client.values import Cleaner

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
        passed: Any = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # a filter may give another, from Python 3.12 on
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            more = _more(record)
            if (size := _plain_size(record, more)) is None:
                self.way.put(self._line(record, more))
            else:
                # Not the record, which another handler may change.
                parts = (record.msg, record.args, record.name, record.levelno, record.created)
                self.way.put_later((PharosHandler._line_of, self, parts, more), size)
        except Exception:  # noqa: BLE001 - a bad line must not hurt who logs it
            self.handleError(record)

    def _line(self, record: logging.LogRecord, more: Mapping[str, Any]) -> lines.Line:
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

    def _line_of(self, parts: tuple[Any, ...], more: Mapping[str, Any]) -> lines.Line:
        record = object.__new__(logging.LogRecord)
        record.msg, record.args, record.name, record.levelno, record.created = parts
        record.exc_info = record.exc_text = None
        return self._line(record, more)

    def flush(self) -> None:
        """Waits for what was logged, at most two seconds."""
        self.way.flush()

    def close(self) -> None:
        self.way.close()
        super().close()


def _more(record: logging.LogRecord) -> Mapping[str, Any]:
    """The context, and what came with the record."""
    begin = len(_OWN) if type(record) is logging.LogRecord else 0
    extra = {name: value for name, value in islice(vars(record).items(), begin, None) if name not in _STANDARD}
    if record.stack_info:
        extra["stack_info"] = record.stack_info
    around = context.current()
    return {**around, **extra} if around else extra


def _plain_size(record: logging.LogRecord, more: Mapping[str, Any]) -> int | None:
    """About how many bytes it takes, if its line may be made later: nothing of it can change until then."""
    if record.exc_info or record.exc_text or type(record) is not logging.LogRecord or type(record.args) is not tuple:
        return None
    return values.plain_size((record.msg, *record.args, *more.values())) if type(record.msg) is str else None


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
