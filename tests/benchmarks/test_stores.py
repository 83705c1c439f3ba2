"""The stores that benchmarks measure: in children, on both databases, and still there the next time."""

from __future__ import annotations

import pytest

from benchmarks import corpus, stores
from benchmarks.append import stored_in_store
from benchmarks.search import fill_store
from tests import servers

LINES = 2_500


@pytest.mark.parametrize("database", [stores.SQLITE, pytest.param(stores.POSTGRESQL, marks=pytest.mark.postgres)])
def test_a_store_is_there_again_after_its_server_has_ended_and_it_was_copied(database: str) -> None:
    with stores.work_directory() as directory:
        with stores.site(database, directory / "first") as site:
            stores.in_child(fill_store, site.blocks, LINES)
            taken = site.blocks.bytes
        stores.copy(directory / "first", directory / "second")

        with stores.site(database, directory / "second") as site:
            assert stores.in_child(stored_in_store, site.blocks) == LINES
            assert site.blocks.bytes == pytest.approx(taken, rel=0.5)


def block_lines_seen() -> int:
    with stores.work_directory() as directory, stores.opened(stores.Place(directory), block_lines=1_024):
        from logs.store.codec import SMALL

        return SMALL


def test_a_child_may_have_another_size_of_blocks() -> None:
    assert stores.in_child(block_lines_seen) == 768


def test_a_body_becomes_entries_with_all_its_lines() -> None:
    (body,) = corpus.bodies(2_000, 2_000)

    batch = stores.batch(body, 7)

    assert sum(entry.lines for entry in batch) == 2_000
    assert len({entry.entry_id for entry in batch + stores.batch(body, 8)}) == 4


def test_without_postgresql_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(servers, "postgres_bin", lambda: None)

    assert stores.databases("both") == ["sqlite"]
    assert "PostgreSQL is left out" in capsys.readouterr().err
    assert stores.databases("sqlite") == ["sqlite"]
