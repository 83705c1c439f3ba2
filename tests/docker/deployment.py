"""The real Dockerfile and the real docker-compose.yml on an engine of their own, and somebody who uses Pharos then."""

from __future__ import annotations

import fcntl
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

import docker
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from monitor import valkey
from tests import servers
from tests.docker import stand_ins

ROOT: Final = Path(__file__).parent.parent.parent
IMAGE: Final = "pharos:latest"
PASSWORD: Final = "only-for-the-tests"
KEY: Final = "pharos_only-for-the-tests"


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
        socket = self.directory / "docker.sock"
        self.server = servers.start_docker(self.directory, socket)
        self.client = docker.DockerClient(base_url=f"unix://{socket}", timeout=600)
        self.port = valkey.free_port()
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{socket}",
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
            "COMPOSE_PROJECT_NAME": "pharos",
            "COMPOSE_HTTP_TIMEOUT": "300",
            "DOCKER_SOCKET": str(socket),
            "DOCKER_GID": str(socket.stat().st_gid),
            "PHAROS_PUBLISH": f"127.0.0.1:{self.port}",
        }
        self.project = self.directory / "project"

    def build(self) -> None:
        """The images, and a directory as it is after the first steps of docs/install.md."""
        stand_ins.load(self.client)
        self.say("docker", "build", "--quiet", "--tag", IMAGE, str(ROOT), within=900)
        (self.project / "scripts").mkdir(parents=True)
        for name in ("docker-compose.yml", "scripts/compose-secrets"):
            shutil.copy(ROOT / name, self.project / name)
        shutil.copytree(ROOT / "deploy", self.project / "deploy")
        (self.project / ".env").write_text(f"PHAROS_ADMIN_PASSWORD={PASSWORD}\nPHAROS_API_KEY={KEY}\n")
        self.say(str(self.project / "scripts/compose-secrets"))
        self.compose("down", "--volumes", "--remove-orphans")  # of a run that was killed

    def up(self, **scale: int) -> None:
        wanted = [word for name, count in scale.items() for word in ("--scale", f"{name}={count}")]
        self.compose("up", "--detach", "--no-build", *wanted)

    def compose(self, *words: str) -> str:
        files = ("-f", "docker-compose.yml", "-f", "deploy/docker-socket.yml")
        return self.say("docker-compose", *files, *words, within=420)

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
        return "\n".join(f"{each.name} {each.status}: {each.logs(tail=8).decode()}" for each in found)

    def stop(self) -> None:
        try:
            for container in self.client.containers.list(all=True):
                container.remove(force=True)
            if self.project.exists():
                self.compose("down", "--volumes", "--remove-orphans")
        finally:
            self.client.close()
            self.server.end()
            (self.directory / "data").unlink()
            shutil.rmtree(self.directory, ignore_errors=True)
            self._lock.close()


class Reader:
    """Somebody with a browser, and a program with a key."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.cookies = http.cookiejar.CookieJar()
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def sign_in(self) -> None:
        page = self.page("/login/")
        name = "login" if 'name="login"' in page else "username"
        assert "admin" in self.post("/login/", {name: "admin", "password": PASSWORD}, page)

    def page(self, path: str) -> str:
        with self._browser.open(self.url + path, timeout=90) as answer:
            return str(answer.read().decode())

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
        return connect(address, additional_headers={"Cookie": cookies}, origin=Origin(self.url), open_timeout=90)

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
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)

    def ready(self) -> bool:
        try:
            return bool(self.ask("/health/ready")["status"] == "ready")
        except (urllib.error.URLError, OSError):
            return False
