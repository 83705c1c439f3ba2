"""Typed readers of the environment. A wrong value stops the start with one sentence that names it."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from hashlib import blake2s
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

# The longest path that a unix socket may have, everywhere (Linux allows 107, macOS 103).
SOCKET_PATH_MAX = 100
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def text(*names: str, default: str = "") -> str:
    """The first of `names` (a variable and its aliases) that is set and not empty, else `default`. `NAME_FILE` is the
    path of a file with the value, as Docker and Kubernetes hand over secrets."""
    return next((value for name in names if (value := _value(name))), default)


def _name(names: Sequence[str]) -> str:
    return next((name for name in names if _value(name)), names[0])


def _value(name: str) -> str:
    value, path = (os.environ.get(each, "").strip() for each in (name, f"{name}_FILE"))
    if not path:
        return value
    if value:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: keep one of them.")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ImproperlyConfigured(
            f"{name}_FILE must be a file to read, but {path!r} can't be read: {reason}."
        ) from error


def integer(*names: str, default: int, low: int, high: int) -> int:
    value = text(*names, default=str(default))
    if re.fullmatch(r"\d{1,18}", value) and low <= int(value) <= high:
        return int(value)
    raise ImproperlyConfigured(f"{_name(names)} must be a whole number from {low:,} to {high:,}, but it is {value!r}.")


def boolean(*names: str, default: bool) -> bool:
    value = text(*names, default=str(default)).lower()
    if value in TRUE | FALSE:
        return value in TRUE
    raise ImproperlyConfigured(f"{_name(names)} must be one of 1, 0, true, false, but it is {value!r}.")


def words(*names: str, default: str = "") -> list[str]:
    """A comma-separated list, without empty items."""
    return [word for item in text(*names, default=default).split(",") if (word := item.strip())]


def pairs(*names: str) -> dict[str, str]:
    """`name=value,name=value` as a dict."""
    found = {}
    for item in words(*names):
        key, equals, value = item.partition("=")
        if not (equals and key.strip() and value.strip()):
            raise ImproperlyConfigured(
                f"{_name(names)} must be a list like name=value,name=value, but it has {item!r}."
            )
        found[key.strip()] = value.strip()
    return found


def url(*names: str, schemes: Sequence[str], default: str = "") -> str:
    """A URL with one of `schemes`. `host:port`, as .NET services often have it, means the first scheme."""
    value = text(*names, default=default)
    if not value:
        return ""
    if "://" not in value and re.fullmatch(r"[\w.-]+(:\d+)?(/\d+)?", value):
        value = f"{schemes[0]}://{value}"
    if value.partition("://")[0] not in schemes:
        wanted = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ImproperlyConfigured(f"{_name(names)} must be a URL that begins with {wanted}, but it is {value!r}.")
    return value


class Mail(NamedTuple):
    """Django's settings of a mail server, in the order of its documentation; no host: there is none."""

    host: str = ""
    port: int = 25
    user: str = ""
    password: str = ""
    starttls: bool = False
    tls: bool = False


def mail(name: str) -> Mail:
    """`smtp://user:password@host:port`: smtps:// is encrypted from the beginning, smtp+tls:// after STARTTLS."""
    ports = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
    value = text(name)
    if not value:
        return Mail()
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port or ports[parts.scheme]
    except (ValueError, KeyError):
        host = None
    if not host:
        # It may have a password in it: it is not shown.
        raise ImproperlyConfigured(f"{name} must be like smtp+tls://user:password@mail.example.org:587.")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Mail(host, port, user, password, parts.scheme == "smtp+tls", parts.scheme == "smtps")


def host(*names: str, default: str) -> str:
    value = text(*names, default=default)
    if re.fullmatch(r"[\w.:-]+", value):
        return value
    raise ImproperlyConfigured(f"{_name(names)} must be a host name or an address, but it is {value!r}.")


def data_dir(name: str, default: Path) -> Path:
    """The directory that everything is written to. It is made if it isn't there."""
    path = Path(text(name, default=str(default))).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} must be a directory that can be written, but {str(path)!r} can't be made: {error.strerror}."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ImproperlyConfigured(f"{name} must be a directory that can be written, but {str(path)!r} can't.")
    return path


def secret_key(name: str, directory: Path) -> str:
    """The variable, else a key that is made once and kept in the data directory."""
    if value := text(name):
        if len(value) < 16:
            raise ImproperlyConfigured(f"{name} must have at least 16 characters, but it has {len(value)}.")
        return value
    path = directory / "secret_key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(key := secrets.token_urlsafe(48))
    return key


def socket_path(directory: Path) -> Path:
    """Where the private Valkey listens: in the data directory, or in a short place if that path is too long."""
    path = directory / "valkey" / "valkey.sock"
    if len(str(path)) <= SOCKET_PATH_MAX:
        return path
    digest = blake2s(str(directory).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"pharos-{os.getuid()}-{digest}.sock"
