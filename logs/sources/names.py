"""How a source of the admin says where it is: read once, when it is saved and when it is used."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container
from typing import Final
from urllib.parse import urlsplit

import msgspec

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NameProblem(ValueError):  # noqa: N818 - a sentence for the admin
    """What is wrong with a name, and what to write."""


class Address(msgspec.Struct, frozen=True):
    """Where a server listens."""

    protocols: frozenset[str]  # "udp", "tcp"
    host: str
    port: int


_SCHEMES: Final = {"udp": {"udp"}, "tcp": {"tcp"}, "udp+tcp": {"udp", "tcp"}}
_SYSLOG_HELP: Final = "write udp://127.0.0.1:5514, tcp://127.0.0.1:5514, or udp+tcp://127.0.0.1:5514 for both."
_DOCKER_HELP: Final = "write unix:///var/run/docker.sock or tcp://host:2375."


def redis(name: str) -> None:
    """Of a stream or a channel. Raises NameProblem."""
    if any(letter.isspace() or not letter.isprintable() for letter in name):
        raise NameProblem("A name has no spaces and no control characters: remove them.")
    if name and not re.sub(r"\[[^\]]*\]|[*?]", "", name):
        raise NameProblem("This matches everything in this Redis, what isn't logs as well: write a part of the name.")


def syslog(name: str) -> Address:
    """Raises NameProblem."""
    host, port = _host_and_port(name, _SCHEMES, _SYSLOG_HELP)
    if port < 1_024:
        raise NameProblem("Port below 1024: Pharos doesn't run as root. Use 5514 and let senders send there.")
    return Address(frozenset(_SCHEMES[urlsplit(name).scheme]), host, port)


def docker(name: str) -> tuple[str, str]:
    """Where all addresses of an engine begin, and the path of its socket if it has one. Raises NameProblem."""
    if name.startswith("unix:///") and len(name) > len("unix:///"):
        return "http://docker", name.removeprefix("unix://")
    _host_and_port(name, {"tcp"}, _DOCKER_HELP)
    return f"http:{name.removeprefix('tcp:')}", ""


def files(name: str) -> None:
    """Raises NameProblem."""
    if not name.startswith("/"):
        raise NameProblem("The path is not absolute: write it from the root on, like /var/log/app/*.log.")
    if not name.isprintable():
        raise NameProblem("A path has no control characters: remove them.")
    first = name.split("/")[1]
    if not first or re.search(r"[*?\[]", first):
        raise NameProblem("This would look through the whole machine: name at least the first directory.")
    if name.endswith("/") or ".." in name.split("/"):
        raise NameProblem("A pattern of files ends in a file's name and has no “..”: /var/log/app/*.log.")


def networks(text: str) -> list[Network]:
    """Addresses and networks with commas or spaces between them. Raises NameProblem."""
    found: list[Network] = []
    for word in re.split(r"[,\s]+", text.strip()):
        try:
            found += [ipaddress.ip_network(word, strict=False)] if word else []
        except ValueError:
            raise NameProblem(f"{word[:60]} is no network: write 10.0.0.0/8 or 192.0.2.7, with commas.") from None
    return found


def _host_and_port(name: str, schemes: Container[str], hint: str) -> tuple[str, int]:
    try:
        parts = urlsplit(name)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise NameProblem(f"This is no address: {hint}") from None
    is_whole = not (parts.path or parts.query or parts.fragment or parts.username)
    if parts.scheme not in schemes or not host or not port or not is_whole:
        raise NameProblem(f"This is no address: {hint}")
    return host, port
