"""The first start: an administrator, a key to send with, and the words that say how to begin."""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction

from accounts import keys
from accounts.models import ApiKey, Scope
from accounts.preferences import Preferences

ADMIN = "admin"
# Without the characters that are mistaken for one another when read aloud or copied by hand.
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Made:
    """What the first start made; None for what was there already."""

    password: str | None = None
    key: str | None = None


@transaction.atomic
def first_start() -> Made:
    """Makes the user `admin` if there is no user, and an API key if there is no key."""
    return Made(password=_make_admin(), key=_make_key())


def _make_admin() -> str | None:
    users = get_user_model()
    if users.objects.exists():
        return None
    password = settings.ADMIN_PASSWORD or readable_secret()
    Preferences.objects.create(user=users.objects.create_superuser(ADMIN, "", password), first_steps=True)
    return password


def _make_key() -> str | None:
    if ApiKey.objects.exists():
        return None
    if not settings.API_KEY:
        return keys.create("first start", [Scope.INGEST])[1]
    try:
        return keys.create("PHAROS_API_KEY", Scope.values, secret=settings.API_KEY)[1]
    except ValidationError as error:
        raise ImproperlyConfigured(f"PHAROS_API_KEY can't be used: {' '.join(error.messages)}") from error


def readable_secret(groups: int = 4, length: int = 5) -> str:
    """Like "k3xmp-9tq4r-wz7hn-b2dfc": 99 bits by default."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(length)) for _ in range(groups))


# --- What the operator reads ---------------------------------------------------------------------------------------


def banner(made: Made, redis_port: int | None) -> str:
    rows = {
        "Address": address(),
        "User": ADMIN,
        "Password": _password_line(made),
        "Data": str(settings.DATA_DIR),
        "Redis": _redis_line(redis_port),
    }
    lines = ["", "Pharos is running.", ""]
    lines += [f"  {name:<10}{value}" for name, value in rows.items()]
    lines += ["", *_send_lines(made, redis_port), "", "Ctrl-C stops it.", ""]
    return "\n".join(lines)


def credentials(made: Made) -> str:
    """What would be lost if the first start made it and then failed, so that the banner never came."""
    parts = []
    if made.password and made.password != settings.ADMIN_PASSWORD:
        parts.append(f"the password {made.password!r} for the user {ADMIN!r}")
    if made.key and made.key != settings.API_KEY:
        parts.append(f"the API key {made.key!r}")
    said = " and ".join(parts)
    return f"The first start made {said}. Keep it: it is not shown again." if said else ""


def own_host() -> str:
    """Where this machine itself reaches the web server."""
    return EVERYWHERE.get(settings.HOST, settings.HOST)


def address() -> str:
    host = own_host()
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.PORT}/"


def curl(key: str) -> str:
    """One line for a POSIX shell that sends one record."""
    record = {"level": "info", "service": "demo", "message": "Hello from curl", "request_id": "demo-1"}
    headers = [f"Authorization: Bearer {key}", "Content-Type: application/json"]
    words = ["curl", "-sS", f"{address()}api/logs"]
    words += [word for header in headers for word in ("-H", header)]
    return shlex.join([*words, "-d", json.dumps(record)])


def xadd(redis_port: int) -> str:
    fields = {"level": "info", "service": "demo", "message": "Hello from Redis"}
    words = ["redis-cli", "-u", f"redis://127.0.0.1:{redis_port}/0", "XADD", settings.LOG_STREAMS[0], "*"]
    return shlex.join([*words, *(word for pair in fields.items() for word in pair)])


def _password_line(made: Made) -> str:
    if made.password is None:
        return f"as set before; a new one: {_python()} manage.py changepassword {ADMIN}"
    if made.password == settings.ADMIN_PASSWORD:
        return "the one in PHAROS_ADMIN_PASSWORD"
    return f"{made.password}   (made just now, not shown again)"


def _redis_line(redis_port: int | None) -> str:
    streams = f"stream {', '.join(settings.LOG_STREAMS)}"
    if redis_port is None:
        return f"the one in REDIS_URL, {streams}"
    note = "" if redis_port == settings.VALKEY_PORT else f"   (port {settings.VALKEY_PORT} is taken)"
    return f"redis://127.0.0.1:{redis_port}/0, {streams}{note}"


def _send_lines(made: Made, redis_port: int | None) -> list[str]:
    if made.key:
        lines = ["Send a line:", f"  {curl(made.key)}"]
    else:
        lines = [f"To send lines over HTTP, make a key: {address()}admin/accounts/apikey/add/"]
    if redis_port:
        lines += ["or over Redis:", f"  {xadd(redis_port)}"]
    return lines


def _python() -> str:
    """The interpreter as one would type it in the project's directory."""
    path = Path(sys.executable)
    return str(path.relative_to(settings.BASE_DIR) if path.is_relative_to(settings.BASE_DIR) else path)
