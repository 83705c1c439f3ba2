"""What a rule would have done, before it is switched on: the stored data again, with the real state machine."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from alerts import conditions, evaluating, evaluation, inhibition
from alerts.conditions import ConditionError, Measured
from alerts.evaluation import Episode, Spec, Verb
from alerts.labels import Labels
from alerts.models import AlertRule, Channel, Receiver
from alerts.models.alerts import State
from alerts.rehearsal import Rehearsal, Told
from alerts.routing import Match, Tree
from services.durations import words

DAYS: Final = 7
LOOKS_MAX: Final = 50_000
SHOWN_MAX: Final = 20  # alerts that are listed
BUDGET: Final = 20.0  # seconds


class Preview(msgspec.Struct, frozen=True):
    start: datetime
    end: datetime  # how far it came
    complete: bool  # False: the time for it was over
    fired: int
    firing: float  # seconds in which at least one alert fired
    episodes: Sequence[Episode]  # the newest, at most SHOWN_MAX
    told: Sequence[Told]
    highest: float | None  # of what was measured
    lowest: float | None
    left_out: int  # alerts beyond the cap, at the worst moment
    no_data: float  # the share of the looks that found nothing to measure
    error: str = ""  # or why there is no preview

    @property
    def receivers(self) -> Mapping[str, int]:
        """How often each would have been told."""
        return Counter(each.receiver for each in self.told)

    def __str__(self) -> str:
        """For people: "would have fired 3 times, 14 min in all, notified 5 times"."""
        if self.error:
            return self.error
        if not self.fired:
            return "would not have fired"
        told = f"notified {_times(len(self.told))}" if self.told else "nobody notified"
        return f"would have fired {_times(self.fired)}, {words(max(1, round(self.firing)))} in all, {told}"


def preview(
    rule: AlertRule, now: datetime, days: float = DAYS, *, receivers: Iterable[Receiver] | None = None
) -> Preview:
    """Of a rule that may not be saved, then with its `receivers`. Never fails: what is wrong is in `error`."""
    start = now - timedelta(days=days)
    return played(rule, lambda spec: _looks(rule, spec, start, now), start, receivers=receivers)


def played(
    rule: AlertRule,
    looks: Callable[[Spec], Iterator[tuple[datetime, Measured]]],
    start: datetime,
    *,
    receivers: Iterable[Receiver] | None = None,
) -> Preview:
    """What the rule makes of these looks from `start` on, with the routes as they are. Never fails."""
    played = _Played(start)
    try:
        spec = evaluating.spec_of(rule)
        if receivers is None:
            receivers = rule.receivers.all() if rule.pk else ()
        rehearsal = _rehearsal(receivers)
        complete = played.through(looks(spec), spec, rehearsal)
    except (ConditionError, ValueError) as error:
        said = str(error)
        return played.preview(error=f"{said[:1].upper()}{said[1:]}.")
    rehearsal.flush(played.at)
    return played.preview(rehearsal.told, complete=complete)


def _looks(rule: AlertRule, spec: Spec, start: datetime, end: datetime) -> Iterator[tuple[datetime, Measured]]:
    """Raises ConditionError or ValueError."""
    condition, config = conditions.condition(rule.kind), conditions.fitted(rule.kind, rule.config)
    condition.check(config)
    step = max(spec.interval, (end - start).total_seconds() / LOOKS_MAX)
    yield from condition.replay(config, start, end, step, most=2 * spec.alerts_max)


def _rehearsal(receivers: Iterable[Receiver]) -> Rehearsal:
    """With the routes, the channels and the inhibit rules as they are now."""
    tree = Tree.load()
    own = [(receiver.pk, receiver.name) for receiver in receivers]

    def match(labels: Labels) -> Sequence[Match]:
        matches = tree.match(labels)
        reached = {match.options.receiver for match in matches}
        return matches + tree.beside(labels, [each for each in own if each[0] not in reached])

    wants: dict[int, frozenset[bool]] = {}
    for receiver, send_resolved in Channel.objects.filter(enabled=True).values_list("receiver", "send_resolved"):
        wants[receiver] = wants.get(receiver, frozenset()) | {send_resolved}
    return Rehearsal(match, wants, inhibition.rules())


class _Played:
    """What is known so far."""

    def __init__(self, start: datetime) -> None:
        self.start = self.at = start
        self._alerts: dict[str, Episode] = {}
        self._episodes: list[Episode] = []
        self._fired = self._left_out = self._looks = self._blind = 0
        self._since: datetime | None = None  # when the first of those began to fire that fire now
        self._firing = timedelta(0)
        self._highest, self._lowest = -math.inf, math.inf

    def through(self, looks: Iterator[tuple[datetime, Measured]], spec: Spec, rehearsal: Rehearsal) -> bool:
        """Whether it came to the end."""
        until = time.monotonic() + BUDGET
        before: datetime | None = None
        for at, measured in looks:
            self._look(measured)
            if self._alerts or measured.samples or measured.no_data:
                self._step(spec, measured, at, before, rehearsal)
            self.at = before = at
            if time.monotonic() > until:
                return False
        return True

    def _look(self, measured: Measured) -> None:
        self._looks += 1
        self._blind += measured.no_data
        for sample in measured.samples:
            self._highest, self._lowest = max(self._highest, sample.value), min(self._lowest, sample.value)

    def _step(
        self, spec: Spec, measured: Measured, at: datetime, before: datetime | None, rehearsal: Rehearsal
    ) -> None:
        rehearsal.flush(at)
        found = evaluation.step(spec, self._alerts.values(), measured, at, before)
        self._left_out = max(self._left_out, found.left_out)
        for change in found.changes:
            alert = change.alert
            if change.verb in (Verb.RESOLVE, Verb.FORGET):
                del self._alerts[alert.fingerprint]
            else:
                self._alerts[alert.fingerprint] = alert
            if change.verb == Verb.RESOLVE:
                self._episodes = [*self._episodes[1 - SHOWN_MAX :], alert]
            if change.verb == Verb.RESOLVE or alert.fired_at == at:
                self._fired += alert.fired_at == at and change.verb != Verb.RESOLVE
                rehearsal.take(alert, at)
        firing = any(alert.state == State.FIRING for alert in self._alerts.values())
        if firing and self._since is None:
            self._since = at
        elif not firing and self._since is not None:
            self._firing, self._since = self._firing + (at - self._since), None

    def preview(self, told: Sequence[Told] = (), *, complete: bool = False, error: str = "") -> Preview:
        firing = [alert for alert in self._alerts.values() if alert.state == State.FIRING]
        return Preview(
            start=self.start,
            end=self.at,
            complete=complete,
            fired=self._fired,
            firing=(self._firing + (self.at - self._since if self._since else timedelta(0))).total_seconds(),
            episodes=[*self._episodes, *firing][-SHOWN_MAX:][::-1],
            told=told,
            highest=self._highest if math.isfinite(self._highest) else None,
            lowest=self._lowest if math.isfinite(self._lowest) else None,
            left_out=self._left_out,
            no_data=self._blind / max(1, self._looks),
            error=error,
        )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
