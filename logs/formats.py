"""The first words of a plain line: when, how bad, who, as common programs write them. Pure.

A format is known by its shape, never by a word that a sentence may have, too: "0 errors found" is no error. What isn't
known stays in the message, and its level is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from re import Match
from typing import Any, Final, NamedTuple

from core import clock
from logs.records import Level, parse_level

HEAD_MAX: Final = 4_096  # characters in which a format must show itself


class Head(NamedTuple):
    """What the beginning of a line says. `zoned`: the time says of which zone it is."""

    message: str
    level: Level | None = None
    time: int | None = None
    zoned: bool = False
    logger: str = ""
    metadata: dict[str, Any] = {}


# --- Words ---------------------------------------------------------------------------------------------------------

# Where only a level can stand, in brackets or beside a time, any case will do; elsewhere only capitals.
_UPPER: Final = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE"
_BESIDE: Final = (
    f"{_UPPER}|TRC|DBG|INF|WRN|ERR|FTL|CRIT|EMERG|EMERGENCY|ALERT|PANIC|DPANIC|VERBOSE|FINE|FINER|FINEST|CONFIG|SUCCESS"
)
_WORD: Final = rf"(?P<level>{_BESIDE})"
_ANY_CASE: Final = rf"(?P<level>(?i:{_UPPER}|TRC|DBG|INF|WRN|ERR|FTL|CRIT|EMERG|INFORMATION|[DIWEF](?=\])))"
_OTHER_WORDS: Final[dict[str, Level]] = {
    "note": Level.INFO, "system": Level.INFO, "hint": Level.INFO, "detail": Level.INFO, "statement": Level.INFO,
    "context": Level.INFO, "query": Level.INFO, "dbug": Level.DEBUG, "trce": Level.TRACE, "deprecated": Level.WARN,
    "parse error": Level.ERROR, "fatal error": Level.FATAL, "strict standards": Level.WARN,
    "core error": Level.FATAL, "pani": Level.FATAL, "fata": Level.FATAL, "erro": Level.ERROR, "debu": Level.DEBUG,
    "trac": Level.TRACE, "core warning": Level.WARN, "recoverable fatal error": Level.ERROR,
}  # fmt: skip


@lru_cache(256)
def _level(word: str) -> Level | None:
    folded = word.lower()
    if folded in _OTHER_WORDS:
        return _OTHER_WORDS[folded]
    return parse_level(folded.rstrip("12345") or folded)


def level_of_status(status: int) -> Level:
    """Of an HTTP answer: 5xx is an error of ours, 4xx a warning, for it is mostly one of the caller's."""
    return Level.ERROR if status >= 500 else Level.WARN if status >= 400 else Level.INFO


# --- Times ---------------------------------------------------------------------------------------------------------

_MONTHS: Final = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)  # noqa: SIM905
}
_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = re.compile(
    r"\[?(?P<date>\d{4}[-/]\d\d[-/]\d\d)[T ](?P<clock>\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"
    r"(?P<zone>Z| ?(?:UTC|GMT)\b| ?[+-]\d\d:\d\d(?![\d:])| ?[+-]\d{4}(?!\d)|[+-]\d\d(?![\d:]))?"
)
_UTC: Final = {"Z", "UTC", "GMT"}


def _iso(date: str, time: str, zone: str) -> int | None:
    zone = zone.lstrip()
    try:
        when = datetime.fromisoformat(f"{date.replace('/', '-')}T{time}{'Z' if not zone or zone in _UTC else zone}")
        return clock.micros(when)
    except (ValueError, OverflowError):
        return None


def _named_month(found: Match[str], received: int) -> tuple[int | None, bool]:
    """A day with the month as a word, from the groups day, month, year (may be missing), clock and zone."""
    parts = found.groupdict("")
    year, month = parts.get("year", ""), _MONTHS[parts["month"]]
    zone = parts.get("zone", "")
    date = f"{month:02}-{int(parts['day']):02}"
    if year:
        return _iso(f"{year}-{date}", parts["clock"], zone if zone[:1] in "+-" or zone in _UTC else ""), bool(zone)
    return _nearest(date, parts["clock"], received), False


def _nearest(date: str, time: str, received: int) -> int | None:
    """A day without a year: the one that is nearest to now, but for a day not ahead."""
    latest = clock.moment(received) + timedelta(days=1)
    when = _iso(f"{latest.year}-{date}", time, "")
    if when is None or when > clock.micros(latest):
        when = _iso(f"{latest.year - 1}-{date}", time, "")
    return when


# --- Formats that begin with something else than an ISO time -------------------------------------------------------

_Reader = Callable[[Match[str], int], Head | None]


def _klog(found: Match[str], received: int) -> Head:
    date = f"{found['month']}-{found['day']}"
    level = {"I": Level.INFO, "W": Level.WARN, "E": Level.ERROR, "F": Level.FATAL, "D": Level.DEBUG}[found["level"]]
    more = {"thread": found["thread"], "caller": found["caller"]}
    return Head(found["message"], level, _nearest(date, found["clock"], received), False, "", more)


def _redis(found: Match[str], received: int) -> Head:
    time, _ = _named_month(found, received)
    level = {".": Level.DEBUG, "-": Level.INFO, "*": Level.INFO, "#": Level.WARN}[found["level"]]
    return Head(found["message"], level, time, False, "", {"pid": int(found["pid"]), "role": found["role"]})


def _access(found: Match[str], received: int) -> Head:
    time, _ = _named_month(found, received)
    status = int(found["status"])
    more: dict[str, Any] = {
        "remote_addr": found["remote"], "user": found["user"], "method": found["method"], "path": found["path"],
        "status": status, "bytes": int(found["bytes"]) if found["bytes"].isdigit() else None,
        "referer": found["referer"], "user_agent": found["agent"], "rest": found["rest"].strip() or None,
    }  # fmt: skip
    shown = {name: value for name, value in more.items() if value not in (None, "-")}
    return Head(f"{found['request']} {status}", level_of_status(status), time, True, "", shown)


_OWN: Final = frozenset("level logger other message day month year clock zone date rest".split())  # noqa: SIM905


def _plain(found: Match[str], time: int | None = None, zoned: bool = False) -> Head:
    """Groups of other names than a record's become metadata."""
    groups = found.groupdict()
    word = groups.get("level")
    return Head(
        groups["message"] or "",
        _level(word) if word else None,
        time,
        zoned,
        groups.get("logger") or groups.get("other") or "",
        {name: value for name, value in groups.items() if value and name not in _OWN},
    )


def _undated(found: Match[str], received: int) -> Head:
    return _plain(found)


def _dated(found: Match[str], received: int) -> Head:
    return _plain(found, *_named_month(found, received))


def _php(found: Match[str], received: int) -> Head:
    head = _dated(found, received)
    if head.level is None and (word := _FPM.match(head.message)):
        return head._replace(level=_level(word["level"]), message=word["message"])
    return head


_FPM = re.compile(r"(?P<level>DEBUG|NOTICE|WARNING|ERROR|ALERT): (?P<message>.*)", re.DOTALL)


def _ruby(found: Match[str], received: int) -> Head:
    return _plain(found, _iso(found["date"], found["clock"], ""))


def _tornado(found: Match[str], received: int) -> Head:
    date = found["date"]
    date = date if "-" in date else f"20{date[:2]}-{date[2:4]}-{date[4:]}"
    return _plain(found, _iso(date, found["clock"], ""))


def _level_then_time(found: Match[str], received: int) -> Head:
    """ "INFO 2026-11-21 10:30:45,123 views …" """
    zone = found["zone"] or ""
    head = _after_time(found["rest"], _iso(found["date"], found["clock"], zone), zone != "")
    return head._replace(level=_level(found["level"]))


_CLOCK: Final = r"(?P<clock>\d\d:\d\d:\d\d(?:[.,]\d+)?)"
_ACCESS = re.compile(
    r"(?:[\w.-]+:\d+ )?(?P<remote>[\da-fA-F.:]+|[\w.-]+) \S+ (?P<user>.{1,100}?) "
    rf"\[(?P<day>\d\d)/(?P<month>{_MONTH})/(?P<year>\d{{4}}):(?P<clock>\d\d:\d\d:\d\d) (?P<zone>[+-]\d{{4}})\] "
    r'"(?P<request>(?:(?P<method>[A-Z]{3,10}) (?P<path>\S+)(?: HTTP/[\d.]+)?|(?:[^"\\]|\\.)*))" '
    r"(?P<status>[1-5]\d\d) (?P<bytes>\d+|-)"
    r'(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?(?P<rest>.*)',
    re.DOTALL,
)

# By their first character: a digit, a letter, a bracket. The message is all that follows.
_FORMATS: Final[dict[str, list[tuple[re.Pattern[str], _Reader]]]] = {
    kind: [(re.compile(pattern, re.DOTALL), reader) for pattern, reader in formats]
    for kind, formats in {
        "digit": (
            # Redis and Valkey: "1:M 21 Nov 2026 10:30:45.123 * Ready to accept connections"
            (
                rf"(?P<pid>\d+):(?P<role>[XCSM]) (?P<day>\d\d) (?P<month>{_MONTH}) (?P<year>\d{{4}}) {_CLOCK} "
                r"(?P<level>[.\-*#]) (?P<message>.*)",
                _redis,
            ),
            # Tomcat: "21-Nov-2026 10:30:45.123 INFO [main] org.apache.catalina.startup.Catalina.start Server …"
            (
                rf"(?P<day>\d\d)-(?P<month>{_MONTH})-(?P<year>\d{{4}}) {_CLOCK} {_WORD} \[(?P<thread>[^\]]*)\] "
                r"(?P<logger>\S+) (?P<message>.*)",
                _dated,
            ),
            # zap's, zerolog's and Logback's short times: "10:30:45.123 [main] INFO com.example.App -- Started"
            (
                rf"\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[AP]M)?\s+(?:\[(?P<thread>[^\]]+)\]\s+)?{_WORD}:?\s+"
                r"(?:(?P<logger>[A-Za-z_$][\w$]*(?:(?:\.|::)[\w$-]+)*)\s+--?\s+)?(?P<message>\S.*)",
                _undated,
            ),
            # Elixir, and others that put a short time before a bracket: "10:30:45.123 [info] GET /"
            (rf"\d\d:\d\d:\d\d(?:[.,]\d+)?\s+\[{_ANY_CASE}\s*\]\s+(?P<message>\S.*)", _undated),
        ),
        "letter": (
            # klog and glog: "I1121 10:30:45.123456       1 controller.go:116] Starting"
            (
                rf"(?P<level>[IWEFD])(?P<month>\d\d)(?P<day>\d\d) {_CLOCK}\s+(?P<thread>\d+) "
                r"(?P<caller>[^\s\]]+:\d+)\] (?P<message>.*)",
                _klog,
            ),
            # Ruby's Logger, Rails: "I, [2026-11-21T10:30:45.123456 #12]  INFO -- : Started GET"
            (
                rf"[DIWEFA], \[(?P<date>\d{{4}}-\d\d-\d\d)T{_CLOCK} #(?P<pid>\d+)\]\s+(?P<level>[A-Z]+) -- "
                r"(?P<logger>[^:\s]*) ?: (?P<message>.*)",
                _ruby,
            ),
            # Django's verbose format and its like: "INFO 2026-11-21 10:30:45,123 views 12 Started"
            (rf"{_WORD}:?\s+{_TIME.pattern}(?P<rest>.*)", _level_then_time),
            # Python's root logger: "WARNING:app.views:slow"
            (
                rf"(?P<level>{_UPPER}):(?P<logger>[A-Za-z_][\w.-]*):(?P<message>.*)",
                _undated,
            ),
            # logrus on a terminal: "INFO[0003] Listening"
            (rf"(?P<level>{_UPPER}|PANI|FATA|ERRO|DEBU|TRAC)\[\d+\]\s+(?P<message>.*)", _undated),
            # .NET's console: "info: Microsoft.Hosting.Lifetime[14]"
            (
                r"(?P<level>trce|dbug|info|warn|fail|crit): (?P<logger>[A-Za-z_][\w.+`]*)\[(?P<event_id>\d+)\]"
                r"(?:\s+(?P<message>.*)|$)",
                _undated,
            ),
            # syslog's files: "Nov 21 10:30:45 web-1 sshd[812]: Accepted publickey"
            (
                rf"(?P<month>{_MONTH}) (?P<day>[ \d]\d) {_CLOCK} (?P<host>\S+) (?P<logger>[^\s:\[]+)"
                r"(?:\[(?P<pid>\d+)\])?: (?P<message>.*)",
                _dated,
            ),
            # The word itself: "ERROR: …", "INFO:     …", "WARNING - …", "ERROR  [main] …", "INFO Listening"
            (rf"(?P<level>{_UPPER})(?:\s*:|\s+-|\s*\||)\s+(?![=:])(?P<message>\S.*)", _undated),
        ),
        "bracket": (
            # Apache's error log: "[Sat Nov 21 10:30:45.123456 2026] [core:error] [pid 12:tid 34] …"
            (
                rf"\[[A-Z][a-z]{{2}} (?P<month>{_MONTH}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})\] "
                r"\[(?:(?P<module>[\w-]*):)?(?P<level>\w+)\] (?:\[pid (?P<pid>\d+)(?::tid (?P<tid>\d+))?\] )?"
                r"(?:\[client (?P<client>[^\]]+)\] )?(?P<message>.*)",
                _dated,
            ),
            # PHP: "[21-Nov-2026 10:30:45 UTC] PHP Warning:  Undefined variable"
            (
                rf"\[(?P<day>\d\d)-(?P<month>{_MONTH})-(?P<year>\d{{4}}) {_CLOCK}(?: (?P<zone>UTC|GMT)| [\w/]+)?\] "
                r"(?:PHP (?P<level>Fatal error|Parse error|Warning|Notice|Deprecated|Strict Standards|Core error|"
                r"Recoverable fatal error|Core warning):\s+)?(?P<message>.*)",
                _php,
            ),
            # Tornado, Jupyter: "[I 2026-11-21 10:30:45.123 ServerApp] …", "[W 261121 10:30:45 web:2239] …"
            (
                r"\[(?P<level>[DIWEC]) (?P<date>\d{6}|\d{4}-\d\d-\d\d) (?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?) "
                r"(?P<logger>[^\]]+)\] (?P<message>.*)",
                _tornado,
            ),
            # Serilog: "[10:30:45 INF] Started"; HAProxy and many more: "[WARNING]  (1) : …", "[error] …"
            (rf"\[(?:\d\d:\d\d:\d\d(?:[.,]\d+)? )?{_ANY_CASE}\s*\]:?\s*(?P<message>\S.*)", _undated),
        ),
    }.items()
}
# --- After an ISO time ---------------------------------------------------------------------------------------------

_NAME: Final = r"[A-Za-z_$][\w$-]*(?:(?:\.|::|/)[\w$<>{}-]+)*"
_DOTTED: Final = r"(?:[A-Za-z_$][\w$-]*(?:\.|::))+[\w$<>{}-]+"
# By what comes next: two characters, of which letters and digits are "a" and "0".
_BARE: Final = (
    # "  INFO app::db: …", " ERROR [main] com.example.App: …", " WARN app] …", " INFO: …"
    rf"\]?:?\s+{_WORD}(?::|\]|\b)(?:\s+\[(?P<thread>[^\]]+)\])?\s+(?:-\s+)?"
    rf"(?:(?P<logger>{_DOTTED}|[a-z]\w*_\w+)(?: ?\[[^\]]*\])?(?:\]|:(?!\S)| :| -| --) ?|(?P<other>\w+)\] )?"
    r"(?P<message>.*)"
)
_BRACKETED: Final = (
    # Logback, log4j: " [main] INFO  com.example.App - …"
    rf"\]? \[(?P<thread>[^\]]+)\] {_WORD}:?\s+(?:(?P<logger>{_NAME})(?: ?\[[^\]]*\])? ?(?:-|--|:) )?(?P<message>.*)",
    # " [info] …", " [ERROR] app: …"
    rf"\]?:? ?\[{_ANY_CASE}\s*\]:?\s*(?:(?P<logger>{_DOTTED}):? - |(?P<other>{_DOTTED}): )?(?P<message>.*)",
)
_POSTGRES: Final = (
    # " [1234] app@db LOG:  …"
    r"(?: [A-Z]{2,5})? \[(?P<pid>\d+)\](?:-\d+)?:? (?:\[[\d-]+\] )?(?:(?P<user>[^\s@]+)@(?P<database>\S+) )?"
    r"(?P<level>DEBUG[1-5]?|INFO|NOTICE|WARNING|ERROR|LOG|FATAL|PANIC|DETAIL|HINT|STATEMENT|CONTEXT|QUERY):\s+"
    r"(?P<message>.*)"
)
_AFTER: Final[dict[str, list[re.Pattern[str]]]] = {
    next_two: [re.compile(pattern, re.DOTALL) for pattern in patterns]
    for next_two, patterns in {
        " -": (
            # Python: " - app.views - ERROR - …", and the two the other way round
            rf" - (?P<logger>[\w.$-]+) - {_WORD} - (?P<message>.*)",
            rf" - {_WORD} - (?:(?P<logger>{_DOTTED}) - )?(?P<message>.*)",
        ),
        " |": (
            # loguru: " | INFO     | app.main:run:12 - …"
            rf" \| {_WORD}\s* \| (?P<logger>[\w.<>-]+):(?P<function>[\w<>]+):(?P<line>\d+) - (?P<message>.*)",
            rf" \| {_WORD}\s* \| (?P<message>.*)",
        ),
        " [": (
            # nginx: " [error] 31#31: *1 open() …"
            r" \[(?P<level>debug|info|notice|warn|error|crit|alert|emerg)\] (?P<pid>\d+)#\d+: (?P<message>.*)",
            _POSTGRES,
            *_BRACKETED,
        ),
        "] ": (
            # gunicorn: "] [12] [INFO] …"
            rf"\] \[(?P<pid>\d+)\] \[{_WORD}\s*\] (?P<message>.*)",
            # Monolog, Laravel: "] app.ERROR: …"
            rf"\] (?P<logger>[\w-]+)\.{_WORD}: (?P<message>.*)",
            *_BRACKETED,
            _BARE,
        ),
        "][": (
            # Elasticsearch: "][INFO ][o.e.n.Node] [node-1] …"
            rf"\]\[{_WORD}\s*\]\[(?P<logger>[^\]\s]+)\s*\] ?(?P<message>.*)",
            *_BRACKETED,
        ),
        # Celery: ": INFO/MainProcess] …"
        ": ": (rf": {_WORD}/(?P<process>[^\]]+)\] (?P<message>.*)", _BARE, *_BRACKETED),
        # MySQL, MariaDB: " 0 [Warning] [MY-010068] [Server] …"
        " 0": (
            r" (?P<thread>\d+) \[(?P<level>Warning|Note|ERROR|System|Error)\] "
            r"(?:\[(?P<code>MY-\d+)\] \[(?P<logger>\w+)\] )?(?P<message>.*)",
        ),
        # zap, and Caddy: "\tINFO\tcaller.go:12\t…"
        "\t": (
            rf"\t{_WORD}\t(?:(?P<logger>{_NAME})\t)?(?:(?P<caller>[\w./@-]+\.go:\d+)\t)?(?P<message>.*)",
            _BARE,
        ),
        " a": (
            _BARE,
            _POSTGRES,
            # Go: " main.go:12: …"
            r" (?P<caller>[\w./-]+\.go:\d+): (?P<message>.*)",
        ),
        "  ": (
            # Spring Boot: "  INFO 1 --- [app] [  main] c.e.App  : Started"
            rf"\s+{_WORD}\s+(?P<pid>\d+) --- (?:\[[^\]]*\] )?\[\s*(?P<thread>[^\]]*)\] (?P<logger>\S+)\s*: "
            r"(?P<message>.*)",
            _BARE,
        ),
    }.items()
}
_AFTER[" a"].insert(0, _AFTER["  "][0])
_BETWEEN = re.compile(r"\]?\s*(?:[-:|]+\s+)?")


def _after_time(rest: str, time: int | None, zoned: bool) -> Head:
    following = rest[1:2]
    kind = "a" if following.isalpha() else "0" if following.isdigit() else following
    key = "\t" if rest[:1] == "\t" else rest[:1] + kind
    for pattern in _AFTER.get(key, ()):
        if found := pattern.match(rest):
            return _plain(found, time, zoned)
    return Head(_BETWEEN.sub("", rest, count=1), None, time, zoned)


def read_head(line: str, received: int) -> Head:
    """The beginning of a line, read. Nothing known: the line is the message."""
    first = line[:1]
    if first.isdigit() or first == "[":
        if found := _TIME.match(line):
            zone = found["zone"] or ""
            time = _iso(found["date"], found["clock"], zone)
            if time is None:
                return Head(line)
            return _after_time(line[found.end() :], time, zone != "")
        formats = _FORMATS["digit" if first != "[" else "bracket"]
    elif first.isalpha():
        formats = _FORMATS["letter"]
    else:
        formats = []
    if '] "' in line[:HEAD_MAX] and (found := _ACCESS.match(line)):
        return _access(found, received)
    for pattern, reader in formats:
        if (found := pattern.match(line)) and (head := reader(found, received)) is not None:
            return head
    return Head(line)
