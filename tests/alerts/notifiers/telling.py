"""Asking a notifier, with settings as a channel has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alerts import notifiers
from alerts.notifications import Notification
from alerts.notifiers import Target

HOSTILE = "<!channel> <@U123> <https://evil.example|click> <script>alert(1)</script> @everyone & \u202emoc.live\x1b[31m"


def to(
    kind: str, options: Any = (), secrets: Any = (), templates: Mapping[str, str] = {}, timeout: float = 30
) -> Target:
    return notifiers.target(kind, dict(options), dict(secrets), templates, delivery="pharos-7", timeout=timeout)


async def tell(kind: str, said: Notification, target: Target) -> str:
    return await notifiers.send(kind, said, target)
