"""What is known of a service, and the colour that it gets: the table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.status import CheckFacts, ContainerFacts, Facts, Outcome, judge

THEN = datetime(2026, 11, 21, 12, 3, tzinfo=UTC)


def container(state: str, health: str = "") -> ContainerFacts:
    return ContainerFacts("wib-worker-1", state, health, THEN, "exited with 137" if state == "exited" else "")


def check(name: str, outcome: Outcome | None, detail: str = "") -> CheckFacts:
    return CheckFacts(1, name, outcome, THEN, detail, role=name)


CONTAINERS = {
    "no container": [],
    "running": [container("running")],
    "healthy": [container("running", "healthy")],
    "unhealthy": [container("running", "unhealthy")],
    "exited": [container("exited")],
    "host away": [container("")],
}
OUTCOMES = {
    None: "unknown",
    Outcome.UP: "up",
    Outcome.DEGRADED: "degraded",
    Outcome.FAILING: "failing",
    Outcome.UNREACHABLE: "unreachable",
}


@pytest.mark.parametrize("running", CONTAINERS)
@pytest.mark.parametrize("liveness", OUTCOMES)
@pytest.mark.parametrize("readiness", OUTCOMES)
def test_every_combination_of_container_liveness_and_readiness(
    running: str, liveness: Outcome | None, readiness: Outcome | None
) -> None:
    """Red is stopped or unreachable, yellow runs and fails, green needs everything to be up."""
    found = judge(
        Facts(checks=[check("liveness", liveness), check("readiness", readiness)], containers=CONTAINERS[running])
    )

    if running == "exited" or Outcome.UNREACHABLE in (liveness, readiness) or liveness == Outcome.FAILING:
        expected = "red"
    elif running == "unhealthy" or liveness == Outcome.DEGRADED or readiness in (Outcome.DEGRADED, Outcome.FAILING):
        expected = "yellow"
    elif liveness is None or readiness is None:
        expected = "grey"
    else:
        expected = "green"
    assert found.colour == expected, found
