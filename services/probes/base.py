"""What every probe shares: what it is given, what it returns, how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from time import perf_counter
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec

from services.status import Outcome

DETAIL_MAX: Final = 300  # characters
RAW_MAX: Final = 20_000  # characters of an answer that "Check now" shows
PARTS_MAX: Final = 100


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A check within a check, as a health answer lists them."""

    path: str  # "database", "external_apis.payments": dots lead down the tree
    outcome: Outcome
    detail: str = ""
    latency_ms: float | None = None


class Measurement(msgspec.Struct, frozen=True):
    """What a probe found. `detail` is a sentence without its end, safe to show: "database unhealthy"."""

    outcome: Outcome = Outcome.UP
    detail: str = ""
    latency_ms: float | None = None
    parts: tuple[Part, ...] = ()
    expires_at: datetime | None = None  # of a certificate
    raw: str = ""  # the answer itself, shown to who asked for it just now; never stored


class ProbeError(Exception):
    """Nobody answered as they should. The text is safe to show: no password, no address that was kept secret."""

    outcome: ClassVar[Outcome] = Outcome.UNREACHABLE

    def __init__(self, detail: str, *, raw: str = "") -> None:
        super().__init__(detail[:DETAIL_MAX])
        self.raw = raw


class FailingError(ProbeError):
    """There was an answer, and it was wrong."""

    outcome = Outcome.FAILING


Fitted = TypeVar("Fitted", bound=msgspec.Struct)


def fitted(kind: type[Fitted], values: Mapping[str, Any]) -> Fitted:
    """`values` as `kind`. Raises FailingError: they were checked when saved, but may be older than this code."""
    try:
        return msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        raise FailingError(f"the settings of this check don't fit: {error}") from None


def elapsed_ms(began: float) -> float:
    """Since `began`, which is of time.perf_counter."""
    return (perf_counter() - began) * 1_000


class Asked(msgspec.Struct, frozen=True):
    """What a probe is asked to do."""

    target: str
    options: Mapping[str, Any] = {}
    secrets: Mapping[str, Any] = {}
    timeout: float = 5.0  # seconds, all told; whoever runs the probe keeps to it, too
    slow_ms: int | None = None

    @property
    def address(self) -> str:
        """The target; for databases the secret "dsn" instead, if the whole address is to be secret."""
        return self.secrets.get("dsn") or self.target


class Probe(Protocol):
    """A module in this folder: one kind of check.

    `Options` and `Secrets` are msgspec.Structs (forbid_unknown_fields=True). What does not fit is refused when saved.
    """

    LABEL: str  # "HTTP(S)"
    TARGET: str  # what the target is, for people: "https://example.org/health"
    Options: type[msgspec.Struct]
    Secrets: type[msgspec.Struct]

    @staticmethod
    def check_target(target: str) -> None:
        """Raises ValueError with a sentence: what was expected, what came."""

    @staticmethod
    async def run(asked: Asked) -> Measurement:
        """Raises ProbeError. Cancelled when its time is over."""
