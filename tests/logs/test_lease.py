"""One process at a time keeps the store in order, and its death lets the next one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import Error, connections

from logs.store import lease
from logs.store.blocks import BlockStore
from tests.logs.corpus import corpus, entries
from tests.logs.store_worker import Worker
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(params=["logs", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def holder(database: str) -> Iterator[Worker]:
    """Another process, which has the lease."""
    with Worker(database) as worker:
        worker.begin("hold")
        assert worker.line() == "True"
        yield worker


def free(database: str) -> bool:
    with lease.held(database) as mine:
        return mine


def test_a_lease_is_free_again_at_the_end_of_its_block(database: str) -> None:
    assert free(database)
    with pytest.raises(ZeroDivisionError), lease.held(database):
        raise ZeroDivisionError
    with Worker(database) as another:
        another.begin("hold")
        assert another.line() == "True"


def test_what_another_holds_is_not_maintained(database: str, holder: Worker) -> None:
    store = BlockStore(database)
    for entry in entries(corpus(300), size=10):  # an append asks for no lease
        assert store.append([entry]).lines == 10
    assert store.maintain(budget=60) == 0
    assert store.stats()["blocks"] == 30


def test_the_lease_of_the_dead_goes_to_the_next(database: str, holder: Worker) -> None:
    assert not free(database)
    holder.kill()
    until(lambda: free(database))


def test_two_threads_are_two_holders(database: str) -> None:
    answers: list[bool] = []

    def ask() -> None:
        answers.append(free(database))
        connections.close_all()

    with lease.held(database) as mine:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert (mine, answers) == (True, [False])


@pytest.mark.postgres
def test_a_lease_that_cannot_be_given_back_ends_with_its_connection() -> None:
    with lease.held("postgres"), connections["postgres"].cursor() as cursor:
        cursor.execute("BEGIN")
        with pytest.raises(Error):
            cursor.execute("SELECT 1 / 0")
    with Worker("postgres") as worker:
        worker.begin("hold")
        assert worker.line() == "True"
