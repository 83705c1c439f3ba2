"""structlog's events, sent to Pharos.

The processor comes last:

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, PharosProcessor("shop")])
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from structlog import DropEvent

from pharos_client import context, lines, values, ways
from pharos_client.settings import Settings
from pharos_client.values import Cleaner


class PharosProcessor:
    """The last processor. With `passes_on` the event goes on unchanged, to a renderer for the console."""

    def __init__(self, service: str | None = None, *, passes_on: bool = False, **options: Any) -> None:
        """`options` are fields of Settings; what isn't given is read from the environment."""
        self.settings = Settings.read(service=service, **options)
        self._passes_on = passes_on
        self._cleaner = Cleaner(self.settings.redact)
        self.way = ways.chosen(self.settings)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        self.way.put(self._line(method, dict(event)))
        if self._passes_on:
            return event
        raise DropEvent

    def _line(self, method: str, event: dict[str, Any]) -> lines.Line:
        event.pop("timestamp", None)  # in any format; it is now
        return lines.make(
            self._cleaner,
            level=lines.level_named(str(event.pop("level", method))),
            service=self.settings.service,
            message=event.pop("event", ""),
            logger=values.text(event.pop("logger", "")),
            error=_error(event.pop("exc_info", None), event.pop("exception", None)),
            more={**context.current(), **event},
        )


def _error(exc_info: Any, formatted: Any) -> Mapping[str, Any] | None:
    """`exc_info` is True, an exception or a triple of sys.exc_info; `formatted` is what format_exc_info made of it."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exc_info()[1]
    if isinstance(exc_info, BaseException):
        return values.error(exc_info)
    return {"stack": values.text(formatted, values.STACK)} if formatted else None
