"""Whether what is configured can work: all rows that people made, and files that are to be imported.

Rows are asked as their forms ask them (`full_clean`): what was right when it was saved may not be so any more. Files go
through the importers, which write nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from django.core import checks
from django.core.exceptions import ValidationError
from django.db.models import Model

from accounts.models import ApiKey
from alerts import models as alerts
from alerts import rules_yaml
from alerts.alertmanager import importing
from alerts.alertmanager.config import ConfigError
from alerts.routing import Tree
from core import yaml_text
from core.yaml_text import YamlError
from logs import models as logs
from services import models as services
from services import transfer

FILE_MAX: Final = 1 << 20  # bytes
MODELS: Final[Sequence[type[Model]]] = (
    services.Service, services.Check, services.DockerHost, services.MaintenanceWindow,
    alerts.AlertRule, alerts.Receiver, alerts.Channel, alerts.Route, alerts.InhibitRule, alerts.MuteTime,
    alerts.EscalationPolicy, alerts.EscalationStep, alerts.Digest, alerts.SeverityName,
    logs.LogSource, logs.Pipeline, logs.RedactionRule, logs.RetentionRule, logs.SavedQuery, ApiKey,
)  # fmt: skip
RULES, ALERTMANAGER, SERVICES = "rules", "alertmanager.yml", "services"
# By a name at the beginning of the file.
KINDS: Final = {"groups": RULES, "route": ALERTMANAGER, "receivers": ALERTMANAGER, "services": SERVICES}
LINE: Final = re.compile(r"line (\d+): (.*)", re.DOTALL)


class Complaint(msgspec.Struct, frozen=True):
    """`where` is a row, "rule ServiceDown", or a place in a file, "rules.yml:12"."""

    where: str
    message: str
    serious: bool = True  # else it works, and is probably not what was meant

    def __str__(self) -> str:
        return f"{self.where}: {'' if self.serious else 'note: '}{self.message}"


# --- What there is ---------------------------------------------------------------------------------------------------


def stored() -> Iterator[Complaint]:
    for found in checks.run_checks(tags=["pharos"]):
        yield Complaint("settings", found.msg, found.level >= checks.ERROR)
    for model in MODELS:
        for row in model._default_manager.order_by("pk").iterator(chunk_size=500):
            yield from _of_row(row)
    yield from _told()


def counted() -> int:
    return sum(model._default_manager.count() for model in MODELS)


def _of_row(row: Model) -> Iterator[Complaint]:
    where = f"{row._meta.verbose_name} {row}"
    try:
        row.full_clean(exclude=_left_empty(row))
    except ValidationError as error:
        for field, said in error.message_dict.items():
            yield Complaint(where, " ".join(said) if field == "__all__" else f"{field}: {' '.join(said)}")
    except Exception as error:  # noqa: BLE001 - a row that breaks its own check is what is looked for
        yield Complaint(where, f"it can't be checked: {type(error).__name__}: {error}")


def _left_empty(row: Model) -> Sequence[str]:
    """Fields that the form lets be empty: what a service needs says by itself what both sides are."""
    if isinstance(row, alerts.InhibitRule) and row.from_parents:
        return [name for name in ("source_matchers", "target_matchers") if not getattr(row, name)]
    return ()


def _told() -> Iterator[Complaint]:
    """Whether what fires would reach somebody."""
    root = Tree.load().root
    if root is None:
        yield Complaint("routes", "there is no first route: nobody is told of an alert")
        return
    reached = set(alerts.Channel.objects.filter(enabled=True).values_list("receiver", flat=True))
    for route in alerts.Route.objects.filter(receiver__isnull=False).select_related("receiver").order_by("pk"):
        if route.receiver and route.receiver.pk not in reached:
            yield Complaint(f"route {route}", f"the receiver {route.receiver} has no channel that is on", serious=False)


# --- Files -----------------------------------------------------------------------------------------------------------


def of_file(name: str) -> Iterator[Complaint]:
    """Writes nothing."""
    try:
        with Path(name).open("rb") as file:
            content = file.read(FILE_MAX + 1)
    except OSError as error:
        yield Complaint(name, f"it can't be read: {error.strerror}")
        return
    if len(content) > FILE_MAX:
        yield Complaint(name, f"expected at most {FILE_MAX:,} bytes")
        return
    kind = SERVICES if name.lower().endswith(".csv") else _kind(name, content)
    if isinstance(kind, Complaint):
        yield kind
    elif kind == RULES:
        plan = rules_yaml.make_plan(rules_yaml.read(content.decode("utf-8-sig")))
        yield from (_at(name, problem.line, problem.message) for problem in plan.problems)
    elif kind == SERVICES:
        found = transfer.make_plan(transfer.read(content, name))
        yield from (_at(name, problem.line, problem.message) for problem in found.problems)
    else:
        yield from _of_alertmanager(name, content)


def _of_alertmanager(name: str, content: bytes) -> Iterator[Complaint]:
    try:
        report = importing.plan(importing.text_of(content))
    except ConfigError as error:
        yield _said(name, str(error))
    else:
        yield from (Complaint(name, warning, serious=False) for warning in report.warnings)


def _kind(name: str, content: bytes) -> str | Complaint:
    try:
        root = yaml_text.compose(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return _at(name, content.count(b"\n", 0, error.start) + 1, "expected text in UTF-8")
    except YamlError as error:
        return _at(name, error.line, error.message)
    if root is not None and root.id == "mapping":
        for key, _ in root.value:
            if key.value in KINDS:
                return KINDS[key.value]
    expected = "groups: (rules), route: (alertmanager.yml) or services:"
    return Complaint(name, f"expected a file with {expected}; there is none of them")


def _said(name: str, message: str) -> Complaint:
    found = LINE.fullmatch(message)
    return _at(name, int(found[1]), found[2]) if found else Complaint(name, message)


def _at(name: str, line: int, message: str) -> Complaint:
    return Complaint(f"{name}:{line}" if line else name, message)
