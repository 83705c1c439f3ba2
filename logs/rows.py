"""The row of a log line as HTML: one function with three callers, the page, older rows and the WebSocket.

Log text is hostile. Everything is escaped, and what would hide, reorder or colour text is made visible.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from html import escape
from typing import Final
from urllib.parse import quote

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from core import clock
from logs import query
from logs.records import LogRecord
from logs.search import Search

TEXT_MAX: Final = 600  # characters of a row; the opened row has all of them
MATCH_FROM: Final = 160  # a first match further right than this is moved into sight
SERVICE_COLOURS: Final = 8  # .s0 … .s7 in the style sheet
ID_SHOWN: Final = 10

# Colours of terminals say nothing here. Everything else of C0, C1 and the invisible characters that reorder or fake
# text is shown; joiners (200c, 200d) stay, since scripts and emoji need them.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LINE_BREAKS = re.compile(r"\s*[\r\n\v\f\x85\u2028\u2029]+\s*")
INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

Highlight = Callable[[str], str]


def render_rows(records: Sequence[LogRecord], search: Search, zone: tzinfo, marked: str = "") -> SafeString:
    """The rows of `records`, in their order. `marked` is the id of a record that stands out."""
    rows = _Rows(search, zone, marked)
    return mark_safe("".join([rows.row(record) for record in records]))  # noqa: S308 - escaped piece by piece


class _Rows:
    """What the rows of one listing share."""

    def __init__(self, search: Search, zone: tzinfo, marked: str) -> None:
        self.zone = zone
        self.marked = marked
        self.url = reverse("logs:page")
        self.highlight = highlighter(search.node)
        self.pattern = _pattern(search.node)
        self.today = datetime.now(zone).date()
        self.seconds: dict[int, tuple[str, str, str]] = {}
        self.days: dict[int, str] = {}

    def row(self, record: LogRecord) -> str:
        second, micros = divmod(record.timestamp, clock.SECOND)
        iso, shown, dated = self.seconds.get(second) or self._second(second)
        level = record.level.label
        service = escape(visible(record.service))
        marked = " marked" if record.id == self.marked else ""
        return (
            f'<div class="row lv-{level}{dated}{marked}" id="r-{record.id}" role="listitem" tabindex="-1">'
            f'<a class="at" href="{self.url}{record.id}/">'
            f'<time datetime="{iso}.{micros:06d}Z">{shown}<i>.{micros // 1000:03d}</i></time></a>'
            f'<b class="lv">{level.upper()}</b>'
            f'<span class="svc s{colour_of(record.service)}" title="{service}">{service}</span>'
            f'<bdi class="msg">{self._text(record)}</bdi>{self._request(record)}</div>'
        )

    def _second(self, second: int) -> tuple[str, str, str]:
        """A second as ISO 8601, as the row shows it, and the row's class if it isn't of today."""
        there = datetime.fromtimestamp(second, self.zone)
        iso, shown = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"), there.strftime("%H:%M:%S")
        today = there.date() == self.today
        times = (iso, shown, "") if today else (iso, f"<span>{there:%m-%d}</span> {shown}", " dated")
        self.seconds[second] = times
        return times

    def _text(self, record: LogRecord) -> str:
        title, message = record.title, record.message
        if not title and not message:
            return f'<span class="dim">{self._snippet(preview(record.metadata))}</span>'
        if not title:
            return self._snippet(message)
        text = f"<b>{self._snippet(title)}</b>"
        return f"{text} · {self._snippet(message)}" if message else text

    def _snippet(self, text: str) -> str:
        if len(text) > MATCH_FROM:
            text = self._excerpt(text)
        return self.highlight(text if text.isprintable() else visible(text))

    def _excerpt(self, text: str) -> str:
        found = self.pattern.search(text) if self.pattern else None
        if found and found.start() > MATCH_FROM:
            text = "… " + text[found.start() - MATCH_FROM // 4 :]
        return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + " …"

    def _request(self, record: LogRecord) -> str:
        if not record.request_id:
            return ""
        day = record.timestamp // clock.DAY
        span = self.days.get(day)
        if span is None:
            span = self.days[day] = request_span(record.timestamp)
        return _request_link(self.url, record.request_id, span)


@lru_cache(maxsize=4096)
def _request_link(url: str, request_id: str, span: str) -> str:
    shown = visible(request_id)
    short = shown if len(shown) <= ID_SHOWN else shown[: ID_SHOWN - 2] + "…"
    q = quote(query.term("request_id", request_id), safe="", errors="replace")
    return (
        f'<a class="req" href="{escape(f"{url}?q={q}&{span}")}" '
        f'title="Every line of request {escape(shown)}">{escape(short)}</a>'
    )


def request_span(timestamp: int) -> str:
    """URL parameters from the day before to the day after: a request may be long, and clocks differ."""
    day = timestamp - timestamp % clock.DAY
    end = day + 2 * clock.DAY
    until = f"&to={clock.moment(end):%Y-%m-%d}T00:00Z" if end < clock.now() else ""
    return f"from={clock.moment(day - clock.DAY):%Y-%m-%d}T00:00Z{until}"


@lru_cache(maxsize=4096)
def colour_of(service: str) -> int:
    """The same colour for a service on every page and in every process."""
    return zlib.crc32(service.encode("utf-8", "replace")) % SERVICE_COLOURS


def preview(metadata: bytes) -> str:
    """What stands for a line that has neither title nor message."""
    return "" if metadata == b"{}" else metadata[: 4 * TEXT_MAX].decode("utf-8", "replace")


def visible(text: str, *, lines: bool = False) -> str:
    """`text` without a character that acts instead of being seen; on one line, unless `lines` are kept."""
    if text.isprintable():
        return text
    text = _COLOUR.sub("", text)
    if not lines:
        text = _LINE_BREAKS.sub(" ⏎ ", text).replace("\t", " ")
    return INVISIBLE.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"


# --- Matches -------------------------------------------------------------------------------------------------------


def highlighter(node: query.Node) -> Highlight:
    """A function that escapes text and marks what the query looked for."""
    pattern = _pattern(node)
    if pattern is None:
        return escape

    def highlight(text: str) -> str:
        pieces = pattern.split(text)
        if len(pieces) == 1:
            return escape(text)
        pieces[0::2] = map(escape, pieces[0::2])
        pieces[1::2] = [f"<mark>{escape(piece)}</mark>" for piece in pieces[1::2]]
        return "".join(pieces)

    return highlight


@lru_cache(maxsize=256)
def _pattern(node: query.Node) -> re.Pattern[str] | None:
    needles = sorted({needle for needle in _needles(node) if needle}, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, needles))})", re.IGNORECASE) if needles else None


def _needles(node: query.Node) -> Iterator[str]:
    match node:
        case query.Text(needle=needle):
            yield needle
        case query.And(children=children) | query.Or(children=children):
            for inner in children:
                yield from _needles(inner)
