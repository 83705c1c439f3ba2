"""What somebody has set."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from monitor.doctor.findings import Finding, ok, problem, warning

ANY: Final = "*"
KEY_MIN: Final = 32  # characters of a secret key
LOCAL: Final = ("127.0.0.1", "localhost", "::1")


def configuration() -> Finding:
    """As each start does; a variable that can't be read ends this command before it comes here."""
    found = [each for each in checks.run_checks(tags=["pharos"]) if not each.is_silenced()]
    if not found:
        return ok("All variables can be read, and fit each other.")
    worst = max(found, key=lambda each: each.level)
    make = problem if worst.level >= checks.ERROR else warning
    more = f" {len(found) - 1} more: manage.py check --tag pharos." if len(found) > 1 else ""
    return make(f"{worst.msg.rstrip('.')}.{more}", worst.hint or "See docs/configuration.md.")


def weak() -> Finding:
    """What is fine on a laptop, and not where others can reach it."""
    reached = settings.HOST not in LOCAL or urlsplit(settings.EXTERNAL_URL).scheme == "https"
    encrypted = urlsplit(settings.EXTERNAL_URL).scheme == "https"
    wrong = {
        "PHAROS_DEBUG shows settings to everybody who sees an error": settings.DEBUG,
        "PHAROS_ALLOWED_HOSTS has *, so any page of the web can pretend to be this one": ANY in settings.ALLOWED_HOSTS,
        f"PHAROS_SECRET_KEY has less than {KEY_MIN} characters": len(settings.SECRET_KEY) < KEY_MIN,
        "PHAROS_URL is https, but PHAROS_SECURE_COOKIES is off": encrypted and not settings.SESSION_COOKIE_SECURE,
    }
    found = [said for said, applies in wrong.items() if applies]
    if not found:
        return ok("None.")
    make = problem if reached and settings.DEBUG else warning
    return make(f"{'; '.join(found)}.", "Change them: see docs/configuration.md.")


def external_url() -> Finding:
    url = settings.EXTERNAL_URL
    if not url:
        return warning("PHAROS_URL is not set: messages have no links.", "Set it to the address that people open.")
    host = urlsplit(url).hostname or ""
    allowed = any(
        host == each or (each.startswith(".") and f".{host}".endswith(each)) or each == ANY
        for each in settings.ALLOWED_HOSTS
    )
    if not allowed:
        return problem(
            f"The links in messages lead to {url}, but {host} is not in PHAROS_ALLOWED_HOSTS: they get 400.",
            f"Add {host} to PHAROS_ALLOWED_HOSTS.", "links-in-messages-dont-work",
        )  # fmt: skip
    return ok(f"Links in messages begin with {url}.")
