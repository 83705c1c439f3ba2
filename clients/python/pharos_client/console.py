"""Lines for people, while a service is being written."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import Any, Final

from pharos_client.lines import Line, Recipe, made

_COLOURS: Final = {"trace": "2", "debug": "2", "info": "36", "warn": "33", "error": "31", "fatal": "1;31"}
_IDS: Final = ("request_id", "trace_id")


class Console:
    """To stderr; in colour on a terminal, unless NO_COLOR is set (https://no-color.org)."""

    def put(self, line: Line) -> None:
        with suppress(Exception):
            stream = sys.stderr
            coloured = stream.isatty() and not os.environ.get("NO_COLOR")
            stream.write(f"{pretty(line, coloured=coloured)}\n")

    def put_later(self, recipe: Recipe) -> None:
        self.put(made(recipe))

    def flush(self, seconds: float = 0.0) -> bool:
        with suppress(Exception):
            sys.stderr.flush()
        return True

    def close(self, seconds: float = 0.0) -> None:
        self.flush()


def pretty(line: Line, *, coloured: bool = False) -> str:
    """`10:30:45.123 ERROR shop.db Payment failed: Card was declined  order=7`, and below it the stack."""
    seconds, micros = divmod(line["timestamp"], 1_000_000)
    level = f"{line['level'].upper():5}"
    if coloured:
        level = f"\x1b[{_COLOURS[line['level']]}m{level}\x1b[0m"
    said = ": ".join(part for part in (line.get("title", ""), line["message"]) if part)
    pairs = {**{name: line[name] for name in _IDS if name in line}, **line.get("metadata", {})}
    parts = [
        f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{micros // 1_000:03}",
        level,
        line.get("logger") or line["service"],
        said,
        *([" " + " ".join(f"{name}={_value(value)}" for name, value in pairs.items())] if pairs else []),
    ]
    error = line.get("error", {})
    stack = error.get("stack") or ": ".join(filter(None, (error.get("name"), error.get("message"))))
    return " ".join(parts) + (f"\n{stack}" if stack else "")


def _value(value: Any) -> str:
    if isinstance(value, str) and value and not set(value) & set(' "=\n'):
        return value
    return json.dumps(value, ensure_ascii=False)
