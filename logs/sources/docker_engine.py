"""A Docker engine, asked over its socket: which containers there are, what happens to them, what they write.

Everything is read on one event loop, a connection for each log that is followed. (The package `docker` would need a
thread for each.) Addresses have no version, so that every engine answers as it likes best; the fields that are read
have been the same in all.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self, TypeVar

import aiohttp
import msgspec

from logs.sources import docker_tls, names
from logs.sources.docker_lines import LogError, nanoseconds
from logs.sources.docker_tls import Certificates

TIMEOUT: Final = 30.0  # seconds for an answer; a busy engine takes some for a long list
CONNECT_TIMEOUT: Final = 5.0
READ_BUFFER: Final = 32 << 10  # bytes of each connection
ANSWER_MAX: Final = 32 << 20
EVENT_MAX: Final = 1 << 20

T = TypeVar("T")


class EngineError(OSError):
    """The engine can't be asked. The text says why, and what to do."""


class NotFoundError(EngineError):
    """There is no such container any more."""


class UnreachableError(EngineError):
    """Nobody answers, or we may not ask."""


class RefusedError(EngineError):
    """A proxy doesn't let this question through."""


class BrokenOffError(EngineError):
    """An answer that has begun does not go on."""


# A proxy answers 504 when a log was silent for long.
_KINDS: Final = {403: RefusedError, 404: NotFoundError, 504: BrokenOffError}


class Summary(msgspec.Struct, rename="pascal"):
    """A container in the list of all."""

    id: str
    state: str = ""  # "running", "exited", …
    labels: dict[str, str] | None = None

    @property
    def runs(self) -> bool:
        return self.state in {"running", "paused", "restarting"}


class _State(msgspec.Struct, rename="pascal"):
    running: bool = False
    started_at: str = ""


class _Config(msgspec.Struct, rename="pascal"):
    image: str = ""
    tty: bool = False
    labels: dict[str, str] | None = None


class Container(msgspec.Struct, rename="pascal"):
    id: str
    name: str
    created: str
    state: _State
    config: _Config

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.labels or {}

    @property
    def created_ns(self) -> int:
        """0 if the engine doesn't say it in a way that we know."""
        try:
            return nanoseconds(self.created.encode())
        except LogError:
            return 0


class Event(msgspec.Struct, rename="pascal"):
    class Actor(msgspec.Struct, rename="pascal"):
        id: str = msgspec.field(default="", name="ID")

    action: str = ""
    actor: Actor = msgspec.field(default_factory=Actor)


class _Info(msgspec.Struct, rename="pascal"):
    name: str = ""


class Engine:
    """To be entered as a context. Every method raises EngineError."""

    def __init__(self, address: str, certificates: Certificates | None = None) -> None:
        """`address` is unix:///var/run/docker.sock or tcp://host:port. Raises NameProblem if it is neither."""
        self.address = address
        self._base, self._path = names.docker(address)
        self._certificates = certificates or {}

    async def __aenter__(self) -> Self:
        connector: aiohttp.BaseConnector
        if self._path:
            connector = aiohttp.UnixConnector(self._path, limit=0)
        else:
            encrypted = docker_tls.context(self._certificates) if self._certificates else True
            connector = aiohttp.TCPConnector(limit=0, socket_factory=_living_socket, ssl=encrypted)
            if self._certificates:
                self._base = self._base.replace("http:", "https:", 1)
        self._session = aiohttp.ClientSession(self._base, connector=connector, read_bufsize=READ_BUFFER)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def name(self) -> str:
        """The engine's own name, that of its machine; "" if a proxy keeps it to itself."""
        try:
            return (await self._ask("/info", _Info)).name
        except RefusedError:
            return ""

    async def containers(self) -> tuple[list[Summary], int]:
        """All, also those that have ended, and when by the engine's clock (ns, whole seconds)."""
        async with self._answer("/containers/json", {"all": "1"}) as answer:
            return _decoded(await _body(answer), list[Summary]), _date(answer)

    async def inspect(self, container: str) -> Container:
        """Raises NotFoundError."""
        return await self._ask(f"/containers/{container}/json", Container)

    @asynccontextmanager
    async def log(self, container: str, *, follow: bool, since: int = 0, tail: int = 0) -> AsyncIterator[Chunks]:
        """What a container has written since a time (ns), or its newest `tail` messages; with `follow` what comes, too.

        Raises NotFoundError.
        """
        parameters = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(follow))}
        if since:
            parameters["since"] = f"{since // 1_000_000_000}.{since % 1_000_000_000:09}"
        if tail:
            parameters["tail"] = str(tail)
        async with self._answer(f"/containers/{container}/logs", parameters, endless=True) as answer:
            yield Chunks(answer.content)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """Starts and removals of containers, from now on."""
        filters = {"type": ["container"], "event": ["start", "destroy"]}
        async with self._answer("/events", {"filters": json.dumps(filters)}, endless=True) as answer:
            yield Events(Chunks(answer.content))

    async def _ask(self, path: str, kind: type[T]) -> T:
        async with self._answer(path, {}) as answer:
            return _decoded(await _body(answer), kind)

    @asynccontextmanager
    async def _answer(
        self, path: str, parameters: Mapping[str, str], *, endless: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(None if endless else TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        try:
            # The engine sends the head of a log with its first line only, maybe after days.
            async with self._session.get(path, params=parameters, timeout=timeout) as answer:
                if answer.status != 200:
                    raise await self._refused(answer, path)
                yield answer
                answer.close()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._unreachable(error) from None
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise BrokenOffError(f"The engine at {self.address} broke off: {error or type(error).__name__}.") from None

    def _unreachable(self, error: aiohttp.ClientError) -> UnreachableError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return UnreachableError(f"The engine at {self.address} can't be trusted: {error.certificate_error}.")
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, PermissionError):
            return UnreachableError(
                f"This user may not open {self._path or self.address}: put a socket proxy before it "
                "(docs/sending-logs.md, Docker), or add the user to the group docker and start anew."
            )
        reason = getattr(cause, "strerror", "") or "nobody answers"
        return UnreachableError(f"There is no Docker engine at {self.address}: {reason}.")

    async def _refused(self, answer: aiohttp.ClientResponse, path: str) -> EngineError:
        text = (await _body(answer)).decode("utf-8", "replace").strip()
        with suppress(ValueError, KeyError, TypeError):  # a proxy has words of its own
            text = str(json.loads(text)["message"])
        return _KINDS.get(answer.status, EngineError)(
            f"The engine at {self.address} answers {path[:60]} with {answer.status}: {text[:500]}"
        )


class Chunks:
    """An endless answer."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def next(self) -> bytes:
        """What has come, b"" at the end. Can be cancelled without a loss."""
        return await self._content.readany()


class Events:
    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._rest = b""

    async def next(self) -> Event | None:
        """None at the end. Can be cancelled without a loss."""
        while (end := self._rest.find(b"\n")) < 0:
            chunk = await self._chunks.next()
            if not chunk:
                return None
            self._rest += chunk
            if len(self._rest) > EVENT_MAX:
                raise EngineError(f"The engine sent an event of more than {EVENT_MAX:,} bytes.")
        line, self._rest = self._rest[:end], self._rest[end + 1 :]
        return _decoded(line, Event)


def _living_socket(info: Any) -> socket.socket:
    """A log may say nothing for days: the system asks whether the other machine is still there."""
    made = socket.socket(info[0], info[1], info[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    while chunk := await answer.content.readany():
        body += chunk
        if len(body) > ANSWER_MAX:
            raise EngineError(f"The engine sent an answer of more than {ANSWER_MAX:,} bytes.")
    return bytes(body)


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise EngineError(f"Expected the answer of a Docker engine, got {data[:60]!r}: {error}.") from None


def _date(answer: aiohttp.ClientResponse) -> int:
    try:
        return int(parsedate_to_datetime(answer.headers["Date"]).timestamp()) * 1_000_000_000
    except (KeyError, ValueError) as error:
        raise EngineError(f"Expected an answer of a Docker engine with its date: {error}.") from None
