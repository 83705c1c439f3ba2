"""What the kinds of check over HTTP share."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from django.utils import timezone

from core import certificates, outbound
from services.probes.base import RAW_MAX, Asked, FailingError, ProbeError
from services.status import Outcome

if TYPE_CHECKING:
    from core.http import Answer

HEADERS_MAX: Final = 50
# Named, but not shown: whoever has them is taken for somebody else.
PERSONAL: Final = frozenset({"set-cookie", "www-authenticate", "authorization", "x-auth-token", "x-api-key"})


class WebOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    headers: dict[str, str] = {}
    redirects: Literal["follow", "none"] = "follow"
    verify: bool = True  # the certificate
    ca: str = ""  # PEM, trusted instead of the system's authorities
    warn_days: int = 14  # before a certificate ends; 0: never

    def __post_init__(self) -> None:
        check_headers(self.headers)
        if self.ca:
            outbound.tls_context(ca=self.ca)


class WebSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    headers: dict[str, str] = {}
    username: str = ""
    password: str = ""
    body: str = ""

    def __post_init__(self) -> None:
        check_headers(self.headers)

    def all_headers(self) -> dict[str, str]:
        if not (self.username or self.password):
            return self.headers
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return {**self.headers, "Authorization": f"Basic {basic}"}


def check_headers(headers: dict[str, str]) -> None:
    if len(headers) > HEADERS_MAX:
        raise ValueError(f"expected {HEADERS_MAX} headers at most, got {len(headers)}")
    for name, value in headers.items():
        if not name or not all(char.isascii() and (char.isalnum() or char in "!#$%&'*+-.^_`|~") for char in name):
            raise ValueError(f"expected the name of a header, got {name!r}")
        if any(char in value for char in "\r\n\0"):
            raise ValueError(f"expected one line as the value of {name}")


def check_url(target: str) -> None:
    """Raises ValueError."""
    scheme, separator, rest = target.partition("://")
    if (
        scheme not in ("http", "https")
        or not separator
        or not rest.strip("/")
        or any(char.isspace() for char in target)
    ):
        raise ValueError(f"expected a URL that begins with http:// or https://, got {target!r}")


async def answer_of(
    asked: Asked, options: WebOptions, secrets: WebSecrets, *, url: str = "", method: str = "GET", body: str = ""
) -> Answer:
    """Raises ProbeError."""
    from core import http

    try:
        return await http.fetch(
            url or asked.target, method=method, headers=options.headers, secret_headers=secrets.all_headers(),
            body=(secrets.body or body).encode(), timeout=asked.timeout, verify=options.verify, ca=options.ca,
            redirects=http.REDIRECTS_MAX if options.redirects == "follow" else 0,
        )  # fmt: skip
    except outbound.AnswerError as error:
        raise FailingError(str(error)) from None
    except outbound.OutboundError as error:
        raise ProbeError(str(error)) from None


def expiry(certificate: bytes | None, warn_days: int) -> tuple[datetime | None, str]:
    """When the certificate ends, and a sentence if that is soon."""
    if certificate is None:
        return None, ""
    end = certificates.expires_at(certificate)
    if warn_days and end - timezone.now() < timedelta(days=warn_days):
        return end, f"certificate expires on {end:%Y-%m-%d}"
    return end, ""


def worse(outcome: Outcome, detail: str, soon: str) -> tuple[Outcome, str]:
    """With a certificate that ends soon."""
    if outcome == Outcome.UP and soon:
        return Outcome.DEGRADED, soon
    return outcome, detail


def raw(answer: Answer) -> str:
    """The answer for people, bounded."""
    lines = [f"{answer.status} {answer.reason}".strip(), f"from {answer.url.partition('?')[0]}"]
    lines += [
        f"{name}: {'•••' if name.lower() in PERSONAL else value[:1_000]}"
        for name, value in [*answer.headers.items()][:HEADERS_MAX]
    ]
    body = answer.body[:RAW_MAX].decode(errors="replace").replace("\0", "�")
    return ("\n".join([*lines, "", body]))[:RAW_MAX]
