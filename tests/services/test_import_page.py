"""The pages that bring and take files of services: shown first, done then, all or nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from services import transfer
from services.models import Check, Service

pytestmark = pytest.mark.django_db

IMPORT, EXPORT = "/admin/services/service/import/", "/admin/services/service/export/"
SECRET = "hunter2secret"
HIDDEN: Any = {"password": SECRET}
FILE = f"""services:
  - name: shop
    checks: [{{name: page, target: "https://shop.example.org/", secrets: {{password: {SECRET}}}}}]
  - name: mail
    checks: [{{name: login, kind: http, target: "https://mail.example.org/", secrets: [password]}}]
"""


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


def look(admin: Client, text: str) -> str:
    return admin.post(IMPORT, {"text": text}).content.decode()


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_it_is_shown_first_and_done_then_once(admin: Client) -> None:
    page = look(admin, FILE)
    assert "shop · page" in page
    assert "4 to make, 0 to change, 0 to leave" in page
    assert "mail · login: password" in page
    assert SECRET not in page
    assert not Service.objects.exists()
    token = token_of(page)
    done = admin.post(IMPORT, {"token": token}, follow=True).content.decode()
    assert "Imported: 4 made, 0 changed, 0 left" in done
    assert "Secrets to be entered now: mail · login: password" in done
    assert Check.objects.get(name="page").secrets == {"password": SECRET}
    again = admin.post(IMPORT, {"token": token}, follow=True).content.decode()
    assert "Imported: 0 made, 0 changed, 4 left" in again


def test_a_file_is_uploaded_as_csv(admin: Client) -> None:
    file = SimpleUploadedFile("x.csv", b"service,owner\nshop,ann\n", "text/csv")
    assert "shop" in admin.post(IMPORT, {"file": file}).content.decode()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Expected a file, or text below it"),
        ("services: [{nam: x}]", "line 1: expected one of"),
        ("<script>", "line 1: expected a mapping with services"),
    ],
)
def test_what_is_wrong_is_shown_and_can_not_be_done(admin: Client, text: str, sentence: str) -> None:
    page = look(admin, text)
    assert sentence in page
    assert "<script>alert" not in page
    assert 'name="token"' not in page


def test_a_file_that_is_too_big_is_refused(admin: Client) -> None:
    file = SimpleUploadedFile("x.yaml", b"#" * (transfer.FILE_MAX + 1))
    assert "expected at most 1,048,576 bytes" in admin.post(IMPORT, {"file": file}).content.decode()


def test_what_changed_meanwhile_is_told(admin: Client) -> None:
    Service.objects.create(name="database")
    token = token_of(look(admin, "services: [{name: shop, needs: [database]}]"))
    Service.objects.all().delete()
    assert "there is no service" in admin.post(IMPORT, {"token": token}).content.decode()
    assert not Service.objects.exists()


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_a_forged_plan_is_refused(admin: Client, token: str) -> None:
    assert "choose the file again" in admin.post(IMPORT, {"token": token}).content.decode()


def test_the_export_has_no_secret(admin: Client) -> None:
    service = Service.objects.create(name="shop")
    Check.objects.create(service=service, target="https://x.org/", secrets=HIDDEN)
    assert "1 services with 1 checks" in admin.get(EXPORT).content.decode()
    for kind in transfer.FORMATS:
        answer = admin.get(f"{EXPORT}?format={kind}")
        assert f'filename="services.{kind}"' in answer["Content-Disposition"]
        assert "no-store" in answer["Cache-Control"]
        assert b"shop" in answer.content
        assert SECRET.encode() not in answer.content


def test_other_methods_are_refused(admin: Client) -> None:
    assert admin.delete(IMPORT).status_code == 405
    assert admin.post(EXPORT).status_code == 405
