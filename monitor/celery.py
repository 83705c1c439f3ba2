"""The Celery application. Tasks live in each app's tasks.py; the schedule is in the settings."""

import os
from typing import Any, Final

from celery import Celery
from celery.signals import beat_init, setup_logging, task_postrun, task_prerun, worker_init, worker_ready
from django.db import close_old_connections, connections

from core import memory, reporting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monitor.settings")

app = Celery("pharos")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# What the worker has left to do may be some milliseconds later; a line that somebody waits for may not.
BACKGROUND: Final = 4  # of the system's 19 steps


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Django's LOGGING is in force. That somebody listens keeps Celery from setting levels and handlers of its own."""


@worker_init.connect
def give_way(**_: Any) -> None:
    os.nice(BACKGROUND)  # of this thread and those that it begins


@worker_init.connect
def keep_connections(**_: Any) -> None:
    """From task to task: to open SQLite's file, and to learn again which tables it has, takes longer than many tasks.
    Of PostgreSQL the settings say how long."""
    for database in connections.settings.values():
        if database["ENGINE"].endswith("sqlite3"):
            database["CONN_MAX_AGE"] = None


@task_prerun.connect
@task_postrun.connect
def end_connections(**_: Any) -> None:
    """Those that broke, or are too old."""
    close_old_connections()


@worker_ready.connect
def begin_worker(**_: Any) -> None:
    reporting.begin("worker")
    memory.settle()


@beat_init.connect
def begin_beat(**_: Any) -> None:
    reporting.begin("beat")
    memory.settle()
