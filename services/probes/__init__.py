"""One file for each kind of check. A new kind is a file, and a line here."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Protocol, cast

import msgspec
from django.core.exceptions import ValidationError

from core.secrets import Lost
from services.probes.base import DETAIL_MAX, RAW_MAX, Asked, FailingError, Measurement, Part, Probe, ProbeError
from services.probes.hiding import has_password, hidden
from services.status import Outcome

__all__ = [
    "Asked", "FailingError", "Measurement", "Part", "Probe", "ProbeError", "ask", "choices", "probe", "validate",
]  # fmt: skip

log = logging.getLogger(__name__)

# Kind → its label. The module of the same name is loaded when it is first needed: most installations use few.
PROBES: Final[dict[str, str]] = {
    "http": "HTTP(S): status, keyword, JSON value",
    "health": "health: what a service says of itself, with its parts",
    "tcp": "TCP: a port takes connections",
    "dns": "DNS: a name's records",
    "tls": "TLS: a certificate's name, chain and end",
    "postgres": "PostgreSQL: a login and a query",
    "redis": "Redis: PING and limits of INFO",
    "celery": "Celery: queue lengths and workers",
    "oidc": "OIDC: single sign-on's discovery and keys",
    "heartbeat": "heartbeat: a job pings when it has run",
}


def choices() -> list[tuple[str, str]]:
    """A callable, so that a new kind needs no migration."""
    return list(PROBES.items())


def probe(kind: str) -> Probe:
    """Raises ProbeError."""
    if kind not in PROBES:
        raise ProbeError(f"there is no kind of check {kind!r}; there is {', '.join(PROBES)}")
    return cast(Probe, import_module(f"services.probes.{kind}"))


class Question(Protocol):
    """A Check, or what has the same fields."""

    kind: str
    target: str
    options: Mapping[str, Any]
    secrets: Mapping[str, Any]
    timeout: float
    slow_ms: int | None


async def ask(question: Question) -> Measurement:
    """What the probe found; of everything that goes wrong an outcome and a sentence. Raises CancelledError only."""
    if isinstance(question.secrets, Lost):
        return Measurement(Outcome.FAILING, question.secrets.reason[:DETAIL_MAX])
    try:
        async with asyncio.timeout(question.timeout):
            found = await probe(question.kind).run(
                Asked(question.target, question.options, question.secrets, question.timeout, question.slow_ms)
            )
    except ProbeError as error:
        found = Measurement(error.outcome, str(error), raw=error.raw)
    except TimeoutError:
        found = Measurement(Outcome.UNREACHABLE, f"no answer within {question.timeout:g} s")
    except Exception as error:  # noqa: BLE001 - one check must not take the others with it
        # Without the exception's text, which may have a secret in it.
        where = traceback.extract_tb(error.__traceback__)[-1]
        name = type(error).__name__
        log.error("A check of the kind %s failed with %s in %s:%s", question.kind, name, where.filename, where.lineno)
        found = Measurement(Outcome.FAILING, f"the check itself failed: {name}")
    return _bounded(hidden(_slow(found, question.slow_ms), question.secrets))


def _slow(found: Measurement, limit: int | None) -> Measurement:
    if limit and found.outcome == Outcome.UP and found.latency_ms is not None and found.latency_ms > limit:
        return msgspec.structs.replace(found, outcome=Outcome.DEGRADED, detail=f"slower than {limit} ms")
    return found


def _bounded(found: Measurement) -> Measurement:
    if len(found.detail) <= DETAIL_MAX and len(found.raw) <= RAW_MAX:
        return found
    return msgspec.structs.replace(found, detail=found.detail[:DETAIL_MAX], raw=found.raw[:RAW_MAX])


def validate(kind: str, target: str, options: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    """Raises ValidationError with a sentence for each field that doesn't fit."""
    try:
        module = probe(kind)
    except ProbeError as error:
        raise ValidationError({"kind": str(error)}) from None
    wrong = {
        "target": _target_error(module, target, secrets),
        "options": _fit_error(module.Options, options),
        "secrets": "" if isinstance(secrets, Lost) else _secrets_error(module, secrets),
    }
    if any(wrong.values()):
        raise ValidationError({field: sentence for field, sentence in wrong.items() if sentence})


def _target_error(module: Probe, target: str, secrets: Mapping[str, Any]) -> str:
    if has_password(target):
        return "A password stands in the target, where everybody reads it. Put it into the secrets."
    if not target and ("dsn" in secrets or isinstance(secrets, Lost)):
        return ""
    return _error_of(module, target)


def _secrets_error(module: Probe, secrets: Mapping[str, Any]) -> str:
    dsn = secrets.get("dsn")
    return _fit_error(module.Secrets, secrets) or (_error_of(module, dsn) if isinstance(dsn, str) and dsn else "")


def _error_of(module: Probe, target: str) -> str:
    try:
        module.check_target(target)
    except ValueError as error:
        return _sentence(error)
    return ""


def _fit_error(kind: type[msgspec.Struct], values: Mapping[str, Any]) -> str:
    if not isinstance(cast(object, values), Mapping):  # a JSONField takes anything
        return 'Expected names and values, like {"verify": false}.'
    try:
        msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        return _sentence(error)
    return ""


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
