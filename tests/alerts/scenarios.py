"""What happens to some alerts, and by which routes they go: told in a form that Alertmanager and Pharos both can play.

Times are in units, which may be as long as one likes. What happens, happens between two looks at a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple


class Happens(NamedTuple):
    """At a time: alerts fire or end, a silence is made or ended."""

    at: float
    verb: str  # "fire", "end", "silence", "expire"
    name: str  # of the alert, or of the silence
    given: Mapping[str, Any]  # labels; or the silence's matchers, and "until"


def fire(at: float, name: str, severity: str = "high", *, started: float | None = None, **labels: str) -> Happens:
    return Happens(
        at, "fire", name, {"labels": {"severity": severity, **labels}, "started": at if started is None else started}
    )


def end(at: float, name: str) -> Happens:
    return Happens(at, "end", name, {})


def silence(at: float, name: str, *matchers: str, until: float) -> Happens:
    return Happens(at, "silence", name, {"matchers": matchers, "until": until})


def expire(at: float, name: str) -> Happens:
    return Happens(at, "expire", name, {})


class Scenario(NamedTuple):
    name: str
    route: Mapping[str, Any]  # as in alertmanager.yml, with times in units
    happens: Sequence[Happens]
    inhibits: Sequence[Mapping[str, Any]] = ()
    differs: Mapping[str, Sequence[str]] = {}  # receiver → what Pharos tells; where it is not as Alertmanager


ALWAYS, NEVER = "always", "never"
TIMES: Final = {ALWAYS: [{"years": ["1970:2999"]}], NEVER: [{"years": ["1999"]}]}
SILENT_ENDS: Final = ("deaf",)  # receivers that are told of no ends

# Looks at 1, 3, 5, …
STEADY: Final = {
    "receiver": "all",
    "group_by": ["alertname"],
    "group_wait": 1,
    "group_interval": 2,
    "repeat_interval": 100,
}
CRITICAL, HIGH = 'severity="critical"', 'severity="high"'


def steady(**fields: Any) -> dict[str, Any]:
    return {**STEADY, **fields}


SCENARIOS: Final = (
    Scenario("together in the wait", steady(), [fire(0, "a"), fire(0.5, "b")]),
    Scenario("one more later", steady(), [fire(0, "a"), fire(1.5, "b"), fire(4, "c")]),
    Scenario("no wait", steady(group_wait=0), [fire(0, "a"), fire(1, "b")]),
    Scenario("began long ago", steady(group_wait=4), [fire(0, "a"), fire(1, "b", started=-10), fire(2, "c")]),
    Scenario("repeated", steady(repeat_interval=3), [fire(0, "a")]),
    Scenario("repeated, and news in between", steady(repeat_interval=5), [fire(0, "a"), fire(2, "b")]),
    Scenario("one ends, then all", steady(), [fire(0, "a"), fire(0, "b"), end(2, "a"), end(4, "b")]),
    Scenario("all end at once", steady(), [fire(0, "a"), fire(0, "b"), end(2, "a"), end(2, "b")]),
    Scenario("came and went in the wait", steady(), [fire(0, "a"), end(0.5, "a")]),
    Scenario("came and went beside another", steady(), [fire(0, "a"), fire(1.5, "b"), end(2.5, "b")]),
    Scenario("ends and fires again between looks", steady(), [fire(0, "a"), end(1.5, "a"), fire(2.5, "a")]),
    Scenario("fires again once its end was told", steady(), [fire(0, "a"), end(2, "a"), fire(4, "a")]),
    Scenario("one ends while another comes", steady(), [fire(0, "a"), end(2, "a"), fire(2, "b")]),
    Scenario(
        "deaf to ends",
        steady(receiver="deaf"),
        [fire(0, "a"), fire(0, "b"), end(2, "a"), end(4, "b"), fire(6, "a")],
    ),
    Scenario(
        "deaf to ends, and repeated",
        steady(receiver="deaf", repeat_interval=3),
        [fire(0, "a"), fire(0, "b"), end(2, "a")],
    ),
    Scenario(
        "the seed's route: critical reaches the pager alone",
        steady(
            routes=[
                {"receiver": "pager", "matchers": [CRITICAL], "continue": True},
                {"receiver": "chat", "matchers": [HIGH]},
            ]
        ),
        [fire(0, "a", "critical"), fire(0, "b", "high"), fire(0, "c", "low")],
    ),
    Scenario(
        "continue: every match is told",
        steady(
            routes=[
                {"receiver": "pager", "matchers": [CRITICAL], "continue": True},
                {"receiver": "chat", "matchers": ['severity=~"critical|high"'], "continue": True},
                {"receiver": "mail", "matchers": ['severity!="low"']},
                {"receiver": "never", "matchers": [CRITICAL]},
            ]
        ),
        [fire(0, "a", "critical"), fire(0, "b", "high"), fire(0, "c", "low"), end(2, "a")],
    ),
    Scenario(
        "nested routes",
        steady(
            routes=[
                {
                    "receiver": "team",
                    "matchers": ['team="db"'],
                    "group_by": ["team"],
                    "routes": [
                        {"receiver": "pager", "matchers": [CRITICAL], "group_wait": 0},
                        {"matchers": ['name="x"'], "group_by": ["..."], "continue": True},
                        {"receiver": "chat", "matchers": ['name=~"x|y"']},
                    ],
                },
                {"receiver": "rest", "matchers": ['team=~".+"']},
            ]
        ),
        [
            fire(0, "a", "critical", team="db"),
            fire(0, "x", team="db"),
            fire(0, "y", team="db"),
            fire(0, "z", team="db"),
            fire(0, "w", team="web"),
            fire(0, "v"),
        ],
    ),
    Scenario(
        "matchers",
        steady(
            routes=[
                {"receiver": "no team", "matchers": ['team=""']},
                {"receiver": "not web", "matchers": ['team!~"we.*"', 'severity!="low"']},
                {"receiver": "exactly", "matchers": ['team=~"w"']},
                {"receiver": "begins", "matchers": ['team=~"w.*"', "name!=d"]},
            ]
        ),
        [
            fire(0, "a"),
            fire(0, "b", team="db"),
            fire(0, "c", "low", team="db"),
            fire(0, "d", team="web"),
            fire(0, "e", team="web"),
            fire(0, "f", team="w"),
        ],
    ),
    Scenario(
        "by two labels",
        steady(group_by=["alertname", "team"]),
        [fire(0, "a"), fire(0, "b", team="x"), fire(0, "c", team="x")],
    ),
    Scenario("each by itself", steady(group_by=["..."]), [fire(0, "a"), fire(0, "b")]),
    Scenario("all together", steady(group_by=[]), [fire(0, "a", team="x"), fire(0, "b", team="y")]),
    Scenario(
        "a worse one keeps it quiet",
        steady(),
        [
            fire(0, "less", "high", team="x"),
            fire(0, "other", "high", team="y"),
            fire(0.5, "worse", "critical", team="x"),
            end(2, "worse"),
        ],
        [{"source_matchers": [CRITICAL], "target_matchers": [HIGH], "equal": ["team"]}],
    ),
    Scenario(
        "told before the worse one came",
        steady(repeat_interval=3),
        [fire(0, "less", "high"), fire(2, "worse", "critical"), end(4, "less"), end(6, "worse")],
        [{"source_matchers": [CRITICAL], "target_matchers": [HIGH], "equal": ["team", "alertname"]}],
    ),
    Scenario(
        "nobody keeps itself quiet",
        steady(),
        [fire(0, "a", "critical"), fire(0, "b", "critical"), fire(0, "c", "high")],
        [{"source_matchers": ['severity=~"critical|high"'], "target_matchers": ['severity=~"critical|high"']}],
    ),
    Scenario(
        "source and target, and one that is no target",
        steady(),
        [fire(0, "a", "critical"), fire(0, "b", "high"), fire(0, "c", "high")],
        [{"source_matchers": ['severity=~"critical|high"'], "target_matchers": [HIGH]}],
    ),
    Scenario(
        "a silenced one keeps others quiet still",
        steady(),
        [silence(0, "s", CRITICAL, until=100), fire(0.5, "a", "critical"), fire(0.5, "b", "high")],
        [{"source_matchers": [CRITICAL], "target_matchers": [HIGH], "equal": ["alertname"]}],
    ),
    Scenario("silenced for a while", steady(), [silence(0, "s", "name=a", until=4), fire(0.5, "a"), fire(0.5, "b")]),
    Scenario(
        "a silence ends early", steady(), [silence(0, "s", "name=~a|b", until=100), fire(0.5, "a"), expire(4, "s")]
    ),
    Scenario(
        "silenced once told",
        steady(repeat_interval=3),
        [fire(0, "a"), silence(2, "s", "name=a", until=100), fire(2, "b")],
    ),
    Scenario(
        "all that fires is silenced",
        steady(),
        [fire(0, "a"), fire(0, "b"), silence(2, "s", "name=a", until=6), end(2, "b")],
    ),
    Scenario(
        # There it is known to fire since long. Here it is another incident.
        "ends in silence, and fires anew",
        steady(),
        [fire(0, "a"), silence(2, "s", "name=a", until=4.5), end(2.5, "a"), fire(6, "a")],
        differs={"all": ["a|", "a|"]},
    ),
    Scenario(
        "times",
        steady(
            routes=[
                {"receiver": "muted", "mute_time_intervals": [ALWAYS], "continue": True},
                {"receiver": "not muted", "mute_time_intervals": [NEVER], "continue": True},
                {"receiver": "active", "active_time_intervals": [NEVER, ALWAYS], "continue": True},
                {"receiver": "not active", "active_time_intervals": [NEVER], "continue": True},
                {
                    "receiver": "of children",
                    "mute_time_intervals": [ALWAYS],
                    "routes": [{"matchers": ["name=b"]}],
                },
            ]
        ),
        [fire(0, "a"), fire(0, "b"), end(2, "a")],
    ),
    Scenario(
        "each at its own times",
        steady(
            routes=[
                {"receiver": "fast", "group_wait": 0, "group_interval": 1, "repeat_interval": 1.5, "continue": True},
                {"receiver": "slow", "group_wait": 3, "group_interval": 4},
            ]
        ),
        [fire(0, "a"), fire(2.5, "b"), end(4.5, "a")],
    ),
)
UNTIL: Final = 9.5
