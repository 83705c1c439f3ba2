"""Sends a program's log lines to Pharos, over Redis or HTTP, without ever slowing it down.

    logging.getLogger().addHandler(PharosHandler("shop", redis_url="redis://redis:6379"))

Beside these names: `pharos_client.structlog`, the middlewares `.django`, `.asgi` and `.wsgi`, and `.events`.
"""

from pharos_client.context import bound_context, clear_context, set_context
from pharos_client.handler import PharosHandler, configure
from pharos_client.redis_logger import RedisLogger
from pharos_client.settings import Settings, SettingsError
from pharos_client.values import REDACT

__all__ = [
    "REDACT",
    "PharosHandler",
    "RedisLogger",
    "Settings",
    "SettingsError",
    "bound_context",
    "clear_context",
    "configure",
    "set_context",
]
