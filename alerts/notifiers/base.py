"""What every notifier shares: what it is given, what it returns, how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from alerts.notifications import Notification


class NotifierError(Exception):
    """Nobody was told. The text is safe to show: no address or token that was kept secret."""

    def __init__(self, detail: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(detail[:500])
        self.permanent = permanent  # trying again is of no use: the settings are wrong
        self.retry_after = retry_after  # seconds, as the other side asked for


class Target(msgspec.Struct, frozen=True):
    """Where to, and how it is worded."""

    options: Mapping[str, Any]
    secrets: Mapping[str, Any]
    templates: Mapping[str, str] = {}
    timeout: float = 10.0  # seconds


class Notifier(Protocol):
    """A module in this folder. `Options` and `Secrets` are msgspec.Structs (forbid_unknown_fields=True)."""

    LABEL: str  # "Slack"
    HELP: str
    Options: type[msgspec.Struct]
    Secrets: type[msgspec.Struct]
    TEMPLATES: Mapping[str, str]  # the parts that can be worded anew → how they are worded

    @staticmethod
    async def send(notification: Notification, target: Target) -> str:
        """What the other side answered, in a few words: "200 ok". Raises NotifierError."""
