"""Which blocks a store opens."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from logs.store.shelf import ALL_COLUMNS, Shelf


def note_opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on the blocks whose columns are read, each as often as it is. Reading a header alone opens none."""
    opened: list[int] = []
    real = Shelf.read

    def read(self: Shelf, pks: Collection[int], names: Collection[str]) -> Any:
        if ALL_COLUMNS.intersection(names):
            opened.extend(pks)
        return real(self, pks, names)

    monkeypatch.setattr(Shelf, "read", read)
    return opened
