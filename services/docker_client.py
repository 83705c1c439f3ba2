"""A Docker engine, asked over its socket, TCP, TLS or SSH: by the session of the package `docker`.

Every question is a GET with a time limit and a limit of bytes: nothing here changes a container. Addresses have no
version, so that every engine answers as it likes best. One `Engine` for each host is kept in a process, and is used by
several threads.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from core.secrets import Lost
from services.docker_answers import AnswerError, Event, Info, Inspected, Listed, decode, events, moment
from services.docker_stats import Counters, Stats, counters
from services.models import DockerHost

if TYPE_CHECKING:
    import docker
    import requests

CONNECT_TIMEOUT: Final = 3.0  # seconds
TIMEOUT: Final = 5.0  # seconds without a byte, and all told
ANSWER_MAX: Final = 32 << 20
MARGIN: Final = 20_000_000  # ns: an event is seen a little after the time that it bears
SECOND: Final = 1_000_000_000  # ns
ACTIONS: Final = ("create", "start", "die", "oom", "health_status", "rename", "pause", "unpause", "destroy")
SCHEMES: Final = ("unix", "tcp", "ssh")
PEMS: Final = ("ca", "cert", "key")

T = TypeVar("T")


class EngineError(OSError):
    """The engine can't be asked. The text is a sentence without its end: why, and what to do."""


class GoneError(EngineError):
    """There is no such container any more."""


class RefusedError(EngineError):
    """A proxy doesn't let this question through."""


def check_address(address: str, tls: Mapping[str, str]) -> None:
    """Raises EngineError."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise EngineError(f"expected an address like tcp://host:2375, got {address!r}: {error}") from None
    if parts.scheme not in SCHEMES:
        raise EngineError(f"expected unix:///path, tcp://host:port or ssh://user@host, got {address!r}")
    if parts.password or parts.query or parts.fragment:
        raise EngineError("expected an address without a password and without anything after the host")
    if parts.scheme == "unix" and (parts.netloc or not parts.path.startswith("/")):
        raise EngineError(f"expected unix:// and the path of a socket (three slashes), got {address!r}")
    if parts.scheme == "tcp" and (not parts.hostname or port is None or parts.path not in ("", "/")):
        raise EngineError(f"expected tcp://host:port, got {address!r}")
    if parts.scheme == "ssh" and not (_DESTINATION.fullmatch(parts.netloc) and parts.path in ("", "/")):
        raise EngineError(f"expected ssh://user@host or ssh://user@host:port, got {address!r}")
    _check_tls(parts.scheme, tls)


_DESTINATION: Final = re.compile(
    r"(?:[A-Za-z0-9_.][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\])(?::\d+)?"
)


def _check_tls(scheme: str, tls: Mapping[str, str]) -> None:
    given = {name for name in PEMS if tls.get(name)}
    if given and scheme != "tcp":
        raise EngineError("certificates are for tcp:// only")
    if given and "ca" not in given:
        raise EngineError("the certificate of the authority (ca) is missing: without it anybody could be the engine")
    if ("cert" in given) != ("key" in given):
        raise EngineError("cert and key belong together: one of them is missing")
    for name in given:
        if "-----BEGIN " not in tls[name]:
            raise EngineError(f"{name} is no PEM: expected it to begin with -----BEGIN")


class Engine:
    """Every method raises EngineError."""

    def __init__(self, address: str, tls: Mapping[str, str]) -> None:
        """Connects with the first question."""
        check_address(address, tls)
        self.address = address
        self._ahead: int | None = None  # ns that the engine's clock is ahead of ours
        try:
            self._session = _session(address, tls, self)
        except EngineError:
            raise
        except Exception as error:  # whatever docker, requests and ssl raise about certificates and addresses
            raise EngineError(f"{address} can't be used: {error}") from error

    def close(self) -> None:
        self._session.close()

    def info(self) -> Info:
        """Also sets the clock. What a proxy keeps to itself is empty."""
        before = time.time_ns()
        try:
            found = self._ask("/info", Info)
        except RefusedError:
            found = Info()
        there = moment(found.system_time)
        middle = (before + time.time_ns()) // 2
        self._ahead = int(there.timestamp() * 1e6) * 1_000 - middle if there else 0
        return found

    def now(self) -> int:
        """ns by the engine's clock."""
        if self._ahead is None:
            self.info()
        return time.time_ns() + (self._ahead or 0)

    def containers(self) -> list[str]:
        """The ids of all, also of those that don't run."""
        return [found.id for found in self._ask("/containers/json", list[Listed], {"all": "1"})]

    def inspect(self, container: str) -> Inspected:
        """Raises GoneError."""
        return self._ask(f"/containers/{container}/json", Inspected)

    def counters(self, container: str) -> Counters | None:
        """None if it doesn't run. Raises GoneError."""
        answer = self._ask(f"/containers/{container}/stats", Stats, {"stream": "false", "one-shot": "true"})
        return counters(answer)

    def events(self, since: int, until: int) -> list[Event]:
        """What happened from `since` to `until` (ns by its clock). It answers at once: both lie in the past."""
        filters = {"type": ["container"], "event": list(ACTIONS)}
        parameters = {"since": _seconds(since), "until": _seconds(until), "filters": json.dumps(filters)}
        try:
            return events(self._get("/events", parameters))
        except AnswerError as error:
            raise EngineError(str(error)) from None

    def _ask(self, path: str, kind: type[T], parameters: Mapping[str, str] | None = None) -> T:
        try:
            return decode(self._get(path, parameters or {}), kind)
        except AnswerError as error:
            raise EngineError(str(error)) from None

    def _get(self, path: str, parameters: Mapping[str, str]) -> bytes:
        import requests

        try:
            answer = self._session.get(
                self._session.base_url + path,
                params=dict(parameters), timeout=(CONNECT_TIMEOUT, TIMEOUT), stream=True, allow_redirects=False,
            )  # fmt: skip
            with answer:
                body = _body(answer)
        except requests.Timeout:
            raise EngineError(f"{self.address} did not answer within {TIMEOUT:g} s") from None
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(error) from None
        if answer.status_code == 200:
            return body
        raise _refused(answer.status_code, path, body)

    def _unreachable(self, error: Exception) -> EngineError:
        if isinstance(error, EngineError):
            return error
        cause = _cause(error)
        if isinstance(cause, PermissionError):
            return EngineError(
                f"this user may not open {self.address}: put a socket proxy before it (docs/containers.md), or add "
                "the user to the group docker and start anew"
            )
        return EngineError(f"there is no Docker engine at {self.address}: {_why(cause)}")


def _session(address: str, tls: Mapping[str, str], owner: object) -> docker.APIClient:
    import docker
    from docker import constants

    parts = urlsplit(address)
    version = constants.MINIMUM_DOCKER_API_VERSION  # or it would ask the engine; our addresses have none
    if parts.scheme == "ssh":
        from services.docker_ssh import SSHAdapter

        session = docker.APIClient("tcp://localhost:1", version=version)
        user = f"{parts.username}@" if parts.username else ""
        try:
            session.mount("http://", SSHAdapter(f"{user}{parts.hostname}", parts.port))
        except FileNotFoundError as error:
            raise EngineError(str(error)) from None
    elif any(tls.get(name) for name in PEMS):
        session = docker.APIClient(address, version=version, tls=_tls(tls, owner))
    else:
        session = docker.APIClient(address, version=version)
    session.trust_env = False  # proxies and passwords of the environment are meant for the web
    return session


def _tls(tls: Mapping[str, str], owner: object) -> docker.tls.TLSConfig:
    """OpenSSL wants files. They are readable for us alone, and are removed with their owner."""
    import docker

    directory = Path(tempfile.mkdtemp(prefix="pharos-tls-"))
    weakref.finalize(owner, shutil.rmtree, directory, ignore_errors=True)
    paths = {name: directory / f"{name}.pem" for name in PEMS if tls.get(name)}
    for name, path in paths.items():
        path.touch(mode=0o600)
        path.write_text(tls[name])
    own = (str(paths["cert"]), str(paths["key"])) if "cert" in paths else None
    return docker.tls.TLSConfig(client_cert=own, ca_cert=str(paths["ca"]), verify=True)


def _body(answer: requests.Response) -> bytes:
    end = time.monotonic() + TIMEOUT
    body = bytearray()
    for chunk in answer.iter_content(64 << 10):
        body += chunk
        if len(body) > ANSWER_MAX:
            raise EngineError(f"the engine sent an answer of more than {ANSWER_MAX:,} bytes")
        if time.monotonic() > end:
            raise EngineError(f"the engine did not end its answer within {TIMEOUT:g} s")
    return bytes(body)


def _refused(status: int, path: str, body: bytes) -> EngineError:
    said = body[:300].decode("utf-8", "replace").strip()
    with suppress(ValueError, KeyError, TypeError):  # a proxy has words of its own
        said = str(json.loads(body)["message"])[:300]
    kind = {403: RefusedError, 404: GoneError}.get(status, EngineError)
    return kind(f"the engine answers {path[:80]} with {status}: {' '.join(said.split())}")


def _cause(error: BaseException) -> BaseException:
    """The error of the system beneath those of requests and urllib3, which hold each other in several ways."""
    waiting = [error]
    for found in waiting:  # grows meanwhile
        if isinstance(found, OSError) and found.errno:
            return found
        inner = (*getattr(found, "args", ()), getattr(found, "reason", None), found.__cause__, found.__context__)
        waiting += [each for each in inner if isinstance(each, BaseException) and each not in waiting]
    return error


def _why(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLError):  # its errno is OpenSSL's
        detail = getattr(cause, "verify_message", "")
        return f"{(cause.reason or 'TLS failed').replace('_', ' ').lower()}{detail and ': '}{detail}"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower() if cause.errno > 0 else str(cause.strerror)
    return " ".join(str(cause).split())[:200] or type(cause).__name__


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // SECOND}.{nanoseconds % SECOND:09}"


# --- One for each host ---------------------------------------------------------------------------------------------

_engines: dict[int, tuple[object, Engine]] = {}
_lock = threading.Lock()


def engine(host: DockerHost) -> Engine:
    """The one of this process; a new one when the address or the certificates were changed. Raises EngineError."""
    settings: Any = (host.address, _given(host))
    with _lock:
        known = _engines.get(host.pk)
        if known and known[0] == settings:
            return known[1]
        made = Engine(*settings)
        _engines[host.pk] = settings, made
    if known:
        known[1].close()
    return made


def certificates(address: str) -> Mapping[str, str]:
    """Of the host with this address, for whoever else asks its engine: "ca", "cert" and "key". Raises EngineError."""
    host = DockerHost.objects.filter(address=address).first()
    return _given(host) if host else {}


def _given(host: DockerHost) -> dict[str, str]:
    if isinstance(host.tls, Lost):
        raise EngineError(host.tls.reason.removesuffix("."))
    return dict(host.tls)


def forget(host: int) -> None:
    """What is kept for a host whose engine was away: its connections may be dead."""
    with _lock:
        known = _engines.pop(host, None)
    if known:
        known[1].close()
