"""A TLS certificate: for whom it is, who signed it, and when it ends."""

from __future__ import annotations

from time import perf_counter

import msgspec
from django.utils import timezone

from core import certificates, outbound
from services.probes import web
from services.probes.base import Asked, Measurement, elapsed_ms, fitted
from services.probes.sockets import answered, host_and_port
from services.status import Outcome

LABEL = "TLS: a certificate's name, chain and end"
TARGET = "host or host:port, like example.org"
PORT = 443


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""  # that the certificate must be for, if it isn't the target's
    verify: bool = True  # name and chain; the end is looked at in any case
    ca: str = ""  # PEM, trusted instead of the system's authorities
    warn_days: int = 14

    def __post_init__(self) -> None:
        if self.ca:
            outbound.tls_context(ca=self.ca)


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


def check_target(target: str) -> None:
    host_and_port(target, PORT)


async def run(asked: Asked) -> Measurement:
    options, _ = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    began = perf_counter()
    with answered():
        wrong, shown = await _look(asked.target, options)
    latency = elapsed_ms(began)
    end, soon = web.expiry(shown, options.warn_days)
    if end and end < timezone.now():
        wrong = wrong or "certificate has expired"
    outcome, detail = (Outcome.FAILING, wrong) if wrong else web.worse(Outcome.UP, "", soon)
    return Measurement(outcome, detail, latency, expires_at=end, raw=certificates.described(shown))


async def _look(target: str, options: Options) -> tuple[str, bytes]:
    """What is wrong with the certificate, and the certificate. Raises OutboundError."""
    wrong = ""
    if options.verify:
        try:
            return "", await _shown(target, options, verify=True)
        except outbound.CertificateError as error:
            # Once more, to read what wasn't trusted.
            wrong = str(error)
    return wrong, await _shown(target, options, verify=False)


async def _shown(target: str, options: Options, *, verify: bool) -> bytes:
    host, port = host_and_port(target, PORT)
    tls = outbound.tls_context(verify=verify, ca=options.ca)
    async with await outbound.connect(host, port, tls=tls, name=options.name) as stream:
        if stream.certificate is None:
            raise outbound.TlsError("no certificate was shown")
        return stream.certificate
