"""What the room counts, for /metrics; docs/operations.md says what each number means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from core import clock
from core.meters import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from logs.store import Incoming, Singles
    from logs.store.base import Commit

REQUESTS: Final = Counter("pharos_http_requests", "Requests that were answered.", "view", "status")
REQUEST_SECONDS: Final = Counter("pharos_http_view_seconds", "Seconds that views took, all told.", "view")
REQUEST_TIMES: Final = Histogram("pharos_http_request_duration_seconds", "How long answers took.")

ARRIVED: Final = Counter("pharos_received_lines", "Lines that Pharos itself took in and put into the stream.", "source")
ARRIVED_BYTES: Final = Counter("pharos_received_bytes", "Bytes of these lines as they were sent, unpacked.", "source")
REJECTED: Final = Counter("pharos_rejected_lines", "Lines that their sender was told are none.", "source")
DROPPED: Final = Counter("pharos_dropped_lines", "Lines that were not kept, by the reason.", "reason")

LINES: Final = Counter("pharos_ingest_lines", "Lines that were stored.", "stream")
BYTES: Final = Counter("pharos_ingest_bytes", "Bytes of the entries that were read, as they stood in Redis.", "stream")
DUPLICATES: Final = Counter("pharos_ingest_duplicates", "Entries that came again and were not stored twice.")
LAST_COMMIT: Final = Gauge("pharos_ingest_last_commit_time_seconds", "When lines were stored last, since 1970.")
DEAD_LETTERS: Final = Counter("pharos_dead_letters", "Entries that were put aside because they can't be read.")
STORE_TIMES: Final = Histogram("pharos_store_duration_seconds", "How long the log store took.", "operation")

VIEWERS: Final = Gauge("pharos_live_viewers", "Browsers and programs that follow lines live.")


def count_request(view: str, status: int, seconds: float) -> None:
    REQUESTS.add(1, view, f"{status // 100}xx")
    REQUEST_SECONDS.add(seconds, view)
    REQUEST_TIMES.observe(seconds)


def count_arrival(source: str, lines: int, size: int, rejected: int = 0) -> None:
    ARRIVED.add(lines, source)
    ARRIVED_BYTES.add(size, source)
    if rejected:
        REJECTED.add(rejected, source)


def count_commit(batch: Iterable[Incoming | Singles], commit: Commit) -> None:
    """What came again is among the lines of its stream: a commit doesn't say whose they were."""
    streams: defaultdict[str, int] = defaultdict(int)
    for each in batch:
        streams[each.stream] += each.lines
    for name, lines in streams.items():
        LINES.add(lines, name)
    DUPLICATES.add(commit.duplicates)
    LAST_COMMIT.set(clock.now() / clock.SECOND)
