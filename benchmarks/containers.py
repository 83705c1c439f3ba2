"""A container ends: how long until the page says so.

    python -m benchmarks.containers --stops 20

A Docker engine of its own is started, and the product, which watches it. A real Chromium shows the start page. A
container that is a service is killed and started in turn; an observer in the page notes when the dot on its card is
red, and when it is green again. Times are counted from the moment at which the engine says that it happened: one
machine, one clock.

Promised: less than 2 seconds from the end of a container to the red card.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from docker.models.containers import Container
from playwright.sync_api import Page, expect

from benchmarks import report
from benchmarks.live import reader
from benchmarks.product import ROOT, Product, run
from core import clock
from logs.sources.docker_lines import nanoseconds
from tests.docker.conftest import Engine

NAME: Final = "orders"
LABELS: Final = {"com.docker.compose.project": "shop", "com.docker.compose.service": NAME}
# Notes when the card's dot got its colour.
OBSERVE: Final = """(name) => {
    window.noted = [];
    const look = () => {
        const card = [...document.querySelectorAll("#services > *")].find((each) => each.textContent.includes(name));
        const colour = ["red", "green"].find((each) => card?.querySelector(`.dot.${each}`));
        if (colour && window.noted.at(-1)?.[0] !== colour) window.noted.push([colour, Date.now()]);
    };
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true });
    look();
}"""
PATIENCE: Final = 30.0  # seconds


def main() -> int:
    options = _options()
    engine = Engine(Path(tempfile.mkdtemp(prefix="pharos-docker-")))
    try:
        with Product() as product, reader(product) as page:
            rows = _measured(product, engine, page, options.stops)
    finally:
        engine.remove_containers()
        engine.stop()
    columns = ("what", "times", "p50", "p90", "max")
    sys.stdout.write(
        report.table(f"Containers: {options.stops} ends and starts", report.machine(), columns, rows) + "\n"
    )
    return 0


def _measured(product: Product, engine: Engine, page: Page, stops: int) -> list[list[report.Cell]]:
    code = (
        f"from services.models import DockerHost; DockerHost.objects.create(name='engine', address={engine.address!r})"
    )
    environment = {**product.environment(), "DJANGO_SETTINGS_MODULE": "monitor.settings"}
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code], cwd=ROOT, env=environment, check=True, timeout=60
    )
    container = engine.run("while true; do sleep 1; done", name=f"{NAME}-1", labels=LABELS)
    page.goto(product.address + "/")
    expect(page.locator("#services").get_by_text(NAME).first).to_be_visible(timeout=60_000)
    page.evaluate(OBSERVE, NAME)
    _await(page, "green", 0)
    red, green = [], []
    for _ in range(stops):
        container.kill()
        red.append(_await(page, "red", _moment(container, "FinishedAt")))
        container.start()
        green.append(_await(page, "green", _moment(container, "StartedAt")))
    return [_row("end → red card", red), _row("start → green card", green)]


def _moment(container: Container, of: str) -> int:
    """µs, as the engine says."""
    container.reload()
    return nanoseconds(container.attrs["State"][of].encode()) // 1_000


def _await(page: Page, colour: str, since: int) -> float:
    """Seconds from `since` (µs) until the card had the colour."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        noted: list[Any] = page.evaluate("window.noted.at(-1)") or ["", 0]
        if noted[0] == colour:
            return float(noted[1]) / 1_000 - since / clock.SECOND
        page.wait_for_timeout(20)
    sys.exit(f"The card did not become {colour} within {PATIENCE:g} s.")


def _row(what: str, seconds: list[float]) -> list[report.Cell]:
    shown = [report.percentile(seconds, share) for share in (0.5, 0.9, 1.0)]
    return [what, len(seconds), *(f"{value * 1_000:,.0f} ms" for value in shown)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures how long the end of a container takes to the page.")
    parser.add_argument("--stops", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
