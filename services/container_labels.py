"""What is seen of a container → what is made of it: a service, its checks, and the reasons. Pure.

Whoever makes a container chooses its labels, so they are bounded and judged. What they ask for only ever goes to the
container's own address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from services.docker_answers import Port, printable
from services.models.watched import Category
from services.status import Role

PREFIX: Final = "pharos."
# Label → what it does, for the documentation and for who misspelled one.
LABELS: Final = {
    "service": "the name of its service, as its log lines name it",
    "category": "what it is: " + ", ".join(Category.values),
    "owner": "who is asked when it is down",
    "description": "a line about it",
    "depends_on": "services that it needs, with commas between them",
    "port": "the port of the container that checks ask",
    "scheme": "http or https",
    "health": "a path that says how it is: /health",
    "ready": "a path that says whether it can do its work: /health/ready",
    "live": "a path that says whether it runs: /health/live",
    "http": "a path that has to answer with success, whatever it says: /",
    "tcp": "true: whether its port takes connections; or the number of a port",
    "interval": "how often it is asked: 10, 10s or 1m",
    "timeout": "how long an answer may take: 5 or 5s",
    "job": "true: it is meant to end, and exit code 0 is success",
    "ignore": "true: nothing is made of it",
    "logs": "false: its log is not read",
}
COMPOSE: Final = "com.docker.compose."
TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off", ""})
NAME_MAX: Final = 100
PATH_MAX: Final = 300
PARENTS_MAX: Final = 20
INTERVAL, TIMEOUT = 10.0, 5.0  # seconds
USUAL_PORTS: Final = (80, 8080, 8000, 3000, 5000, 443)


class Seen(msgspec.Struct, frozen=True):
    """What a plan is made from."""

    name: str
    image: str = ""
    labels: Mapping[str, str] = {}
    exposed: Sequence[int] = ()
    published: Mapping[int, Port] = {}
    addresses: Sequence[str] = ()
    host_network: bool = False
    restart_policy: str = ""


class Reach(msgspec.Struct, frozen=True):
    """How we get to the containers of a host."""

    ports_at: str  # where published ports are; "" if nobody knows
    networks: bool  # whether the addresses of its networks lead there
    networks_first: bool = False


class PlannedCheck(msgspec.Struct, frozen=True):
    name: str
    role: str
    kind: str
    target: str  # "" while it has no address
    interval: float = INTERVAL
    timeout: float = TIMEOUT


class Plan(msgspec.Struct, frozen=True):
    """What is made of a container. `why` and `problems` are sentences for people."""

    service: str = ""  # "": none
    named: bool = False  # by a label of ours: containers anywhere that say the same are one service
    category: str = Category.OTHER
    owner: str = ""
    description: str = ""
    parents: tuple[str, ...] = ()  # names of services
    compose_parents: tuple[str, ...] = ()  # services of the same compose project
    job: bool = False
    checks: tuple[PlannedCheck, ...] = ()
    why: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def reach(address: str, ports_at: str, *, inside: bool) -> Reach:
    """`inside`: we run in a container ourselves, so that 127.0.0.1 is us and not the machine."""
    host = urlsplit(address).hostname or ""
    here = address.startswith("unix:") or _is_loopback(host)
    if ports_at:
        return Reach(ports_at, here or inside)
    if inside:
        # Its name is that of a socket proxy more often than that of a machine.
        return Reach("" if here or "." not in host else host, True, networks_first=True)
    return Reach("127.0.0.1" if here else host, here)


def plan(seen: Seen, reach: Reach) -> Plan:
    return _Planner(seen, reach).plan()


class _Planner:
    def __init__(self, seen: Seen, reach: Reach) -> None:
        self.seen, self.reach = seen, reach
        self.given = {
            name.removeprefix(PREFIX): value.strip() for name, value in seen.labels.items() if name.startswith(PREFIX)
        }
        self.compose = seen.labels.get(f"{COMPOSE}service", "")
        self.why: list[str] = []
        self.problems: list[str] = []

    def plan(self) -> Plan:
        for name in sorted(self.given.keys() - LABELS.keys()):
            self.problems.append(f"There is no label pharos.{name[:40]}; there is {', '.join(LABELS)}.")
        service = self._service()
        if not service:
            return Plan(why=tuple(self.why), problems=tuple(self.problems))
        checks = self._checks()
        if not checks:
            self.why.append("Its state is watched. A label like pharos.health=/health has it asked, too.")
        return Plan(
            service=service,
            named=bool(self._text("service", NAME_MAX)),
            category=self._category(service),
            owner=self._text("owner", NAME_MAX),
            description=self._text("description", PATH_MAX),
            parents=self._parents(),
            compose_parents=self._compose_parents(),
            job=self._job(),
            checks=checks,
            why=tuple(self.why),
            problems=tuple(self.problems),
        )

    def _service(self) -> str:
        """Its name; "" with a reason if none is made."""
        labels = self.seen.labels
        if self._true("ignore"):
            self.why.append("Left out: it says pharos.ignore.")
            return ""
        if labels.get(f"{COMPOSE}oneoff", "").lower() == "true":
            self.why.append("Left out: somebody started it with `docker compose run`.")
            return ""
        if name := self._text("service", NAME_MAX):
            self.why.append(f"The service {name}: its label pharos.service says so.")
            return name
        for label, what in (
            (f"{COMPOSE}service", "Compose"),
            ("com.docker.swarm.service.name", "Swarm"),
            ("io.kubernetes.container.name", "Kubernetes"),
        ):
            if name := printable(labels.get(label, ""), NAME_MAX):
                self.why.append(f"The service {name}: {what} calls it so.")
                return name
        name = printable(self.seen.name, NAME_MAX)
        if self.given.keys() & LABELS.keys() - {"logs", "ignore"}:
            self.why.append(f"The service {name}, after the container: it has labels of Pharos, and none names it.")
            return name
        if self.seen.restart_policy:
            policy = self.seen.restart_policy
            self.why.append(f"The service {name}, after the container: it is meant to stay up (restart: {policy}).")
            return name
        self.why.append(
            "No service: it has no label of Pharos, is of no Compose service, and has no restart policy. "
            "The label pharos.service=name makes one."
        )
        return ""

    def _text(self, label: str, length: int) -> str:
        return printable(self.given.get(label, ""), length)

    def _true(self, label: str) -> bool:
        value = self.given.get(label, "").lower()
        if value in TRUE:
            return True
        if value not in FALSE:
            self.problems.append(f"pharos.{label}: expected true or false, got {value[:40]!r}.")
        return False

    def _category(self, service: str) -> str:
        if given := self.given.get("category", "").lower():
            if given in Category.values:
                return given
            self.problems.append(f"pharos.category: expected one of {', '.join(Category.values)}; got {given[:40]!r}.")
        image = self.seen.image.rpartition("/")[2].partition("@")[0].partition(":")[0]
        for text, what in ((image, "its image"), (service, "its name"), (self.seen.name, "its name")):
            words = _WORDS.findall(text.lower())
            for category, known in _GUESSES.items():
                if word := next((word for word in words if word in known), ""):
                    self.why.append(f"It is a {Category(category).label}, to judge by “{word}” in {what}.")
                    return category
        return Category.JOB if self._job() else Category.OTHER

    def _job(self) -> bool:
        return self.given.get("job", "").lower() in TRUE

    def _parents(self) -> tuple[str, ...]:
        names = [printable(name, NAME_MAX) for name in self.given.get("depends_on", "").split(",")]
        found = tuple(dict.fromkeys(name for name in names if name))
        if len(found) > PARENTS_MAX:
            self.problems.append(f"pharos.depends_on: {len(found)} services are more than {PARENTS_MAX}.")
        return found[:PARENTS_MAX]

    def _compose_parents(self) -> tuple[str, ...]:
        """What has to run while it runs. What only has to be done before is no parent."""
        found = compose_needs(self.seen.labels)
        return tuple(name for name, condition in found.items() if condition != COMPLETED)[:PARENTS_MAX]

    # --- Checks ----------------------------------------------------------------------------------------------------

    def _checks(self) -> tuple[PlannedCheck, ...]:
        wanted = [label for label in _PATHS if self.given.get(label)]
        tcp = self.given.get("tcp", "").lower()
        if not wanted and tcp in FALSE:
            self._unused()
            return ()
        interval = self._seconds("interval", INTERVAL, 1, 86_400)
        timeout = self._seconds("timeout", TIMEOUT, 0.1, 60)
        checks = []
        for label in wanted:
            path = self._path(label)
            if path is not None and (place := self._place(self._port())):
                name, role, kind = _PATHS[label](path)
                target = f"{self._scheme(place[1])}://{_bracketed(place[0])}:{place[1]}{path}" if place[0] else ""
                checks.append(PlannedCheck(name, role, kind, target, interval, timeout))
                self.why.append(f"The check {name}: pharos.{label} says {path}.")
        if tcp not in FALSE:
            port = self._port() if tcp in TRUE else self._number("tcp", tcp)
            if port and (place := self._place(port)):
                target = f"{_bracketed(place[0])}:{place[1]}" if place[0] else ""
                checks.append(PlannedCheck("port", Role.LIVENESS, "tcp", target, interval, timeout))
                self.why.append("The check port: pharos.tcp asks for it.")
        return tuple({check.name: check for check in checks}.values())

    def _unused(self) -> None:
        for label in ("port", "scheme", "interval", "timeout"):
            if label in self.given:
                self.problems.append(f"pharos.{label} says nothing without pharos.health, ready, live, http or tcp.")

    def _path(self, label: str) -> str | None:
        path = self.given[label]
        if not _PATH.fullmatch(path):
            self.problems.append(f"pharos.{label}: expected a path like /health, got {printable(path, 60)!r}.")
            return None
        return path

    def _scheme(self, port: int) -> str:
        given = self.given.get("scheme", "").lower()
        if given in ("http", "https"):
            return given
        if given:
            self._problem(f"pharos.scheme: expected http or https, got {printable(given, 40)!r}.")
        return "https" if port in (443, 8443) else "http"

    def _port(self) -> int | None:
        """Of the container."""
        if given := self.given.get("port", ""):
            return self._number("port", given)
        for ports, what in ((sorted(self.seen.published), "published"), (list(self.seen.exposed), "exposed")):
            if len(ports) == 1:
                self._because(f"Port {ports[0]}: the only one that is {what}.")
                return ports[0]
            if usual := next((port for port in USUAL_PORTS if port in ports), None):
                self._because(f"Port {usual}: of those that are {what} the most usual one.")
                return usual
        self._problem("It isn't clear which port to ask: say so with pharos.port.")
        return None

    def _number(self, label: str, text: str) -> int | None:
        if text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65_536:
            return int(text)
        self._problem(f"pharos.{label}: expected the number of a port, got {printable(text, 40)!r}.")
        return None

    def _place(self, port: int | None) -> tuple[str, int] | None:
        """Where we reach a port of the container; an empty address while it has none."""
        if port is None:
            return None
        places = [self._in_network, self._published]
        for place in places if self.reach.networks_first else reversed(places):
            if found := place(port):
                return found
        if self.reach.networks and not self.seen.addresses:
            return "", port  # it doesn't run: the address comes with its start
        self._problem(
            f"Port {port} can't be reached from here: publish it, or set the address at which ports are published "
            "(Docker hosts in the admin)."
        )
        return None

    def _published(self, port: int) -> tuple[str, int] | None:
        if self.seen.host_network and self.reach.ports_at:
            self._because("It uses the network of its host.")
            return self.reach.ports_at, port
        published = self.seen.published.get(port)
        if published is None or not published.host_port.isdecimal():
            return None
        everywhere = published.host_ip in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
        local = _is_loopback(self.reach.ports_at)
        if not everywhere and _is_loopback(published.host_ip) and not local:
            return None  # for the machine itself only
        address = self.reach.ports_at if everywhere or not local else published.host_ip
        if not address:
            return None
        self._because(f"Asked at {address}:{published.host_port}, where its port {port} is published.")
        return address, int(published.host_port)

    def _in_network(self, port: int) -> tuple[str, int] | None:
        if not self.reach.networks or not self.seen.addresses:
            return None
        address = self.seen.addresses[0]
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return None
        self._because(f"Asked at {address}:{port}, its address in its network.")
        return address, port

    def _seconds(self, label: str, default: float, low: float, high: float) -> float:
        given = self.given.get(label, "")
        if not given:
            return default
        found = _DURATION.fullmatch(given.lower())
        seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else -1.0
        if low <= seconds <= high:
            return seconds
        self.problems.append(
            f"pharos.{label}: expected {low:g} to {high:g} seconds, like 10, 10s or 1m; got {printable(given, 40)!r}."
        )
        return default

    def _because(self, sentence: str) -> None:
        if sentence not in self.why:
            self.why.append(sentence)

    def _problem(self, sentence: str) -> None:
        if sentence not in self.problems:
            self.problems.append(sentence)


COMPLETED: Final = "service_completed_successfully"


def compose_needs(labels: Mapping[str, str]) -> dict[str, str]:
    """Service of the compose project → the condition under which this one starts: {"db": "service_healthy"}."""
    found = {}
    for part in labels.get(f"{COMPOSE}depends_on", "").split(","):
        name, _, rest = part.partition(":")
        if name.strip():
            found[name.strip()] = rest.partition(":")[0] or "service_started"
    return found


def _health(path: str) -> tuple[str, Role, str]:
    """A path that speaks for itself needs no label of its own."""
    last = path.partition("?")[0].rstrip("/").rpartition("/")[2].lower()
    if last in ("ready", "readyz", "readiness"):
        return "readiness", Role.READINESS, "health"
    if last in ("live", "livez", "liveness", "alive"):
        return "liveness", Role.LIVENESS, "health"
    return "health", Role.HEALTH, "health"


# Label → name, role and kind of its check.
_PATHS: Final[dict[str, Callable[[str], tuple[str, Role, str]]]] = {
    "live": lambda _: ("liveness", Role.LIVENESS, "health"),
    "ready": lambda _: ("readiness", Role.READINESS, "health"),
    "health": _health,
    "http": lambda _: ("http", Role.HEALTH, "http"),
}
_PATH: Final = re.compile(rf"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]{{0,{PATH_MAX - 1}}}")
_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}
_WORDS: Final = re.compile(r"[a-z]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GUESSES: Final[dict[str, frozenset[str]]] = {
    Category.DATABASE: _words(
        "postgres postgresql pgvector timescaledb mysql mariadb mongo mongodb couchdb cassandra clickhouse "
        "elasticsearch opensearch neo influxdb qdrant weaviate mssql cockroach db database"
    ),
    Category.CACHE: _words("redis valkey memcached dragonfly keydb varnish cache"),
    Category.QUEUE: _words("rabbitmq kafka redpanda nats mosquitto activemq queue broker"),
    Category.STORAGE: _words("minio seaweedfs azurite ceph storage"),
    Category.SSO: _words("keycloak authentik dex zitadel authelia hydra sso auth oauth"),
    Category.PROXY: _words("nginx traefik caddy haproxy envoy proxy gateway"),
    Category.OCR: _words("ocr tesseract"),
    Category.ML: _words("ml ollama vllm triton torchserve llm model inference"),
    Category.BILLING: _words("billing payment payments invoice invoices"),
    Category.WORKER: _words("worker workers celery sidekiq consumer"),
    Category.JOB: _words("job cron migrate migrations scheduler beat"),
    Category.WEB: _words("web frontend ui www site"),
    Category.API: _words("api backend server"),
}


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def as_json(plan: Plan) -> dict[str, Any]:
    """As it comes back from the database: with lists."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plan))
    return found


def from_json(found: Mapping[str, Any]) -> Plan:
    return msgspec.convert(dict(found), Plan) if found else Plan()
