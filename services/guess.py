"""One address → a service with its checks, as a proposal. `guess` is pure; `explore` asks, each question once."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from services import trying
from services.models import Category
from services.probes import Measurement
from services.status import Outcome, Role

ADDRESS_MAX: Final = 500  # characters
PATIENCE: Final = 4.0  # seconds for each question; all are asked at the same time
HEALTH: Final = (
    ("/health/ready", "readiness", Role.READINESS),
    ("/health/live", "liveness", Role.LIVENESS),
    ("/health", "health", Role.HEALTH),
)
PORTS: Final = {
    25: Category.EXTERNAL, 1433: Category.DATABASE, 3306: Category.DATABASE, 4222: Category.QUEUE,
    5432: Category.DATABASE, 5672: Category.QUEUE, 6379: Category.CACHE, 9000: Category.STORAGE, 9092: Category.QUEUE,
    9200: Category.DATABASE, 11211: Category.CACHE, 27017: Category.DATABASE,
}  # fmt: skip
WORDS: Final = (
    (Category.OCR, "ocr"),
    (Category.ML, "ml model inference llm"),
    (Category.WORKER, "worker celery consumer"),
    (Category.SSO, "sso auth login keycloak oidc id"),
    (Category.BILLING, "billing pay payment payments invoice"),
    (Category.PROXY, "proxy nginx traefik caddy haproxy gateway"),
    (Category.DATABASE, "db database postgres postgresql pg mysql mariadb mongo"),
    (Category.CACHE, "redis valkey cache memcached"),
    (Category.QUEUE, "queue rabbitmq rabbit kafka nats"),
    (Category.STORAGE, "minio s3 storage files"),
    (Category.API, "api backend"),
    (Category.WEB, "www web frontend site shop app"),
)


class Proposed(msgspec.Struct):
    """A check to be. It has what a probe is asked with."""

    name: str
    kind: str
    target: str
    role: str = Role.HEALTH
    options: Mapping[str, Any] = {}
    secrets: Mapping[str, Any] = {}
    timeout: float = PATIENCE
    slow_ms: int | None = None
    found: str = ""  # what it answered just now
    outcome: int | None = None


class Guess(msgspec.Struct, frozen=True):
    name: str
    category: str
    checks: list[Proposed]
    base: str = ""  # "https://host:port": where health addresses may be
    others: list[Proposed] = []  # instead of `checks`, if those don't answer


def guess(address: str) -> Guess:
    """Raises ValueError with a sentence, in which no password is."""
    text = address.strip()
    if not text or len(text) > ADDRESS_MAX or any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("expected an address in one line, like https://shop.example.org or tcp://mail:25")
    if "://" not in text:
        return _bare(text)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("expected host or host:port after ://") from None
    if not host:
        raise ValueError("expected the name of a host after ://")
    if parts.scheme in ("http", "https"):
        return _web(parts, host, port)
    if parts.scheme in ("postgres", "postgresql"):
        check = Proposed("login", "postgres", _without_password(parts), secrets=_password(parts))
        return Guess(_name(host, parts.path.strip("/")), Category.DATABASE, [check])
    if parts.scheme in ("redis", "rediss"):
        check = Proposed("ping", "redis", _without_password(parts), secrets=_password(parts))
        return Guess(_name(host, "redis"), Category.CACHE, [check])
    if parts.scheme in ("tcp", "amqp", "amqps", "smtp", "mqtt") and (port or parts.scheme != "tcp"):
        return _tcp(host, port or {"amqp": 5672, "amqps": 5671, "smtp": 25, "mqtt": 1883}[parts.scheme])
    if parts.scheme == "tcp":
        raise ValueError("expected a port, like tcp://mail.example.org:25")
    raise ValueError(f"expected http, https, tcp, postgres or redis before ://, got {parts.scheme[:20]!r}")


def _bare(text: str) -> Guess:
    """A host name, or host:port; without a port it is most likely a web site."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.username or not re.fullmatch(r"[\w.\-:%]+", host):
        raise ValueError("expected an address like https://shop.example.org, tcp://mail:25 or shop.example.org")
    if port in PORTS:
        return _tcp(host, port)
    scheme = "https" if port in (None, 443) else "http"
    found = _web(urlsplit(f"{scheme}://{text}"), host, port)
    if port:
        return msgspec.structs.replace(found, others=_tcp(host, port).checks)
    return msgspec.structs.replace(found, others=_web(urlsplit(f"http://{text}"), host, None).checks)


def _web(parts: SplitResult, host: str, port: int | None) -> Guess:
    target = _without_login(parts)
    secrets = {"username": unquote(parts.username or ""), **_password(parts)} if parts.username else {}
    base = f"{parts.scheme}://{_netloc(parts)}"
    path = parts.path.rstrip("/")
    if path.endswith("/.well-known/openid-configuration"):
        issuer = base + path.removesuffix("/.well-known/openid-configuration")
        return Guess(_name(host, ""), Category.SSO, [Proposed("sign-on", "oidc", issuer, secrets=secrets)])
    known = next((each for each in HEALTH if path == each[0]), None)
    if known or path.endswith(("/healthz", "/readyz", "/livez", "/health")):
        _, name, role = known or ("", "health", Role.HEALTH)
        return Guess(_name(host, ""), _category(host), [Proposed(name, "health", target, role, secrets=secrets)])
    if not path and not parts.query:
        target = f"{base}/"
    return Guess(_name(host, ""), _category(host), [Proposed("page", "http", target, secrets=secrets)], base=base)


def _tcp(host: str, port: int) -> Guess:
    shown = f"[{host}]" if ":" in host else host
    check = Proposed("port", "tcp", f"{shown}:{port}")
    return Guess(_name(host, ""), PORTS.get(port, _category(host)), [check])


def _without_login(parts: SplitResult) -> str:
    return parts._replace(netloc=_netloc(parts), fragment="").geturl()


def _without_password(parts: SplitResult) -> str:
    login = f"{parts.username}@" if parts.username else ""
    return parts._replace(netloc=login + _netloc(parts), fragment="").geturl()


def _netloc(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _password(parts: SplitResult) -> dict[str, Any]:
    return {"password": unquote(parts.password)} if parts.password else {}


def _name(host: str, otherwise: str) -> str:
    """The first label that says something: shop of www.shop.example.org. Addresses and localhost say nothing."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
        return otherwise or host
    except ValueError:
        pass
    labels = [label for label in host.split(".") if label]
    if labels[:1] == ["www"] and len(labels) > 2:
        labels = labels[1:]
    return (otherwise or host if labels[:1] == ["localhost"] else labels[0] if labels else host)[:100]


def _category(host: str) -> str:
    words = set(re.split(r"[^a-z0-9]+", host.lower()))
    return next((category for category, known in WORDS if words & set(known.split())), Category.WEB)


# --- Asking --------------------------------------------------------------------------------------------------------


def explore(proposal: Guess) -> Guess:
    """With what answers now: health addresses instead of the page, the second choice instead of a silent first."""
    candidates = [
        Proposed(name, "health", proposal.base + path, role, secrets=proposal.checks[0].secrets)
        for path, name, role in (HEALTH if proposal.base else ())
    ]
    asked = _ask([*candidates, *proposal.checks, *proposal.others])
    health = _telling(asked[: len(candidates)])
    first = asked[len(candidates) : len(candidates) + len(proposal.checks)]
    others = asked[len(candidates) + len(proposal.checks) :]
    if health:
        chosen = health
    elif others and all(check.outcome == Outcome.UNREACHABLE for check, _ in first):
        chosen = [each for each in others if each[0].outcome != Outcome.UNREACHABLE] or first
    else:
        chosen = first
    return msgspec.structs.replace(proposal, checks=[check for check, _ in chosen], others=[])


Answered = tuple[Proposed, Measurement]


def _ask(checks: Sequence[Proposed]) -> list[Answered]:
    return [
        (msgspec.structs.replace(check, outcome=answer.outcome, found=answer.detail), answer)
        for check, answer in zip(checks, trying.ask(*checks), strict=True)
    ]


def _telling(asked: Sequence[Answered]) -> list[Answered]:
    """Those that speak of health, also of bad health. /health is left out where it has nothing to add."""
    told = [
        (check, answer) for check, answer in asked if answer.outcome in (Outcome.UP, Outcome.DEGRADED) or answer.parts
    ]
    return [each for each in told if each[0].role != Role.HEALTH] or told
