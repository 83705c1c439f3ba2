"""The tick of a second: what fails in one part holds up none of the others, and is said once."""

from __future__ import annotations

import logging
from datetime import datetime

import pytest

from alerts import dispatch, escalation, evaluating, sending, tasks
from alerts.alertmanager import received


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was run; the second part fails while "broken" is in it."""
    found: list[str] = []

    def part(name: str) -> None:
        found.append(name)

    def broken(now: datetime) -> None:
        found.append("flush")
        if "broken" in found:
            raise OSError("the database is away")

    for module, name in (
        (evaluating, "run_early"),
        (evaluating, "run_due"),
        (received, "time_out"),
        (escalation, "run_due"),
        (sending, "send_due"),
    ):
        monkeypatch.setattr(module, name, lambda now, said=f"{module.__name__}.{name}": part(said))
    monkeypatch.setattr(dispatch, "flush", broken)
    monkeypatch.setattr(tasks, "_failing", set())
    return found


def test_the_parts_after_one_that_fails_are_run(ran: list[str]) -> None:
    ran.append("broken")
    tasks.tick()
    assert ran[1:] == [
        "alerts.evaluating.run_early", "alerts.evaluating.run_due", "alerts.alertmanager.received.time_out", "flush",
        "alerts.escalation.run_due", "alerts.sending.send_due",
    ]  # fmt: skip


def test_what_something_has_just_happened_to_is_told_before_all_others_have_their_turn(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "run_early", lambda now: 1)
    tasks.tick()
    assert ran[:3] == ["flush", "alerts.sending.send_due", "alerts.evaluating.run_due"]


def test_what_fails_each_second_is_said_once_and_so_is_its_end(
    ran: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ran.append("broken")
    with caplog.at_level(logging.INFO, "alerts.tasks"):
        for _ in range(3):
            tasks.tick()
        ran.clear()
        for _ in range(2):
            tasks.tick()
    assert [record.getMessage() for record in caplog.records] == [
        "alerts.dispatch.flush failed, and is tried again until it works", "alerts.dispatch.flush works again",
    ]  # fmt: skip
