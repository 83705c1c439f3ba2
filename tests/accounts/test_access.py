"""Each address answers each role and each key as tests/accounts/access.txt says."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.test import override_settings

from accounts import keys
from logs.edge import WAYS
from tests.accounts import access
from tests.accounts.access import Asker
from tests.accounts.rows import Rows
from tests.sockets import Socket

WRITE = "PHAROS_TEST_WRITE_ACCESS" in os.environ


def compare(part: str, found: list[access.Row]) -> None:
    lines = [str(row) for row in found]
    if WRITE:
        access.write(part, lines)
        return
    kept = access.lines_of(part)
    gone, new = sorted(set(kept) - set(lines)), sorted(set(lines) - set(kept))
    assert not gone + new, "\n".join(
        [access.HOW, access.head(), *(f"- {line}" for line in gone), *(f"+ {line}" for line in new)]
    )


@pytest.mark.django_db(databases=["default", "logs"])
@pytest.mark.parametrize("part", access.PARTS)
def test_each_address_lets_in_whom_the_table_says(part: str, redis_client: redis.Redis) -> None:
    rows, everybody = Rows(), access.askers()
    found = [row for address in access.addresses(rows, part) for row in access.asked(address, everybody)]
    compare(part, found)


# --- What isn't Django's: WebSockets, and the edge --------------------------------------------------------------------


@pytest.fixture
def asgi() -> Any:
    """Loads much, and wants the directory of static files to be there."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    return importlib.import_module("monitor.asgi")


def headers_of(asker: Asker) -> dict[str, str]:
    return asker.headers | ({"cookie": f"sessionid={asker.session}"} if asker.session else {})


async def connects(application: Any, asker: Asker, path: str) -> str:
    headers = [(name.encode(), value.encode()) for name, value in headers_of(asker).items()]
    socket = Socket(application, path, headers=headers)
    with override_settings(ANONYMOUS_READ=asker.who == access.OPEN):
        accepted, code = await socket.connect()
    # Afterwards all has come that was sent on connecting.
    await socket.disconnect()
    while not socket.output_queue.empty():
        said = socket.output_queue.get_nowait()
        if said["type"] == "websocket.close":
            accepted, code = False, said["code"]
    return "opens" if accepted else str(code)


async def sends(application: Any, asker: Asker, path: str) -> str:
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return str((await client.post(path, json={}, headers=headers_of(asker))).status_code)


@pytest.mark.django_db(transaction=True, databases=["default", "logs"])
async def test_each_socket_and_the_edge_let_in_whom_the_table_says(asgi: Any, redis_client: redis.Redis) -> None:
    keys._known.clear()
    rows, everybody = Rows(), await sync_to_async(access.askers)()
    found = []
    for each in asgi.ADDRESSES:
        text = str(each.pattern)
        path = await sync_to_async(access.path_of)(text, rows)
        found.append(
            access.Row(text, access.SOCKET, {who.who: await connects(asgi.application, who, path) for who in everybody})
        )
    found += [
        access.Row(path[1:], access.SEND, {who.who: await sends(asgi.http, who, path) for who in everybody})
        for path in WAYS
    ]
    await asgi.edge.close()
    compare(access.SOCKETS, found)
