"""What an import would make, change and leave; and doing it, all or nothing.

Rows are found by their names. What a file doesn't mention stays: an import deletes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.trail import recording
from services import dependencies, polling, statuses
from services.check_form import moves
from services.models import Check, Dependency, Service
from services.transfer import entries
from services.transfer.entries import PROBLEMS_MAX, SERVICES_MAX, CheckEntry, Document, Problem, ServiceEntry, plain

MAKE: Final = "make"
MODIFY: Final = "change"
LEAVE: Final = "leave"
AT_ONCE: Final = 200  # rows in one statement
SERVICE_FIELDS: Final = tuple(name for name in entries.SERVICE_FIELDS if name != "paused")
WRITTEN: Final = (*entries.CHECK_FIELDS, "options", "secrets", "due_at", "claim")
SHOWN_MAX: Final = 60  # characters of a value


class Row(msgspec.Struct, frozen=True):
    line: int
    what: str  # "api", "api · readiness"
    verb: str  # MAKE, MODIFY or LEAVE
    details: tuple[str, ...] = ()


class _Edit(msgspec.Struct):
    """A row of the database as it is to be."""

    service: Service
    changed: set[str]
    needs: list[str] | None = None
    pause: bool | None = None  # a verb to do
    checks: list[Check] = []  # new ones and changed ones


class Plan(msgspec.Struct):
    rows: list[Row]
    problems: list[Problem]
    missing: list[str]  # secrets to enter: "api · database: password"
    edits: list[_Edit]

    @property
    def counts(self) -> dict[str, int]:
        return {verb: sum(row.verb == verb for row in self.rows) for verb in (MAKE, MODIFY, LEAVE)}


class Refused(Exception):  # noqa: N818 - what it says is an answer
    """Nothing was imported."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def carry_out(document: Document, by: AbstractBaseUser | None = None) -> Plan:
    """All of it in one transaction. Raises Refused."""
    with transaction.atomic():
        plan = make_plan(document)
        if plan.problems:
            raise Refused(plan.problems)
        _write(plan.edits)
        touched = [edit.service for edit in plan.edits if edit.changed or edit.checks]
        for edit in plan.edits:
            if edit.pause is not None:
                verb = polling.pause if edit.pause else polling.resume
                verb(edit.service, by)
        if by is not None and touched:
            LogEntry.objects.log_actions(by.pk, touched, CHANGE, "Imported.")
        statuses.settle([service.pk for service in touched], timezone.now())
    return plan


def make_plan(document: Document) -> Plan:
    """Reads the database, writes nothing."""
    plan = Plan([], [*document.problems], [], [])
    if len(document.services) > SERVICES_MAX:
        plan.problems.append(Problem(0, f"expected at most {SERVICES_MAX:,} services, got {len(document.services):,}"))
        return plan
    known = {each.name: each for each in Service.objects.prefetch_related("checks", "parents")}
    seen: dict[str, int] = {}
    for entry in document.services:
        if entry.name in seen:
            plan.problems.append(Problem(entry.line, f"{entry.name!r} is in line {seen[entry.name]} already"))
            continue
        seen[entry.name] = entry.line
        _plan_service(plan, entry, known.get(entry.name))
    _refuse_unknown_and_circles(plan, document.services, known)
    del plan.problems[PROBLEMS_MAX:]
    return plan


def _plan_service(plan: Plan, entry: ServiceEntry, row: Service | None) -> None:
    service = row or Service(name=entry.name)
    values = {**entry.values}
    pause = values.pop("paused", None)
    changed, details = _apply(service, values)
    if pause is not None and pause != service.paused:
        details.append("is paused" if pause else "is resumed")
        if row is None:
            service.paused, pause = pause, None
    else:
        pause = None
    before = sorted(parent.name for parent in row.parents.all()) if row else []
    needs = None if entry.needs is None or sorted(set(entry.needs)) == before else sorted(set(entry.needs))
    if needs is not None:
        changed.add("needs")
        details.append(f"needs: {_shown(before)} → {_shown(needs)}" if row else f"needs: {_shown(needs)}")
    plan.problems += _complaints(service, entry.line)
    edit = _Edit(service, changed, needs, pause, [])
    plan.edits.append(edit)
    verb = MAKE if row is None else MODIFY if details else LEAVE
    plan.rows.append(Row(entry.line, entry.name, verb, tuple(details)))
    checks = {check.name: check for check in row.checks.all()} if row else {}
    seen: dict[str, int] = {}
    for check in entry.checks:
        if check.name in seen:
            message = f"{entry.name!r} has a check {check.name!r} in line {seen[check.name]} already"
            plan.problems.append(Problem(check.line, message))
            continue
        seen[check.name] = check.line
        _plan_check(plan, edit, check, checks.get(check.name))


def _plan_check(plan: Plan, edit: _Edit, entry: CheckEntry, row: Check | None) -> None:
    check = row or Check(name=entry.name)
    what = f"{edit.service.name} · {entry.name}"
    # Another kind has other secrets, and another server must not get those that are stored.
    foreign = row is not None and moves(row, entry.values.get("kind", row.kind), entry.values.get("target", row.target))
    changed, details = _apply(check, entry.values)
    lost = check.secrets if foreign else {}
    kept = {} if foreign else check.secrets
    secrets = {**kept, **entry.secrets}
    if secrets != check.secrets:
        changed.add("secrets")
        details += [f"secret {name}: new" for name in entry.secrets if entry.secrets[name] != kept.get(name)]
        check.secrets = secrets
    missing = sorted({*entry.named, *lost} - secrets.keys())
    if missing:
        details.append(f"to be entered afterwards: {', '.join(missing)}")
        plan.missing.append(f"{what}: {', '.join(missing)}")
    plan.problems += _complaints(check, entry.line, skip={"service"}, forgive_secrets=bool(missing))
    if row is None or changed:
        edit.checks.append(check)
    # What is still missing from the last import is no change.
    verb = MAKE if row is None else MODIFY if changed else LEAVE
    plan.rows.append(Row(entry.line, what, verb, tuple(details)))


def _apply(row: Service | Check, values: Mapping[str, Any]) -> tuple[set[str], list[str]]:
    """The names of what is another value now, and sentences. Of a new row only the names."""
    changed, details = set(), []
    for field, value in values.items():
        before = getattr(row, field)
        if before == value:
            continue
        setattr(row, field, value)
        changed.add(field)
        if row.pk:
            details.append(f"{field}: {_shown(before)} → {_shown(value)}")
    return changed, details


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else ", ".join(map(str, value))
    else:
        text = "" if value is None else str(plain(value))
    text = text or "nothing"
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


def _complaints(
    row: Service | Check, line: int, skip: Iterable[str] = (), *, forgive_secrets: bool = False
) -> list[Problem]:
    """Without queries: that names are not there twice is looked at elsewhere."""
    wrong: dict[str, list[str]] = {}
    for look in (partial(row.clean_fields, exclude=set(skip)), row.clean):
        try:
            look()
        except ValidationError as error:
            found = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
            for field, said in found.items():
                wrong.setdefault(field, []).extend(said)
    return [
        Problem(line, f"{field}: {' '.join(said)}" if field and field != "__all__" else " ".join(said))
        for field, said in wrong.items()
        if not (forgive_secrets and field.startswith("secrets"))
    ]


def _refuse_unknown_and_circles(plan: Plan, given: Iterable[ServiceEntry], known: Mapping[str, Service]) -> None:
    needs = {name: [parent.name for parent in row.parents.all()] for name, row in known.items()}
    lines = {}
    for entry in given:
        lines[entry.name] = entry.line
        needs.setdefault(entry.name, [])
        if entry.needs is not None:
            needs[entry.name] = entry.needs
    for entry in given:
        for parent in entry.needs or ():
            if parent not in needs:
                message = f"needs: there is no service {parent[:60]!r}, neither here nor in the file"
                plan.problems.append(Problem(entry.line, message))
    found = dependencies.circle((child, parent) for child, parents in needs.items() for parent in parents)
    if found:
        line = next((lines[name] for name in found if name in lines), 0)
        plan.problems.append(Problem(line, dependencies.sentence(found).removesuffix(".")))


def _write(edits: list[_Edit]) -> None:
    """Without a signal for each row: all are settled together afterwards."""
    fresh = [edit.service for edit in edits if edit.service.pk is None]
    known = [edit.service for edit in edits if edit.service.pk is not None and edit.changed - {"needs"}]
    services_before = Service.objects.in_bulk([service.pk for service in known])
    Service.objects.bulk_update(known, [*SERVICE_FIELDS, "labels"], batch_size=AT_ONCE)
    Service.objects.bulk_create(fresh, batch_size=AT_ONCE)
    checks = []
    for edit in edits:
        for check in edit.checks:
            check.service = edit.service
            # Their first deadline is the worker's to choose: many are not to be asked in the same moment. An answer to
            # the old question that is under way doesn't count.
            check.due_at, check.claim = 0, ""
            checks.append(check)
    checks_before = Check.objects.in_bulk([each.pk for each in checks if each.pk])
    Check.objects.bulk_update([each for each in checks if each.pk], WRITTEN, batch_size=AT_ONCE)
    Check.objects.bulk_create([each for each in checks if not each.pk], batch_size=AT_ONCE)
    recording.compared(services_before, [*known, *fresh])
    recording.compared(checks_before, checks)
    _write_needs([edit for edit in edits if edit.needs is not None])


def _write_needs(edits: list[_Edit]) -> None:
    Dependency.objects.filter(child__in=[edit.service.pk for edit in edits]).delete()
    wanted = {name for edit in edits for name in edit.needs or ()}
    keys = dict(Service.objects.filter(name__in=wanted).values_list("name", "pk"))
    made = Dependency.objects.bulk_create(
        Dependency(child=edit.service, parent_id=keys[name]) for edit in edits for name in edit.needs or ()
    )
    recording.compared({}, made)
