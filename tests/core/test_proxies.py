"""Whom a request is from, behind proxies."""

from __future__ import annotations

from typing import Any

import pytest

from core.proxies import as_asked


def asked(proxies: int, kind: str = "http", **headers: str) -> tuple[str, str]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": kind, "scheme": "http", "client": ["10.0.0.1", 1], "headers": raw}
    found = as_asked(scope, proxies)
    assert scope["client"] == ["10.0.0.1", 1]
    return found["client"][0], found["scheme"]


@pytest.mark.parametrize(
    ("proxies", "said", "address"),
    [
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "1.1.1.1, 192.0.2.1", "192.0.2.1"),  # the first is the client's own invention
        (2, "1.1.1.1, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        (2, "192.0.2.1", "10.0.0.1"),  # it did not come by both
        (1, "192.0.2.1:4711", "192.0.2.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "", "10.0.0.1"),
    ],
)
def test_what_our_own_proxies_added_is_believed(proxies: int, said: str, address: str) -> None:
    assert asked(proxies, x_forwarded_for=said)[0] == address


def test_https_is_what_the_last_proxy_says() -> None:
    assert asked(1, x_forwarded_proto="https")[1] == "https"
    assert asked(1, x_forwarded_proto="https, http")[1] == "http"
    assert asked(1, "websocket", x_forwarded_proto="https")[1] == "wss"
