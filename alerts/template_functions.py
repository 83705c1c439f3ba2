"""The functions of templates, with the names and results that Prometheus and Alertmanager give them. Pure.

https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
"""

from __future__ import annotations

import html
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial, reduce
from typing import Any, Final
from urllib.parse import quote

from core import expressions

WIDTH_MAX: Final = 1_000  # of a number in printf


def humanize(value: Any) -> str:
    """With metric prefixes: 1234567 is 1.235M."""
    return _scaled(_number(value), 1_000.0, ("", "k", "M", "G", "T", "P", "E", "Z", "Y"), ("", "m", "u", "n", "p", "f"))


def humanize1024(value: Any) -> str:
    """With binary prefixes: 2048 is 2ki."""
    return _scaled(_number(value), 1_024.0, ("", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"), ("",))


def _scaled(number: float, base: float, greater: Sequence[str], smaller: Sequence[str]) -> str:
    if not math.isfinite(number) or number == 0:
        return f"{number:.4g}"
    power = 0
    while abs(number) >= base and power < len(greater) - 1:
        number, power = number / base, power + 1
    while abs(number) < 1 and -power < len(smaller) - 1:
        number, power = number * base, power - 1
    return f"{number:.4g}{greater[power] if power >= 0 else smaller[-power]}"


def humanize_duration(value: Any) -> str:
    """Of seconds: 3725 is 1h 2m 5s."""
    seconds = _number(value)
    if not math.isfinite(seconds):
        return f"{seconds:.4g}"
    sign, seconds = "-" * (seconds < 0), abs(seconds)
    if 0 < seconds < 1:
        return sign + _scaled(seconds, 1_000.0, ("",), ("", "m", "u", "n")) + "s"
    if seconds < 60:
        return f"{sign}{seconds:.4g}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return sign + (f"{days}d " if days else "") + (f"{hours}h " if days or hours else "") + f"{minutes}m {rest}s"


def humanize_percentage(value: Any) -> str:
    """Of a ratio: 0.123 is 12.3%."""
    return f"{_number(value) * 100:.4g}%"


def humanize_timestamp(value: Any) -> str:
    return f"{datetime.fromtimestamp(_number(value), UTC):%Y-%m-%d %H:%M:%S} +0000 UTC"


def printf(form: str, *values: Any) -> str:
    """%s %d %f %g %e %x %q %v %%, with width and precision."""
    given = iter(values)

    def one(found: re.Match[str]) -> str:
        flags, verb = found[1], found[2]
        if verb == "%":
            return "%"
        if any(int(number) > WIDTH_MAX for number in re.findall(r"\d+", flags)):
            raise ValueError(f"expected a width of at most {WIDTH_MAX:,}")
        value = next(given, "")
        if verb == "q":
            return f'"{value}"'
        if verb in "sv":
            return f"%{flags}s" % (f"{value:g}" if isinstance(value, float) else value,)
        return f"%{flags}{verb}" % (int(_number(value)) if verb in "dxX" else _number(value))

    return re.sub(r"%([-+0# ]*\d*(?:\.\d+)?)([sdfgexXqv%])", one, form)


def _number(value: Any) -> float:
    return float(value)


def _replaced(expression: str, instead: str, text: str) -> str:
    """RE2, with $1 or ${1} for what a group found."""
    return str(expressions.compiled(expression).sub(re.sub(r"\$\{?(\d)\}?", r"\\\1", instead), str(text)))


def _matches(expression: str, text: str) -> bool:
    return expressions.compiled(expression).search(str(text)) is not None


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else value[int(key)]
    return value


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _compared(compare: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    return (
        compare(one, other)
        if isinstance(one, str) and isinstance(other, str)
        else compare(_number(one), _number(other))
    )


def _joined(separator: str, values: Sequence[Any]) -> str:
    return separator.join(map(str, values))


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
    "humanizeTimestamp": humanize_timestamp,
    "printf": printf,
    "toUpper": lambda text: str(text).upper(),
    "toLower": lambda text: str(text).lower(),
    "title": lambda text: re.sub(r"(?<!\S)\S", lambda found: found[0].upper(), str(text)),
    "trimSpace": lambda text: str(text).strip(),
    "reReplaceAll": _replaced,
    "match": _matches,
    "join": _joined,
    "len": len,
    "index": _index,
    "first": lambda values: values[0],
    "value": lambda value: value,
    "safeHtml": lambda text: text,
    "html": lambda text: html.escape(str(text)),
    "urlquery": lambda text: quote(str(text), safe=""),
    "eq": _equal,
    "ne": operator.ne,
    "lt": partial(_compared, operator.lt),
    "le": partial(_compared, operator.le),
    "gt": partial(_compared, operator.gt),
    "ge": partial(_compared, operator.ge),
    "not": operator.not_,
    "and": lambda *values: reduce(lambda one, other: one and other, values),
    "or": lambda *values: reduce(lambda one, other: one or other, values),
}
