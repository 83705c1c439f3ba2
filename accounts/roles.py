"""The four roles: groups that every installation has, and what each may do.

What a role may do when it is made is a rule over the permissions (`allows`), so that a permission of a later version
reaches the roles, too. Each is granted once and that is remembered: what an administrator takes from a role stays away.
"""

from __future__ import annotations

from typing import Any, Final

from django.apps import AppConfig
from django.apps import apps as apps_now
from django.contrib.auth.models import Group, Permission
from django.db import router

VIEWER: Final = "Viewer"
RESPONDER: Final = "Responder"
EDITOR: Final = "Editor"
ADMINISTRATOR: Final = "Administrator"
# Each may do what those before it may.
NAMES: Final = (VIEWER, RESPONDER, EDITOR, ADMINISTRATOR)

ENTER_ADMIN: Final = "accounts.enter_admin"
ROOMS: Final = frozenset({"logs", "services", "alerts"})  # users, keys and the audit trail are in none
READING: Final = frozenset({"logs.read_records"})
RESPONDING: Final = frozenset(
    {
        "alerts.respond_incident",
        "alerts.add_silence",
        "alerts.change_silence",
        "alerts.delete_silence",
        "services.check_service",
        "logs.add_savedquery",
    }
)
EDITING: Final = frozenset({"alerts.test_channel", ENTER_ADMIN})
# Who changes these makes lines go, lets secrets into them, or reads what others keep for themselves.
ADMINISTRATORS_ONLY: Final = frozenset(
    {"logs.retentionrule", "logs.archivedday", "logs.redactionrule", "logs.deadletter", "logs.savedquery"}
)


def allows(role: str, permission: str) -> bool:
    """Whether the role has the permission ("alerts.view_incident") at first."""
    app, _, codename = permission.partition(".")
    action, _, model = codename.partition("_")
    reads = permission in READING or (app in ROOMS and action == "view")
    if role == VIEWER:
        return reads
    responds = reads or permission in RESPONDING
    if role == RESPONDER:
        return responds
    changes = app in ROOMS and action in ("add", "change", "delete") and f"{app}.{model}" not in ADMINISTRATORS_ONLY
    return role == ADMINISTRATOR or responds or permission in EDITING or changes


def label(permission: Permission) -> str:
    """As `has_perm` takes it."""
    return f"{permission.content_type.app_label}.{permission.codename}"


def grant(app_config: AppConfig, using: str, apps: Any = apps_now, **_: Any) -> None:
    """Receives `post_migrate`, once for each app: its new permissions reach the roles."""
    try:
        granted = apps.get_model("accounts", "RoleGrant").objects.using(using)
    except LookupError:  # not migrated so far
        return
    if not router.allow_migrate_model(using, Group):
        return
    groups = {name: Group.objects.using(using).get_or_create(name=name)[0] for name in NAMES}
    once = set(granted.filter(permission__startswith=f"{app_config.label}.").values_list("role", "permission"))
    there = Permission.objects.using(using).filter(content_type__app_label=app_config.label)
    rows, links = [], []
    for permission in there.select_related("content_type"):
        for name, group in groups.items():
            if allows(name, label(permission)) and (name, label(permission)) not in once:
                rows.append(granted.model(role=name, permission=label(permission)))
                links.append(Group.permissions.through(group_id=group.pk, permission_id=permission.pk))
    Group.permissions.through.objects.using(using).bulk_create(links, ignore_conflicts=True)
    granted.bulk_create(rows, ignore_conflicts=True)
