"""What the audit trail follows: every model of the rooms that people configure or decide something with.

A model that isn't named here is followed, so that nobody has to remember to.
"""

from __future__ import annotations

from typing import Final

from django.apps import apps

from accounts.trail import recording

ROOMS: Final = ("auth", "accounts", "logs", "services", "alerts")
# … and of packages, where they are installed.
MORE: Final = ("account.EmailAddress", "mfa.Authenticator", "socialaccount.SocialAccount")

# What machines write, in numbers; incidents have a history of their own, with everything that people do to them.
NOT_FOLLOWED: Final = frozenset(
    {
        "auth.Permission", "accounts.RoleGrant",
        "logs.LogBlock", "logs.LogBlockGrams", "logs.LogCommit", "logs.DeadLetter", "logs.StoreEvent",
        "logs.ArchivedDay",
        "services.CheckResult", "services.CheckHour", "services.StatusChange", "services.Container",
        "services.ContainerEvent", "services.ContainerSample", "services.HeartbeatPing",
        "alerts.Alert", "alerts.Delivery", "alerts.Evidence", "alerts.Group", "alerts.Incident",
        "alerts.IncidentEvent", "alerts.Member", "alerts.Notified",
    }
)  # fmt: skip

# Beside encrypted fields, which nobody has to name.
SECRET: Final = {
    "auth.User": ["password"],
    "accounts.ApiKey": ["hash"],
    "services.Heartbeat": ["token", "ping_key"],
    "mfa.Authenticator": ["data"],
    "socialaccount.SocialAccount": ["extra_data"],
}
ALSO: Final = {"accounts.ApiKey": ["prefix", "revoked_at"], "alerts.Silence": ["created_by"]}
LEFT_OUT: Final = {
    "auth.User": ["last_login"],
    "mfa.Authenticator": ["last_used_at"],
    "socialaccount.SocialAccount": ["last_login"],
}


def follow() -> None:
    models = [model for room in ROOMS for model in apps.get_app_config(room).get_models()]
    models += [apps.get_model(label) for label in MORE if apps.is_installed(_app(label))]
    for model in models:
        label = model._meta.label
        if label not in NOT_FOLLOWED:
            recording.follow(
                model, secret=SECRET.get(label, ()), also=ALSO.get(label, ()), left_out=LEFT_OUT.get(label, ())
            )
    recording.connect()


def _app(label: str) -> str:
    return {"account": "allauth.account", "mfa": "allauth.mfa", "socialaccount": "allauth.socialaccount"}[
        label.partition(".")[0]
    ]


def request_id() -> str | None:
    """For auditlog: the id that a request's log lines have, too."""
    from logs import context

    return context.request_id.get() or None
