"""Single sign-on: the discovery document and its keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from services.probes import Measurement
from services.status import Outcome
from tests import peers
from tests.services.probes.asking import ask

KEYS = {"keys": [{"kty": "RSA", "kid": "1"}]}


class Issuer:
    """With a document and keys as they are given; `{}` in the document stands for its own address."""

    def __init__(self, document: dict[str, Any] | str, keys: Any = KEYS, status: int = 200) -> None:
        self.document, self.keys, self.status = document, keys, status
        self.authorizations: dict[str, str] = {}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.authorizations[request.path] = request.headers.get("Authorization", "")
        if request.path == "/main/.well-known/openid-configuration":
            text = self.document if isinstance(self.document, str) else json.dumps(self.document)
            return web.Response(text=text.replace("HERE", f"http://{request.host}"), status=self.status)
        if request.path == "/main/keys":
            return web.json_response(self.keys, status=200 if self.keys else 503)
        return web.Response(status=404)


RIGHT = {"issuer": "HERE/main", "jwks_uri": "HERE/main/keys"}


async def asked(server: Issuer, **options: Any) -> Measurement:
    async with peers.http_server(server) as url:
        return await ask("oidc", f"{url}/main/", **options)


async def test_an_issuer_with_keys_is_up() -> None:
    issuer = Issuer(RIGHT)
    found = await asked(issuer, secrets={"username": "u", "password": "p"})

    assert (found.outcome, found.detail) == (Outcome.UP, "")
    assert [(part.path, part.outcome) for part in found.parts] == [("discovery", Outcome.UP), ("keys", Outcome.UP)]
    assert all(part.latency_ms for part in found.parts)
    # The login is for the issuer, not for whomever its document names.
    assert issuer.authorizations["/main/.well-known/openid-configuration"]
    assert not issuer.authorizations["/main/keys"]


@pytest.mark.parametrize(
    ("issuer", "outcome", "detail"),
    [
        (Issuer({**RIGHT, "issuer": "https://evil.example"}), Outcome.FAILING, "the issuer is not HERE/main"),
        (Issuer({"issuer": "HERE/main"}), Outcome.FAILING, "keys: there is no jwks_uri in the discovery document"),
        (Issuer(RIGHT, {"keys": []}), Outcome.FAILING, "keys: the key set is empty"),
        (Issuer(RIGHT, None), Outcome.FAILING, "keys: the key set: answered 503"),
        (Issuer({**RIGHT, "jwks_uri": "http://169.254.169.254/"}), Outcome.FAILING,
         "keys: the address 169.254.169.254 is refused: link-local, where clouds keep their metadata"),
        (Issuer({**RIGHT, "jwks_uri": "file:///etc/passwd"}), Outcome.FAILING,
         "keys: expected a URL that begins with http:// or https://"),
        (Issuer("<html>"), Outcome.FAILING, "the discovery document is not a JSON object"),
        (Issuer(RIGHT, status=404), Outcome.FAILING, "the discovery document: answered 404"),
        (Issuer(RIGHT, status=503), Outcome.UNREACHABLE, "the discovery document: answered 503"),
    ],
)  # fmt: skip
async def test_what_may_be_wrong(issuer: Issuer, outcome: Outcome, detail: str) -> None:
    async with peers.http_server(issuer) as url:
        found = await ask("oidc", f"{url}/main")

    assert (found.outcome, found.detail) == (outcome, detail.replace("HERE", url))


async def test_the_issuer_may_be_written_down() -> None:
    assert (
        await asked(Issuer({**RIGHT, "issuer": "https://sso/main/"}), issuer="https://sso/main/")
    ).outcome == Outcome.UP
    assert (await asked(Issuer(RIGHT), issuer="https://sso/main/")).detail == "the issuer is not https://sso/main/"


async def test_nobody_listens() -> None:
    found = await ask("oidc", f"http://127.0.0.1:{peers.closed_port()}/main")
    assert (found.outcome, found.detail) == (Outcome.UNREACHABLE, "connection refused")
