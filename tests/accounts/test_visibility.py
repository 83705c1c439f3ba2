"""Who sees which services."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.test import Client

from accounts import keys, visibility
from accounts.models import Scope, TeamService

pytestmark = pytest.mark.django_db


def keep(pattern: str, *groups: str) -> None:
    row = TeamService.objects.create(pattern=pattern)
    row.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])


def member(*groups: str) -> User:
    user = User.objects.create_user("ann")
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    return user


def test_a_service_without_a_row_is_seen_by_all_and_one_with_a_row_by_its_teams() -> None:
    keep("billing", "finance")
    visible = visibility.of(member("web"))
    assert visible.shows("shop")
    assert not visible.shows("Billing")
    User.objects.get().groups.add(Group.objects.get(name="finance"))
    assert visibility.of(User.objects.get()).shows("billing")


def test_of_several_rows_that_fit_one_is_enough() -> None:
    keep("shop-*", "web")
    keep("shop-billing", "finance")
    visible = visibility.of(member("finance"))
    assert visible.shows("shop-billing")
    assert not visible.shows("shop-cart")


def test_a_row_without_teams_hides_from_all_but_those_who_see_everything() -> None:
    keep("billing")
    assert not visibility.of(member("finance")).shows("billing")
    assert not visibility.of(AnonymousUser()).shows("billing")
    assert not visibility.of(None).shows("billing")
    assert not visibility.of(User.objects.create_superuser("root")).limited
    User.objects.get(username="ann").user_permissions.add(Permission.objects.get(codename="see_everything"))
    assert not visibility.of(User.objects.get(username="ann")).limited


def test_where_nothing_is_limited_nothing_is_asked(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    user = member()
    with django_assert_num_queries(0):
        assert visibility.of(user) is visibility.EVERYTHING


def test_a_key_is_limited_to_its_services_and_a_process_that_works_for_nobody_to_none() -> None:
    _, plain = keys.create("shop", [Scope.READ], services=["shop-*"])
    access = keys.find(plain)
    assert access is not None
    visible = visibility.of_key(access)
    assert visible.shows("shop-web")
    assert not visible.shows("billing")
    assert visibility.current() is visibility.EVERYTHING


def test_teams_are_edited_in_the_admin(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    finance = Group.objects.create(name="finance")
    client.post("/admin/accounts/teamservice/add/", {"pattern": "shop-*", "groups": [finance.pk]})
    assert "finance" in client.get("/admin/accounts/teamservice/").content.decode()
    assert visibility.known_rows() == (("shop-*", frozenset({finance.pk})),)
