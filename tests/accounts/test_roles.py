"""The four roles: who has what, also after an upgrade, and who enters the admin."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from accounts import roles
from accounts.models import RoleGrant
from logs.models import LogBlock

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

ADD = "/admin/auth/user/add/"
PASSWORDS = {"usable_password": "true", "password1": "correct horse battery", "password2": "correct horse battery"}


def person(role: str, **fields: Any) -> User:
    user = User.objects.create_user(role.lower(), **fields)
    user.groups.add(Group.objects.get(name=role))
    return user


def may(role: str) -> set[str]:
    return {roles.label(each) for each in Group.objects.get(name=role).permissions.select_related("content_type")}


def migrated() -> None:
    roles.grant(apps.get_app_config("logs"), using="default")


def permission(name: str) -> Permission:
    app, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)


def test_each_role_may_more_than_the_one_before() -> None:
    viewer, responder, editor, administrator = (may(name) for name in roles.NAMES)
    assert viewer < responder < editor < administrator
    assert {"logs.read_records", "services.view_service", "alerts.view_incident"} <= viewer
    assert {"alerts.respond_incident", "services.check_service"} <= responder - viewer
    assert {"alerts.change_alertrule", "logs.add_logsource", "accounts.enter_admin"} <= editor - responder
    assert {"auth.change_user", "accounts.add_apikey", "logs.change_retentionrule"} <= administrator - editor
    assert len(administrator) == Permission.objects.count()


def test_a_permission_of_a_later_version_reaches_the_roles() -> None:
    kind = ContentType.objects.get_for_model(LogBlock)
    Permission.objects.create(content_type=kind, codename="view_forecast", name="Can view forecasts")
    migrated()
    assert all("logs.view_forecast" in may(name) for name in roles.NAMES)


def test_what_an_administrator_took_or_gave_stays_so() -> None:
    group = Group.objects.get(name=roles.RESPONDER)
    group.permissions.remove(permission("logs.read_records"))
    group.permissions.add(permission("logs.add_pipeline"))
    before = may(roles.RESPONDER)
    migrated()
    assert may(roles.RESPONDER) == before


def test_before_the_first_migration_nobody_is_granted_anything() -> None:
    class Nothing:
        def get_model(self, *_: str) -> None:
            raise LookupError

    RoleGrant.objects.all().delete()
    roles.grant(apps.get_app_config("logs"), using="default", apps=Nothing())
    assert not RoleGrant.objects.exists()


@pytest.mark.parametrize(("role", "status"), [("Viewer", 403), ("Responder", 403), ("Editor", 200)])
def test_a_role_enters_the_admin_without_staff(client: Client, role: str, status: int) -> None:
    user = person(role)
    assert not user.is_staff
    client.force_login(user)
    assert client.get("/admin/").status_code == status
    shown = client.get("/logs/").content.decode()
    assert ("/admin/alerts/alertrule/" in shown) is (status == 200)
    assert "/admin/auth/user/" not in shown


def test_staff_enters_as_before(client: Client) -> None:
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert client.get("/admin/").status_code == 200
    client.force_login(User.objects.create_user("former", is_staff=True, is_active=False))
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_the_admin_has_no_login_of_its_own(client: Client) -> None:
    answer = client.get("/admin/logs/pipeline/", follow=True)
    assert answer.redirect_chain[-1][0] == "/login/?next=/admin/logs/pipeline/"


@pytest.mark.usefixtures("redis_client")
def test_the_search_of_the_sidebar_finds_pages_and_screens(client: Client) -> None:
    client.force_login(person("Editor"))
    answer = client.get("/admin/search/", {"s": "Serv"}).content.decode()
    links = re.findall(r'href="([^"]+)"', answer)
    assert links[:2] == ["/services/", "/admin/services/service/"]
    assert len(links) == len(set(links))
    assert "/admin/accounts/teamservice/" not in links  # who may not see it is not led there
    assert client.get("/admin/search/", {"s": " "}).content.strip() == b""
    nothing = client.get("/admin/search/", {"s": "<b>Zebra"}).content.decode()
    assert "No page or screen is called “&lt;b&gt;Zebra”." in nothing


def test_a_new_user_gets_roles(client: Client) -> None:
    client.force_login(person(roles.ADMINISTRATOR))
    assert "Each role may do what those before it" in client.get(ADD).content.decode()
    editor = Group.objects.get(name=roles.EDITOR)
    client.post(ADD, {"username": "erin", "email": "erin@example.org", "groups": [editor.pk], **PASSWORDS})
    erin = User.objects.get(username="erin")
    assert [*erin.groups.all()] == [editor]
    assert erin.has_perm("alerts.change_alertrule")


@pytest.mark.parametrize("page", ["change/", "password/", "delete/"])
def test_an_administrator_does_not_become_a_superuser_by_another_account(client: Client, page: str) -> None:
    root = User.objects.create_superuser("root", password="before")
    client.force_login(person(roles.ADMINISTRATOR))
    passwords = {"password1": "now-it-is-mine", "password2": "now-it-is-mine"}
    answer = client.post(f"/admin/auth/user/{root.pk}/{page}", {"username": "x", "post": "yes", **passwords})
    assert answer.status_code == 403
    root.refresh_from_db()
    assert (root.username, root.check_password("before")) == ("root", True)


def test_an_administrator_makes_no_superuser(client: Client) -> None:
    administrator = person(roles.ADMINISTRATOR)
    client.force_login(administrator)
    fields = {"username": "x", "is_superuser": "on", "is_active": "on", "date_joined_0": "2026-01-01"}
    answer = client.post(f"/admin/auth/user/{administrator.pk}/change/", fields | {"date_joined_1": "00:00:00"})
    assert answer.status_code == 302
    administrator.refresh_from_db()
    assert (administrator.username, administrator.is_superuser) == ("x", False)


def test_a_role_keeps_its_name_and_is_not_deleted(client: Client) -> None:
    client.force_login(person(roles.ADMINISTRATOR))
    viewer, team = Group.objects.get(name=roles.VIEWER), Group.objects.create(name="payments")
    client.post(f"/admin/auth/group/{viewer.pk}/change/", {"name": "Reader"})
    assert client.post(f"/admin/auth/group/{viewer.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post("/admin/auth/group/", {"action": "delete_selected", "_selected_action": [viewer.pk], "post": "yes"})
    assert Group.objects.filter(name=roles.VIEWER).exists()
    client.post(f"/admin/auth/group/{team.pk}/delete/", {"post": "yes"})
    assert not Group.objects.filter(name="payments").exists()


@pytest.mark.parametrize(
    ("address", "lacking"),
    [
        ("/logs/", "Can read logs"),
        ("/admin/", "Can enter the admin"),
        ("/alerts/routes/", "Can view alert"),
    ],
)
def test_who_is_refused_learns_what_is_lacking_and_whom_to_ask(client: Client, address: str, lacking: str) -> None:
    person(roles.ADMINISTRATOR, email="ada@example.org", first_name="Ada")
    person(roles.EDITOR, email="erin@example.org")
    client.force_login(User.objects.create_user("newcomer"))
    answer = client.get(address)
    page = answer.content.decode()
    assert answer.status_code == 403
    assert f"“{lacking}”" in page
    assert '<a class="link" href="mailto:ada@example.org">Ada</a>' in page
    assert "erin@example.org" not in page


def test_the_admin_says_so_too(client: Client) -> None:
    client.force_login(person(roles.EDITOR))
    page = client.get("/admin/auth/user/").content.decode()
    assert "“Can view user”" in page
    assert "manage.py createsuperuser" in page


# --- Reading without a login -----------------------------------------------------------------------------------------


@pytest.fixture
def anonymous(settings: Any, client: Client) -> Client:
    settings.ANONYMOUS_READ = True
    return client


def test_by_default_nobody_reads_without_a_login(client: Client) -> None:
    assert client.get("/logs/")["Location"] == "/login/?next=/logs/"


@pytest.mark.parametrize("address", ["/", "/logs/", "/services/", "/incidents/", "/api/services"])
def test_when_it_is_wanted_everybody_reads(anonymous: Client, address: str) -> None:
    answer = anonymous.get(address)
    assert answer.status_code == 200
    if not address.startswith("/api"):
        assert '<a id="sign-in" href="/login/?next=%2F' in answer.content.decode()
        assert "logout-form" not in answer.content.decode()


def test_who_reads_without_a_login_changes_nothing(anonymous: Client) -> None:
    # Even what the role of readers was given beyond reading.
    Group.objects.get(name=roles.VIEWER).permissions.add(
        permission("logs.add_savedquery"), permission("accounts.enter_admin"), permission("alerts.add_silence")
    )
    assert anonymous.post("/logs/saved/", {"name": "x"})["Location"].startswith("/login/")
    assert anonymous.get("/silences/new/")["Location"].startswith("/login/")
    assert anonymous.get("/admin/logs/pipeline/")["Location"].startswith("/admin/login/")
    assert "Save this view" not in anonymous.get("/logs/").content.decode()


def test_what_is_taken_from_viewers_is_taken_from_everybody(anonymous: Client) -> None:
    Group.objects.get(name=roles.VIEWER).permissions.remove(permission("logs.read_records"))
    assert anonymous.get("/logs/")["Location"] == "/login/?next=/logs/"
