"""A TCP port: whether somebody takes the connection, and what is said on it."""

from __future__ import annotations

from time import perf_counter
from typing import Final

import msgspec

from core import outbound
from services.probes.base import RAW_MAX, Asked, Measurement, elapsed_ms, fitted
from services.probes.sockets import answered, connected, host_and_port
from services.status import Outcome

LABEL = "TCP: a port takes connections"
TARGET = "host:port, like mail:25"
READ_MAX: Final = 64 << 10  # bytes


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    send: str = ""  # said first, as it is
    expect: str = ""  # is in what the other side says
    tls: bool = False
    verify: bool = True


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


def check_target(target: str) -> None:
    host_and_port(target)


async def run(asked: Asked) -> Measurement:
    options, _ = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    host, port = host_and_port(asked.target)
    began = perf_counter()
    tls = outbound.tls_context(verify=options.verify) if options.tls else None
    async with await connected(host, port, tls=tls) as stream:
        with answered():
            said = await _talk(stream, options)
    outcome = Outcome.UP if options.expect.encode() in said else Outcome.FAILING
    detail = "" if outcome == Outcome.UP else "what was expected was not said"
    raw = said.decode(errors="replace").replace("\0", "�")[:RAW_MAX] or "connected"
    return Measurement(outcome, detail, elapsed_ms(began), raw=raw)


async def _talk(stream: outbound.Stream, options: Options) -> bytes:
    if options.send:
        stream.writer.write(options.send.encode())
    said = bytearray()
    wanted = options.expect.encode()
    while wanted not in said and len(said) < READ_MAX and (chunk := await stream.reader.read(READ_MAX)):
        said += chunk
    return bytes(said)
