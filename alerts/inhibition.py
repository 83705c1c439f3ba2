"""Which alerts are not told because of others that fire. Pure, but for `Inhibitor.load` and `rules`.

Three kinds of `equal`: names of labels, as in Alertmanager, where a label that is missing is empty; "..." for every
label but the severity; and with `from_parents` an alert of a service that the target's service needs, while that one is
down and its alert is at least as bad: somebody is told of it, so nothing is lost.

https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from alerts import matchers
from alerts.labels import Labels, fingerprint
from alerts.matchers import Matcher
from alerts.severity import Severity

ALL_BUT_SEVERITY: Final = "..."
SEVERITY: Final = "severity"
SERVICE: Final = "service"
GENERATIONS_MAX: Final = 10  # from a service to what it needs

Key = tuple[str, ...]


class Rule(msgspec.Struct, frozen=True):
    name: str
    source: Sequence[Matcher]
    target: Sequence[Matcher]
    equal: Sequence[str] = ()
    from_parents: bool = False

    def key(self, labels: Labels) -> Key:
        """What must be equal of a source and its targets."""
        if ALL_BUT_SEVERITY in self.equal:
            return (fingerprint({name: text for name, text in labels.items() if name != SEVERITY and text}),)
        return tuple(labels.get(name, "") for name in self.equal)


class Source(msgspec.Struct, frozen=True):
    """An alert that fires."""

    id: int
    labels: dict[str, str]
    severity: str


class Inhibition(msgspec.Struct, frozen=True):
    rule: str
    source: Source


class _Pair(msgspec.Struct):
    """Of the sources with one key."""

    any: Source | None = None
    one_sided: Source | None = None  # one that is no target of the rule itself


class Inhibitor:
    def __init__(
        self, rules: Iterable[Rule], sources: Sequence[Source], down: Mapping[str, Collection[str]] = {}
    ) -> None:
        """`down`: service → those that are down of the ones it needs, directly or by others."""
        self._down = down
        # By label `service`, the worst first.
        self._of_service: dict[str, list[Source]] = defaultdict(list)
        self._rules: list[tuple[Rule, Callable[[Labels, str], Source | None]]] = []
        rules = list(rules)
        if any(rule.from_parents for rule in rules) and down:
            for source in sorted(sources, key=lambda source: _rank(source.severity)):
                self._of_service[source.labels.get(SERVICE, "")].append(source)
        for rule in rules:
            self._rules.append((rule, self._parents_of(rule) if rule.from_parents else _equals_of(rule, sources)))

    def by(self, labels: Labels, severity: str) -> Inhibition | None:
        """What keeps an alert with these labels quiet."""
        for rule, find in self._rules:
            if matchers.all_match(rule.target, labels) and (source := find(labels, severity)):
                return Inhibition(rule.name, source)
        return None

    def _parents_of(self, rule: Rule) -> Callable[[Labels, str], Source | None]:
        def find(labels: Labels, severity: str) -> Source | None:
            for parent in self._down.get(labels.get(SERVICE, ""), ()):
                for source in self._of_service[parent]:
                    if _rank(source.severity) <= _rank(severity) and matchers.all_match(rule.source, source.labels):
                        return source
            return None

        return find

    @classmethod
    def load(cls) -> Inhibitor:
        """Of what fires now."""
        from alerts.models import Alert
        from alerts.models.alerts import State

        known = rules()
        if not known:
            return cls([], [])
        fires = Alert.objects.filter(state=State.FIRING).order_by("pk").values_list("pk", "labels", "severity")
        down = _down() if any(rule.from_parents for rule in known) else {}
        return cls(known, [Source(*each) for each in fires], down)


def rules() -> list[Rule]:
    """Those that are on."""
    from alerts.models import InhibitRule

    return [
        Rule(
            name=str(row),
            source=matchers.parse_all(row.source_matchers),
            target=matchers.parse_all(row.target_matchers),
            equal=row.equal,
            from_parents=row.from_parents,
        )
        for row in InhibitRule.objects.filter(enabled=True)
    ]


def _rank(severity: str) -> int:
    return Severity(severity).rank


def _equals_of(rule: Rule, sources: Iterable[Source]) -> Callable[[Labels, str], Source | None]:
    found: dict[Key, _Pair] = defaultdict(_Pair)
    for source in sources:
        if matchers.all_match(rule.source, source.labels):
            pair = found[rule.key(source.labels)]
            pair.any = pair.any or source
            if pair.one_sided is None and not matchers.all_match(rule.target, source.labels):
                pair.one_sided = source

    def find(labels: Labels, _: str) -> Source | None:
        pair = found.get(rule.key(labels))
        if pair is None:
            return None
        # What is source and target of a rule can't be inhibited by its like: by itself, for one.
        return pair.one_sided if matchers.all_match(rule.source, labels) else pair.any

    return find


def _down() -> Mapping[str, Collection[str]]:
    from services.models import Dependency, Service
    from services.status import Status

    down = set(Service.objects.filter(status=Status.DOWN).values_list("name", flat=True))
    return needed(Dependency.objects.values_list("child__name", "parent__name"), down) if down else {}


def needed(edges: Iterable[tuple[str, str]], wanted: Collection[str]) -> dict[str, list[str]]:
    """Service → those of `wanted` that it needs, the nearest first; of (child, parent)."""
    parents: dict[str, list[str]] = defaultdict(list)
    for child, parent in edges:
        parents[child].append(parent)
    found = {}
    for child in list(parents):
        seen: dict[str, None] = {}  # in order
        generation = [child]
        for _ in range(GENERATIONS_MAX):
            generation = [each for one in generation for each in parents.get(one, ()) if each not in seen]
            seen.update(dict.fromkeys(generation))
        found[child] = [each for each in seen if each in wanted and each != child]
    return {child: several for child, several in found.items() if several}
