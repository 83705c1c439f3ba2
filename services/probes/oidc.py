"""Single sign-on with OpenID Connect: the discovery document and the keys that tokens are checked with."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.probes import web
from services.probes.base import Asked, FailingError, Measurement, Part, ProbeError, elapsed_ms, fitted
from services.status import Outcome

if TYPE_CHECKING:
    from core.http import Answer

LABEL = "OIDC: single sign-on's discovery and keys"
TARGET = "the issuer: https://sso.example.org/realms/main"
DISCOVERY: Final = "/.well-known/openid-configuration"


class Options(web.WebOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    issuer: str = ""  # that the document must name, if it isn't the target


Secrets = web.WebSecrets


def check_target(target: str) -> None:
    web.check_url(target)


async def run(asked: Asked) -> Measurement:
    options, secrets = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    began = perf_counter()
    base = asked.target.removesuffix(DISCOVERY).rstrip("/")
    answer = await web.answer_of(asked, options, secrets, url=base + DISCOVERY)
    latency = elapsed_ms(began)
    document = _object(answer, "the discovery document")
    _check_issuer(document, options.issuer or base, exact=bool(options.issuer))
    parts = [Part("discovery", Outcome.UP, "", latency), await _keys(asked, options, document)]
    expires_at, soon = web.expiry(answer.certificate, options.warn_days)
    outcome, detail = web.worse(parts[1].outcome, parts[1].detail, soon)
    return Measurement(outcome, detail, elapsed_ms(began), tuple(parts), expires_at, web.raw(answer))


def _check_issuer(document: dict[str, Any], wanted: str, *, exact: bool) -> None:
    """Raises FailingError. A slash at the end counts where somebody wrote the issuer down for this."""
    issuer = document.get("issuer")
    same = issuer == wanted if exact else isinstance(issuer, str) and issuer.rstrip("/") == wanted
    if not same:
        raise FailingError(f"the issuer is not {wanted}")


async def _keys(asked: Asked, options: Options, document: dict[str, Any]) -> Part:
    began = perf_counter()
    address = document.get("jwks_uri")
    try:
        if not isinstance(address, str):
            raise FailingError("there is no jwks_uri in the discovery document")
        # Without the secrets: they are for the issuer.
        keys = _object(await web.answer_of(asked, options, web.WebSecrets(), url=address), "the key set").get("keys")
        if not isinstance(keys, list) or not keys:
            raise FailingError("the key set is empty")
    except ProbeError as error:
        # Whoever can't reach the keys can't log anybody in; but the issuer itself answered.
        return Part("keys", Outcome.FAILING, f"keys: {error}")
    return Part("keys", Outcome.UP, "", elapsed_ms(began))


def _object(answer: Answer, name: str) -> dict[str, Any]:
    """Raises ProbeError."""
    if answer.status != 200:
        kind = ProbeError if answer.status >= 500 else FailingError
        raise kind(f"{name}: answered {answer.status}", raw=web.raw(answer))
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise FailingError(f"{name} is not a JSON object", raw=web.raw(answer)) from None
