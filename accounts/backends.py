"""Permissions that nobody was given by hand."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Permission

from accounts import roles


class ByCircumstance(BaseBackend):
    """Signs nobody in. Staff may enter the admin; with PHAROS_ANONYMOUS_READ, who isn't signed in may read."""

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if obj is not None:
            return set()
        if user_obj.is_anonymous:
            return _readable(user_obj) if settings.ANONYMOUS_READ else set()
        return {roles.ENTER_ADMIN} if user_obj.is_active and user_obj.is_staff else set()


def _readable(user: Any) -> set[str]:
    """What the role Viewer may read. What it may do beyond that is for people who say who they are."""
    if not hasattr(user, "_readable"):
        given = Permission.objects.filter(group__name=roles.VIEWER).select_related("content_type")
        user._readable = {each for each in map(roles.label, given) if roles.allows(roles.VIEWER, each)}
    found: set[str] = user._readable
    return found
