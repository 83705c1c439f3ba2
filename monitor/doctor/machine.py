"""The machine that this runs on."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from django.conf import settings

from core import clock
from monitor.doctor.findings import Finding, ok, problem, warning

FEW: Final = 1 << 30  # bytes
FEW_PERCENT: Final = 10
NONE: Final = 200 << 20
NONE_PERCENT: Final = 3
LONG_AGO: Final = 1_735_689_600  # 2025-01-01: a clock before that was never set


def disk() -> Finding:
    found = shutil.disk_usage(settings.DATA_DIR)
    percent = 100 * found.free / found.total if found.total else 0.0
    said = f"{found.free / (1 << 30):,.1f} GiB ({percent:.0f} %) are free on the disk of {settings.DATA_DIR}."
    to_do = "Free some space, keep lines for fewer days, or set PHAROS_LOG_DISK_MAX_BYTES."
    if found.free < NONE or percent < NONE_PERCENT:
        return problem(said, to_do, "the-disk-is-full")
    if found.free < FEW or percent < FEW_PERCENT:
        return warning(said, to_do, "the-disk-is-full")
    return ok(said)


def time_zone() -> Finding:
    now = clock.now()
    if now < LONG_AGO * clock.SECOND:
        return problem(f"This host believes that it is {clock.iso(now)[:19]} UTC.", "Set its clock.", "clocks-differ")
    zones = Path("/usr/share/zoneinfo")
    have = zones.is_dir() or _has_package()
    if not have:
        return problem("There are no time zones here.", "Install tzdata: rules at certain hours need them.")
    return ok(f"It is {clock.iso(now)[:19]} UTC; this host has the time zone {time.tzname[0]}.")


def _has_package() -> bool:
    from importlib.util import find_spec

    return find_spec("tzdata") is not None
