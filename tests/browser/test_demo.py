"""Somebody broke a service: its cause is found with nothing but the pages (the demo fleet, `make demo`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from examples.demo import breaking, fleet
from tests.browser.conftest import sign_in
from tests.examples.demoing import free_ports
from tests.product import Product, running


@pytest.fixture(scope="module")
def demo() -> Iterator[Product]:
    port = str(free_ports())
    with running("demo", DEMO_PORT=port) as product, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMO_PORT", port)
        patch.setenv("PHAROS_DATA_DIR", product.environment["PHAROS_DATA_DIR"])
        yield product


@pytest.fixture
def page(browser: Browser, demo: Product) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 960}, timezone_id="Europe/Berlin")
    # A check that fails twice in two seconds each, on a machine that has other work, too.
    expect.set_options(timeout=30_000)
    page = context.new_page()
    sign_in(page, demo)
    yield page
    breaking.heal()
    expect.set_options(timeout=30_000)
    context.close()


def test_the_cause_of_an_outage_is_found_on_the_pages_alone(page: Page, demo: Product) -> None:
    page.goto(f"{demo.url}/services/")
    cards = {name: page.get_by_role("listitem").filter(has=page.get_by_role("link", name=name, exact=True))
             for name in fleet.NAMES}  # fmt: skip
    for card in cards.values():
        expect(card.locator(".dot.green")).to_be_visible()

    breaking.break_down("redis")  # by somebody else

    # Which service, and why: the list says so by itself, and says that the others are well.
    expect(cards["worker"].locator(".dot.yellow, .dot.red")).to_be_visible()
    expect(cards["worker"]).to_contain_text("redis unhealthy")
    expect(cards["ocr"].locator(".dot.green")).to_be_visible()

    # Since when, and what else: one click.
    cards["worker"].get_by_role("link", name="worker", exact=True).click()
    head = page.locator("#service-head")
    expect(head).to_contain_text(re.compile(r"redis.+ check is unhealthy|redis unhealthy"))
    expect(page.locator("#service-checks")).to_contain_text("redis")

    # The address that is wrong: its last lines.
    lines = page.locator("#service-lines")
    expect(lines).to_contain_text("Queue Unreachable")
    expect(lines).to_contain_text("connecting to 127.0.0.1:1. Connection refused")

    breaking.heal()
    expect(head.locator("h1 .dot.green")).to_be_visible()
