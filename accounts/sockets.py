"""Who may open a WebSocket: a program with a key, or a person with a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts import acting, key_use, keys, visibility
from accounts.models import Scope
from accounts.visibility import Visible


def may(scope: Mapping[str, Any], permission: str, with_key: Scope) -> bool:
    """`scope` is that of the connection. A key that came along decides alone."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    plain = keys.given(headers.get("authorization", ""), headers)
    if plain:
        access = keys.find(plain, _address(scope))
        if access is None or not access.allows(with_key):
            key_use.refused(plain, _address(scope), f"lacks the scope {with_key.value}" if access else "")
            return False
        key_use.used(access.key_id, access.name, _address(scope))
        return True
    user = scope.get("user")
    return user is not None and user.has_perm(permission)


def _address(scope: Mapping[str, Any]) -> str:
    return acting.known_address((scope.get("client") or [""])[0])


def visible(scope: Mapping[str, Any]) -> Visible:
    """What somebody whom `may` lets in sees."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if plain := keys.given(headers.get("authorization", ""), headers):
        access = keys.find(plain)
        return visibility.of_key(access) if access else visibility.NOTHING
    return visibility.of(scope.get("user"))
