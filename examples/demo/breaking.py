"""What is broken on purpose: lines of a file that all services look into. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from examples.demo import fleet

BREAKS: Final = {
    "redis": "api and worker look for Redis where there is none",
    "latency": "ocr takes two seconds longer than usual",
    "crash": "ml dies with each receipt",
    "errors": "notification can't reach its mail server",
}


def is_broken(what: str) -> bool:
    return what in broken()


def broken() -> set[str]:
    try:
        return set(_file().read_text().split()) & set(BREAKS)
    except FileNotFoundError:
        return set()


def break_down(what: str) -> None:
    """Raises KeyError for what can't be broken."""
    if what not in BREAKS:
        raise KeyError(what)
    _file().parent.mkdir(parents=True, exist_ok=True)
    _file().write_text("\n".join(sorted(broken() | {what})))


def heal() -> None:
    _file().unlink(missing_ok=True)


def _file() -> Path:
    return fleet.directory() / "broken"
