"""Databases and static files are brought up to date, and left alone when they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.db import OperationalError, connections
from pytest_django import Settings

from monitor import prepare


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Path:
    """One static file, and a place of its own for everything that is written."""
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "one.css").write_text("body {}")
    settings.STATICFILES_DIRS = [directory]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "static"
    settings.DATA_DIR = tmp_path
    settings.STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    return directory


def collect() -> list[str]:
    said: list[str] = []
    prepare.collect_static(said.append)
    return said


def test_static_files_are_collected_once(source: Path, tmp_path: Path) -> None:
    assert collect() == ["Collecting the static files …"]
    assert (tmp_path / "static" / "one.css").read_text() == "body {}"
    assert collect() == []


def test_a_changed_file_is_collected_again(source: Path, tmp_path: Path) -> None:
    collect()
    (source / "one.css").write_text("body { color: red }")
    # collectstatic itself goes by the time, which may be the same within one tick of the clock.
    os.utime(source / "one.css", ns=(2_000_000_000 * 10**9, 2_000_000_000 * 10**9))

    assert collect() != []
    assert (tmp_path / "static" / "one.css").read_text() == "body { color: red }"


def test_a_new_file_is_collected(source: Path, tmp_path: Path) -> None:
    collect()
    (source / "two.css").write_text("p {}")

    assert collect() != []
    assert (tmp_path / "static" / "two.css").exists()


def test_files_that_were_removed_by_hand_are_collected_again(source: Path, tmp_path: Path) -> None:
    collect()
    (tmp_path / "static" / "one.css").unlink()
    (tmp_path / "static").rmdir()

    assert collect() != []
    assert (tmp_path / "static" / "one.css").exists()


@pytest.mark.django_db(databases="__all__")
def test_databases_that_are_up_to_date_are_left_alone() -> None:
    said: list[str] = []
    prepare.migrate(said.append)

    assert said == []


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_one_sentence_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OperationalError("connection refused\n\tIs the server running?")

    engine, password = "django.db.backends.postgresql", "secret"
    database = {"ENGINE": engine, "NAME": "pharos", "HOST": "db.example.org", "PASSWORD": password}
    # Of the class: a connection would keep as its own what it has from there.
    monkeypatch.setattr(type(connections["default"]), "ensure_connection", fail)
    monkeypatch.setattr(type(connections["default"]), "vendor", "postgresql")
    monkeypatch.setitem(configured.DATABASES, "default", database)

    with pytest.raises(prepare.PrepareError) as caught:
        prepare.connect("default")

    assert str(caught.value) == (
        "The database 'pharos' on db.example.org (DATABASE_URL) can't be reached: connection refused."
    )
