"""The real Dockerfile and the real docker-compose.yml on an engine of their own, and somebody who uses Pharos then."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import http.client
import http.cookiejar
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any, Final

import docker
from docker.models.containers import Container
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from monitor import valkey
from tests import servers
from tests.docker import stand_ins

ROOT: Final = Path(__file__).parent.parent.parent
IMAGE: Final = "pharos:latest"
SITE: Final = "pharos.test"
PASSWORD: Final = "only-for-the-tests"
KEY: Final = "pharos_only-for-the-tests"
# The engine has no network for builds: the stand-in of Python's image has the packages.
BUILD: Final = f"services: {{prepare: {{build: {{context: {ROOT}, network: none}}}}}}\n"


def composer() -> list[str]:
    """`docker compose`, which builds with BuildKit; docker-compose 1.29 and the builder before it; or nothing."""
    if servers.program("docker"):
        known = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=60)
        if known.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if servers.program("docker-compose") else []


def missing() -> str:
    """What to install, or nothing."""
    names = [name for name in ("debootstrap", "strip") if not servers.program(name)]
    names += [] if composer() else ["docker compose"]
    return f"{', '.join(names)} can't be found: run DEPLOYMENT=1 scripts/test-system as root." if names else ""


class Deployment:
    """`up` and `down` as an operator says them. The engine's images stay for the next run."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pharos-deployment-"))
        kept = stand_ins.KEPT / "engine"
        kept.mkdir(parents=True, exist_ok=True)
        self._lock = (kept / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (kept / "data").mkdir(exist_ok=True)
        (self.directory / "data").symlink_to(kept / "data")
        engine = self.directory / "docker.sock"
        self.server = servers.start_docker(self.directory, engine)
        self.client = docker.DockerClient(base_url=f"unix://{engine}", timeout=600)
        self.port, self.http_port, self.https_port = (valkey.free_port() for _ in range(3))
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{engine}",
            "COMPOSE_DOCKER_CLI_BUILD": "0",  # of 1.29 alone
            "COMPOSE_PROJECT_NAME": "pharos",
            "COMPOSE_HTTP_TIMEOUT": "300",
            "DOCKER_SOCKET": str(engine),
            "DOCKER_GID": str(engine.stat().st_gid),
            "PHAROS_PUBLISH": f"127.0.0.1:{self.port}",
            "PHAROS_PUBLISH_HTTP": f"127.0.0.1:{self.http_port}",
            "PHAROS_PUBLISH_HTTPS": f"127.0.0.1:{self.https_port}",
        }
        self.composer = composer()
        self.files = ["docker-compose.yml", "deploy/docker-socket.yml", "build.yml"]
        self.project = self.directory / "project"

    def build(self) -> None:
        """The images, and a directory as it is after the first steps of docs/install.md."""
        stand_ins.load(self.client)
        (self.project / "scripts").mkdir(parents=True)
        for name in ("docker-compose.yml", "scripts/compose-secrets"):
            shutil.copy(ROOT / name, self.project / name)
        shutil.copytree(ROOT / "deploy", self.project / "deploy")
        (self.project / "build.yml").write_text(BUILD)
        (self.project / ".env").write_text(f"PHAROS_ADMIN_PASSWORD={PASSWORD}\nPHAROS_API_KEY={KEY}\n")
        self.say(str(self.project / "scripts/compose-secrets"))
        self.clear()  # of a run that was killed
        self.compose("build", "--quiet", within=900)

    @contextlib.contextmanager
    def encrypted(self) -> Iterator[None]:
        """Meanwhile it is started with HTTPS and an authority of its own."""
        files, environment = self.files, self.environment
        self.files = [*files, "deploy/https.yml"]
        self.environment = {**environment, "PHAROS_SITE": SITE, "PHAROS_CERTIFICATE": "internal"}
        try:
            yield
        finally:
            self.files, self.environment = files, environment

    def up(self, **scale: int) -> None:
        wanted = [word for name, count in scale.items() for word in ("--scale", f"{name}={count}")]
        self.compose("up", "--detach", "--no-build", *wanted)

    def compose(self, *words: str, within: float = 420) -> str:
        files = [word for name in self.files for word in ("-f", name)]
        return self.say(*self.composer, *files, *words, within=within)

    def clear(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans")

    def say(self, *words: str, within: float = 60) -> str:
        where = self.project if self.project.exists() else ROOT
        done = subprocess.run(
            words, cwd=where, env=self.environment, capture_output=True, text=True, check=False, timeout=within
        )
        assert done.returncode == 0, f"{words} failed:\n{done.stdout[-4_000:]}\n{done.stderr[-4_000:]}\n{self.told()}"
        return done.stdout

    def told(self) -> str:
        """The last lines of every container."""
        found = self.client.containers.list(all=True)
        return "\n".join(f"{each.name} {each.status}: {_last_lines(each)}" for each in found)

    def stop(self) -> None:
        try:
            for container in self.client.containers.list(all=True):
                container.remove(force=True)
            if self.project.exists():
                self.clear()
        finally:
            self.client.close()
            self.server.end()
            (self.directory / "data").unlink()
            shutil.rmtree(self.directory, ignore_errors=True)
            self._lock.close()


class Reader:
    """Somebody with a browser, and a program with a key. With the certificate of an authority, both speak HTTPS."""

    def __init__(self, port: int, authority: str = "") -> None:
        self.port = port
        self.url = f"https://{SITE}:{port}" if authority else f"http://127.0.0.1:{port}"
        self.cookies = http.cookiejar.CookieJar()
        self._trust = ssl.create_default_context(cadata=authority) if authority else None
        handlers = [_Encrypted(self._trust)] if self._trust else []
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies), *handlers)
        self._program = urllib.request.build_opener(*handlers)

    def sign_in(self) -> None:
        page = self.page("/login/")
        name = "login" if 'name="login"' in page else "username"
        assert "admin" in self.post("/login/", {name: "admin", "password": PASSWORD}, page)

    def page(self, path: str) -> str:
        with self._browser.open(self.url + path, timeout=90) as answer:
            return str(answer.read().decode())

    def headers(self, path: str) -> Message:
        with self._browser.open(self.url + path, timeout=90) as answer:
            headers: Message = answer.headers
            return headers

    def post(self, path: str, fields: dict[str, str], page: str | None = None) -> str:
        """Fills in the form of a page; the text of the page that follows."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page or self.page(path))
        assert found, f"no form at {path}"
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": found[1]}).encode()
        request = urllib.request.Request(self.url + path, body, {"Referer": self.url + path})
        with self._browser.open(request, timeout=90) as answer:
            return str(answer.read().decode())

    def live(self, query: str) -> ClientConnection:
        """The lines that come from now on, as JSON."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        address = f"{self.url.replace('http', 'ws')}/ws/logs/?format=json&q={urllib.parse.quote(query)}"
        return connect(
            address,
            sock=socket.create_connection(("127.0.0.1", self.port), timeout=90),
            ssl=self._trust,
            additional_headers={"Cookie": cookies},
            origin=Origin(self.url),
            open_timeout=90,
        )

    def send(self, *messages: str) -> None:
        records = [{"service": "deployment", "level": "info", "message": message} for message in messages]
        answer = self.ask("/api/logs", "\n".join(map(json.dumps, records)))
        assert answer["accepted"] == len(messages)

    def messages(self) -> list[str]:
        """Those that were sent, as they are stored."""
        found = self.ask("/api/logs?limit=1000&q=service:deployment")
        return [record["message"] for record in found["records"]]

    def ask(self, path: str, body: str | None = None) -> Any:
        data = None if body is None else body.encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"Bearer {KEY}"})
        with self._program.open(request, timeout=90) as answer:
            return json.load(answer)

    def ready(self) -> bool:
        try:
            return bool(self.ask("/health/ready")["status"] == "ready")
        except (urllib.error.URLError, OSError):
            return False


class _Connection(http.client.HTTPSConnection):
    """To this machine, whatever the name is."""

    def __init__(self, host: str, *, trust: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._trust = trust

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)


class _Encrypted(urllib.request.HTTPSHandler):
    def __init__(self, trust: ssl.SSLContext) -> None:
        super().__init__()
        self._connection = functools.partial(_Connection, trust=trust)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, request)


def _last_lines(container: Container) -> str:
    try:
        return container.logs(tail=8).decode()
    except docker.errors.APIError as error:  # those that build an image keep no log
        return str(error.explanation)
