"""Saved queries: on the Logs page and in the admin. Who sees them, who keeps, shares and removes them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from core import clock
from logs import query, saved
from logs.models import SavedQuery
from logs.search import parse_search
from tests.logs.test_pages import HTMX, line, logged_in, rows_in, stored, text_of

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

ADMIN = "/admin/logs/savedquery/"
VIEW = {"q": "level:error receipt", "level": "warn,error", "service": "ocr,worker", "from": "-6h"}


@pytest.fixture(autouse=True)
def predefined() -> None:
    """As after the first migration; a test that empties the tables may have run before."""
    saved.restore()


def reader(name: str) -> User:
    user = User.objects.create_user(name)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["read_records", "add_savedquery"]))
    return user


@pytest.fixture
def alice() -> User:
    return reader("alice")


@pytest.fixture
def bob() -> User:
    return reader("bob")


def kept(owner: User, name: str = "Receipts", *, shared: bool = False, **view: str) -> SavedQuery:
    given = QueryDict(mutable=True)
    given.update(view or VIEW)
    return saved.save(owner, name, shared=shared, view=given)


def menu(user: User) -> str:
    page = text_of(logged_in(user).get("/logs/"))
    return page[page.index('<details id="log-saved"') : page.index("Save this view")]


# --- Saving --------------------------------------------------------------------------------------------------------


def test_a_view_is_kept_and_its_link_makes_it_again(alice: User) -> None:
    answer = logged_in(alice).post(reverse("logs:save"), VIEW | {"name": " Receipts "}, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in text_of(answer)
    assert "Saved as “Receipts”." in text_of(answer)
    found = SavedQuery.objects.get(owner=alice)
    assert found.name == "Receipts"
    assert not found.shared
    assert QueryDict(found.get_absolute_url().partition("?")[2]).dict() == VIEW
    assert found.get_absolute_url().replace("&", "&amp;") in menu(alice)


def test_the_link_finds_what_the_view_found(alice: User) -> None:
    stored(line("one receipt"), line("something else"))
    found = kept(alice, q="receipt")
    assert rows_in(text_of(logged_in(alice).get(found.get_absolute_url()))).count("one") == 1


def test_without_script_the_view_comes_back_with_a_message(alice: User) -> None:
    answer = logged_in(alice).post(reverse("logs:save"), VIEW | {"name": "Receipts"}, follow=True)
    [(address, status)] = answer.redirect_chain
    assert status == 302
    assert QueryDict(address.partition("?")[2]).dict() == VIEW
    assert "Saved as “Receipts”." in text_of(answer)


def test_the_link_of_the_present_view_is_marked(alice: User) -> None:
    found = kept(alice)
    page = text_of(logged_in(alice).get(found.get_absolute_url()))
    assert re.search(r'aria-current="true"><bdi>Receipts</bdi>', page)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": "  "}, "Write a name"),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"name": "a\0b"}, "NUL"),
        ({"name": "x", "q": "level:loud"}, "position 7"),
        ({"name": "x", "q": "y" * 2_001}, "2,000"),
        ({"name": "x", "level": "loud"}, "expected one of trace"),
        ({"name": "x", "from": "yesterday"}, "expected ISO 8601"),
        ({"name": "x", "service": ",".join(map(str, range(101)))}, "at most 100 names"),
    ],
)
def test_what_cant_be_kept_is_refused_with_the_reason(alice: User, given: dict[str, str], reason: str) -> None:
    answer = logged_in(alice).post(reverse("logs:save"), given, headers=HTMX)
    assert answer.status_code == 400
    assert reason in text_of(answer)
    assert 'role="alert"' in text_of(answer)
    assert not SavedQuery.objects.filter(owner=alice).exists()


def test_twice_under_one_name_is_refused(alice: User) -> None:
    client = logged_in(alice)
    assert client.post(reverse("logs:save"), {"name": "Mine"}, headers=HTMX).status_code == 200
    answer = client.post(reverse("logs:save"), {"name": "Mine"}, headers=HTMX)
    assert answer.status_code == 400
    assert "with this name already" in text_of(answer)
    assert SavedQuery.objects.filter(owner=alice).count() == 1


def test_two_people_may_use_one_name(alice: User, bob: User) -> None:
    kept(alice)
    kept(bob)
    assert SavedQuery.objects.filter(name="Receipts").count() == 2


def test_a_number_of_queries_is_enough_for_one_person(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "OWNED_MAX", 1)
    kept(alice)
    answer = logged_in(alice).post(reverse("logs:save"), {"name": "more"}, headers=HTMX)
    assert "remove one first" in text_of(answer)


def test_hostile_names_and_queries_are_text(alice: User) -> None:
    kept(alice, '"><script>alert(1)</script>', q="\"'><script>alert(2)</script>")
    assert "<script>" not in menu(alice)


# --- Who sees what -------------------------------------------------------------------------------------------------


def test_one_sees_ones_own_the_shared_and_the_predefined(alice: User, bob: User) -> None:
    kept(alice, "Only mine")
    kept(alice, "For all", shared=True)
    assert "Only mine" in menu(alice)
    assert "For all" in menu(alice)
    shown = menu(bob)
    assert "Only mine" not in shown
    assert re.search(r"For all</bdi> <small class=\"dim\">alice", shown)
    for predefined in saved.PREDEFINED:
        assert predefined.name in shown


def test_the_menu_is_one_question_to_the_database(alice: User, bob: User, django_assert_num_queries: Any) -> None:
    for number in range(5):
        kept(bob, f"shared {number}", shared=True)
    with django_assert_num_queries(1):
        found = saved.menu(alice)
        assert [query.owner.username for query in found.shared if query.owner] == ["bob"] * 5


# --- Removing ------------------------------------------------------------------------------------------------------


def test_ones_own_is_removed_and_twice_is_no_error(alice: User) -> None:
    address = reverse("logs:remove", args=[kept(alice).pk])
    client = logged_in(alice)
    for _ in range(2):
        answer = client.post(address, VIEW, headers=HTMX)
        assert answer.status_code == 200
        assert "Receipts" not in text_of(answer)
        assert 'value="level:error receipt"' in text_of(answer)  # the view, for the next to be saved
    assert not SavedQuery.objects.filter(owner=alice).exists()


def test_without_script_removing_leads_back_to_the_view(alice: User) -> None:
    answer = logged_in(alice).post(reverse("logs:remove", args=[kept(alice).pk]), {"q": "x"}, follow=True)
    assert answer.redirect_chain == [("/logs/?q=x", 302)]
    assert "Removed." in text_of(answer)


def test_others_may_not_remove_what_is_shared(alice: User, bob: User) -> None:
    shared = kept(alice, shared=True)
    assert "remove/" not in menu(bob)
    assert logged_in(bob).post(reverse("logs:remove", args=[shared.pk]), headers=HTMX).status_code == 403
    assert SavedQuery.objects.filter(pk=shared.pk).exists()


def test_what_one_doesnt_see_one_cant_remove_nor_tell_from_nothing(alice: User, bob: User) -> None:
    private = kept(alice)
    assert logged_in(bob).post(reverse("logs:remove", args=[private.pk]), headers=HTMX).status_code == 200
    assert SavedQuery.objects.filter(pk=private.pk).exists()


def test_who_has_the_right_removes_what_others_share(alice: User, bob: User) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="delete_savedquery"))
    shared = kept(alice, shared=True)
    logged_in(bob).post(reverse("logs:remove", args=[shared.pk]), headers=HTMX)
    assert not SavedQuery.objects.filter(pk=shared.pk).exists()


def test_a_reader_may_not_remove_the_predefined(alice: User) -> None:
    first = SavedQuery.objects.exclude(built_in="")[0]
    assert logged_in(alice).post(reverse("logs:remove", args=[first.pk]), headers=HTMX).status_code == 403


def test_what_is_shared_outlives_its_owner_and_what_is_private_goes(alice: User, bob: User) -> None:
    shared, private = kept(alice, "For all", shared=True), kept(alice, "Mine alone")
    administrator = User.objects.create_superuser("root")
    address = f"/admin/auth/user/{alice.pk}/delete/"
    asked = text_of(logged_in(administrator).get(address))
    assert "Mine alone" in asked
    assert "For all" not in asked
    logged_in(administrator).post(address, {"post": "yes"})
    assert not User.objects.filter(pk=alice.pk).exists()
    shared.refresh_from_db()
    assert shared.owner is None
    shared.full_clean()
    assert not SavedQuery.objects.filter(pk=private.pk).exists()
    listed = menu(bob)
    assert "For all" in listed
    assert "None" not in listed
    assert logged_in(bob).post(reverse("logs:remove", args=[shared.pk]), headers=HTMX).status_code == 403
    assert "For all" in text_of(logged_in(administrator).get(ADMIN))


def test_who_has_no_account_owns_nothing() -> None:
    ownerless = SavedQuery.objects.create(name="For all", text="x", shared=True)
    nobody = AnonymousUser()
    assert [each.name for each in saved.menu(nobody).shared] == ["For all"]
    assert saved.menu(nobody).mine == []
    with pytest.raises(PermissionDenied):
        saved.remove(ownerless.pk, by=nobody)


# --- The five questions, for those who are no readers --------------------------------------------------------------


@pytest.fixture(params=["save", "remove", "user"])
def address(request: pytest.FixtureRequest, alice: User) -> str:
    arguments = [kept(alice).pk] if request.param == "remove" else []
    return reverse(f"logs:{request.param}", args=arguments)


def ask(client: Client, address: str, **headers: Any) -> Any:
    return (client.get if address.endswith("user/") else client.post)(address, **headers)


def test_another_method_is_refused(alice: User, address: str) -> None:
    client = logged_in(alice)
    other = client.post if address.endswith("user/") else client.get
    assert other(address).status_code == 405


def test_somebody_without_the_right_is_refused(address: str) -> None:
    answer = ask(logged_in(User.objects.create_user("eve")), address)
    assert answer.status_code == 403
    assert SavedQuery.objects.filter(owner__isnull=False).count() <= 1


def test_strangers_are_sent_to_the_login_page(address: str) -> None:
    assert ask(Client(), address)["Location"].startswith(reverse("login"))
    assert ask(Client(), address, headers=HTMX).status_code == 401


def test_a_strange_page_cant_save_or_remove(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    pk = kept(alice).pk
    assert client.post(reverse("logs:save"), {"name": "x"}).status_code == 403
    assert client.post(reverse("logs:remove", args=[pk])).status_code == 403
    assert SavedQuery.objects.filter(owner=alice).count() == 1


# --- One user's activity -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", [b'{"user_id":42}', b'{"userId":"42"}', b'{"context":{"userId":42}}'])
def test_a_line_leads_to_all_lines_of_its_user(alice: User, metadata: bytes) -> None:
    stored(
        line("first", service="api", metadata=metadata),
        line("second", service="ocr", metadata=b'{"UserID":42}'),
        line("of another", metadata=b'{"user_id":421}'),
    )
    client = logged_in(alice)
    row = re.search(r'href="(/logs/[\d-]+/)"', text_of(client.get("/logs/?service=api")))
    assert row
    link = re.search(r'href="([^"]+)"[^>]*>all lines of this user', text_of(client.get(row[1], headers=HTMX)))
    assert link
    assert rows_in(text_of(client.get(link[1].replace("&amp;", "&")))).split() == ["second", "first"]


def test_the_link_of_an_old_line_leads_to_its_own_days(alice: User) -> None:
    [old] = stored(line("old", timestamp=1_782_000_000_000_000, metadata=b'{"user_id":"u 1"}'))
    page = text_of(logged_in(alice).get(f"/logs/{old.id}/"))
    link = re.search(r'href="/logs/\?([^"]+)"[^>]*>all lines of this user', page)
    assert link
    search = parse_search(QueryDict(link[1].replace("&amp;", "&")), now=clock.now())
    assert search.holds(old.timestamp)
    assert search.node == query.parse('user_id:"u 1"')


@pytest.mark.parametrize("metadata", [b'{"user_id":null}', b'{"user_id":{"a":1}}', b'{"user_id":true}', b"{}"])
def test_a_line_that_names_no_user_has_no_such_link(alice: User, metadata: bytes) -> None:
    [record] = stored(line(metadata=metadata))
    assert "all lines of this user" not in text_of(logged_in(alice).get(f"/logs/{record.id}/"))


@pytest.mark.parametrize(
    ("user", "text"), [("42", "user_id:42"), (' a b"c ', r'user_id:"a b\"c"'), ("", "exists:user_id")]
)
def test_the_menu_asks_for_a_user(alice: User, user: str, text: str) -> None:
    answer = logged_in(alice).get(reverse("logs:user"), {"user": user})
    assert QueryDict(answer["Location"].partition("?")[2]).dict() == {"q": text, "from": "-24h"}
    assert 'action="/logs/user/"' in menu(alice)


# --- The admin -----------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def form(author: User, **fields: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("text", "levels", "services", "since", "until"), "")
    return {"name": "x", "owner": author.pk, **empty, **fields}


def test_the_admin_lists_and_adds(admin: Client, alice: User) -> None:
    assert "Database errors" in text_of(admin.get(ADMIN))
    assert 'name="text"' in text_of(admin.get(f"{ADMIN}add/"))
    assert admin.post(f"{ADMIN}add/", form(alice, text="level:error")).status_code == 302
    assert SavedQuery.objects.get(owner=alice).text == "level:error"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": "level:foo"}, "position 7"),
        ({"levels": "loud"}, "expected one of trace"),
        ({"since": "never"}, "expected ISO 8601"),
        ({"owner": ""}, "has an owner"),
    ],
)
def test_the_admin_refuses_what_cant_be_searched(
    admin: Client, alice: User, fields: dict[str, str], reason: str
) -> None:
    answer = admin.post(f"{ADMIN}add/", form(alice, **fields))
    assert answer.status_code == 200
    assert reason in text_of(answer)
    assert not SavedQuery.objects.filter(name="x").exists()


def test_the_predefined_can_be_changed_and_restored(admin: Client) -> None:
    changed, deleted = SavedQuery.objects.exclude(built_in="")[:2]
    SavedQuery.objects.filter(pk=changed.pk).update(text="level:info", since="")
    deleted.delete()
    own = kept(reader("carol"))
    assert "Restore the predefined queries?" in text_of(admin.get(f"{ADMIN}restore/"))
    assert SavedQuery.objects.get(pk=changed.pk).text == "level:info"  # asking changes nothing
    for _ in range(2):
        answer = admin.post(f"{ADMIN}restore/", {"_form_submitted": "on"})
        assert answer["HX-Redirect"] == ADMIN
    assert SavedQuery.objects.exclude(built_in="").count() == 7
    assert SavedQuery.objects.get(pk=changed.pk).text == changed.text
    assert SavedQuery.objects.filter(pk=own.pk).exists()


def test_who_may_only_look_cant_restore(alice: User) -> None:
    alice.is_staff = True
    alice.save()
    alice.user_permissions.add(Permission.objects.get(codename="view_savedquery"))
    SavedQuery.objects.exclude(built_in="").delete()
    answer = logged_in(alice).post(f"{ADMIN}restore/", {"_form_submitted": "on"})
    assert answer.status_code == 403
    assert not SavedQuery.objects.exists()


def test_the_admin_shows_what_is_private_to_its_owner_and_to_those_who_may_remove_it(alice: User, bob: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    alice.user_permissions.add(Permission.objects.get(codename="view_savedquery"))
    kept(alice, "Mine alone")
    kept(bob, "For all", shared=True)
    secret = kept(bob, "Nobody's business")
    page = text_of(logged_in(alice).get(ADMIN))
    assert "Mine alone" in page
    assert "For all" in page
    assert "business" not in page
    assert logged_in(alice).get(f"{ADMIN}{secret.pk}/change/").status_code == 302
    alice.user_permissions.add(Permission.objects.get(codename="delete_savedquery"))
    assert "business" in text_of(logged_in(alice).get(ADMIN))


# --- The rows ------------------------------------------------------------------------------------------------------


def test_the_predefined_are_valid() -> None:
    for found in SavedQuery.objects.exclude(built_in=""):
        found.full_clean()


@pytest.mark.parametrize("fields", [{}, {"built_in": "database-errors"}])
def test_the_database_itself_keeps_a_row_without_an_owner_and_a_second_predefined_out(fields: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        SavedQuery.objects.create(name="x", **fields)
