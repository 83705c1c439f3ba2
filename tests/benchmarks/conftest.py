"""Benchmarks in this process, on the tests' databases: quick, and breakable with monkeypatch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks import stores
from logs.store import BaseLogStore, Commit, Incoming
from logs.store.blocks import BlockStore

Arguments = Callable[..., None]
on_sqlite = pytest.mark.django_db(transaction=True, databases=["default", "logs"])


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a benchmark would have a child do is done here, with the test's store."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    @contextmanager
    def opened(place: stores.Place, block_lines: int = 0) -> Iterator[BaseLogStore]:
        yield BlockStore(database="logs")

    monkeypatch.setattr(stores, "in_child", call)
    monkeypatch.setattr(stores, "opened", opened)
    monkeypatch.setattr(stores, "pin", lambda: "not pinned")


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> Arguments:
    """What stands on the command line."""

    def given(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmark", "--database", "sqlite", *words])

    return given


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that forgets the last entry of each batch."""
    append = BlockStore.append

    def forgetful(self: BlockStore, batch: Sequence[Incoming]) -> Commit:
        return append(self, batch[:-1])

    monkeypatch.setattr(BlockStore, "append", forgetful)
