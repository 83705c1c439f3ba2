"""What a browser says that it is, for people: "Firefox on Linux". Pure.

Most browsers name others, too, for old sites' sake: whoever stands first here is meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.utils.translation import gettext

BROWSERS: Final = {
    "Edg": "Edge", "OPR/": "Opera", "Vivaldi/": "Vivaldi", "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox", "FxiOS/": "Firefox", "CriOS/": "Chrome", "Chrome/": "Chrome", "Safari/": "Safari",
}  # fmt: skip
SYSTEMS: Final = {
    "Windows": "Windows", "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "CrOS": "ChromeOS",
    "Mac OS X": "macOS", "Linux": "Linux",
}  # fmt: skip
SHOWN: Final = 60  # characters of what is none of these


def named(user_agent: str) -> str:
    """What it is as far as it is known; otherwise the beginning of what was said, or ""."""
    browser, system = (_first(known.items(), user_agent) for known in (BROWSERS, SYSTEMS))
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or user_agent[:SHOWN]


def _first(known: Iterable[tuple[str, str]], user_agent: str) -> str:
    return next((name for sign, name in known if sign in user_agent), "")
