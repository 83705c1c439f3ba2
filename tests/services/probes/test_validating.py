"""What doesn't fit is refused when a check is saved, with a sentence for each field."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from core.secrets import Lost
from services import probes
from services.models import Check, Service


def errors(kind: str, target: str, options: Any = None, secrets: Any = None) -> dict[str, str]:
    try:
        probes.validate(kind, target, {} if options is None else options, {} if secrets is None else secrets)
    except ValidationError as error:
        return {field: " ".join(sentences) for field, sentences in error.message_dict.items()}
    return {}


RIGHT: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("http", "https://example.org/a?b=c", {"expected": [200, "3xx"], "json": [{"path": "a.b", "equals": 1}]}, {}),
    ("http", "http://[::1]:8000/", {"method": "HEAD"}, {"headers": {"X-Key": "k"}, "username": "u"}),
    ("health", "http://api:8000/health", {"headers": {"Accept": "application/json"}}, {}),
    ("tcp", "mail:25", {"expect": "220"}, {}),
    ("tcp", "[::1]:25", {}, {}),
    ("dns", "example.org", {"record": "MX", "server": "1.1.1.1"}, {}),
    ("tls", "example.org", {}, {}),
    ("tls", "example.org:8443", {"warn_days": 30}, {}),
    ("postgres", "postgres://app@db:5432/app?sslmode=require", {"expected": 1}, {"password": "p"}),
    ("postgres", "", {}, {"dsn": "postgres://app:p@db/app"}),
    ("redis", "redis://cache", {"at_most": {"connected_clients": 5}}, {}),
    ("redis", "rediss://user@cache:6380/2", {}, {"password": "p"}),
    ("celery", "redis://cache/1", {"queues": {"mail": 5}, "workers": 2}, {}),
    ("oidc", "https://sso.example.org/realms/main", {}, {}),
]


@pytest.mark.parametrize(("kind", "target", "options", "secrets"), RIGHT)
def test_what_fits_is_taken(kind: str, target: str, options: dict[str, Any], secrets: dict[str, Any]) -> None:
    assert errors(kind, target, options, secrets) == {}


@pytest.mark.parametrize("kind", probes.PROBES)
def test_an_unknown_option_and_an_unknown_secret_are_named(kind: str) -> None:
    wrong = "somewhere" if kind == "heartbeat" else ""
    found = errors(kind, wrong, {"colour": "red"}, {"colour": "red"})

    assert "colour" in found["options"]
    assert "colour" in found["secrets"]
    assert found["target"]


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        *[("http", target) for target in ("", "example.org", "ftp://example.org", "http://", "http://a b/")],
        ("health", "/health"),
        *[("tcp", target) for target in ("mail", "mail:", "mail:x", "mail:99999", ":25", "http://mail:25", "a b:25")],
        *[("dns", target) for target in ("", ".", "a..b", "x" * 70 + ".org")],
        *[("tls", target) for target in ("", "https://example.org", "example.org/path")],
        *[("postgres", target) for target in ("", "postgres:///app", "mysql://db/app", "postgres://a,b/app",
          "host=/var/run/postgresql", "postgres://db/app?sslkey=/etc/passwd", "postgres://db/app?hostaddr=1.1.1.1",
          "service=prod")],
        *[("redis", target) for target in ("", "cache:6379", "http://cache", "redis://", "redis://cache/x")],
        ("celery", "amqp://rabbit"),
        ("oidc", "sso.example.org"),
    ],
)  # fmt: skip
def test_a_target_that_does_not_fit(kind: str, target: str) -> None:
    found = errors(kind, target)

    assert list(found) == ["target"]
    assert found["target"].startswith("Expected ")


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("http", {"expected": ["2000"]}, "2xx"),
        ("http", {"expected": ["299-200"]}, "299-200"),
        ("http", {"expected": []}, "status"),
        ("http", {"method": "STEAL"}, "STEAL"),
        ("http", {"json": [{"path": "a["}]}, "JMESPath"),
        ("http", {"json": [{"path": "a", "is": 1}]}, "is"),
        ("http", {"headers": {"a b": "c"}}, "name of a header"),
        ("http", {"headers": {"a": "b\r\nc: d"}}, "one line"),
        ("http", {"headers": {f"x{n}": "" for n in range(51)}}, "50 headers"),
        ("http", {"ca": "nonsense"}, "BEGIN CERTIFICATE"),
        ("http", {"body": "x" * 100_000}, "65,536"),
        ("health", {"keyword": "x"}, "keyword"),
        ("dns", {"record": "AXFR"}, "AXFR"),
        ("dns", {"server": "a b"}, "host"),
        ("celery", {"queues": {}}, "1 to 50 queues"),
        ("redis", {"at_most": {"connected_clients": "many"}}, "at_most"),
        ("http", ["a list"], "names and values"),
    ],
)
def test_options_that_do_not_fit(kind: str, options: Any, named: str) -> None:
    targets = {"dns": "example.org", "celery": "redis://cache", "redis": "redis://cache"}
    found = errors(kind, targets.get(kind, "http://example.org"), options)

    assert list(found) == ["options"]
    assert named in found["options"]


@pytest.mark.parametrize(
    "target", ["http://bob:hunter22@example.org/", "redis://:hunter22@cache", "postgres://app:hunter22@db/app"]
)
def test_a_password_in_the_target_is_sent_to_the_secrets(target: str) -> None:
    kind = {"h": "http", "r": "redis", "p": "postgres"}[target[0]]
    found = errors(kind, target)

    assert "secrets" in found["target"]
    assert "hunter22" not in found["target"]


def test_an_error_in_a_secret_does_not_repeat_it() -> None:
    found = errors("postgres", "", {}, {"dsn": "postgres://app:hunter22@/app"})

    assert list(found) == ["secrets"]
    assert "hunter22" not in found["secrets"]


def test_secrets_that_can_not_be_read_stay_as_they_are() -> None:
    assert errors("postgres", "", {}, Lost("token", "why")) == {}


def test_an_unknown_kind_is_named() -> None:
    assert "telepathy" in errors("telepathy", "x")["kind"]


def test_a_check_is_validated_when_it_is_saved_by_a_form() -> None:
    check = Check(service=Service(name="api"), kind="http", target="nonsense", options={"colour": "red"})
    with pytest.raises(ValidationError) as caught:
        check.clean()
    assert set(caught.value.message_dict) == {"target", "options"}
