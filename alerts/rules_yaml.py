"""Rules as YAML, in the form of Prometheus' rule files, with keys of our own where that has none: out of one
installation, into another one or into version control.

An import makes rules and changes those of the same name; what the file doesn't mention stays. docs/alert-rules.md
describes the format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Final

import msgspec
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import conditions, durations, severity_names
from alerts.conditions import ConditionError
from alerts.models import AlertRule, EscalationPolicy, Receiver
from alerts.severity import Severity
from core import yaml_text
from core.yaml_text import YamlError

FILE_MAX: Final = 1 << 20  # bytes
RULES_MAX: Final = 2_000
PROBLEMS_MAX: Final = 50
SHOWN_MAX: Final = 60  # characters of a value
GROUP: Final = "pharos"  # of rules that belong to no pack
MAKE, MODIFY, LEAVE = "make", "change", "leave"
RUNBOOK: Final = {
    "what": "what", "impact": "impact", "diagnosis": "diagnosis", "resolution": "resolution",
    "escalation": "escalating",
}  # fmt: skip
ANNOTATIONS: Final = ("summary", "description")


class Problem(msgspec.Struct, frozen=True):
    line: int  # 0: of the file as a whole
    message: str  # a sentence without its end

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class Entry(msgspec.Struct, frozen=True):
    """A rule, as far as the file speaks of it."""

    line: int
    name: str
    values: dict[str, Any]  # by field of the model
    receivers: list[str] | None = None  # None: the file doesn't say
    escalation: str | None = None


class Document(msgspec.Struct, frozen=True):
    entries: list[Entry]
    problems: list[Problem]


class Row(msgspec.Struct, frozen=True):
    """What becomes of an entry."""

    line: int
    what: str
    verb: str
    details: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    rows: list[Row]
    problems: list[Problem]
    edits: list[tuple[AlertRule, Entry]]  # rules as they are to be: those that are made or changed

    @property
    def counts(self) -> dict[str, int]:
        return {verb: sum(row.verb == verb for row in self.rows) for verb in (MAKE, MODIFY, LEAVE)}


class RefusedError(Exception):
    """Nothing was imported."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


# --- Writing ---------------------------------------------------------------------------------------------------------


def write(rules: Iterable[AlertRule]) -> str:
    """A group for each pack. What is as it would be anyway is left out."""
    ordered = sorted(rules, key=lambda rule: (rule.pack, rule.name))
    groups = [
        {"name": pack or GROUP, "rules": [as_entry(rule) for rule in several]}
        for pack, several in groupby(ordered, key=lambda rule: rule.pack)
    ]
    return yaml_text.write({"groups": groups})


def as_entry(rule: AlertRule) -> dict[str, Any]:
    """As the file has it."""
    usual = AlertRule()
    found: dict[str, Any] = {"alert": rule.name, "condition": rule.kind, "config": rule.config}
    if rule.thresholds:
        found["operator"] = str(rule.operator)
        found["thresholds"] = {each["severity"]: _plain(each["value"]) for each in rule.thresholds}
    found["severity"] = str(rule.severity)
    for key, field in (("interval", "interval"), ("for", "pending_for"), ("keep_firing_for", "keep_firing_for")):
        if getattr(rule, field) != getattr(usual, field):
            found[key] = durations.write(getattr(rule, field))
    for field in ("no_data", "alerts_max"):
        if getattr(rule, field) != getattr(usual, field):
            found[field] = _plain(getattr(rule, field))
    found["labels"] = dict(rule.labels)
    found["annotations"] = {name: getattr(rule, name) for name in ANNOTATIONS if getattr(rule, name)}
    found["receivers"] = sorted(receiver.name for receiver in rule.receivers.all())
    found["escalation"] = rule.escalation.name if rule.escalation else None
    found["runbook"] = {key: getattr(rule, field) for key, field in RUNBOOK.items() if getattr(rule, field)}
    found["comment"] = rule.comment
    found["enabled"] = rule.enabled
    return {key: value for key, value in found.items() if value not in (None, "", {}, [])}


def _plain(value: Any) -> Any:
    """5.0 is written as 5, an enumeration as its value."""
    if isinstance(value, float) and value == int(value):
        return int(value)
    return str(value) if isinstance(value, str) else value


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(text: str) -> Document:
    """Never fails: what is wrong is among its problems."""
    if len(text) > FILE_MAX:
        return Document(
            [], [Problem(0, f"expected at most {FILE_MAX:,} characters, got {len(text):,}: divide the file")]
        )
    found = Document([], [])
    try:
        root = yaml_text.compose(text)
        if root is None:
            raise YamlError(0, "the file is empty")
        for group in _items(root, "groups"):
            for node in _items(group, "rules"):
                _read_rule(node, found)
    except YamlError as error:
        found.problems.append(Problem(error.line, error.message))
    if len(found.entries) > RULES_MAX:
        return Document([], [Problem(0, f"expected at most {RULES_MAX:,} rules, got {len(found.entries):,}")])
    return found


def _items(node: Any, key: str) -> list[Any]:
    """Raises YamlError."""
    if node.id == "mapping":
        for name, value in node.value:
            if name.value == key:
                if value.id == "sequence":
                    return list(value.value)
                raise YamlError(yaml_text.line_of(value), f"expected a list after {key}:")
    raise YamlError(yaml_text.line_of(node), f"expected {key}: with a list")


def _read_rule(node: Any, found: Document) -> None:
    line = yaml_text.line_of(node)
    try:
        said = yaml_text.texts(node)
        if not isinstance(said, dict):
            raise ValueError("expected a rule: alert, condition, config and so on")
        found.entries.append(_entry(line, said))
    except YamlError as error:
        found.problems.append(Problem(error.line, error.message))
    except (ValueError, ConditionError) as error:
        found.problems.append(Problem(line, str(error)))


def _entry(line: int, said: dict[str, Any]) -> Entry:
    """Raises ValueError or ConditionError."""
    if "record" in said or "expr" in said:
        raise ValueError("expected condition: with one of ours; expressions on metrics can't be imported yet")
    if unknown := [key for key in said if key not in _READ]:
        raise ValueError(f"there is no key {unknown[0][:40]!r} of a rule; there is {', '.join(_READ)}")
    name = said.get("alert")
    if not isinstance(name, str) or not name:
        raise ValueError("expected alert: with the name of the rule")
    values: dict[str, Any] = {}
    for key, given in said.items():
        try:
            values |= _READ[key](given)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{key}: {error}") from None
    if "config" in values or "kind" in values:
        kind = values.get("kind")
        if kind is None:
            raise ValueError("expected condition: beside config:")
        values["config"] = _config(kind, values.get("config", {}))
    return Entry(line, name, values, values.pop("receivers", None), values.pop("escalation", None))


def _config(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Texts as what the condition takes; only what was given. Raises ConditionError."""
    try:
        fitted = msgspec.convert(dict(given), conditions.condition(kind).Config, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConditionError(f"config: {error}") from None
    # As a row gives it back: with lists, not tuples.
    return {name: value for name, value in msgspec.json.decode(msgspec.json.encode(fitted)).items() if name in given}


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError("expected a text")
    return given


def _texts(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise ValueError("expected names with texts")
    return {name: _text(value) for name, value in given.items()}


def _boolean(given: Any) -> bool:
    found = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(_text(given).lower())
    if found is None:
        raise ValueError(f"expected true or false, got {given[:40]!r}")
    return found


def _severity(given: Any) -> str:
    """Ours, or a name that is mapped to one: warning is medium."""
    name = _text(given)
    if name in Severity.values:
        return name
    mapped = severity_names.load().get(name.lower())
    if mapped is None:
        raise ValueError(f"expected one of {', '.join(Severity.values)}, or a name of a severity; got {name[:40]!r}")
    return mapped


def _labels(given: Any) -> dict[str, Any]:
    """Prometheus has the severity among them."""
    labels = _texts(given)
    severity = labels.pop("severity", None)
    return {"labels": labels} | ({"severity": _severity(severity)} if severity else {})


def _thresholds(given: Any) -> dict[str, Any]:
    limits = {_severity(name): _number(value) for name, value in _texts(given).items()}
    return {"thresholds": [{"severity": each, "value": limits[each]} for each in Severity.values if each in limits]}


def _number(given: str) -> float:
    number = float(given)
    if not math.isfinite(number):
        raise ValueError(f"expected a number, got {given[:40]!r}")
    return number


def _named(given: Any, names: Mapping[str, str]) -> dict[str, Any]:
    texts = _texts(given)
    if unknown := [name for name in texts if name not in names]:
        raise ValueError(f"there is no {unknown[0][:40]!r}; there is {', '.join(names)}")
    return {field: texts[name] for name, field in names.items() if name in texts}


def _names(given: Any) -> list[str]:
    if not isinstance(given, list):
        raise ValueError("expected a list of names")
    return [_text(each) for each in given]


def _field(field: str, read: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda given: {field: read(given)}


def _seconds(given: Any) -> float:
    return durations.read(_text(given))


_READ: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "alert": lambda _: {},
    "condition": _field("kind", _text),
    "config": _field("config", lambda given: {**given}),
    "operator": _field("operator", _text),
    "thresholds": _thresholds,
    "severity": _field("severity", _severity),
    "interval": _field("interval", _seconds),
    "for": _field("pending_for", _seconds),
    "keep_firing_for": _field("keep_firing_for", _seconds),
    "no_data": _field("no_data", _text),
    "alerts_max": _field("alerts_max", lambda given: int(_text(given))),
    "labels": _labels,
    "annotations": lambda given: _named(given, {name: name for name in ANNOTATIONS}),
    "receivers": _field("receivers", _names),
    "escalation": _field("escalation", _text),
    "runbook": lambda given: _named(given, RUNBOOK),
    "comment": _field("comment", _text),
    "enabled": _field("enabled", _boolean),
}


# --- Importing -------------------------------------------------------------------------------------------------------


def make_plan(document: Document) -> Plan:
    """Reads the database, writes nothing."""
    plan = Plan([], [*document.problems], [])
    known = {rule.name: rule for rule in AlertRule.objects.prefetch_related("receivers").select_related("escalation")}
    receivers = set(Receiver.objects.values_list("name", flat=True))
    policies = dict(EscalationPolicy.objects.in_bulk(field_name="name"))
    seen: dict[str, int] = {}
    for entry in document.entries:
        if entry.name in seen:
            plan.problems.append(Problem(entry.line, f"{entry.name!r} is in line {seen[entry.name]} already"))
            continue
        seen[entry.name] = entry.line
        missing = [name for name in entry.receivers or () if name not in receivers]
        plan.problems.extend(Problem(entry.line, f"receivers: there is no receiver {name[:60]!r}") for name in missing)
        if entry.escalation is not None and entry.escalation not in policies:
            plan.problems.append(Problem(entry.line, f"escalation: there is no policy {entry.escalation[:60]!r}"))
            continue
        _plan_rule(plan, entry, known.get(entry.name), policies)
    del plan.problems[PROBLEMS_MAX:]
    return plan


def _plan_rule(plan: Plan, entry: Entry, row: AlertRule | None, policies: Mapping[str, EscalationPolicy]) -> None:
    rule = row or AlertRule(name=entry.name)
    details = put(rule, entry.values)
    if entry.escalation is not None and rule.escalation != policies[entry.escalation]:
        rule.escalation = policies[entry.escalation]
        details.append(f"escalation: {entry.escalation}")
    before = sorted(receiver.name for receiver in row.receivers.all()) if row else []
    if entry.receivers is not None and sorted(set(entry.receivers)) != before:
        details.append(f"receivers: {_shown(before)} → {_shown(sorted(set(entry.receivers)))}")
    plan.problems.extend(_complaints(rule, entry.line))
    verb = MAKE if row is None else MODIFY if details else LEAVE
    plan.rows.append(Row(entry.line, entry.name, verb, tuple(details) if row else ()))
    if verb != LEAVE:
        plan.edits.append((rule, entry))


def put(rule: AlertRule, values: Mapping[str, Any]) -> list[str]:
    """What is another value now, as sentences."""
    details = []
    for field, value in values.items():
        before = getattr(rule, field)
        if before != value:
            setattr(rule, field, value)
            details.append(f"{field}: {_shown(before)} → {_shown(value)}")
    return details


def carry_out(document: Document, by: AbstractBaseUser | None = None) -> Plan:
    """All of it in one transaction. Raises RefusedError."""
    with transaction.atomic():
        plan = make_plan(document)
        if plan.problems:
            raise RefusedError(plan.problems)
        made = {rule.name for rule, _ in plan.edits if rule.pk is None}
        for rule, entry in plan.edits:
            rule.save()
            if entry.receivers is not None:
                rule.receivers.set(Receiver.objects.filter(name__in=entry.receivers))
        if by is not None:
            for flag, several in ((ADDITION, made), (CHANGE, {rule.name for rule, _ in plan.edits} - made)):
                touched = [rule for rule, _ in plan.edits if rule.name in several]
                if touched:
                    LogEntry.objects.log_actions(by.pk, touched, flag, "Imported.")
    return plan


def _complaints(rule: AlertRule, line: int) -> list[Problem]:
    try:
        rule.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        return [
            Problem(line, f"{field}: {' '.join(said)}" if field != "__all__" else " ".join(said))
            for field, said in error.message_dict.items()
        ]
    return []


def _shown(value: Any) -> str:
    text = (
        json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) and value else str(_plain(value) or "")
    )
    return (text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…") or "nothing"
