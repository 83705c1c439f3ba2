"""What is known of a service, and the colour that it gets: the table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.status import CheckFacts, ContainerFacts, Facts, Means, Outcome, ParentFacts, Role, Status, judge

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


# --- What a body says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.LIVENESS, Role.READINESS, Role.HEALTH])
@pytest.mark.parametrize("means", Means)
@pytest.mark.parametrize("outcome", Outcome)
def test_what_an_answer_means(outcome: Outcome, means: Means, role: Role) -> None:
    """A body that says "degraded" is yellow whatever it is asked for; what a failure means can be chosen."""
    found = judge(Facts(checks=[CheckFacts(1, "health", outcome, THEN, role=role, failing_means=means)]))
    if outcome == Outcome.FAILING:
        red = means == Means.DOWN or (means == Means.AUTO and role == Role.LIVENESS)
    else:
        red = outcome == Outcome.UNREACHABLE
    assert found.colour == ("green" if outcome == Outcome.UP else "red" if red else "yellow")
    assert (found.check, found.since) == ((None, None) if outcome == Outcome.UP else (1, THEN))


# --- Parents, maintenance, pause -------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("maintenance", ["", "new disks"])
@pytest.mark.parametrize("parent", Status)
@pytest.mark.parametrize("running", CONTAINERS)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_pause_hides_everything_and_maintenance_everything_else(
    outcome: Outcome | None, running: str, parent: Status, maintenance: str, paused: bool
) -> None:
    facts = Facts(
        paused=paused,
        maintenance=maintenance,
        checks=[check("readiness", outcome)],
        containers=CONTAINERS[running],
        parents=[ParentFacts(7, "database", parent)],
    )
    found = judge(facts)
    alone = judge(Facts(checks=facts.checks, containers=facts.containers))
    if paused:
        assert (found.colour, found.reason, found.parent) == ("grey", "paused", None)
    elif maintenance:
        assert (found.colour, found.reason, found.parent) == ("blue", "maintenance: new disks", None)
    else:
        # A parent explains; it never makes a service better or worse.
        assert found.status == alone.status
        explained = parent == Status.DOWN and found.colour in ("red", "yellow")
        assert found.parent == (7 if explained else None)
        assert found.reason == ("database, which it needs, is down; " if explained else "") + alone.reason


# --- The sentence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(), "nothing is checked yet"),
        (Facts(checks=[check("health", Outcome.UP)]), "every check is up"),
        (Facts(checks=[check("health", None)]), "no recent result of health"),
        (
            Facts(checks=[check("readiness", Outcome.FAILING, "database unhealthy")]),
            "readiness fails: database unhealthy",
        ),
        (Facts(checks=[check("health", Outcome.DEGRADED)]), "health is degraded"),
        (
            Facts(checks=[check("health", Outcome.UNREACHABLE, "connection refused")]),
            "health is unreachable: connection refused",
        ),
        (Facts(containers=[container("running")]), "its container runs"),
        (Facts(containers=[container("running"), container("running")]), "its containers run"),
        (Facts(containers=[container("running", "starting")]), "container wib-worker-1 is starting"),
        (Facts(containers=[container("running", "unhealthy")]), "container wib-worker-1 is unhealthy"),
        (Facts(containers=[container("exited")]), "container wib-worker-1 exited with 137"),
        (Facts(containers=[container("paused")]), "container wib-worker-1 is paused"),
        (
            Facts(containers=[container("exited"), container("running")]),
            "1 of 2 containers don't run: container wib-worker-1 exited with 137",
        ),
        (Facts(containers=[container("")]), "the Docker host is away"),
    ],
)
def test_a_sentence_says_why(facts: Facts, reason: str) -> None:
    assert judge(facts).reason == reason


def test_of_several_problems_the_worst_is_told_and_a_container_before_a_check() -> None:
    checks = [check("readiness", Outcome.FAILING, "slow"), check("health", Outcome.UNREACHABLE, "connection refused")]
    assert judge(Facts(checks=checks)).reason == "health is unreachable: connection refused"
    assert judge(Facts(checks=checks, containers=CONTAINERS["exited"])).check is None
