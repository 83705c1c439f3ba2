"""Asking any probe: it always comes to a measurement, and no secret is in it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from core.secrets import Lost
from services import probes
from services.models import Check
from services.probes import Asked, FailingError, Measurement, Part, ProbeError
from services.probes.base import RAW_MAX
from services.probes.hiding import has_password, hidden
from services.status import Outcome


class Fake:
    """A kind of check that does what a test wants."""

    class Options(msgspec.Struct, forbid_unknown_fields=True):
        level: int = 0

    class Secrets(msgspec.Struct, forbid_unknown_fields=True):
        password: str = ""
        dsn: str = ""

    LABEL = TARGET = "fake"

    def __init__(self) -> None:
        self.result: Measurement | BaseException = Measurement()

    @staticmethod
    def check_target(target: str) -> None:
        if not target.startswith("fake:"):
            raise ValueError("expected something fake")

    async def run(self, asked: Asked) -> Measurement:
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(probes, "probe", lambda kind: made)
    return made


def check(**fields: Any) -> Check:
    return Check(**{"kind": "fake", "target": "fake:1", "timeout": 5.0, **fields})


@pytest.mark.parametrize(
    ("raised", "outcome", "detail"),
    [
        (ProbeError("connection refused"), Outcome.UNREACHABLE, "connection refused"),
        (FailingError("answered 404"), Outcome.FAILING, "answered 404"),
        (TimeoutError(), Outcome.UNREACHABLE, "no answer within 5 s"),
        (KeyError("hunter22"), Outcome.FAILING, "the check itself failed: KeyError"),
    ],
)
async def test_whatever_goes_wrong_is_a_measurement(
    fake: Fake, raised: Exception, outcome: Outcome, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.result = raised
    found = await probes.ask(check())

    assert (found.outcome, found.detail) == (outcome, detail)
    assert "hunter22" not in caplog.text


async def test_a_bug_is_logged_with_its_place(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.result = KeyError("hunter22")
    with caplog.at_level(logging.ERROR):
        await probes.ask(check())

    assert "failed with KeyError in" in caplog.text
    assert "test_asking.py" in caplog.text


async def test_who_cancels_is_obeyed(fake: Fake) -> None:
    fake.result = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await probes.ask(check())


async def test_an_unknown_kind() -> None:
    found = await probes.ask(check(kind="telepathy"))

    assert found.outcome == Outcome.UNREACHABLE
    assert found.detail.startswith("there is no kind of check 'telepathy'; there is http, ")


async def test_settings_of_another_version() -> None:
    found = await probes.ask(check(kind="http", target="http://x/", options={"gone": 1}))

    assert found.outcome == Outcome.FAILING
    assert "gone" in found.detail


async def test_secrets_that_can_not_be_read(fake: Fake) -> None:
    found = await probes.ask(check(secrets=Lost("token", "A stored secret can't be read.")))
    assert (found.outcome, found.detail) == (Outcome.FAILING, "A stored secret can't be read.")


@pytest.mark.parametrize(
    ("outcome", "latency", "limit", "then"),
    [
        (Outcome.UP, 101.0, 100, Outcome.DEGRADED),
        (Outcome.UP, 99.0, 100, Outcome.UP),
        (Outcome.UP, 101.0, None, Outcome.UP),
        (Outcome.UP, None, 100, Outcome.UP),
        (Outcome.FAILING, 101.0, 100, Outcome.FAILING),
    ],
)
async def test_slow_is_degraded(
    fake: Fake, outcome: Outcome, latency: float | None, limit: int | None, then: Outcome
) -> None:
    fake.result = Measurement(outcome, latency_ms=latency)
    assert (await probes.ask(check(slow_ms=limit))).outcome == then


async def test_everything_is_bounded(fake: Fake) -> None:
    fake.result = Measurement(detail="x" * 1_000, raw="x" * 100_000)
    found = await probes.ask(check())

    assert (len(found.detail), len(found.raw)) == (300, RAW_MAX)


# --- Secrets -------------------------------------------------------------------------------------------------------

SECRETS = [
    ({"password": "p"}, "p", "top"),
    ({"password": "hunter22"}, "hunter22", "login hunter22 failed"),
    ({"headers": {"Authorization": "Bearer abcdef0123"}}, "abcdef0123", "you said abcdef0123"),
    ({"headers": {"X": 'quoted"text'}}, "quoted", '{"x": "quoted\\"text"}'),
    ({"dsn": "postgres://app:hun%40ter@db.internal/app"}, "hun@ter", "FATAL: hun@ter is wrong"),
    ({"dsn": "postgres://app:hunter22@db.internal/app"}, "db.internal", "no route to db.internal"),
    ({"dsn": "host=db password='hunter22' user=app"}, "hunter22", "hunter22"),
    ({"username": "robot", "password": "s3cret"}, "cm9ib3Q6czNjcmV0", "Authorization: Basic cm9ib3Q6czNjcmV0"),
    ({}, "hunter22", "see redis://:hunter22@cache/0"),
]


@pytest.mark.parametrize(("secrets", "secret", "text"), SECRETS)
async def test_no_secret_is_said(fake: Fake, secrets: dict[str, Any], secret: str, text: str) -> None:
    fake.result = Measurement(Outcome.FAILING, text, parts=(Part("a", Outcome.FAILING, text),), raw=text)
    found = await probes.ask(check(secrets=secrets))

    assert all(secret not in said for said in (found.detail, found.raw, found.parts[0].detail))
    assert "•••" in found.raw


def test_without_secrets_nothing_is_hidden() -> None:
    plain = Measurement(detail="a:b@c", raw="http://example.org/a:b@c")
    assert hidden(plain, {}) == plain


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://example.org/", False),
        ("http://bob@example.org/", False),
        ("http://example.org:80/a@b", False),
        ("http://bob:secret@example.org/", True),
        ("redis://:secret@cache/0", True),
        ("host=db password=secret", True),
    ],
)
def test_passwords_are_seen(target: str, expected: bool) -> None:
    assert has_password(target) is expected
