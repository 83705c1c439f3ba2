"""Feeds every parser of what strangers send with damaged input: `make fuzz`, or for some parsers or another time

    python -m tests.logs.fuzz --seconds 10 json query

A parser returns or raises what it says it raises, within two seconds and a gigabyte, whatever comes. A failure is
printed with the shortest input that shows it. `tests/logs/test_fuzz.py` does the same for a moment in each test run.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.logs.parsers import Parser

MEMORY: Final = 1 << 30  # bytes that one parser may take, beside what the process has at its start
EXAMPLES: Final = 300  # between two looks at the clock
TIME: Final = timedelta(seconds=2)  # for one input


def parsers() -> dict[str, Parser]:
    """By the name on the command line."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "monitor.settings")
    os.environ.setdefault("PHAROS_SECRET_KEY", "nothing is kept here")
    django.setup()
    from tests.logs.parsers import PARSERS

    return PARSERS


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, damaged in up to six places."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        end = min(at + draw(st.sampled_from((1, 2, 7, 40, 1_000))), len(data))
        match draw(st.sampled_from(("change", "insert", "token", "delete", "repeat", "cut"))):
            case "change":
                data[at:end] = draw(st.binary(min_size=1, max_size=4))
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "token":
                data[at:at] = draw(st.sampled_from(TOKENS))
            case "delete":
                del data[at:end]
            case "repeat":
                data[at:at] = data[at:end] * draw(st.sampled_from((1, 3, 200)))
            case "cut":
                del data[at:]
    return bytes(data)


TOKENS: Final = (
    b"{", b"}", b"[", b"]", b'"', b"\\", b":", b"=", b" ", b"\0", b"\n", b"\r\n", b"\x1b[31m",
    b"\xff", b"\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", "İß\u2028\U000e0041".encode(),
    b"1e999", b"NaN", b"-1", b"99999999999999999999", b"null", b"[" * 2_000, b'{"a":' * 2_000,
    b"0000-00-00T99:99:99Z", b"\x80\x80\x80\x80\x80\x01",
)  # fmt: skip


def fuzz(parser: Parser, examples: int, **options: Any) -> None:
    """Raises what the parser must not raise."""

    @settings(
        max_examples=examples, deadline=TIME, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink), print_blob=False, **options,
    )  # fmt: skip
    @given(st.one_of(damaged(parser.seeds), st.binary(max_size=200)))
    def one(data: bytes) -> None:
        with suppress(*parser.refuses):
            parser.parse(data)

    one()


def _fuzz_for(name: str, seconds: float) -> tuple[str, int, str]:
    """In a process of its own: the parser's name, how many inputs it got, and what went wrong."""
    parser = parsers()[name]
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
    count, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            fuzz(parser, EXAMPLES)
        except Exception as error:  # noqa: BLE001 - the finding
            notes = "\n".join(getattr(error, "__notes__", ()))
            return name, count, f"{type(error).__name__}: {error}\n{notes}"
        count += EXAMPLES
    return name, count, ""


def main() -> int:
    options = argparse.ArgumentParser(description="Feeds parsers with damaged input.")
    options.add_argument("--seconds", type=float, default=60, help="for each parser (60)")
    options.add_argument("parsers", nargs="*", help="names; all without any")
    given_options = options.parse_args()
    known = parsers()
    if strange := set(given_options.parsers) - set(known):
        options.error(f"no parser {', '.join(sorted(strange))}: there are {', '.join(known)}")
    names = given_options.parsers or list(known)
    wrong = 0
    with ProcessPoolExecutor(
        min(len(names), os.cpu_count() or 1), mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        for name, count, finding in pool.map(_fuzz_for, names, [given_options.seconds] * len(names)):
            sys.stdout.write(f"{name:<12}{count:>9,} inputs  {finding or 'nothing found'}\n")
            sys.stdout.flush()
            wrong += bool(finding)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
