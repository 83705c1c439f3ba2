"""The shape of `alertmanager.yml`. Pure.

https://prometheus.io/docs/alerting/latest/configuration/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec

from alerts import durations, matchers
from alerts.labels import NAME
from alerts.matchers import Matcher, MatcherError
from core import yaml_text
from core.yaml_text import YamlError

FILE_MAX: Final = 1 << 20  # bytes
ROUTES_MAX: Final = 1_000
EACH_ALONE: Final = "..."  # in group_by: every label


class ConfigError(ValueError):
    """What was expected, and what came; where, if that is known."""


class Route(msgspec.Struct, omit_defaults=True):
    """`matchers` has them all: `match` and `match_re`, as they were written before, are read into it."""

    receiver: str = ""
    matchers: list[str] = []
    match: dict[str, str] = {}
    match_re: dict[str, str] = {}
    group_by: list[str] | None = None
    continues: bool = msgspec.field(default=False, name="continue")
    group_wait: str | None = None
    group_interval: str | None = None
    repeat_interval: str | None = None
    mute_time_intervals: list[str] = []
    active_time_intervals: list[str] = []
    routes: list[Route] = []


class Inhibition(msgspec.Struct, omit_defaults=True):
    source_matchers: list[str] = []
    source_match: dict[str, str] = {}
    source_match_re: dict[str, str] = {}
    target_matchers: list[str] = []
    target_match: dict[str, str] = {}
    target_match_re: dict[str, str] = {}
    equal: list[str] = []


class TimeInterval(msgspec.Struct):
    name: str
    time_intervals: list[Any]


class Config(msgspec.Struct, omit_defaults=True):
    """A receiver is as it was written: `{"name": "ops", "slack_configs": [{…}]}`."""

    global_: dict[str, Any] = msgspec.field(default_factory=dict, name="global")
    route: Route | None = None
    receivers: list[dict[str, Any]] = []
    inhibit_rules: list[Inhibition] = []
    time_intervals: list[TimeInterval] = []
    mute_time_intervals: list[TimeInterval] = []
    templates: list[str] = []


def read(text: str) -> tuple[Config, list[str]]:
    """The file, and the names in it that are not known here: "route.routes[0].colour". Raises ConfigError."""
    try:
        root = yaml_text.compose(text)
        found = {} if root is None else yaml_text.texts(root)
    except YamlError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(found, dict) or not found:
        raise ConfigError("expected a mapping with route: and receivers:")
    try:
        config = msgspec.convert(found, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error).replace("`", "")) from None
    if config.route is None:
        raise ConfigError("expected route: with a receiver; there is none")
    _normalise(config.route, "route", [ROUTES_MAX])
    for at, rule in enumerate(config.inhibit_rules):
        for side in ("source", "target"):
            where = f"inhibit_rules[{at}]"
            setattr(rule, f"{side}_matchers", _all_matchers(rule, f"{side}_", where))
            setattr(rule, f"{side}_match", {})
            setattr(rule, f"{side}_match_re", {})
            if not getattr(rule, f"{side}_matchers"):
                raise ConfigError(f"{where}: expected {side}_matchers")
    return config, [*_unknown(found, Config, "")]


def _normalise(route: Route, where: str, left: list[int]) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise ConfigError(f"expected at most {ROUTES_MAX:,} routes")
    route.matchers, route.match, route.match_re = _all_matchers(route, "", where), {}, {}
    for field in ("group_wait", "group_interval", "repeat_interval"):
        given = getattr(route, field)
        try:
            if given is not None:
                durations.read(given)
        except ValueError as error:
            raise ConfigError(f"{where}.{field}: {error}") from None
    for name in route.group_by or ():
        if name != EACH_ALONE and not NAME.fullmatch(name):
            raise ConfigError(f"{where}.group_by: expected names of labels, got {name[:40]!r}")
    for at, child in enumerate(route.routes):
        _normalise(child, f"{where}.routes[{at}]", left)


def _all_matchers(of: Route | Inhibition, prefix: str, where: str) -> list[str]:
    """Each as one text, as rows keep them."""
    found = [Matcher(name, value) for name, value in getattr(of, f"{prefix}match").items()]
    found += [Matcher(name, value, is_regex=True) for name, value in getattr(of, f"{prefix}match_re").items()]
    try:
        for text in getattr(of, f"{prefix}matchers"):
            found += matchers.split(text)
        # Once more: an old form has names and expressions that nobody has looked at.
        return [str(each) for each in matchers.parse_all([str(each) for each in found])]
    except MatcherError as error:
        raise ConfigError(f"{where}.{prefix}matchers: {error}") from None


def _unknown(found: Any, shape: Any, where: str) -> Iterator[str]:
    """Names that a struct has no field for; receivers are looked at by who reads them."""
    if isinstance(found, list):
        for at, each in enumerate(found):
            yield from _unknown(each, shape, f"{where}[{at}]")
    if not isinstance(found, Mapping):
        return
    fields = {each.encode_name: each.type for each in msgspec.structs.fields(shape)}
    for name, value in found.items():
        path = f"{where}.{name}" if where else name
        if name not in fields:
            yield path
        elif inner := _struct_in(fields[name]):
            yield from _unknown(value, inner, path)


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((found for each in get_args(kind) if (found := _struct_in(each))), None)


def write(config: Config) -> str:
    return yaml_text.write(msgspec.to_builtins(config))


def walk(route: Route) -> Iterator[Route]:
    yield route
    for child in route.routes:
        yield from walk(child)


def matchers_of(route: Route) -> Sequence[Matcher]:
    return matchers.parse_all(route.matchers)
