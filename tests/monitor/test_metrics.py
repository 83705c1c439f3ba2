"""What Prometheus gets, and what it thinks of it."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from accounts import keys
from accounts.models import Scope
from alerts import meters as alert_meters
from alerts.notifiers import RefusedError
from core import meters, reporting
from core.meters import Counter, Gauge, Histogram
from core.reporting import Reporter
from logs import ingest, stream
from logs import meters as log_meters
from logs.store import log_stores
from monitor import metrics, state, valkey
from services import meters as service_meters
from tests.servers import await_ready, program, start

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


@pytest.fixture
def reader() -> dict[str, str]:
    """The header of a key that may read."""
    return {"authorization": f"Bearer {keys.create('prometheus', [Scope.READ])[1]}"}


@pytest.fixture
def busy(redis_client: redis.Redis) -> None:
    """Something of each kind was counted, and other processes have reported."""
    ingester = ingest.Ingester("one", log_stores["default"], lambda number: None)
    redis_client.xgroup_create("pharos:logs", stream.GROUP, id="0", mkstream=True)
    redis_client.xadd("pharos:logs", {"message": "hello", "service": "shop"})
    redis_client.xadd("pharos:logs", {"nonsense": "no line"})
    ingester.streams = ["pharos:logs"]
    ingester.take(ingester._read())
    ingester.client.close()
    log_meters.count_arrival("json", 3, 200, rejected=1)
    service_meters.CHECKS.add(1, "http", "up")
    service_meters.LATENESS.observe(0.2)
    alert_meters.EVALUATIONS.add(1, "ok")
    alert_meters.count_notification("webhook", RefusedError("no"), 0.1)
    for process in ("ingest", "worker"):
        Reporter(process).report(redis_client)


def series(text: str, name: str) -> dict[str, float]:
    """The samples of a name, by their labels."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_it_shows_all_processes_and_the_whole(client: Client, reader: dict[str, str], busy: None) -> None:
    answer = client.get("/metrics", headers=reader)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.content.decode()
    assert {re.findall('process="(.*?)"', labels)[0] for labels in series(text, "pharos_process_up")} == {
        "ingest", "worker"
    }  # fmt: skip
    assert min(series(text, "process_resident_memory_bytes").values()) > 1 << 20
    assert all('replica="' in labels for labels in series(text, "pharos_ingest_lines_total"))
    assert series(text, "pharos_stream_lag") == {'stream="pharos:logs"': 0.0}
    assert series(text, "pharos_dead_letters_waiting") == {"": 1.0}
    assert set(series(text, "pharos_part_up").values()) == {1.0}


def test_what_was_taken_in_is_counted(busy: None) -> None:
    """By ingest, with the stream; the counters of this process are those of the tests before it, too."""
    assert log_meters.LINES.value("pharos:logs") >= 1
    assert log_meters.BYTES.value("pharos:logs") >= len("messagehelloserviceshopnonsenseno line")
    assert log_meters.DEAD_LETTERS.value() >= 1
    assert log_meters.STORE_TIMES.value("append") >= 1
    assert log_meters.LAST_COMMIT.value() > 1.7e9


def test_requests_are_counted_by_view_and_status(client: Client) -> None:
    before = log_meters.REQUESTS.value("login", "2xx"), log_meters.REQUESTS.value("unknown", "4xx")
    client.get("/login/")
    client.get("/nothing/here/1")
    client.get("/nothing/here/2")
    after = log_meters.REQUESTS.value("login", "2xx"), log_meters.REQUESTS.value("unknown", "4xx")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 2)


def test_without_redis_it_says_so_and_shows_the_rest(client: Client, reader: dict[str, str]) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        text = client.get("/metrics", headers=reader).content.decode()
    assert series(text, "pharos_part_up")['part="redis"'] == 0
    assert series(text, "pharos_store_lines")


def test_a_key_or_a_reader_may_see_it(client: Client, reader: dict[str, str]) -> None:
    assert client.get("/metrics").status_code == 401
    lines_only = f"Bearer {keys.create('sender', [Scope.INGEST])[1]}"
    assert client.get("/metrics", headers={"authorization": lines_only}).status_code == 403
    assert client.post("/metrics", headers=reader).status_code == 405
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert client.get("/metrics").status_code == 200


@pytest.mark.prometheus
def test_promtool_has_nothing_to_say(client: Client, reader: dict[str, str], busy: None) -> None:
    text = client.get("/metrics", headers=reader).content
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.prometheus
def test_prometheus_scrapes_it(tmp_path: Path, busy: None) -> None:
    """With the configuration of docs/operations.md."""
    page = metrics.text()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers["Authorization"] == "Bearer the-key"
            self.send_response(200 if allowed and self.path == "/metrics" else 401)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(page if allowed else b"")

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        config = scrape_config().replace("pharos.example:443", f"127.0.0.1:{server.server_port}")
        config = config.replace("scheme: https", "scheme: http").replace("/etc/prometheus/pharos.key", "key")
        (tmp_path / "key").write_text("the-key")
        (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n" + config.replace("15s", "1s"))
        port = valkey.free_port()
        prometheus = program("prometheus")
        assert prometheus
        running = start(
            [prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             f"--web.listen-address=127.0.0.1:{port}"], tmp_path,
        )  # fmt: skip
        try:
            await_ready(running, "Prometheus", lambda: _has(port, "pharos_store_lines"))
            assert _asked(port, 'pharos_process_up{process="worker"}')[0]["value"][1] == "1"
            assert _asked(port, "up")[0]["value"][1] == "1"
        finally:
            running.stop()
            server.shutdown()


def _has(port: int, query: str) -> bool:
    return bool(_asked(port, query))


def _asked(port: int, query: str) -> list[Any]:
    address = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(query)}"  # type: ignore[attr-defined]
    with urllib.request.urlopen(address, timeout=5) as answer:
        found: list[Any] = json.load(answer)["data"]["result"]
    return found


def scrape_config() -> str:
    text = (Path(settings.BASE_DIR) / "docs" / "operations.md").read_text()
    found = re.search(r"```yaml\n(scrape_configs:.*?)```", text, re.DOTALL)
    assert found
    return found[1]


# --- Meters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_meters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "METERS", {})


def test_a_histogram_counts_up_to_each_bound(own_meters: None) -> None:
    times = Histogram("t", "Times.", bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        times.observe(value)
    assert times.numbers().series == [((), [2.0, 1.0, 1.0, 12.0])]
    with times.timed():
        pass
    assert times.value() == 5


def test_too_many_series_are_counted_together(own_meters: None) -> None:
    hits = Counter("c", "Hits.", "name")
    for number in range(meters.SERIES_MAX + 5):
        hits.add(1, str(number))
    assert len(hits.rows) == meters.SERIES_MAX + 1
    assert hits.value(meters.OTHER) == 5


def test_a_counter_without_labels_begins_with_zero(own_meters: None) -> None:
    assert Counter("c", "A counter.").numbers().series == [((), [0.0])]
    gauge = Gauge("g", "A gauge.")
    assert [each.name for each in meters.counted()] == ["c"]
    gauge.set(3)
    gauge.add(-1)
    assert gauge.value() == 2


# --- Reports ---------------------------------------------------------------------------------------------------------


def test_a_process_that_ended_in_peace_is_forgotten(redis_client: redis.Redis) -> None:
    reporter = Reporter("ingest")
    reporter.report(redis_client)
    assert [each.process for each in reporting.reports(redis_client)] == ["ingest"]
    reporter.end()
    assert reporting.reports(redis_client) == []


def test_one_that_was_killed_is_missed(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    Reporter("ingest").report(redis_client)
    Reporter("web").report(redis_client)
    monkeypatch.setattr(reporting, "ALIVE_FOR", -1.0)
    assert set(reporting.gone(reporting.reports(redis_client))) == {"ingest", "web"}
    monkeypatch.setattr(reporting, "KNOWN_FOR", -1.0)
    assert reporting.forget(redis_client) == 2
    assert redis_client.hlen(reporting.PROCESSES) == 0


def test_a_report_of_another_version_harms_nobody(redis_client: redis.Redis) -> None:
    redis_client.hset(reporting.PROCESSES, "web/old:1", b"\x00")
    Reporter("web").report(redis_client)
    assert len(reporting.reports(redis_client)) == 1


def test_each_number_is_in_the_docs(redis_client: redis.Redis) -> None:
    docs = (Path(settings.BASE_DIR) / "docs" / "operations.md").read_text()
    names = {each.name + "_total" * (each.KIND == "counter") for each in meters.METERS.values()}
    names |= {each.name for each in state.found()}
    assert [name for name in sorted(names) if f"`{name}`" not in docs] == []
