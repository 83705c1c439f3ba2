"""Secrets are encrypted in the database, and read with the key that they were stored with."""

from __future__ import annotations

import pytest
from django.core import serializers
from django.db import connection
from django.test import override_settings

from core.secrets import Lost, SecretError, decrypt, encrypt
from services.models import Check, Service

SECRETS = {"headers": {"Authorization": "Bearer s3cret"}}


@pytest.fixture
def check(db: None) -> Check:
    service = Service.objects.create(name="api")
    return Check.objects.create(service=service, target="http://api/health", secrets=SECRETS)  # type: ignore[misc]


def stored(check: Check) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM services_check WHERE id = %s", [check.pk])
        row = cursor.fetchone()
    assert row
    return str(row[0])


def test_what_is_encrypted_can_be_decrypted() -> None:
    assert decrypt(encrypt("wäre")) == "wäre"
    assert "s3cret" not in encrypt("s3cret")


def test_the_same_text_looks_different_each_time() -> None:
    assert encrypt("same") != encrypt("same")


def test_another_key_does_not_open_it() -> None:
    token = encrypt("s3cret")
    with override_settings(SECRET_KEY="another-key-of-16"), pytest.raises(SecretError, match="FALLBACKS"):
        decrypt(token)


def test_an_earlier_key_does() -> None:
    with override_settings(SECRET_KEY="the-earlier-key-of-all"):
        token = encrypt("s3cret")
    with override_settings(SECRET_KEY_FALLBACKS=["the-earlier-key-of-all"]):
        assert decrypt(token) == "s3cret"


def test_a_token_that_was_changed_is_refused() -> None:
    token = encrypt("s3cret")
    with pytest.raises(SecretError):
        decrypt(token[:-4] + "AAA=")


def test_the_database_has_no_plain_text(check: Check) -> None:
    assert "s3cret" not in stored(check)
    assert Check.objects.get(pk=check.pk).secrets == SECRETS


def test_nothing_is_stored_as_nothing(check: Check) -> None:
    check.secrets = {}
    check.save()

    assert stored(check) == ""
    assert Check.objects.get(pk=check.pk).secrets == {}


def test_what_is_lost_says_why_and_stays_as_it_is(check: Check) -> None:
    before = stored(check)
    with override_settings(SECRET_KEY="another-key-of-16"):
        lost = Check.objects.get(pk=check.pk)
        assert isinstance(lost.secrets, Lost)
        assert lost.secrets == {}
        assert "SECRET_KEY" in lost.secrets.reason
        lost.target = "http://api/other"
        lost.save()

    assert stored(check) == before
    assert Check.objects.get(pk=check.pk).secrets == SECRETS


def test_a_dump_has_no_plain_text_and_comes_back(check: Check) -> None:
    dump = serializers.serialize("json", [check])
    assert "s3cret" not in dump

    (loaded,) = serializers.deserialize("json", dump)
    loaded.save()

    assert Check.objects.get(pk=check.pk).secrets == SECRETS


def test_a_dump_of_another_installation_is_lost_not_an_error(check: Check) -> None:
    with override_settings(SECRET_KEY="another-key-of-16"):
        dump = serializers.serialize("json", [check])
    (loaded,) = serializers.deserialize("json", dump)

    assert isinstance(loaded.object, Check)
    assert isinstance(loaded.object.secrets, Lost)
