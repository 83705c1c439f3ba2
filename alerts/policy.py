"""The policy that Pharos begins with: who is told of what, before anybody has made a route.

critical        PagerDuty, Slack #incidents, e-mail
high            Slack #alerts, e-mail
warning         Slack #alerts
medium and less Slack #monitoring

A critical incident that nobody has acknowledged for five minutes pages once more.

What says nothing of its severity, or something unknown, is high: nobody shall overlook it. The receivers have no
channels yet: they are for people to add. Rows of one name are left as they are, so that `install` brings back what is
missing, and changes nothing that people have made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from alerts.inhibition import ALL_BUT_SEVERITY
from alerts.matchers import Matcher

# What a label `severity` says, the worst first: with the names of others, as alerts that they send have them.
CRITICAL: Final = ("critical", "emergency", "fatal", "page", "p1")
HIGH: Final = ("high", "error", "p2")
WARNING: Final = ("warning", "warn")
MEDIUM: Final = ("medium", "p3")
LOW: Final = ("low",)
INFO: Final = ("info", "notice", "none")

PAGERDUTY: Final = "PagerDuty"
EMAIL: Final = "E-mail"
INCIDENTS, ALERTS, MONITORING = "Slack #incidents", "Slack #alerts", "Slack #monitoring"

RECEIVERS: Final[Mapping[str, str]] = {
    PAGERDUTY: "Critical alerts. Add a channel with the routing key of a PagerDuty service.",
    INCIDENTS: "Critical alerts. Add a channel with the webhook of a Slack channel.",
    ALERTS: "High alerts and warnings. Add a channel with the webhook of a Slack channel.",
    MONITORING: "All that is less. Add a channel with the webhook of a Slack channel.",
    EMAIL: "Critical and high alerts. Add a channel with addresses.",
}


def _says(*names: Sequence[str], not_: bool = False) -> list[str]:
    """A matcher of alerts whose severity is one of these, in whatever letters."""
    expression = "(?i)" + "|".join(name for several in names for name in several)
    return [str(Matcher("severity", expression, is_regex=True, is_equal=not not_))]


# One after the other, and each goes on to the next: a critical alert takes three.
ROUTES: Final[Sequence[tuple[str, Sequence[str], str]]] = (
    ("critical: page", _says(CRITICAL), PAGERDUTY),
    ("critical: chat", _says(CRITICAL), INCIDENTS),
    ("critical and high: mail", _says(WARNING, MEDIUM, LOW, INFO, not_=True), EMAIL),
    ("high and warning: chat", _says(CRITICAL, MEDIUM, LOW, INFO, not_=True), ALERTS),
)
GROUP_BY: Final = ["alertname", "service"]
GROUP_WAIT, GROUP_INTERVAL, REPEAT_INTERVAL = 10.0, 300.0, 10_800.0  # seconds

ON_CALL: Final = "On call"
ON_CALL_AFTER: Final = 300  # seconds
ESCALATED: Final = ("critical: page",)  # the first route of critical alerts: that of their incident

# An alert tells nothing new while a worse one with the same labels fires; nor one of a service while what it needs is
# down. Name → source, target.
_LESS: Final = (CRITICAL, HIGH, (*WARNING, *MEDIUM), LOW, INFO)
INHIBITS: Final[Sequence[Mapping[str, Any]]] = (
    *(
        {
            "name": f"Less than {worse[0]}, while that fires",
            "source_matchers": _says(worse),
            "target_matchers": _says(*_LESS[place + 1 :]),
            "equal": [ALL_BUT_SEVERITY],
        }
        for place, worse in enumerate(_LESS[:-1])
    ),
    {"name": "A service, while one that it needs is down", "from_parents": True},
)


def install(receivers: Any = None, routes: Any = None, inhibits: Any = None, policies: Any = None) -> None:
    """What of it is missing. Routes only if there is none at all. A migration gives the managers of its models."""
    from alerts.models import EscalationPolicy, InhibitRule, Receiver, Route

    # Rows without any are false, too.
    receivers = Receiver.objects if receivers is None else receivers
    routes = Route.objects if routes is None else routes
    inhibits = InhibitRule.objects if inhibits is None else inhibits
    policies = EscalationPolicy.objects if policies is None else policies
    for rule in INHIBITS:
        inhibits.get_or_create(name=rule["name"], defaults=rule)
    if routes.exists():
        return
    named = {
        name: receivers.get_or_create(name=name, defaults={"comment": comment})[0]
        for name, comment in RECEIVERS.items()
    }
    root = routes.create(
        name="all",
        receiver=named[MONITORING],
        group_by=GROUP_BY,
        group_wait=GROUP_WAIT,
        group_interval=GROUP_INTERVAL,
        repeat_interval=REPEAT_INTERVAL,
    )
    on_call, new = policies.get_or_create(name=ON_CALL)
    if new:
        on_call.steps.create(after=ON_CALL_AFTER, receiver=named[PAGERDUTY])
    for order, (name, matchers, receiver) in enumerate(ROUTES):
        routes.create(
            parent=root, order=order, name=name, matchers=matchers, receiver=named[receiver], continues=True,
            escalation=on_call if name in ESCALATED else None,
        )  # fmt: skip
