"""Where the lines of one handler or logger go: to Pharos, or to the console."""

from __future__ import annotations

from typing import Protocol

from pharos_client import transports
from pharos_client.console import Console
from pharos_client.lines import Line, Recipe
from pharos_client.sender import Sender
from pharos_client.settings import Settings


class Way(Protocol):
    def put(self, line: Line) -> None:
        """Takes a line at once and never raises."""

    def put_later(self, recipe: Recipe) -> None:
        """Takes a line that is made when there is time."""

    def flush(self, seconds: float = 2.0) -> bool:
        """True if nothing is left."""

    def close(self, seconds: float = 2.0) -> None: ...


def chosen(settings: Settings) -> Way:
    return Sender(transports.chosen(settings), settings) if settings.ships else Console()
