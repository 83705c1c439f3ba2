"""One file for each kind of check. A new kind is a file, and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

from services.probes.base import Asked, FailingError, Measurement, Part, Probe, ProbeError

__all__ = ["Asked", "FailingError", "Measurement", "Part", "Probe", "ProbeError", "choices", "probe"]

# Kind → its label. The module of the same name is loaded when it is first needed: most installations use few.
PROBES: Final[dict[str, str]] = {
    "http": "HTTP(S): status, keyword, JSON value",
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
