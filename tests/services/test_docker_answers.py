"""What engines say, read: containers, events, counters, times."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.docker_answers import AnswerError, Event, Inspected, Port, decode, events, moment
from services.docker_client import EngineError, check_address
from services.docker_stats import GAP_MAX, Counters, Stats, Usage, between, counters

INSPECTED = {
    "Id": "a" * 64, "Name": "/shop-orders-1", "Created": "2026-11-21T10:00:00.5Z", "Image": "sha256:b",
    "RestartCount": 2,
    "State": {
        "Status": "running", "ExitCode": 0, "OOMKilled": True, "StartedAt": "2026-11-21T10:00:01.123456789Z",
        "FinishedAt": "0001-01-01T00:00:00Z", "Health": {"Status": "unhealthy", "Log": [{"Output": "no\n"}]},
    },
    "Config": {"Image": "shop:1", "Labels": {"pharos.port": "80"}, "ExposedPorts": {"80/tcp": {}, "53/udp": {}}},
    "HostConfig": {"NetworkMode": "bridge", "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "9000/tcp": None},
        "Networks": {"a": {"IPAddress": "", "GlobalIPv6Address": "fd00::5"}, "b": {"IPAddress": "172.18.0.5"}},
    },
}  # fmt: skip


def test_a_container() -> None:
    found = decode(json.dumps(INSPECTED).encode(), Inspected)
    assert (found.plain_name, found.health, found.restart_policy) == ("shop-orders-1", "unhealthy", "")
    assert found.state.oom_killed
    assert found.exposed == [80, 9000]
    assert found.published == {80: Port("0.0.0.0", "8080")}
    assert found.addresses == ["172.18.0.5", "fd00::5"]


def test_labels_are_bounded_and_ours_come_first() -> None:
    many = {f"a{number}": "x" * 1_000 for number in range(500)} | {
        "pharos.service": "orders\n",
        "com.docker.compose.x": "y",
    }
    config = {**INSPECTED["Config"], "Labels": many}  # type: ignore[dict-item]
    found = decode(json.dumps({**INSPECTED, "Config": config}).encode(), Inspected).labels
    assert len(found) == 100
    assert found["pharos.service"] == "orders"
    assert found["com.docker.compose.x"] == "y"
    assert max(map(len, found.values())) == 500


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"Id": 1, "State": []}'])
def test_what_is_no_container_is_said(body: bytes) -> None:
    with pytest.raises(AnswerError, match="Expected the answer of a Docker engine"):
        decode(body, Inspected)


def line(action: str, at: int, kind: str = "container", **attributes: str) -> bytes:
    actor = {"ID": "c", "Attributes": attributes}
    return json.dumps({"Type": kind, "Action": action, "Actor": actor, "time": 1, "timeNano": at}).encode()


def test_events_in_their_order() -> None:
    body = b"\n".join([line("die", 2, exitCode="3"), line("start", 1), line("health_status: unhealthy", 3), b""])
    assert events(body + line("connect", 4, "network")) == [
        Event("c", "start", 1),
        Event("c", "die", 2, "", {"exitCode": "3"}),
        Event("c", "health_status", 3, "unhealthy"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T10:30:45.123456789Z", datetime(2026, 11, 21, 10, 30, 45, 123456, UTC)),
        ("2026-11-21T10:30:45.5Z", datetime(2026, 11, 21, 10, 30, 45, 500000, UTC)),
        ("2026-11-21T11:30:45+01:00", datetime(2026, 11, 21, 10, 30, 45, 0, UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-21T10:30:45Z", None),
        ("", None),
    ],
)
def test_times(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=60))
def test_any_text_is_a_time_or_none(text: str) -> None:
    moment(text)


# --- Counters ------------------------------------------------------------------------------------------------------

V1: dict[str, Any] = {
    "read": "2026-11-21T10:00:00Z",
    "cpu_stats": {"cpu_usage": {"total_usage": 1_000}},
    "memory_stats": {"usage": 1_000, "limit": 5_000, "stats": {"inactive_file": 1, "total_inactive_file": 300}},
    "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
    "blkio_stats": {"io_service_bytes_recursive": [
        {"op": "Read", "value": 5}, {"op": "Write", "value": 7}, {"op": "Total", "value": 12},
    ]},
}  # fmt: skip
V2: dict[str, Any] = {
    **V1,
    "memory_stats": {"usage": 1_000, "limit": 1 << 63, "stats": {"inactive_file": 400}},
    "blkio_stats": {"io_service_bytes_recursive": [{"op": "read", "value": 5}, {"op": "write", "value": 7}]},
}


def counted(answer: dict[str, Any]) -> Counters | None:
    return counters(decode(json.dumps(answer).encode(), Stats))


def test_the_counters_of_both_versions_of_cgroups() -> None:
    at = datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp()
    assert counted(V1) == Counters(at, 1_000, 700, 5_000, 11, 22, 5, 7)
    assert counted(V2) == Counters(at, 1_000, 600, None, 11, 22, 5, 7)


def test_what_is_not_counted_is_not_zero() -> None:
    bare = {"read": V1["read"], "memory_stats": {}, "blkio_stats": {"io_service_bytes_recursive": None}}
    found = counted(bare)
    assert found
    assert (found.cpu_ns, found.memory, found.received, found.read) == (None, None, None, None)
    assert counted({"read": "0001-01-01T00:00:00Z"}) is None, "it doesn't run"


def test_what_was_used_between_two_looks() -> None:
    before = Counters(100.0, cpu_ns=0, received=0, sent=10, read=None, written=5)
    after = Counters(110.0, cpu_ns=15_000_000_000, received=1_000, sent=0, read=5, written=5)
    assert between(before, after) == Usage(150.0, 100.0, None, None, 0.0), "what goes back began anew"


@pytest.mark.parametrize("at", [100.0, 90.0, 100.0 + GAP_MAX + 1])
def test_no_time_and_too_much_time_between_two_looks(at: float) -> None:
    assert between(Counters(100.0, cpu_ns=0), Counters(at, cpu_ns=1)) == Usage()
    assert between(None, Counters(at, cpu_ns=1)) == Usage()


# --- Addresses -----------------------------------------------------------------------------------------------------

PEM = "-----BEGIN CERTIFICATE-----\n"
FULL = {"ca": PEM, "cert": PEM, "key": PEM}


@pytest.mark.parametrize(
    ("address", "tls"),
    [
        ("unix:///var/run/docker.sock", {}),
        ("tcp://10.0.0.7:2375", {}),
        ("tcp://[2001:db8::7]:2376", FULL),
        ("tcp://far:2376", {"ca": PEM}),
        ("ssh://me@far:2222", {}),
        ("ssh://far", {}),
    ],
)
def test_addresses_that_can_be_used(address: str, tls: dict[str, str]) -> None:
    check_address(address, tls)


@pytest.mark.parametrize(
    ("address", "tls", "sentence"),
    [
        ("", {}, "expected unix:///path, tcp://host:port or ssh://user@host, got ''"),
        ("http://far:2375", {}, "expected unix:///path"),
        ("unix://var/run/docker.sock", {}, "three slashes"),
        ("tcp://far", {}, "expected tcp://host:port"),
        ("tcp://far:port", {}, "expected an address like"),
        ("tcp://me:secret@far:1", {}, "without a password"),
        ("ssh://-oProxyCommand=evil", {}, "expected ssh://user@host"),
        ("ssh://-oProxyCommand=evil@far", {}, "expected ssh://user@host"),
        ("ssh://far/path", {}, "expected ssh://user@host"),
        ("unix:///x", FULL, "certificates are for tcp:// only"),
        ("tcp://far:1", {"cert": PEM, "key": PEM}, "the authority"),
        ("tcp://far:1", {"ca": PEM, "cert": PEM}, "cert and key belong together"),
        ("tcp://far:1", {"ca": "/etc/ca.pem"}, "ca is no PEM"),
    ],
)
def test_addresses_that_can_not_be_used(address: str, tls: dict[str, str], sentence: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_address(address, tls)
    assert sentence in str(caught.value)
