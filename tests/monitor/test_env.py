"""Each reader of the environment: what it takes, and the sentence for what it can't take."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from monitor import env


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONE", "TWO", "ONE_FILE", "TWO_FILE"):
        monkeypatch.delenv(name, raising=False)


def refused(sentence: str) -> pytest.RaisesExc[ImproperlyConfigured]:
    return pytest.RaisesExc(ImproperlyConfigured, check=lambda error: str(error) == sentence)


# --- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two", "value"),
    [
        (None, None, "default"),
        ("first", None, "first"),
        (None, "second", "second"),
        ("first", "second", "first"),
        ("", "second", "second"),
        ("  ", None, "default"),
        (" spaced ", None, "spaced"),
    ],
)
def test_a_text_is_the_first_name_that_is_set_and_not_empty(
    monkeypatch: pytest.MonkeyPatch, one: str | None, two: str | None, value: str
) -> None:
    for name, given in (("ONE", one), ("TWO", two)):
        if given is not None:
            monkeypatch.setenv(name, given)

    assert env.text("ONE", "TWO", default="default") == value


def test_a_value_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the file\n")
    monkeypatch.setenv("TWO_FILE", str(tmp_path / "secret"))

    assert env.text("ONE", "TWO", default="default") == "of the file"


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "nothing"
    monkeypatch.setenv("ONE_FILE", str(path))

    with refused(f"ONE_FILE must be a file to read, but {str(path)!r} can't be read: No such file or directory."):
        env.text("ONE")


def test_a_value_and_a_file_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "first")
    monkeypatch.setenv("ONE_FILE", "/somewhere")

    with refused("ONE and ONE_FILE are both set: keep one of them."):
        env.text("ONE")


# --- integer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "value"), [("1", 1), ("100", 100), ("007", 7), (" 42 ", 42)])
def test_a_whole_number_in_its_range_is_taken(monkeypatch: pytest.MonkeyPatch, given: str, value: int) -> None:
    monkeypatch.setenv("ONE", given)

    assert env.integer("ONE", default=5, low=1, high=100) == value


def test_a_number_that_is_not_set_is_the_default() -> None:
    assert env.integer("ONE", default=5, low=1, high=100) == 5


@pytest.mark.parametrize("given", ["0", "101", "-1", "1.5", "1e2", "0x10", "ten", "1 0", "9" * 30])
def test_any_other_number_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE", given)

    with refused(f"ONE must be a whole number from 1 to 100, but it is {given!r}."):
        env.integer("ONE", default=5, low=1, high=100)


def test_a_sentence_names_the_alias_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWO", "x")

    with refused("TWO must be a whole number from 1 to 65,535, but it is 'x'."):
        env.integer("ONE", "TWO", default=5, low=1, high=65_535)


# --- boolean -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["1", "true", "True", "YES", "on"])
def test_a_yes_is_true(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE", given)

    assert env.boolean("ONE", default=False) is True


@pytest.mark.parametrize("given", ["0", "false", "False", "no", "OFF"])
def test_a_no_is_false(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE", given)

    assert env.boolean("ONE", default=True) is False


@pytest.mark.parametrize("default", [True, False])
def test_neither_yes_nor_no_is_the_default(default: bool) -> None:
    assert env.boolean("ONE", default=default) is default


@pytest.mark.parametrize("given", ["2", "yep", "none"])
def test_anything_else_is_neither_yes_nor_no(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE", given)

    with refused(f"ONE must be one of 1, 0, true, false, but it is {given!r}."):
        env.boolean("ONE", default=False)


# --- words and pairs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [("a", ["a"]), ("a,b", ["a", "b"]), (" a , b ,", ["a", "b"]), (",,", []), ("[::1],b", ["[::1]", "b"])],
)
def test_words_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, given: str, value: list[str]) -> None:
    monkeypatch.setenv("ONE", given)

    assert env.words("ONE", default="other") == value


def test_words_that_are_not_set_are_the_default() -> None:
    assert env.words("ONE", default="a,b") == ["a", "b"]
    assert env.words("ONE") == []


@pytest.mark.parametrize(
    ("given", "value"),
    [("a=b", {"a": "b"}), (" a = b , c=d", {"a": "b", "c": "d"}), ("a=b=c", {"a": "b=c"}), ("", {})],
)
def test_pairs_are_names_with_values(monkeypatch: pytest.MonkeyPatch, given: str, value: dict[str, str]) -> None:
    monkeypatch.setenv("ONE", given)

    assert env.pairs("ONE") == value


@pytest.mark.parametrize("item", ["a", "a=", "=b", "="])
def test_a_pair_without_both_sides_is_refused(monkeypatch: pytest.MonkeyPatch, item: str) -> None:
    monkeypatch.setenv("ONE", f"good=one,{item}")

    with refused(f"ONE must be a list like name=value,name=value, but it has {item!r}."):
        env.pairs("ONE")


# --- url -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock?db=1"),
        ("localhost:6379", "redis://localhost:6379"),
        ("localhost", "redis://localhost"),
        ("10.0.0.1:6379/2", "redis://10.0.0.1:6379/2"),
    ],
)
def test_a_url_may_leave_out_its_scheme(monkeypatch: pytest.MonkeyPatch, given: str, value: str) -> None:
    monkeypatch.setenv("ONE", given)

    assert env.url("ONE", schemes=["redis", "unix"]) == value


def test_a_url_that_is_not_set_is_empty_or_the_default() -> None:
    assert env.url("ONE", schemes=["redis"]) == ""
    assert env.url("ONE", schemes=["redis"], default="redis://here") == "redis://here"


@pytest.mark.parametrize("given", ["http://host", "mysql://user@host/name", "two words", "://"])
def test_a_url_with_another_scheme_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE", given)

    with refused(f"ONE must be a URL that begins with redis://, unix://, but it is {given!r}."):
        env.url("ONE", schemes=["redis", "unix"])


# --- host ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["127.0.0.1", "0.0.0.0", "::1", "pharos.example.org", "host-1"])
def test_a_host_is_a_name_or_an_address(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE", given)

    assert env.host("ONE", default="127.0.0.1") == given


@pytest.mark.parametrize("given", ["two words", "http://host", "host/path", "a,b"])
def test_anything_else_is_no_host(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ONE", given)

    with refused(f"ONE must be a host name or an address, but it is {given!r}."):
        env.host("ONE", default="127.0.0.1")


# --- Files ---------------------------------------------------------------------------------------------------------


def test_the_data_directory_is_made_for_its_owner_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONE", str(tmp_path / "a" / "b"))

    path = env.data_dir("ONE", tmp_path / "default")

    assert path == tmp_path / "a" / "b"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not (tmp_path / "default").exists()


def test_a_relative_data_directory_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONE", "data")

    assert env.data_dir("ONE", tmp_path) == tmp_path / "data"


def test_a_data_directory_that_can_not_be_made_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "data")
    monkeypatch.setenv("ONE", path)

    with refused(f"ONE must be a directory that can be written, but {path!r} can't be made: Not a directory."):
        env.data_dir("ONE", tmp_path)


def test_a_data_directory_that_can_not_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere

    with refused(f"ONE must be a directory that can be written, but {str(tmp_path)!r} can't."):
        env.data_dir("ONE", tmp_path)


def test_a_secret_key_is_made_once_and_kept(tmp_path: Path) -> None:
    made = env.secret_key("ONE", tmp_path)

    assert len(made) >= 50
    assert env.secret_key("ONE", tmp_path) == made
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_a_secret_key_that_is_given_is_not_written_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONE", "a-long-enough-secret")

    assert env.secret_key("ONE", tmp_path) == "a-long-enough-secret"
    assert list(tmp_path.iterdir()) == []


def test_a_short_secret_key_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONE", "short")

    with refused("ONE must have at least 16 characters, but it has 5."):
        env.secret_key("ONE", tmp_path)


def test_the_socket_is_in_the_data_directory_unless_that_path_is_too_long() -> None:
    assert env.socket_path(Path("/data")) == Path("/data/valkey/valkey.sock")

    long, other = env.socket_path(Path("/" + "long/" * 30)), env.socket_path(Path("/" + "other/" * 30))
    assert len(str(long)) <= env.SOCKET_PATH_MAX
    assert long != other
    assert long == env.socket_path(Path("/" + "long/" * 30))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", env.Mail()),
        ("smtp://mail.example.org", env.Mail("mail.example.org", 25)),
        ("smtp+tls://ann:p%40ss@mail.example.org", env.Mail("mail.example.org", 587, "ann", "p@ss", starttls=True)),
        ("smtps://mail.example.org:4465", env.Mail("mail.example.org", 4465, tls=True)),
    ],
)
def test_a_mail_server_is_one_address(monkeypatch: pytest.MonkeyPatch, given: str, found: env.Mail) -> None:
    monkeypatch.setenv("MAIL_SERVER", given)
    assert env.mail("MAIL_SERVER") == found


@pytest.mark.parametrize("given", ["mail.example.org", "http://mail.example.org", "smtp://", "smtp://u:secret@host:x"])
def test_a_mail_server_that_can_not_be_one_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("MAIL_SERVER", given)
    with pytest.raises(ImproperlyConfigured, match="must be like") as caught:
        env.mail("MAIL_SERVER")
    assert "secret" not in str(caught.value)
