"""What a file of services says, whatever its format, and what a cell or a scalar may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from django.db.models import Prefetch

from services.models import Check, Service

FILE_MAX: Final = 1 << 20  # bytes
SERVICES_MAX: Final = 5_000
PROBLEMS_MAX: Final = 50
VERSION: Final = 1


class Problem(msgspec.Struct, frozen=True):
    line: int  # 0: of the file as a whole
    message: str  # a sentence without its end: what was expected, what came

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class CheckEntry(msgspec.Struct, frozen=True):
    line: int
    name: str
    values: dict[str, Any]  # only what the file says
    secrets: dict[str, Any] = {}  # those that it brings
    named: tuple[str, ...] = ()  # those that it only names


class ServiceEntry(msgspec.Struct, frozen=True):
    line: int
    name: str
    values: dict[str, Any]
    needs: list[str] | None = None  # None: the file doesn't say
    checks: list[CheckEntry] = []


class Document(msgspec.Struct, frozen=True):
    services: list[ServiceEntry]
    problems: list[Problem]


# --- Texts -> values: each raises ValueError with a sentence ---------------------------------------------------------


def text(given: str) -> str:
    if wrong := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", given):
        raise ValueError(f"expected text, but there is a control character in it ({wrong[0]!r})")
    return given


def name(given: str) -> str:
    if not given or given != given.strip() or not text(given).isprintable():
        raise ValueError(f"expected a name in one line, without spaces around it, got {given[:60]!r}")
    return given


def boolean(given: str) -> bool:
    found = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(given.strip().lower())
    if found is None:
        raise ValueError(f"expected true or false, got {given[:40]!r}")
    return found


def whole(given: str) -> int:
    if not re.fullmatch(r"\d{1,9}", given.strip()):
        raise ValueError(f"expected a whole number, got {given[:40]!r}")
    return int(given)


def number(given: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", given.strip()):
        raise ValueError(f"expected a number, got {given[:40]!r}")
    return float(given)


def percent(given: str) -> Decimal:
    try:
        number(given)
        return Decimal(given.strip())
    except (InvalidOperation, ValueError):
        raise ValueError(f"expected a percentage like 99.9, got {given[:40]!r}") from None


SERVICE_FIELDS: Final[Mapping[str, Callable[[str], Any]]] = {
    "category": text, "description": text, "owner": text, "sla_target": percent, "paused": boolean,
}  # fmt: skip
CHECK_FIELDS: Final[Mapping[str, Callable[[str], Any]]] = {
    "role": text, "kind": text, "target": text, "interval": number, "timeout": number, "initial_delay": number,
    "failure_threshold": whole, "success_threshold": whole, "slow_ms": whole, "failing_means": text, "enabled": boolean,
}  # fmt: skip
MAY_BE_EMPTY: Final = {"description": "", "owner": "", "target": "", "slow_ms": None}


# --- Rows -> values --------------------------------------------------------------------------------------------------


def stored() -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each service as a file has it, and its checks. Of secrets the names."""
    checks = Prefetch("checks", Check.objects.order_by("name"))
    for service in Service.objects.order_by("name").prefetch_related(checks, "parents"):
        yield _service(service), [_check(check) for check in service.checks.all()]


def _service(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "category": service.category,
        "description": service.description,
        "owner": service.owner,
        "labels": dict(service.labels),
        "sla_target": plain(service.sla_target),
        "paused": service.paused,
        "needs": sorted(parent.name for parent in service.parents.all()),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        **{field: plain(getattr(check, field)) for field in CHECK_FIELDS},
        "options": check.options,
        "secrets": sorted(check.secrets),
    }


def plain(value: Any) -> Any:
    """5.0 is written as 5, an enumeration as its value."""
    if isinstance(value, (float, Decimal)):
        return int(value) if value == int(value) else float(value)
    return str(value) if isinstance(value, str) else value
