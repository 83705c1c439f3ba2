"""Rules that come with Pharos: files of this folder, in the form of `alerts.rules_yaml`, each with a runbook in
docs/runbooks.

They are rows like all others, which people change, switch off and delete. `install` adds what is missing, `restore`
makes what was changed as it was at first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import transaction

from accounts.trail import recording
from alerts import rules_yaml
from alerts.models import AlertRule

FOLDER: Final = Path(__file__).parent
PACKS: Final = ("services", "logs", "containers", "pharos")
LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\.md\)")
# A section of a runbook → the field of the rule.
SECTIONS: Final = {
    "What it means": "what", "Impact": "impact", "Diagnosis": "diagnosis", "Resolution": "resolution",
    "Escalation": "escalating",
}  # fmt: skip
RESTORED: Final = (
    "enabled", "kind", "config", "operator", "thresholds", "severity", "interval", "pending_for", "keep_firing_for",
    "no_data", "alerts_max", "labels", "summary", "description", "escalation", *SECTIONS.values(), "comment",
)  # fmt: skip


class Shipped(msgspec.Struct, frozen=True):
    """A rule as it is at first."""

    pack: str
    key: str  # "service-down"
    name: str  # "ServiceDown"
    values: dict[str, Any]  # by field of the model


@cache
def shipped() -> tuple[Shipped, ...]:
    return tuple(rule for pack in PACKS for rule in _read(pack))


def _read(pack: str) -> Iterator[Shipped]:
    document = rules_yaml.read((FOLDER / f"{pack}.yaml").read_text())
    if document.problems:
        raise ValueError(f"{pack}.yaml: {document.problems[0]}")
    for entry in document.entries:
        key = re.sub(r"(?<!^)(?=[A-Z])", "-", entry.name).lower()
        yield Shipped(pack, key, entry.name, {**entry.values, **runbook(key)})


def runbook(key: str) -> dict[str, str]:
    """The parts of docs/runbooks/<key>.md, by field. Other files that it points at are only there."""
    text = LINK.sub(r"\1", (settings.BASE_DIR / "docs" / "runbooks" / f"{key}.md").read_text())
    _, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {SECTIONS[title]: part.strip() for title, part in zip(parts[::2], parts[1::2], strict=True)}


def install(rows: Any = None, keys: Collection[str] | None = None) -> int:
    """What is missing, of these keys or of all; how many rules that were. A name that somebody has given to another
    rule stays there. A migration gives the manager of its model, which may not have every field yet."""
    rows = AlertRule.objects if rows is None else rows
    fields = {field.name for field in rows.model._meta.get_fields()}
    there = set(rows.exclude(pack="").values_list("pack_key", flat=True))
    names = set(rows.values_list("name", flat=True))
    missing = [
        rows.model(
            name=each.name,
            pack=each.pack,
            pack_key=each.key,
            **{field: value for field, value in each.values.items() if field in fields},
        )
        for each in _wanted(keys)
        if each.key not in there and each.name not in names
    ]
    made = rows.bulk_create(missing)
    if rows.model is AlertRule:  # a migration's model is another one, and nobody decided anything
        recording.compared({}, made)
    return len(made)


def restore(keys: Collection[str] | None = None) -> int:
    """Brings rules back as they were at first, those of these keys or all; says how many had changed or gone."""
    from alerts import evaluating

    changed = []
    with transaction.atomic():
        known = {rule.pack_key: rule for rule in AlertRule.objects.exclude(pack="").select_for_update()}
        taken = {rule.name: rule.pk for rule in AlertRule.objects.only("name")}
        for each in _wanted(keys):
            rule = known.get(each.key)
            if rule is None:
                continue
            usual = AlertRule(**each.values)
            values = {field: getattr(usual, field) for field in RESTORED}
            if taken.get(each.name, rule.pk) == rule.pk:
                values["name"] = each.name
            if rules_yaml.put(rule, values) or rule.receivers.exists():
                rule.receivers.clear()
                rule.save()
                changed.append(rule.pk)
        evaluating.apply(changed)
        return len(changed) + install(keys=keys)


def _wanted(keys: Collection[str] | None) -> list[Shipped]:
    return [each for each in shipped() if keys is None or each.key in keys]
