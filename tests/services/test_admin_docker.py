"""Docker hosts in the admin: certificates go in and never come out; a connection is tried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, override_settings

from services import docker_client
from services.models import Container, DockerHost, Service
from services.status import Status
from tests.services.docker_hosts import inspected, labels_of, write
from tests.services.paper_engine import PaperEngine

pytestmark = pytest.mark.django_db

PAGE = "/admin/services/dockerhost/"
PEM = "-----BEGIN CERTIFICATE-----\nMIIsecret\n-----END CERTIFICATE-----"
FORM = {"name": "far", "address": "tcp://far:2376", "ports_at": "", "enabled": "on", "ca": "", "cert": "", "key": ""}


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    for host in list(docker_client._engines):
        docker_client.forget(host)


def test_certificates_are_stored_sealed_and_never_shown(admin: Client) -> None:
    assert admin.post(f"{PAGE}add/", {**FORM, "ca": PEM}).status_code == 302
    host = DockerHost.objects.get()
    assert host.tls == {"ca": f"{PEM}\n"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tls FROM services_dockerhost")
        assert "secret" not in cursor.fetchone()[0]

    page = admin.get(f"{PAGE}{host.pk}/change/").content.decode()
    assert "MIIsecret" not in page
    assert "Stored, and not shown again" in page

    admin.post(f"{PAGE}{host.pk}/change/", {**FORM, "name": "renamed"})
    host.refresh_from_db()
    assert (host.name, host.tls) == ("renamed", {"ca": f"{PEM}\n"})
    admin.post(f"{PAGE}{host.pk}/change/", {**FORM, "forget_certificates": "on"})
    host.refresh_from_db()
    assert host.tls == {}


def test_what_can_not_be_decrypted_is_said_and_kept(admin: Client) -> None:
    with override_settings(SECRET_KEY="another one, long ago"):
        host = DockerHost.objects.create(name="far", address="tcp://far:2376", tls={"ca": PEM})  # type: ignore[misc]
    page = admin.get(f"{PAGE}{host.pk}/change/").content.decode()
    assert "SECRET_KEY is not the one" in page
    admin.post(f"{PAGE}{host.pk}/change/", {**FORM, "name": "renamed"})
    with override_settings(SECRET_KEY="another one, long ago"):
        host.refresh_from_db()
        assert (host.name, host.tls) == ("renamed", {"ca": PEM})
    host.refresh_from_db()
    with pytest.raises(docker_client.EngineError, match="SECRET_KEY is not the one"):
        docker_client.engine(host)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"address": "http://far"}, "Expected unix:///path, tcp://host:port or ssh://user@host"),
        ({"cert": PEM}, "The certificate of the authority (ca) is missing"),
        ({"ca": PEM, "key": PEM}, "Cert and key belong together"),
    ],
)
def test_what_does_not_fit_is_refused(admin: Client, fields: dict[str, str], sentence: str) -> None:
    answer = admin.post(f"{PAGE}add/", {**FORM, **fields})
    assert sentence in answer.content.decode()
    assert not DockerHost.objects.exists()


def test_a_connection_is_tried(admin: Client) -> None:
    paper = PaperEngine()
    paper.say("/info", {"Name": "paper", "ServerVersion": "27.0"})
    paper.say("/containers/json", [])
    with paper.serve() as address:
        good = DockerHost.objects.create(name="good", address=address)
        bad = DockerHost.objects.create(name="bad", address="tcp://127.0.0.1:1")
        chosen = {"action": "test_connection", "_selected_action": [good.pk, bad.pk]}
        page = admin.post(PAGE, chosen, follow=True).content.decode()
    assert "good: Docker 27.0 on paper answers, with 0 containers." in page
    assert "bad: there is no Docker engine at tcp://127.0.0.1:1: connection refused." in page
    assert not DockerHost.objects.filter(away=True), "nothing is written"


def test_a_host_that_is_switched_off_or_deleted_leaves_its_services_grey(admin: Client) -> None:
    write(inspected("orders", labels_of(service="orders")))
    host = DockerHost.objects.get()
    off = {**FORM, "name": host.name, "address": host.address, "enabled": ""}
    admin.post(f"{PAGE}{host.pk}/change/", off)
    assert Service.objects.get().status == Status.UNKNOWN

    assert "here, with 1 containers and their history" in admin.get(f"{PAGE}{host.pk}/delete/").content.decode()
    admin.post(f"{PAGE}{host.pk}/delete/", {"post": "yes"})
    assert not Container.objects.exists()
    assert Service.objects.get().reason == "nothing is checked yet"


def test_the_list(admin: Client) -> None:
    write(inspected("orders"))
    DockerHost.objects.update(away=True, detail="connection refused")
    assert "away: connection refused" in admin.get(PAGE).content.decode()


def test_who_may_only_look_tries_nothing(client: Client) -> None:
    alice = User.objects.create_user("alice", is_staff=True)
    alice.user_permissions.add(Permission.objects.get(codename="view_dockerhost"))
    client.force_login(alice)
    host = DockerHost.objects.create(name="x", address="unix:///nowhere")
    assert "test_connection" not in client.get(PAGE).content.decode()
    client.post(PAGE, {"action": "test_connection", "_selected_action": [host.pk]})
    assert client.post(f"{PAGE}{host.pk}/change/", FORM).status_code == 403
