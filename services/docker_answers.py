"""What a Docker engine says of its containers, read. Pure: no connection, no rows.

The fields that are read have been the same in every version of the API since 1.24.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

NAME_MAX: Final = 255
LABELS_MAX: Final = 100
LABEL_MAX: Final = 500  # characters; what is longer is cut
DETAIL_MAX: Final = 300

T = TypeVar("T")


class AnswerError(ValueError):
    """What came is not what an engine says. The text is a sentence."""


class Port(msgspec.Struct, frozen=True, rename="pascal"):
    """Where a port of a container is published."""

    host_ip: str = ""
    host_port: str = ""


class HealthRun(msgspec.Struct, rename="pascal"):
    end: str = ""
    exit_code: int = 0
    output: str = ""


class Health(msgspec.Struct, rename="pascal"):
    status: str = ""
    log: list[HealthRun] | None = None


class State(msgspec.Struct, rename="pascal"):
    status: str = ""
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")
    exit_code: int = 0
    error: str = ""
    started_at: str = ""
    finished_at: str = ""
    health: Health | None = None


class _Config(msgspec.Struct, rename="pascal"):
    image: str = ""
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, Any] | None = None


class _RestartPolicy(msgspec.Struct, rename="pascal"):
    name: str = ""


class _HostConfig(msgspec.Struct, rename="pascal"):
    network_mode: str = ""
    restart_policy: _RestartPolicy | None = None


class _Network(msgspec.Struct):
    ip_address: str = msgspec.field(default="", name="IPAddress")
    ipv6_address: str = msgspec.field(default="", name="GlobalIPv6Address")


class _NetworkSettings(msgspec.Struct, rename="pascal"):
    ports: dict[str, list[Port] | None] | None = None
    networks: dict[str, _Network | None] | None = None


class Inspected(msgspec.Struct, rename="pascal"):
    """A container, as `/containers/<id>/json` describes it."""

    id: str
    name: str = ""
    created: str = ""
    image: str = ""  # its id: sha256:…
    restart_count: int = 0  # by the engine itself, since somebody started it last
    state: State = msgspec.field(default_factory=State)
    config: _Config = msgspec.field(default_factory=_Config)
    host_config: _HostConfig = msgspec.field(default_factory=_HostConfig)
    network_settings: _NetworkSettings = msgspec.field(default_factory=_NetworkSettings)

    @property
    def plain_name(self) -> str:
        return printable(self.name.removeprefix("/"), NAME_MAX) or self.id[:12]

    @property
    def labels(self) -> dict[str, str]:
        """At most LABELS_MAX, ours and Compose's first: whoever makes a container chooses them."""
        given = sorted((self.config.labels or {}).items(), key=lambda pair: (not _matters(pair[0]), pair[0]))
        return {printable(name, NAME_MAX): printable(value, LABEL_MAX) for name, value in given[:LABELS_MAX]}

    @property
    def health(self) -> str:
        found = self.state.health.status if self.state.health else ""
        return "" if found == "none" else found

    @property
    def restart_policy(self) -> str:
        policy = self.host_config.restart_policy
        return "" if policy is None or policy.name == "no" else policy.name

    @property
    def exposed(self) -> list[int]:
        """TCP ports that the image or the container names."""
        named = {*(self.config.exposed_ports or {}), *(self.network_settings.ports or {})}
        return sorted(port for name in named if (port := tcp_port(name)))

    @property
    def published(self) -> dict[int, Port]:
        """TCP port of the container → where the host has it."""
        ports = self.network_settings.ports or {}
        return {port: places[0] for name, places in ports.items() if places and (port := tcp_port(name))}

    @property
    def addresses(self) -> list[str]:
        """Of its networks, IPv4 first."""
        networks = [network for network in (self.network_settings.networks or {}).values() if network]
        found = [*(each.ip_address for each in networks), *(each.ipv6_address for each in networks)]
        return [address for address in found if address]


class Listed(msgspec.Struct, rename="pascal"):
    """A container in the list of all."""

    id: str


class Info(msgspec.Struct, rename="pascal"):
    name: str = ""
    server_version: str = ""
    system_time: str = ""


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a container."""

    container: str
    action: str  # create, start, die, oom, health_status, rename, pause, unpause, destroy
    at: int  # ns by the engine's clock
    value: str = ""  # what follows the action: "unhealthy"
    attributes: Mapping[str, str] = {}

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.at // 1_000 / 1e6, UTC)


class _Actor(msgspec.Struct, rename="pascal"):
    id: str = msgspec.field(default="", name="ID")
    attributes: dict[str, str] | None = None


class _Event(msgspec.Struct):
    action: str = msgspec.field(default="", name="Action")
    kind: str = msgspec.field(default="", name="Type")
    actor: _Actor = msgspec.field(default_factory=_Actor, name="Actor")
    time: int = 0
    nanoseconds: int = msgspec.field(default=0, name="timeNano")


def decode(data: bytes, kind: type[T]) -> T:
    """Raises AnswerError."""
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except msgspec.DecodeError as error:
        raise AnswerError(f"Expected the answer of a Docker engine, got {data[:60]!r}: {error}.") from None


def events(body: bytes) -> list[Event]:
    """Of containers, in their order. Raises AnswerError."""
    lines = (line for line in body.splitlines() if line.strip())
    found = [event for line in lines if (event := _event(decode(line, _Event)))]
    return sorted(found, key=lambda event: event.at)


def _event(raw: _Event) -> Event | None:
    if raw.kind not in ("container", "") or not raw.actor.id:
        return None
    action, _, value = raw.action.partition(":")
    at = raw.nanoseconds or raw.time * 1_000_000_000
    return Event(raw.actor.id, action, at, value.strip(), raw.actor.attributes or {})


def moment(text: str) -> datetime | None:
    """A time as engines write it, with nanoseconds; None for 0001-01-01, which is "never", and for what is no time."""
    found = _TIME.fullmatch(text.strip())
    if not found or text.startswith("0001"):
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}.{(found[2] or '0')[:6]:0<6}{found[3]}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def tcp_port(name: str) -> int | None:
    """8080 for "8080/tcp"."""
    number, _, protocol = name.partition("/")
    if protocol in ("", "tcp") and number.isdecimal() and len(number) <= 5 and 0 < int(number) < 65_536:
        return int(number)
    return None


def printable(text: str, length: int) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text.strip()[:length])


def _matters(label: str) -> bool:
    return label.startswith(("pharos.", "com.docker.compose.", "com.docker.swarm.", "com.docker.stack."))
