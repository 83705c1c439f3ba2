"""Who acts, and from where: what the audit trail says beside each change.

A request is known from its middleware on, to threads that work for it, too. What has no request is a task of the
worker, or a command that somebody runs on the machine itself.
"""

from __future__ import annotations

import getpass
import ipaddress
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

ADMIN, PAGE, KEY, COMMAND, TASK = "admin", "page", "key", "command", "task"


@dataclass
class Actor:
    """`by` is a person's or a key's name, or that of a command or task."""

    via: str
    by: str = ""
    address: str = ""
    user: AbstractBaseUser | None = None


class _Request:
    """Who asks is looked up when it is needed: most requests change nothing, and a sign-in changes it on the way."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.key = ""

    def actor(self) -> Actor:
        address = known_address(self.request.META.get("REMOTE_ADDR", ""))
        if self.key:
            return Actor(KEY, self.key, address)
        user = getattr(self.request, "user", None)
        person = user if user is not None and user.is_authenticated else None
        via = ADMIN if self.request.path.startswith("/admin/") else PAGE
        return Actor(via, person.get_username() if person else "", address, person)


_request: ContextVar[_Request | Actor | None] = ContextVar("acting", default=None)


def now() -> Actor:
    """Who acts here and now."""
    found = _request.get()
    if found is None:
        return _process()
    return found if isinstance(found, Actor) else found.actor()


def with_key(name: str) -> None:
    """The request that is being answered brought this key, and it was good."""
    found = _request.get()
    if isinstance(found, _Request):
        found.key = name


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """For what has no request of Django's: a connection, a command."""
    token = _request.set(actor)
    try:
        yield
    finally:
        _request.reset(token)


def known_address(text: str) -> str:
    """The address, or "" for what is none: a socket's path, a name."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _process() -> Actor:
    celery = sys.modules.get("celery")
    task = celery.current_task if celery else None
    if task is not None and getattr(task, "name", None):
        return Actor(TASK, str(task.name))
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]]
    # Whoever can run commands is whom the operating system says. What else is on the line may be a password.
    return Actor(COMMAND, f"{' '.join(word for word in words if not word.startswith('-'))}, run by {_os_user()}"[:200])


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return "a user without a name"


@sync_and_async_middleware
def remember_request(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def remember_async(request: HttpRequest) -> HttpResponseBase:
            token = _request.set(_Request(request))
            try:
                answer: HttpResponseBase = await get_response(request)
                return answer
            finally:
                _request.reset(token)

        return remember_async

    def remember(request: HttpRequest) -> HttpResponseBase:
        token = _request.set(_Request(request))
        try:
            answer: HttpResponseBase = get_response(request)
            return answer
        finally:
            _request.reset(token)

    return remember
