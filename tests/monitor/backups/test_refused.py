"""What is wrong with a backup, or with the place, is said in one sentence, and nothing is changed."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model

from monitor import __version__
from monitor.backups import file, making, postgres, restoring, waiting
from monitor.backups.file import BackupError, Manifest

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

Change = Callable[[Manifest], Manifest]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "pharos.tar.zst"
    making.make(path, logs=True, redis="Redis is away.")
    return path


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "running", lambda: False)


def refusal(path: Path) -> str:
    with pytest.raises(BackupError) as caught:
        restoring.restore(path, print, force=False)
    return str(caught.value)


def changed(path: Path, change: Change) -> Path:
    """The backup's manifest and keys, with another one."""
    manifest, keys = file.check(path)
    other = path.with_name("other.tar.zst")
    with file.writing(other) as writer:
        writer.add_json(file.KEYS, keys)
        members = {file.KEYS: writer.members[file.KEYS]}
        writer.add_json(file.MANIFEST, change(msgspec.structs.replace(manifest, members=members)))
    return other


def test_the_version_is_the_package_s() -> None:
    assert tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_a_place_with_users(backup: Path) -> None:
    get_user_model().objects.create_user("somebody")
    assert "use --force" in refusal(backup)


def test_a_place_where_pharos_runs(backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "running", lambda: True)
    assert "stop all its processes" in refusal(backup)


def test_a_file_that_is_cut_off(backup: Path) -> None:
    data = backup.read_bytes()
    backup.write_bytes(data[: len(data) // 2])
    assert f"{backup} is damaged" in refusal(backup)


def test_a_file_with_a_wrong_byte(backup: Path) -> None:
    data = bytearray(backup.read_bytes())
    data[len(data) // 2] ^= 0x10
    backup.write_bytes(data)
    assert f"{backup} is damaged" in refusal(backup)


def test_a_file_without_a_member(backup: Path) -> None:
    manifest, _ = file.check(backup)
    assert "pharos.sqlite3 is missing" in refusal(
        changed(backup, lambda other: msgspec.structs.replace(other, members=manifest.members))
    )


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["empty", "text", "not there"])
def test_a_file_that_is_no_backup(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "hello.tar.zst"
    if content is not None:
        path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: msgspec.structs.replace(manifest, version="99.0.0"),
        lambda manifest: msgspec.structs.replace(manifest, migrations={"logs": ["9999_later"]}),
    ],
    ids=["version", "migration"],
)
def test_one_of_a_later_pharos(backup: Path, change: Change) -> None:
    assert "or a newer one" in refusal(changed(backup, change))


def test_one_of_a_later_format(backup: Path) -> None:
    assert "the format 2" in refusal(changed(backup, lambda manifest: msgspec.structs.replace(manifest, format=2)))


def test_one_of_another_database(backup: Path) -> None:
    other = changed(backup, lambda manifest: msgspec.structs.replace(manifest, vendor="postgresql"))
    assert "is of postgresql, and DATABASE_URL says sqlite" in refusal(other)


def test_another_key_in_the_environment(backup: Path, settings: object) -> None:
    settings.SECRET_KEY = "another key than that of the backup"  # type: ignore[attr-defined]
    assert "PHAROS_SECRET_KEY is set here" in refusal(backup)


def test_programs_that_are_missing_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "server", lambda: 15)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="There is no pg_dump here: install the client programs of PostgreSQL 15"):
        postgres.program("pg_dump")
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 13.4'\n")
    old.chmod(0o755)
    with pytest.raises(BackupError, match="pg_dump is 13, older than the server"):
        postgres.program("pg_dump")


def test_a_backup_does_not_replace_another(backup: Path) -> None:
    with pytest.raises(BackupError, match="is there already"):
        making.place(str(backup))


def test_a_failed_backup_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monitor.backups.sqlite.copy", fail)
    with pytest.raises(BackupError, match="No space left on device"):
        making.make(tmp_path / "pharos.tar.zst", logs=True, redis="")
    assert list(tmp_path.iterdir()) == []
