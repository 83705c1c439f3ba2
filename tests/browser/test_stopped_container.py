"""A container of a real Docker engine ends: the page says so by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_live_pages import mark, open_page, same_document, tell
from tests.docker.conftest import Engine
from tests.product import Product

pytestmark = pytest.mark.docker


@pytest.fixture
def engine(product: Product) -> Iterator[Engine]:
    """Watched by the product."""
    engine = Engine(Path(tempfile.mkdtemp(prefix="pharos-docker-")))
    host = f"{{'name': 'engine-{uuid4().hex[:8]}', 'address': {engine.address!r}}}"
    # The start page shows so many services only.
    tell(product, f"Service.objects.all().delete(); DockerHost.objects.create(**{host})")
    yield engine
    tell(product, "DockerHost.objects.all().delete()")
    engine.remove_containers()
    engine.stop()


def test_a_service_is_red_when_its_container_ends_and_green_when_it_runs(
    page: Page, product: Product, engine: Engine
) -> None:
    name = f"orders-{uuid4().hex[:8]}"
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": name}
    container = engine.run("trap 'exit 3' TERM; while true; do sleep 0.1; done", labels=labels, name=f"{name}-1")
    open_page(page, product)
    mark(page)
    card = page.locator(".watched", has_text=name)
    expect(card.locator(".dot.green")).to_be_visible()

    container.stop()
    expect(card.locator(".dot.red")).to_be_visible()
    expect(page.locator(".problem", has_text=name)).to_contain_text(f"container {name}-1 exited with 3")

    container.start()
    expect(card.locator(".dot.green")).to_be_visible()
    expect(page.locator(".problem", has_text=name)).to_have_count(0)
    assert same_document(page)


def test_the_table_of_containers_shows_what_happens(page: Page, product: Product, engine: Engine) -> None:
    container = engine.run("sleep 100", name=f"web-{uuid4().hex[:8]}")
    open_page(page, product, "/containers/")
    mark(page)
    row = page.get_by_role("row", name=container.name)
    expect(row).to_contain_text("running")
    container.kill()
    expect(row).to_contain_text("exited")
    assert same_document(page)
