"""When somebody is told of an incident again, or somebody else is. Pure.

The steps of an escalation count from the time when the incident was opened, or its acknowledgement was taken back.
While it is acknowledged only those steps come that wait for its end; and a reminder, if nothing happens for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

REMIND_AFTER: Final = 3_600  # seconds; of incidents without a policy


class Step(msgspec.Struct, frozen=True):
    after: int  # seconds
    until_resolved: bool  # it comes although somebody has acknowledged
    receiver: int


class Policy(msgspec.Struct, frozen=True):
    steps: Sequence[Step] = ()  # by time
    remind_after: int = REMIND_AFTER  # seconds; 0: never


class Standing(msgspec.Struct, frozen=True):
    """What is known of an incident that is not resolved."""

    acknowledged: bool
    counts_from: datetime  # the steps
    step: int  # the next one
    event_at: datetime  # when something happened last


def next_step(policy: Policy, standing: Standing) -> int | None:
    """The place of the step that comes next."""
    for place in range(standing.step, len(policy.steps)):
        if policy.steps[place].until_resolved or not standing.acknowledged:
            return place
    return None


def step_at(policy: Policy, standing: Standing) -> datetime | None:
    place = next_step(policy, standing)
    return None if place is None else standing.counts_from + timedelta(seconds=policy.steps[place].after)


def reminder_at(policy: Policy, standing: Standing) -> datetime | None:
    if not standing.acknowledged or not policy.remind_after:
        return None
    return standing.event_at + timedelta(seconds=policy.remind_after)


def next_at(policy: Policy, standing: Standing) -> datetime | None:
    """The earlier one of both."""
    due = [at for at in (step_at(policy, standing), reminder_at(policy, standing)) if at]
    return min(due, default=None)
