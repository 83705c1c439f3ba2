"""What every notifier shares: what it is given, what it returns, how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from alerts.notifications import Notification

DETAIL_MAX = 500  # characters of an answer, or of an error


class NotifierError(Exception):
    """Nobody was told, and it may work later. The text is safe to show: no address or token that was kept secret."""

    def __init__(self, detail: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(detail[:DETAIL_MAX])
        self.permanent = permanent  # trying again is of no use: the settings are wrong
        self.retry_after = retry_after  # seconds, as the other side asked for


class RefusedError(NotifierError):
    """The other side does not take this one message, whenever it comes. Others may pass."""


class Target(msgspec.Struct, frozen=True):
    """Where to, and how it is worded."""

    options: Any  # the notifier's Options
    secrets: Any  # its Secrets
    templates: Mapping[str, str] = {}  # by name of the part; what is missing is built in
    timeout: float = 10.0  # seconds
    delivery: str = ""  # the same for each try: who knows it already may drop it


class Notifier(Protocol):
    """A module in this folder. `Options` and `Secrets` are msgspec.Structs (frozen, forbid_unknown_fields)."""

    LABEL: str  # "Slack"
    HELP: str
    Options: type[msgspec.Struct]
    Secrets: type[msgspec.Struct]
    PLACES: frozenset[str]  # the options that say to which server the secrets go
    TEMPLATES: Mapping[str, str]  # the parts that can be worded anew → how they are worded
    FOR_PEOPLE: bool  # what the rate cap holds back comes as one summary; programs get each message later
    ACKNOWLEDGES: bool  # it keeps a state of its own, and is told when somebody acknowledges here

    @staticmethod
    def check(options: Any, secrets: Any) -> None:
        """Raises ValueError with a sentence: the types fit, but nobody could be told like this."""

    @staticmethod
    def preview(notification: Notification, target: Target) -> Mapping[str, str]:
        """What would be sent, by part, as text; nothing secret. Raises NotifierError."""

    @staticmethod
    async def send(notification: Notification, target: Target) -> str:
        """What the other side answered, in a few words: "200 ok". Raises NotifierError."""
