"""The worker keeps its connections from task to task."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from celery.fixups.django import DjangoWorkerFixup  # type: ignore[attr-defined]  # the stubs lack it
from celery.signals import task_postrun, task_prerun
from django.db import connection, connections

from monitor.celery import app, keep_connections
from monitor.tasks import tick

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """What a worker does around a task."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    keep_connections()
    celerys = DjangoWorkerFixup(app)
    task_prerun.connect(celerys.on_task_prerun)
    task_postrun.connect(celerys.on_task_postrun)

    def run() -> None:
        for signal in (task_prerun, task_postrun):
            signal.send(tick)

    connection.close()
    connection.ensure_connection()
    yield run
    task_prerun.disconnect(celerys.on_task_prerun)
    task_postrun.disconnect(celerys.on_task_postrun)
    connection.close()


def test_a_connection_outlives_a_task(task: Callable[[], None]) -> None:
    kept = connection.connection
    task()
    assert kept is not None
    assert connection.connection is kept


def test_one_that_is_too_old_does_not(task: Callable[[], None]) -> None:
    connection.close_at = 0.0
    task()
    assert connection.connection is None
