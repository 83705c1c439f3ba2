"""Asking a probe as the worker does."""

from __future__ import annotations

from typing import Any

from services import probes
from services.models import Check
from services.probes import Measurement


async def ask(
    kind: str,
    target: str,
    *,
    secrets: dict[str, Any] | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109 - a Check's
    slow_ms: int | None = None,
    **options: Any,
) -> Measurement:
    """The options must be such as can be saved."""
    probes.validate(kind, target, options, secrets or {})
    check = Check(kind=kind, target=target, options=options, timeout=timeout, slow_ms=slow_ms)
    check.secrets = secrets or {}
    return await probes.ask(check)
