"""Tells people that their receipt was read. It knows no client of Pharos: its lines are those of pino, in a stream."""

from __future__ import annotations

import json
import os
import smtplib
import time
from typing import Any

import redis
from pharos_client import context

from examples.demo import breaking, service

LEVELS = {"info": 30, "error": 50}


def main() -> None:
    service.logging_to_pharos("notification")  # the lines of its requests
    service.serve("notification", app())


def app() -> service.App:
    return service.App({"POST /notify": notify}, ready)


def notify(body: dict[str, Any]) -> dict[str, Any]:
    try:
        _mail_server()
    except smtplib.SMTPException as error:
        tell("error", "Mail could not be sent", err={"type": type(error).__name__, "message": str(error)}, **body)
        raise
    tell("info", "Mail sent", **body)
    return {"sent": True}


def tell(level: str, message: str, **more: Any) -> None:
    line = {"level": LEVELS[level], "time": time.time_ns() // 1_000_000, "service": "notification", "msg": message}
    stream = os.environ.get("PHAROS_LOG_STREAM") or "pharos:logs"
    with redis.Redis.from_url(os.environ["PHAROS_REDIS_URL"], socket_timeout=2) as client:
        client.xadd(stream, {"lines": json.dumps({**line, **context.current(), **more})}, maxlen=1_000_000)


def ready() -> service.Health:
    return service.graded(external_apis=_mail_server)


def _mail_server() -> None:
    if breaking.is_broken("errors"):
        raise smtplib.SMTPServerDisconnected("mail.example.org closed the connection")
