"""Each main page, visited once: it asks no other host, passes axe in light and dark, and is light enough."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests import servers
from tests.browser import tour
from tests.product import Product

BYTES_MAX = 600_000

pytestmark = pytest.mark.node

# Faults that are not ours to mend, by stop: the beginning of what axe says, and why.
KNOWN: dict[str, dict[str, str]] = {
    "alert rule": {
        "label: .select2-search__field": "select2 makes it, without a name, from the labelled field beside it"
    },
}


@pytest.fixture(scope="module")
def visits(browser: Browser, product: Product, signed_in: object) -> dict[str, tour.Visit]:
    inside = browser.new_context(viewport={"width": 1440, "height": 960}, storage_state=signed_in)  # type: ignore[arg-type]
    outside = browser.new_context()
    found = tour.walk(inside, outside, product)
    inside.close()
    outside.close()
    return found


@pytest.mark.parametrize("stop", [stop.name for stop in tour.STOPS])
def test_it_asks_no_other_host(visits: dict[str, tour.Visit], product: Product, stop: str) -> None:
    """Fonts, scripts, pictures, fragments, sockets: Pharos works where there is no internet."""
    asked = visits[stop].asked
    assert any(address.endswith(".woff2") for address in asked)
    assert {urlsplit(address).netloc for address in asked if not address.startswith("data:")} == {
        urlsplit(product.url).netloc
    }


@pytest.mark.parametrize("stop", [stop.name for stop in tour.STOPS])
def test_axe_finds_no_fault(visits: dict[str, tour.Visit], stop: str) -> None:
    known = KNOWN.get(stop, {}) | KNOWN.get("*", {})
    assert [fault for fault in visits[stop].faults if not fault.removeprefix("dark: ").startswith(tuple(known))] == []


@pytest.mark.parametrize("stop", [stop.name for stop in tour.STOPS])
def test_the_first_view_is_light(visits: dict[str, tour.Visit], stop: str) -> None:
    assert 20_000 < visits[stop].bytes < BYTES_MAX


def test_axe_is_here() -> None:
    assert tour.AXE.is_file(), servers.NO_NODE
