from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from core.backends import Backends


class Shelf:
    def __init__(self, width: int = 1) -> None:
        self.width = width


HERE = f"{__name__}.Shelf"
shelves: Backends[Shelf] = Backends("SHELVES")


def configured(**options: object) -> override_settings:
    return override_settings(SHELVES={"default": {"BACKEND": HERE, "OPTIONS": options}})


def test_a_backend_is_made_once_with_its_options() -> None:
    with configured(width=3):
        assert shelves["default"].width == 3
        assert shelves["default"] is shelves["default"]


def test_a_changed_setting_makes_a_new_one() -> None:
    with configured(width=3):
        old = shelves["default"]
    with configured(width=4):
        assert shelves["default"] is not old
        assert shelves["default"].width == 4


def test_an_unknown_alias_is_named_with_those_there_are() -> None:
    with configured(), pytest.raises(ImproperlyConfigured, match=r"SHELVES\['top'\] is not set. There is: default"):
        shelves["top"]


@pytest.mark.parametrize("path", ["", "nonsense", "core.nowhere.Shelf", "core.backends.Nothing"])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    nowhere = override_settings(SHELVES={"default": {"BACKEND": path}})
    with nowhere, pytest.raises(ImproperlyConfigured, match=rf"BACKEND '{path}' can't be imported"):
        shelves["default"]


def test_options_that_do_not_fit_are_named() -> None:
    with configured(height=2), pytest.raises(ImproperlyConfigured, match=r"OPTIONS don't fit .*'height'"):
        shelves["default"]
