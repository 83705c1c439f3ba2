"""The Celery application. Tasks live in each app's tasks.py; the schedule is in the settings."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_ready

from core import memory, reporting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monitor.settings")

app = Celery("pharos")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Django's LOGGING is in force. That somebody listens keeps Celery from setting levels and handlers of its own."""


@worker_ready.connect
def begin_worker(**_: Any) -> None:
    reporting.begin("worker")
    memory.settle()


@beat_init.connect
def begin_beat(**_: Any) -> None:
    reporting.begin("beat")
    memory.settle()
