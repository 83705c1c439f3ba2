"""Prometheus sends its alerts to a running Pharos, and amtool asks it, as if it were an Alertmanager."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor import valkey
from tests import servers
from tests.product import KEY, Product
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("product")


def ask(product: Product, path: str) -> Any:
    request = urllib.request.Request(f"{product.url}/api/v2/{path}", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def post(product: Product, path: str, body: object) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{product.url}/api/v2/{path}", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=10).close()


def firing(product: Product) -> dict[str, Any]:
    return {each["labels"]["alertname"]: each for each in ask(product, "alerts")}


# --- Prometheus ------------------------------------------------------------------------------------------------------

CONFIG = """
global: {{evaluation_interval: 1s, external_labels: {{cluster: eu}}}}
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
      authorization: {{credentials: {key}}}
rule_files: [rules.yml]
"""
RULES = """
groups:
  - name: always
    rules:
      - alert: AlwaysFires
        expr: vector({value}) > 1
        labels: {{severity: warning}}
        annotations: {{summary: "it is {{{{ $value }}}}"}}
"""


@pytest.fixture
def prometheus(product: Product, tmp_path: Path) -> Iterator[servers.Server]:
    """It scrapes nothing; its one rule is always true."""
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=product.port, key=KEY))
    (tmp_path / "rules.yml").write_text(RULES.format(value=2))
    command: list[str | Path] = [
        str(servers.program("prometheus")), f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{valkey.free_port()}",
        # It finds its Alertmanagers after its first round: what it sent before that went to none.
        "--rules.alert.resend-delay=1s",
    ]  # fmt: skip
    server = servers.start(command, tmp_path)
    try:
        yield server
    finally:
        server.end()


@pytest.mark.prometheus
def test_prometheus_sends_its_alerts_and_their_end(
    product: Product, prometheus: servers.Server, tmp_path: Path
) -> None:
    until(lambda: "AlwaysFires" in firing(product))
    found = firing(product)["AlwaysFires"]
    assert found["labels"] == {"alertname": "AlwaysFires", "severity": "warning", "cluster": "eu"}
    assert found["annotations"] == {"summary": "it is 2"}
    assert "/graph?g0.expr=vector" in found["generatorURL"]
    assert found["receivers"]
    (tmp_path / "rules.yml").write_text(RULES.format(value=0))
    prometheus.process.send_signal(signal.SIGHUP)
    until(lambda: "AlwaysFires" not in firing(product))


# --- amtool ----------------------------------------------------------------------------------------------------------


def amtool(product: Product, *arguments: str) -> str:
    """With the key as the password in the address."""
    address = product.url.replace("http://", f"http://amtool:{KEY}@")
    ended = subprocess.run(
        ["amtool", f"--alertmanager.url={address}", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def amtool_json(product: Product, *arguments: str) -> Any:
    return json.loads(amtool(product, "-o", "json", *arguments))


@pytest.mark.alertmanager
def test_amtool_asks_for_alerts(product: Product) -> None:
    amtool(product, "alert", "add", "alertname=DiskFull", "severity=critical", "node=n-1", "--annotation=summary=95 %")
    (found,) = amtool_json(product, "alert", "query", "alertname=DiskFull", "severity=~crit.*")
    assert (found["labels"]["node"], found["annotations"]) == ("n-1", {"summary": "95 %"})
    assert "DiskFull" in amtool(product, "alert", "query", "node=n-1")
    assert amtool_json(product, "alert", "query", "node=n-2") == []


@pytest.mark.alertmanager
def test_amtool_silences(product: Product) -> None:
    post(product, "alerts", [{"labels": {"alertname": "Noise", "node": "n-3"}}])
    made = amtool(product, "silence", "add", "node=n-3", "alertname=~No.*", "--comment=known", "--duration=30m").strip()
    (silence,) = amtool_json(product, "silence", "query", "node=n-3")
    assert (silence["id"], silence["status"]["state"], silence["comment"]) == (made, "active", "known")
    # Silenced alerts are shown on demand only.
    assert amtool_json(product, "alert", "query", "alertname=Noise") == []
    (found,) = amtool_json(product, "alert", "query", "--silenced", "alertname=Noise")
    assert found["status"]["silencedBy"] == [made]
    amtool(product, "silence", "update", "--duration=2h", "--comment=longer", made)
    (silence,) = amtool_json(product, "silence", "query", "node=n-3")
    assert silence["id"] != made
    assert silence["comment"] == "longer"
    amtool(product, "silence", "expire", silence["id"])
    assert amtool_json(product, "silence", "query", "node=n-3") == []
    assert [each["labels"]["alertname"] for each in amtool_json(product, "alert", "query", "alertname=Noise")] == [
        "Noise"
    ]


@pytest.mark.alertmanager
def test_amtool_reads_the_routes(product: Product) -> None:
    assert "receiver: " in amtool(product, "config", "show")
    critical = amtool(product, "config", "routes", "test", "severity=critical", "alertname=Down").strip()
    assert critical == "PagerDuty,Slack #incidents,E-mail"
    assert "default-route  receiver: Slack #monitoring" in amtool(product, "config", "routes", "show")
    assert "disabled" in amtool(product, "cluster", "show")
