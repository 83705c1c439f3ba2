"""Pharos as it is deployed: the real Dockerfile and the real compose file, used over HTTP and WebSocket."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import docker
import pytest
from websockets.exceptions import ConnectionClosed

from tests import servers
from tests.docker.deployment import IMAGE, SITE, Deployment, Reader, missing
from tests.waiting import until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1800),  # base images are made the first time
    pytest.mark.skipif(
        os.environ.get("DEPLOYMENT", "") in {"", "0"}, reason="takes minutes, and images: DEPLOYMENT=1 runs it"
    ),
]

PROCESSES = ("web", "ingest", "listen", "worker", "beat")
SIZE_MAX = 250e6  # bytes, as `docker images` counts them


@pytest.fixture(scope="module")
def built() -> Iterator[Deployment]:
    if words := missing():
        pytest.fail(words, pytrace=False)
    made = Deployment()
    try:
        made.build()
        yield made
    finally:
        made.stop()


@pytest.fixture
def deployment(built: Deployment) -> Iterator[Deployment]:
    """Without data."""
    yield built
    built.clear()


@pytest.fixture
def encrypted(deployment: Deployment) -> Iterator[Deployment]:
    with deployment.encrypted():
        yield deployment


def test_a_team_runs_it(deployment: Deployment) -> None:
    client = deployment.client
    assert client.images.get(IMAGE).attrs["Size"] < SIZE_MAX
    assert client.images.get(IMAGE).attrs["Config"]["User"] == "pharos"
    client.api.import_image_from_data(servers.busybox_image(), repository="busybox", tag="local")
    watched = client.containers.run(servers.IMAGE, ["sleep", "3600"], detach=True, name="shop", network_mode="none")
    deployment.up()
    reader = Reader(deployment.port)
    until(reader.ready, seconds=180)

    # A line comes in with a key, and is live.
    reader.sign_in()
    with reader.live("service:deployment") as socket:
        reader.send("the first line")
        assert "the first line" in _until(socket, "the first line")

    # A container stops, and that is an incident.
    host = {"name": "here", "address": "unix:///var/run/docker.sock", "enabled": "on"}
    assert "here" in reader.post("/admin/services/dockerhost/add/", host)
    until(lambda: _state(reader) == "running", seconds=180)
    watched.stop(timeout=0)
    until(lambda: _state(reader) == "exited", seconds=180)
    until(lambda: _incidents(reader), seconds=180)
    incident = _incidents(reader)[0]
    reader.ask(f"/api/incidents/{incident['id']}/acknowledge", '{"by": "ann"}')

    # Everything is stopped and started anew, with two web servers: nothing is lost.
    sent = [f"line {number}" for number in range(200)]
    with reader.live("service:deployment") as socket:
        reader.send(*sent)
        deployment.compose("stop", "--timeout", "10", *PROCESSES)
        with pytest.raises(ConnectionClosed):
            _until(socket, "a line that never comes")
    assert _killed(client) == []  # each has ended by itself
    deployment.compose("down")
    deployment.up(web=2, beat=2)
    until(reader.ready, seconds=180)
    until(lambda: len(reader.messages()) == 201, seconds=180)
    assert sorted(reader.messages()) == sorted(["the first line", *sent])
    assert reader.ask(f"/api/incidents/{incident['id']}")["status"] == "acknowledged"
    assert 'href="/logs/' in reader.page("/")  # still signed in

    # One of the web servers is killed. Who was just talking to it gets a 502, and sends again, as senders do.
    web = client.containers.list(filters={"label": "com.docker.compose.service=web"})
    assert len(web) == 2
    web[0].kill()
    until(lambda: _sent(reader, "with one web server"), seconds=60, ignoring=HTTPError)
    until(lambda: len(reader.messages()) == 202, seconds=60)


def test_it_speaks_https_with_an_authority_of_its_own(encrypted: Deployment) -> None:
    encrypted.up()
    root = "/data/caddy/pki/authorities/local/root.crt"
    until(lambda: encrypted.compose("exec", "-T", "proxy", "ls", root), ignoring=AssertionError)
    reader = Reader(encrypted.https_port, encrypted.compose("exec", "-T", "proxy", "cat", root))
    until(reader.ready, seconds=180)

    reader.sign_in()
    assert {cookie.name for cookie in reader.cookies if cookie.secure} == {"csrftoken", "sessionid"}
    with reader.live("service:deployment") as socket:
        reader.send("over https")
        assert "over https" in _until(socket, "over https")
    assert reader.headers("/login/")["Strict-Transport-Security"] == "max-age=2592000"

    plain = http.client.HTTPConnection("127.0.0.1", encrypted.http_port, timeout=90)
    plain.request("GET", "/logs/", headers={"Host": SITE})
    answer = plain.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{SITE}/logs/")
    plain.close()

    said = encrypted.compose("exec", "-T", "web", "python", "manage.py", "check", "--deploy")
    assert "no issues" in said


def _until(socket: Any, words: str) -> str:
    while True:
        frame = socket.recv(timeout=60)
        if words in frame:
            return json.dumps(json.loads(frame))


def _sent(reader: Reader, message: str) -> bool:
    reader.send(message)
    return True


def _killed(client: docker.DockerClient) -> list[str]:
    """Our containers that didn't end when they were told to."""
    ours = client.containers.list(all=True, filters={"ancestor": IMAGE})
    return [each.name or "" for each in ours if each.attrs["State"]["ExitCode"] == 137]


def _state(reader: Reader) -> str:
    found = reader.ask("/api/containers")["containers"]
    return next((each["state"] for each in found if each["name"] == "shop"), "")


def _incidents(reader: Reader) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = reader.ask("/api/incidents?status=open")["incidents"]
    return [each for each in found if "shop" in json.dumps(each)]
