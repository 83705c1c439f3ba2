"""A name in the DNS: whether it has records of a type, and the right ones."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from core import outbound
from services.probes.base import RAW_MAX, Asked, FailingError, Measurement, ProbeError, elapsed_ms, fitted
from services.probes.sockets import answered, host_and_port
from services.status import Outcome

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

LABEL = "DNS: a name's records"
TARGET = "a name: example.org"
PORT: Final = 53


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    record: Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"] = "A"
    expected: list[str] = []  # each of them is among the records, as a zone file writes them
    server: str = ""  # asked instead of this machine's own name servers

    def __post_init__(self) -> None:
        if self.server:
            host_and_port(self.server, PORT)


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


def check_target(target: str) -> None:
    import dns.exception
    import dns.name

    try:
        if not target.strip("."):
            raise ValueError
        dns.name.from_text(target)
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"expected a name like example.org, got {target!r}") from None


async def run(asked: Asked) -> Measurement:
    options, _ = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    resolver = await _resolver(options.server)
    began = perf_counter()
    found = await _records(resolver, asked, options.record)
    missing = [each for each in options.expected if _plain(each) not in {_plain(record) for record in found}]
    raw = "\n".join(found)[:RAW_MAX]
    if missing:
        return Measurement(Outcome.FAILING, f"no record {missing[0]}", elapsed_ms(began), raw=raw)
    return Measurement(latency_ms=elapsed_ms(began), raw=raw)


async def _records(resolver: Resolver, asked: Asked, kind: str) -> list[str]:
    """As a zone file writes them, sorted. Raises ProbeError."""
    import dns.exception
    import dns.resolver

    try:
        answer = await resolver.resolve(asked.target, kind, search=False, lifetime=asked.timeout)
    except dns.resolver.NXDOMAIN:
        raise FailingError("there is no such name") from None
    except dns.resolver.NoAnswer:
        raise FailingError(f"the name has no {kind} record") from None
    except dns.resolver.NoNameservers as error:
        raise ProbeError(_refusal(error)) from None
    except dns.exception.Timeout:
        raise ProbeError(f"no answer within {asked.timeout:g} s") from None
    except (dns.exception.DNSException, OSError):
        raise ProbeError("no answer that can be read") from None
    return sorted(record.to_text() for record in answer)


def _refusal(error: Exception) -> str:
    from dns import rcode

    codes = {
        rcode.to_text(answer.rcode())
        for _, _, _, _, answer in getattr(error, "kwargs", {}).get("errors", ())
        if answer is not None
    }
    return f"the name server answered {min(codes)}" if codes else "the name server refuses to answer"


async def _resolver(server: str) -> Resolver:
    """Raises ProbeError. The machine's own name servers are not checked: everything else asks them, too."""
    import dns.asyncresolver
    import dns.resolver

    if not server:
        try:
            return dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            raise ProbeError("this machine has no name server") from None
    host, port = host_and_port(server, PORT)
    with answered():
        found = await outbound.resolve(host, port)
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [address for _, address in found], port
    return resolver


def _plain(record: str) -> str:
    """Without what may differ in writing: quotes of TXT, the dot at the end of names, capitals."""
    return record.strip().strip('"').rstrip(".").lower()
