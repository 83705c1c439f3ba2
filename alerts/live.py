"""Who looks on is told which incidents have changed. What they are now is in the database."""

from __future__ import annotations

from typing import Final

from core.wakeups import Announcer

GROUP: Final = "alerts"
EVENT: Final = "alerts.changed"

announce = Announcer(GROUP, EVENT)
