"""Syslog messages as they are, not only as they should be: RFC 5424, RFC 3164, and what real senders make of them.

Pure, and nothing raises: what isn't understood is the text of the message.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from core import clock
from logs import plain
from logs.records import ID_MAX, NAME_MAX, LogRecord, RecordError, parse_level, parse_timestamp

MESSAGE_MAX: Final = 1 << 20  # bytes; what is longer is cut
SHORT_MAX: Final = ID_MAX  # characters of a host, a process id, a message id
PARAMETERS_MAX: Final = 200  # of the structured data of one message
ZONE_STEP: Final = 15 * clock.MINUTE  # all zones of the world differ from UTC by a multiple of it
ZONE_MAX: Final = 14 * clock.HOUR
ZONE_SLACK: Final = 5 * clock.SECOND

FACILITIES: Final = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
NOISE: Final = frozenset({"timeQuality"})  # structured data about the sender's clock, on every line of `logger`
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Message(msgspec.Struct):
    text: str
    priority: int | None = None  # facility * 8 + severity
    timestamp: int | None = None  # µs
    host: str = ""
    app: str = ""
    process: str = ""
    id: str = ""
    data: dict[str, str] = {}  # structured data, as "id.name"


# --- A message -----------------------------------------------------------------------------------------------------

_PRIORITY = re.compile(r"<(\d{1,3})>")
_RFC5424 = re.compile(r"1 (\S+) (\S+) (\S+) (\S+) (\S+) ?(.*)", re.DOTALL)
_ELEMENT = re.compile(r'\[([^ =\]"]+)((?: +[^ =\]"]+="(?:[^"\\]|\\.)*+")*+) *\]', re.DOTALL)
_parameters = re.compile(r' +([^ =\]"]+)="((?:[^"\\]|\\.)*+)"', re.DOTALL).findall
_escaped = re.compile(r'\\(["\\\]])').sub
_CLOCK = re.compile(
    r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(?P<day>\d{1,2}) (?:(?P<year>\d{4}) )?"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6}))?:? "
)
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) ")
_HOST = re.compile(r"([^\s\[\]]*[^\s\[\]:]) ")
_TAG = re.compile(r"([^\s:\[\]]{1,64})(?:\[([^\]\s]{0,64})\])?: ?")
_PROGRAM = re.compile(r"[a-z_][\w./@-]*")  # how a tag looks in a message that has no other header


def parse(data: bytes, received: int) -> Message:
    """One message without its framing. `received` (µs) finds the year and the zone that RFC 3164 leaves out."""
    text = data[:MESSAGE_MAX].decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\0\r\n ")
    found = _PRIORITY.match(text)
    if found is None or int(found[1]) >= len(FACILITIES) * 8:
        return Message(text)
    text = text[found.end() :]
    modern = _RFC5424.fullmatch(text)
    message = _modern(*modern.groups()) if modern else _traditional(text, received)
    message.priority = int(found[1])
    return message


def _modern(time: str, host: str, app: str, process: str, message_id: str, rest: str) -> Message:
    message = Message("", None, _time(time), _short(host), _short(app), _short(process), _short(message_id))
    place = 0
    while element := _ELEMENT.match(rest, place):
        place = element.end()
        for name, value in _parameters(element[2]) if element[1] not in NOISE else ():
            if len(message.data) < PARAMETERS_MAX:
                message.data[f"{element[1]}.{name}"] = _escaped(r"\1", value)
    if not place and rest[:1] == "-" and rest[1:2] in ("", " "):
        place = 1
    message.text = rest[place:].removeprefix(" ").removeprefix("\ufeff")
    return message


def _time(text: str) -> int | None:
    try:
        return None if text == "-" else parse_timestamp(text)
    except RecordError:
        return None


def _short(value: str) -> str:
    return "" if value == "-" else value[:SHORT_MAX]


def _traditional(text: str, received: int) -> Message:
    message = Message(text)
    if clocked := _CLOCK.match(text):
        message.timestamp, end = _nearest(clocked, received), clocked.end()
    elif (iso := _ISO.match(text)) and (timestamp := _time(iso[1])) is not None:
        message.timestamp, end = timestamp, iso.end()
    else:
        tag = _TAG.match(text)
        if tag and (tag[2] or (_PROGRAM.fullmatch(tag[1]) and parse_level(tag[1]) is None)):
            _take_tag(message, tag, text)
        return message
    rest = text[end:]
    if (host := _HOST.match(rest)) and not _TAG.match(rest):
        message.host, rest = host[1][:SHORT_MAX], rest[host.end() :]
    message.text = rest
    if tag := _TAG.match(rest):
        _take_tag(message, tag, rest)
    return message


def _take_tag(message: Message, tag: re.Match[str], text: str) -> None:
    message.app, message.process, message.text = tag[1], tag[2] or "", text[tag.end() :]


def _nearest(clocked: re.Match[str], received: int) -> int | None:
    """The time that a clock without a zone, and mostly without a year, shows: the possible one nearest to `received`.

    It is UTC, unless the difference is that of another zone to within seconds.
    """
    this_year = clock.moment(received).year
    years = [int(clocked["year"])] if clocked["year"] else [this_year - 1, this_year, this_year + 1]
    month = MONTHS.index(clocked["month"]) + 1
    day, hour, minute, second = (int(clocked[name]) for name in ("day", "hour", "minute", "second"))
    times = []
    for year in years:
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            continue  # 29 February, or 25 o'clock
        times.append(clock.micros(moment) + int((clocked["fraction"] or "0").ljust(6, "0")))
    if not times:
        return None
    time = min(times, key=lambda each: abs(each - received))
    zone = round((time - received) / ZONE_STEP) * ZONE_STEP
    is_zone = abs(zone) <= ZONE_MAX and abs(time - zone - received) <= ZONE_SLACK
    return time - zone if is_zone else time


def record(message: Message, received: int, sender: str = "", service: str = "") -> LogRecord:
    """`sender` is the address that it came from, `service` the one of messages without an app name."""
    labels = {
        "host": message.host or sender,
        "facility": "" if message.priority is None else FACILITIES[message.priority // 8],
        "procid": message.process,
        "msgid": message.id,
        **message.data,
    }
    return plain.read(
        message.text,
        received,
        timestamp=message.timestamp,
        service=(message.app or service or message.host)[:NAME_MAX],
        labels={name: value for name, value in labels.items() if value},
        level=None if message.priority is None else parse_level(message.priority % 8),
    )


# --- A connection --------------------------------------------------------------------------------------------------

_COUNT = re.compile(rb"([1-9]\d{0,7}) <")
_MAYBE_COUNT = re.compile(rb"[1-9]\d{0,7} ?")


class Frames:
    """The messages of one TCP connection (RFC 6587): counted, or with an end of LF or NUL; found out for each.

    Who sends NUL, as Python does, may send line ends within a message.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._skip = 0  # bytes of a counted message that is too long
        self._skip_to_end = False  # the same, of one with an end
        self._has_nul = False

    def feed(self, data: bytes) -> list[bytes]:
        """What is whole now. Empty messages are left out, too long ones are cut."""
        self._has_nul = self._has_nul or b"\0" in data
        self._data += data
        messages = []
        while self._data:
            message = self._next()
            if message is None:
                break
            if message.strip():
                messages.append(message)
        return messages

    def end(self) -> list[bytes]:
        """The connection is closed: what has no end is a message, too, unless its count says that more was to come."""
        rest, self._data = bytes(self._data), bytearray()
        return [rest] if rest.strip() and not self._skip and not self._skip_to_end and not _COUNT.match(rest) else []

    def _next(self) -> bytes | None:
        if self._skip:
            skipped = min(self._skip, len(self._data))
            del self._data[:skipped]
            self._skip -= skipped
            return b""
        if not self._skip_to_end:
            if counted := _COUNT.match(self._data):
                return self._counted(int(counted[1]), counted.end() - 1)
            if _MAYBE_COUNT.fullmatch(self._data):
                return None
        return self._ended()

    def _counted(self, length: int, begin: int) -> bytes | None:
        kept = min(length, MESSAGE_MAX)
        if len(self._data) < begin + kept:
            return None
        message = bytes(self._data[begin : begin + kept])
        del self._data[: begin + kept]
        self._skip = length - kept
        return message

    def _ended(self) -> bytes | None:
        ends = [self._data.find(end) for end in (b"\0",) + (() if self._has_nul else (b"\n",))]
        end = min((place for place in ends if place >= 0), default=-1)
        if end < 0 and len(self._data) <= MESSAGE_MAX:
            return None
        message = b"" if self._skip_to_end else bytes(self._data[: MESSAGE_MAX if end < 0 else min(end, MESSAGE_MAX)])
        del self._data[: len(self._data) if end < 0 else end + 1]
        self._skip_to_end = end < 0
        return message
