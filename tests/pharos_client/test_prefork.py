"""Workers that are forked after the handler was made: Celery's prefork pool and gunicorn's, as people run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import redis
from celery import Celery
from django.conf import settings

from monitor.supervisor import die_with_parent
from tests.pharos_client.receiving import CLIENT, sent
from tests.waiting import until

SHOP = """
import logging, os
from celery import Celery
from pharos_client import PharosHandler, bound_context
app = Celery("shop", broker=os.environ["BROKER"])
app.conf.update(task_default_queue="shop-test", worker_hijack_root_logger=False, task_ignore_result=True)
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.addHandler(PharosHandler("shop", redis_url=os.environ["PHAROS_REDIS_URL"]))
log.info("main %s", os.getpid())  # the sending thread runs before the fork

@app.task(name="order")
def order(number):
    with bound_context(request_id=f"r-{number}"):
        log.info("order %s", number, extra={"pid": os.getpid()})
"""


WORKER = (
    *("celery", "-q", "-A", "shop", "worker", "--pool", "prefork", "--concurrency", "2", "-l", "WARNING"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)

PAGES = """
import logging, os
from pharos_client import PharosHandler
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.addHandler(PharosHandler("shop", redis_url=os.environ["PHAROS_REDIS_URL"]))
log.info("main %s", os.getpid())  # the sending thread runs before the fork

def application(environ, start_response):
    log.info("asked for %s", environ["PATH_INFO"], extra={"pid": os.getpid()})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@contextmanager
def running(directory: Path, source: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, with what it forks; `source` is its module shop."""
    (directory / "shop.py").write_text(source)
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(CLIENT),
                "BROKER": settings.CELERY_BROKER_URL,
                "PHAROS_REDIS_URL": settings.REDIS_URL,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def test_tasks_of_forked_workers_send_their_lines_once(redis_client: redis.Redis, tmp_path: Path) -> None:
    client = Celery(broker=settings.CELERY_BROKER_URL)
    with running(tmp_path, SHOP, *WORKER) as process, client.connection_for_write() as connection:
        for number in range(20):
            client.send_task("order", [number], queue="shop-test", connection=connection)
        until(lambda: len(sent(redis_client)) >= 21, seconds=60)
        client.send_task("order", [20], queue="shop-test", connection=connection)
        until(lambda: len(sent(redis_client)) >= 22, seconds=60)
        process.terminate()
        process.wait(30)
    lines = sent(redis_client)
    assert sorted(line["message"] for line in lines) == sorted(
        [f"main {process.pid}", *(f"order {n}" for n in range(21))]
    )
    orders = [line for line in lines if "request_id" in line]
    assert {line["request_id"] for line in orders} == {f"r-{number}" for number in range(21)}
    assert process.pid not in {line["metadata"]["pid"] for line in orders}
    assert "Traceback" not in (tmp_path / "output.log").read_text()


def answered_by(place: Path, path: str) -> int:
    """The process that answers over the unix socket `place`."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(place)), timeout=30) as client:
        return int(client.get(f"http://shop{path}").text)


def test_requests_of_forked_workers_send_their_lines_once(redis_client: redis.Redis, tmp_path: Path) -> None:
    place = tmp_path / "shop.sock"
    served = ("gunicorn", "--preload", "--workers", "2", "--bind", f"unix:{place}", "shop:application")
    with running(tmp_path, PAGES, *served) as process:
        until(place.exists, seconds=60)
        workers = {answered_by(place, f"/{number}") for number in range(20)}
        process.terminate()
        process.wait(30)
    lines = sent(redis_client)
    assert sorted(line["message"] for line in lines) == sorted(
        [f"main {process.pid}", *(f"asked for /{n}" for n in range(20))]
    )
    assert {line["metadata"]["pid"] for line in lines if "metadata" in line} == workers
    assert process.pid not in workers
    assert "Traceback" not in (tmp_path / "output.log").read_text()
