"""Lines that every service should write in the same words, so that one search finds them all."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("pharos_client.events")


def login_succeeded(user: str, **more: Any) -> None:
    log.info("Login of %s", user, extra={**more, "event_type": "login_succeeded", "user": user})


def login_failed(user: str, reason: str = "", **more: Any) -> None:
    """`user` is what was typed in."""
    extra = {**more, "event_type": "login_failed", "user": user, **({"reason": reason} if reason else {})}
    log.warning("Failed login of %s", user, extra=extra)


def logged_out(user: str, **more: Any) -> None:
    log.info("Logout of %s", user, extra={**more, "event_type": "logged_out", "user": user})


def operation(action: str, target: str, **more: Any) -> None:
    """Something that matters was created, edited or deleted: `operation("delete", "receipt r-7", user="ann")`."""
    log.info("%s %s", action, target, extra={**more, "event_type": "operation", "action": action, "target": target})
