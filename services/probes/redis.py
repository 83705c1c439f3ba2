"""A Redis or Valkey: it answers PING, and its INFO is as it should be."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import hiredis
import msgspec

from core import outbound
from services.probes.base import RAW_MAX, Asked, FailingError, Measurement, ProbeError, elapsed_ms, fitted
from services.probes.sockets import answered, connected
from services.status import Outcome

LABEL = "Redis: PING and limits of INFO"
TARGET = "redis://host:6379/0 or rediss://…, without a password"
PORT: Final = 6379
ANSWER_MAX: Final = 1 << 20  # bytes


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at_most: dict[str, float] = {}  # {"connected_clients": 500}: fields of INFO
    at_least: dict[str, float] = {}  # {"connected_slaves": 1}
    equals: dict[str, str] = {}  # {"role": "master"}
    verify: bool = True  # the certificate
    ca: str = ""

    def __post_init__(self) -> None:
        if self.ca:
            outbound.tls_context(ca=self.ca)


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    username: str = ""
    password: str = ""
    dsn: str = ""  # instead of the target


class Place(msgspec.Struct, frozen=True):
    host: str
    port: int
    database: int
    username: str
    password: str
    tls: bool


def check_target(target: str) -> None:
    place_of(target)


def place_of(url: str) -> Place:
    """Raises ValueError."""
    try:
        parsed = urlsplit(url)
        place = Place(
            parsed.hostname or "",
            parsed.port or PORT,
            int(parsed.path.strip("/") or 0),
            unquote(parsed.username or ""),
            unquote(parsed.password or ""),
            parsed.scheme == "rediss",
        )
    except ValueError:
        place = None
    if place is None or not place.host or parsed.scheme not in ("redis", "rediss"):
        raise ValueError("expected an address like redis://host:6379/0")
    return place


async def run(asked: Asked) -> Measurement:
    options, secrets = fitted(Options, asked.options), fitted(Secrets, asked.secrets)
    began = perf_counter()
    async with await opened(asked, secrets, verify=options.verify, ca=options.ca) as client:
        await client.ask("PING")
        latency = elapsed_ms(began)
        info = (await client.ask("INFO")).decode(errors="replace")
    wrong = _wrong(options, dict(line.split(":", 1) for line in info.splitlines() if ":" in line))
    return Measurement(Outcome.FAILING if wrong else Outcome.UP, wrong, latency, raw=info[:RAW_MAX])


def _wrong(options: Options, info: dict[str, str]) -> str:
    for name, wanted in options.equals.items():
        if info.get(name) != wanted:
            return f"{name} is not {wanted}"
    for name, limit in options.at_most.items():
        if (value := _number(info, name)) is None or value > limit:
            return f"{name} is above {limit:g}" if value is not None else f"INFO has no number {name}"
    for name, limit in options.at_least.items():
        if (value := _number(info, name)) is None or value < limit:
            return f"{name} is below {limit:g}" if value is not None else f"INFO has no number {name}"
    return ""


def _number(info: dict[str, str], name: str) -> float | None:
    try:
        return float(info[name].rstrip("%"))
    except (KeyError, ValueError):
        return None


# --- The protocol --------------------------------------------------------------------------------------------------


class Client:
    """One connection. Small enough that its address is checked like every other, and that it never tries again."""

    def __init__(self, stream: outbound.Stream) -> None:
        self._stream = stream
        self._replies = hiredis.Reader()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.__aexit__()

    async def ask(self, *command: str | int) -> Any:
        """Raises ProbeError."""
        self._stream.writer.write(hiredis.pack_command(command))  # type: ignore[arg-type]
        read = 0
        while (reply := self._gets()) is False:
            with answered():
                chunk = await self._stream.reader.read(64 << 10)
            if not chunk:
                raise ProbeError("the connection was closed")
            if (read := read + len(chunk)) > ANSWER_MAX:
                raise FailingError(f"the answer to {command[0]} is too long")
            self._replies.feed(chunk)
        if isinstance(reply, hiredis.ReplyError):
            raise FailingError(_refusal(str(reply)))
        return reply

    def _gets(self) -> Any:
        try:
            return self._replies.gets()
        except hiredis.ProtocolError:
            raise FailingError("the answer is not Redis's") from None


async def opened(asked: Asked, secrets: Secrets, *, verify: bool, ca: str) -> Client:
    """A client that is logged in and has chosen its database. Raises ProbeError."""
    try:
        place = place_of(asked.address)
    except ValueError as error:
        raise FailingError(str(error)) from None
    tls = outbound.tls_context(verify=verify, ca=ca) if place.tls else None
    client = Client(await connected(place.host, place.port, tls=tls))
    try:
        username, password = secrets.username or place.username, secrets.password or place.password
        if password:
            await client.ask("AUTH", *filter(None, (username, password)))
        if place.database:
            await client.ask("SELECT", place.database)
    except BaseException:
        await client.__aexit__()
        raise
    return client


def _refusal(error: str) -> str:
    """An error's text may name users and keys; its first word is enough."""
    code = error.split(" ", 1)[0][:30]
    if code in ("NOAUTH", "WRONGPASS") or "AUTH" in error:
        return f"the login was refused ({code})"
    return f"it answered with the error {code}"
