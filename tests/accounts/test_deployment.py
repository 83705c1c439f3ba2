"""`manage.py check --deploy` says each setting that lets strangers in, in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.checks import sign_in_is_safe

SAFE = {
    "DEBUG": False,
    "ALLOWED_HOSTS": ["pharos.example.org"],
    "SECRET_KEY": "k3xmp9tq4rwz7hnb2dfcLongEnough-0123456789-abcdefghijklmnop",
    "EXTERNAL_URL": "https://pharos.example.org",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_AGE": 1_209_600,
    "OIDC_URL": "https://sso.example.org",
}


def found_with(settings: Any, **changed: Any) -> list[str]:
    for name, value in {**SAFE, **changed}.items():
        setattr(settings, name, value)
    return [str(message.id) for message in sign_in_is_safe()]


def test_nothing_is_said_of_safe_settings(settings: Any) -> None:
    assert found_with(settings) == []
    assert found_with(settings, OIDC_URL="http://127.0.0.1:8080") == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"DEBUG": True}, "pharos.E101"),
        ({"ALLOWED_HOSTS": ["pharos.example.org", "*"]}, "pharos.E102"),
        ({"SECRET_KEY": "short"}, "pharos.E103"),
        ({"SECRET_KEY": "a" * 64}, "pharos.E103"),
        ({"SESSION_COOKIE_SECURE": False}, "pharos.E104"),
        ({"EXTERNAL_URL": "http://pharos.example.org"}, "pharos.W105"),
        ({"OIDC_URL": "http://sso.example.org"}, "pharos.E106"),
        ({"SAML_METADATA": "http://sso.example.org/metadata"}, "pharos.E106"),
        ({"SESSION_COOKIE_AGE": 40 * 86_400}, "pharos.W107"),
    ],
)
def test_each_weak_one_is_said(settings: Any, changed: dict[str, Any], said: str) -> None:
    assert found_with(settings, **changed) == [said]
