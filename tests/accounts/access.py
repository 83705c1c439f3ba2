"""Every address, asked by everybody: what tests/accounts/access.txt says of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.template.base import Template
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.utils.safestring import SafeString

from accounts import keys, roles
from accounts.models import Scope
from tests.accounts.rows import Rows

TABLE: Final = Path(__file__).with_name("access.txt")
HOW: Final = "If it is right as it is now, write the table anew: make access"
NOBODY, OPEN, NEWCOMER, VIEWER, SUPERUSER = "nobody", "open", "none", roles.VIEWER.lower(), "super"
PEOPLE: Final = (NOBODY, OPEN, NEWCOMER, *(name.lower() for name in roles.NAMES), SUPERUSER)
KEYS: Final = tuple(f"key:{scope}" for scope in Scope.values)
WHO: Final = (*PEOPLE, *KEYS)
PARTS: Final = ("admin/auth", "admin/accounts", "admin/logs", "admin/services", "admin/alerts", "admin", "api", "")
# Drawing a page takes most of the time: these see each as it is, and for others only the answer counts.
DRAWN: Final = frozenset({OPEN, VIEWER, SUPERUSER})
SOCKETS: Final = "sockets"
SOCKET, SEND = "WS", "SEND"  # as methods: a WebSocket, and a body for the edge
# Beside GET and POST, which every address is asked.
MORE: Final = {"api/v2/silence/<uuid:pk>": ("DELETE",)}


class Address(NamedTuple):
    text: str  # as the resolver has it, without the slash at the beginning: "services/<int:pk>/"
    path: str  # with arguments

    @property
    def part(self) -> str:
        return next(part for part in PARTS if self.text.startswith(part))


class Row(NamedTuple):
    """One line of the table."""

    address: str
    method: str
    answers: Mapping[str, str]  # who → answer
    writes: str = ""  # tables that GET writes to

    def __str__(self) -> str:
        cells = "".join(f"{self.answers[who]:<{_width(who)}}" for who in WHO)
        return f"{self.method:<7}/{self.address:<60} {cells}{self.writes}".rstrip()


def _width(who: str) -> int:
    return max(len(who), 5) + 2


def head() -> str:
    return f"{'':<7}{'address':<61} " + "".join(f"{who:<{_width(who)}}" for who in WHO) + "GET writes"


# --- The addresses ---------------------------------------------------------------------------------------------------


def addresses(rows: Rows, part: str) -> list[Address]:
    return [
        Address(text, path_of(text, rows))
        for text in dict.fromkeys(_texts(get_resolver()))
        if Address(text, "").part == part
    ]


def _texts(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        if isinstance(each.pattern, RoutePattern):
            here = str(each.pattern)
        else:
            here = simplify_regex(str(each.pattern)).removeprefix("/").removesuffix("(?:/<signal>)?/?")
        if isinstance(each, URLPattern):
            yield before + here
        else:
            yield from _texts(each, before + here)


def path_of(text: str, rows: Rows) -> str:
    fixed = {"admin/<app_label>/": "admin/alerts/", "admin/<url>": "admin/nowhere"}
    if text in fixed:
        return "/" + fixed[text]
    if "<" in text:
        given = rows.arguments(text)
        text = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(given[match[1]]), text)
    return "/" + text


# --- Those who ask ---------------------------------------------------------------------------------------------------


class Asker:
    """Somebody, or a key, that asks. What the answer changes is taken back at once."""

    def __init__(self, who: str, **headers: str) -> None:
        self.who = who
        # An address for each: who asks often from one is told to wait.
        address = f"192.0.2.{WHO.index(who) + 1}"
        self._client = Client(headers=headers, raise_request_exception=False, REMOTE_ADDR=address)
        self.headers = headers
        self.session = ""

    def signs_in(self, user: User) -> Asker:
        self._client.force_login(user)
        self.session = self._client.cookies["sessionid"].value
        return self

    def asks(self, method: str, path: str) -> str:
        # An answer may end the session.
        self._client.cookies = SimpleCookie({"sessionid": self.session} if self.session else None)
        more = {"HX-Request": "true"} if method == "HX" else {}
        drawing = nullcontext() if self.who in DRAWN else patch.object(Template, "render", lambda *_: SafeString())
        with override_settings(ANONYMOUS_READ=self.who == OPEN), drawing, transaction.atomic():
            answer = self._client.generic("GET" if method == "HX" else method, path, headers=more)
            transaction.set_rollback(True)
        return _word(answer)


def _word(answer: Any) -> str:
    to = answer.headers.get("Location", "") + answer.headers.get("HX-Redirect", "")
    return "login" if to.startswith(("/login/", "/admin/login/")) else str(answer.status_code)


def askers() -> list[Asker]:
    people = {NEWCOMER: User.objects.create_user("newcomer"), SUPERUSER: User.objects.create_superuser("root")}
    for name in roles.NAMES:
        people[name.lower()] = User.objects.create_user(name.lower())
        people[name.lower()].groups.add(Group.objects.get(name=name))
    signed_in = [Asker(who).signs_in(people[who]) for who in PEOPLE if who in people]
    scopes = zip(KEYS, Scope.values, strict=True)
    with_key = [Asker(who, authorization=f"Bearer {keys.create(who, [scope])[1]}") for who, scope in scopes]
    return [Asker(NOBODY), Asker(OPEN), *signed_in, *with_key]


def asked(address: Address, everybody: Iterable[Asker]) -> list[Row]:
    """GET; the fragment, where GET leads somewhere else; and what else is taken there."""
    found: list[Row] = []
    before = ""  # what the superuser got for GET
    for method in ("GET", "HX", "POST", *MORE.get(address.text, ())):
        if method == "HX" and (address.text.startswith("admin/") or before != "302"):
            continue
        writes = Writes()
        with connection.execute_wrapper(writes):
            row = Row(address.text, method, {each.who: each.asks(method, address.path) for each in everybody})
        before = row.answers[SUPERUSER]
        if set(row.answers.values()) != {"405"}:
            found.append(row._replace(writes=str(writes) if method in ("GET", "HX") else ""))
    return found


class Writes:
    """Collects the tables that are written to, but for what says that a key was used."""

    STATEMENT: Final = re.compile(r'(?:INSERT(?: OR IGNORE)? INTO|UPDATE|DELETE FROM) "(\w+)"')

    def __init__(self) -> None:
        self.tables: set[str] = set()

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if (match := self.STATEMENT.match(sql)) and match[1] not in ("accounts_apikey", "accounts_oldsecret"):
            self.tables.add(match[1])
        return execute(sql, params, many, context)

    def __str__(self) -> str:
        return " ".join(sorted(self.tables))


# --- The table -------------------------------------------------------------------------------------------------------


def lines_of(part: str) -> list[str]:
    return [line for line in TABLE.read_text().splitlines() if line and _part(line) == part]


def write(part: str, lines: Iterable[str]) -> None:
    """Puts the lines in the place of those of the part."""
    kept = TABLE.read_text().splitlines() if TABLE.exists() else []
    others = [line for line in kept if line and _part(line) not in (part, "head")]
    ordered = sorted([*others, *lines], key=lambda line: (_address(line), line))
    TABLE.write_text("\n".join([head(), *ordered]) + "\n")


def _address(line: str) -> str:
    return line.split(maxsplit=2)[1]


def _part(line: str) -> str:
    if line.startswith(" "):
        return "head"
    return SOCKETS if line.startswith((SOCKET, SEND)) else Address(_address(line)[1:], "").part
