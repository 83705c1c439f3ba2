"""Keys that are for some services: which lines they may send.

A line of another service is refused with a reason, as a line that can't be read is, and its sender can put it right:
under another name nobody would find it. A line that names no service gets the key's, if that is for one only.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Final

from accounts.keys import Access
from logs.records import UNKNOWN_SERVICE
from logs.sources.ways import Parsed, Refused

log = logging.getLogger(__name__)

SAID_EVERY: Final = 60.0  # seconds between two lines about the same key


def keep(parsed: Parsed, access: Access) -> None:
    """Leaves the lines that `access` may send; the others are among the rejected ones. Raises Refused if all are."""
    lines, only = parsed.records, access.only_service
    if only:
        lines.service = [
            only if service in (UNKNOWN_SERVICE, logger) and service not in access.services else service
            for service, logger in zip(lines.service, lines.logger, strict=True)
        ]
    places = [place for place, service in enumerate(lines.service) if service in access.services]
    if len(places) == len(lines):
        return
    kept = set(places)
    refused = [place for place in range(len(lines)) if place not in kept]
    reasons = [(lines.sequence[place] + 1, _reason(access, lines.service[place])) for place in refused]
    _say(access, len(refused))
    parsed.rejected = sorted([*parsed.rejected, *reasons])
    parsed.records = lines.picked(places)
    if not places:
        raise Refused(403, reasons[0][1], rejected=parsed.rejected)


def _reason(access: Access, service: str) -> str:
    return f"the key {access.name!r} may send lines of {access.services} only, not of {service[:100]!r}"


_refused: Counter[int] = Counter()  # lines since the last word, by key
_said: dict[int, float] = {}


def _say(access: Access, lines: int) -> None:
    _refused[access.key_id] += lines
    now = time.monotonic()
    if now - _said.get(access.key_id, -SAID_EVERY) < SAID_EVERY:
        return
    _said[access.key_id] = now
    log.warning(
        "The API key %s is for %s only: %d lines of other services were refused",
        access.name, access.services, count := _refused.pop(access.key_id), extra={"key": access.name, "lines": count},
    )  # fmt: skip
