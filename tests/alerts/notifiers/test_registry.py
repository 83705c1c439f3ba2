"""A way to tell somebody is complete: label, help, wording, a row in the documentation, tests."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from django.conf import settings

from alerts import notifiers, templating
from alerts.notifiers import apprised
from alerts.samples import sample
from tests.alerts.notifiers.telling import to

BY_KIND = pytest.mark.parametrize("kind", notifiers.NOTIFIERS)


def test_every_kind_is_ours_or_of_apprise() -> None:
    assert set(notifiers.NOTIFIERS) == notifiers.OURS | set(apprised.KINDS)
    assert not notifiers.OURS & set(apprised.KINDS)


@BY_KIND
def test_it_says_what_it_is_as_the_registry_does(kind: str) -> None:
    way = notifiers.notifier(kind)
    assert notifiers.NOTIFIERS[kind] == way.LABEL
    assert way.HELP.strip()
    assert {field.name for field in msgspec.structs.fields(way.Options)} >= way.PLACES


@BY_KIND
def test_what_it_does_not_know_is_refused(kind: str) -> None:
    found = notifiers.problems(kind, {"nope": 1}, {"nope": 1}, {"nope": "x"})
    assert set(found) == {"options", "secrets", "templates"}


@BY_KIND
def test_its_own_wording_can_be_carried_out(kind: str) -> None:
    way = notifiers.notifier(kind)
    for text in way.TEMPLATES.values():
        templating.parse(text)
    parts = way.preview(sample("ops"), to(kind))
    assert set(parts) >= set(way.TEMPLATES)
    assert "TestMessage" in str(parts)


@BY_KIND
def test_it_is_in_the_documentation(kind: str) -> None:
    label = notifiers.NOTIFIERS[kind].partition(" (")[0]
    page = (Path(settings.BASE_DIR) / "docs" / "notifications.md").read_text()
    assert label.removeprefix("Microsoft ") in page


@pytest.mark.parametrize("kind", sorted(notifiers.OURS))
def test_it_has_tests(kind: str) -> None:
    assert (Path(__file__).parent / f"test_{kind}.py").exists()


def test_a_kind_that_there_is_not() -> None:
    assert "there is no way 'pigeon'" in str(notifiers.problems("pigeon", {}, {}, {})).lower()
