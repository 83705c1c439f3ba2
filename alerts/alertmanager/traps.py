"""What a tree of routes says, and hardly means. Pure.

The first is in many examples: with `critical → pagerduty, continue: true` and no later route for critical alerts, they
go to PagerDuty alone; the receiver of the parent is told only what no child takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alerts.alertmanager.config import EACH_ALONE, Route, matchers_of
from alerts.matchers import Matcher


def traps(root: Route) -> Iterator[str]:
    """Sentences."""
    yield from _below(root, root.receiver)


def _below(route: Route, receiver: str) -> Iterator[str]:
    children = [(child, matchers_of(child)) for child in route.routes]
    for at, (child, wanted) in enumerate(children):
        told = child.receiver or receiver
        before = next(
            (earlier for earlier, theirs in children[:at] if not earlier.continues and covers(theirs, wanted)), None
        )
        if before is not None:
            yield f"{_named(child)} is never reached: {_named(before)} stands before it and takes all of its alerts."
        elif child.continues and not _others_tell(children, at):
            yield (
                f"{_named(child)} continues, but no route after it can match: its alerts are told to {told} alone, not"
                f" to {receiver} as well. Add a route after it for each further receiver."
            )
        if child.group_by and EACH_ALONE in child.group_by and len(child.group_by) > 1:
            yield f"{_named(child)} groups by {EACH_ALONE} and by names: {EACH_ALONE} alone is each alert by itself."
        yield from _below(child, told)


def _others_tell(children: Sequence[tuple[Route, Sequence[Matcher]]], at: int) -> bool:
    """Whether some of its alerts may be told by a route after it, or by one before it that continues."""
    wanted = children[at][1]
    others = [(place, *each) for place, each in enumerate(children) if place != at]
    return any(may_both_match(wanted, theirs) for place, other, theirs in others if place > at or other.continues)


def covers(weaker: Sequence[Matcher], stronger: Sequence[Matcher]) -> bool:
    """Whether whatever matches `stronger` matches `weaker`, as far as their texts tell."""
    return all(any(each == other or _settles(other, each) for other in stronger) for each in weaker)


def _settles(exact: Matcher, other: Matcher) -> bool:
    """`severity="high"` settles what `severity=~"high|low"` says."""
    return _is_exact(exact) and exact.name == other.name and other.matches({exact.name: exact.value})


def may_both_match(one: Sequence[Matcher], other: Sequence[Matcher]) -> bool:
    """Whether an alert can match both, as far as labels with one value tell."""
    for exact, others in [*((each, other) for each in one), *((each, one) for each in other)]:
        if _is_exact(exact) and any(
            each.name == exact.name and not each.matches({exact.name: exact.value}) for each in others
        ):
            return False
    return True


def _is_exact(matcher: Matcher) -> bool:
    return matcher.is_equal and not matcher.is_regex


def _named(route: Route) -> str:
    return f"The route {', '.join(route.matchers) or 'without matchers'}"
