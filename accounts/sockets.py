"""Who may open a WebSocket: a program with a key, or a person with a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts import keys
from accounts.models import Scope


def may(scope: Mapping[str, Any], permission: str, with_key: Scope) -> bool:
    """`scope` is that of the connection. A key that came along decides alone."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    plain = keys.given(headers.get("authorization", ""), headers)
    if plain:
        access = keys.find(plain, str((scope.get("client") or [""])[0]))
        return access is not None and access.allows(with_key)
    user = scope.get("user")
    return user is not None and user.has_perm(permission)
