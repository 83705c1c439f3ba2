"""A heartbeat tells by itself; what its pings bring about is in test_heartbeats.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.probes.heartbeat import Options
from services.status import Outcome
from tests.services.probes.asking import ask

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday


async def test_it_is_never_asked() -> None:
    found = await ask("heartbeat", "")

    assert (found.outcome, found.detail) == (Outcome.FAILING, "a heartbeat can't be asked: it tells")


@pytest.mark.parametrize(
    ("options", "deadline"),
    [
        (Options(), NOON + timedelta(hours=1, minutes=5)),
        (Options(period=60, grace=10), NOON + timedelta(seconds=70)),
        (Options(cron="0 3 * * MON-FRI", grace=60), datetime(2026, 11, 23, 3, 1, tzinfo=UTC)),
        (Options(cron="0 3 * * *", zone="Europe/Berlin", grace=60), datetime(2026, 11, 22, 2, 1, tzinfo=UTC)),
    ],
)
def test_the_next_ping_is_missed_a_grace_after_it_was_expected(options: Options, deadline: datetime) -> None:
    assert options.deadline(NOON) == deadline


def test_a_run_may_take_as_long_as_the_grace_if_nothing_is_said() -> None:
    assert Options(grace=90).runtime == timedelta(seconds=90)
    assert Options(grace=90, max_runtime=3_600).runtime == timedelta(hours=1)
