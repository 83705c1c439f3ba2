"""The page Connect, as somebody uses it who has a service and no key."""

from __future__ import annotations

import os
import subprocess
import sys
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.product import KEY, Product


def test_a_service_is_connected_with_what_the_page_says(page: Page, product: Product) -> None:
    service = f"shop-{uuid4().hex[:8]}"
    page.goto(f"{product.url}/logs/connect/")
    page.get_by_label("Name of the service").fill(service)
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_text("Waiting for the first line")).to_be_visible()
    page.get_by_role("button", name="Make one that may only send").click()
    command = page.locator(".steps pre").first
    expect(command).to_contain_text("Bearer pharos_")
    done = subprocess.run(command.text_content() or "", shell=True, capture_output=True, text=True, timeout=10)
    assert done.stdout == '{"accepted":1,"rejected":[]}'
    expect(page.get_by_text("The first line came at")).to_be_visible()
    page.get_by_role("link", name="See its lines live").click()
    expect(page.locator("#log-rows .row", has_text="Hello from curl")).to_have_count(1)


@pytest.mark.parametrize("client", ["python", "structlog"])
def test_the_program_on_the_page_sends(client: str, page: Page, product: Product) -> None:
    page.goto(f"{product.url}/logs/connect/{client}/?service={client}-{uuid4().hex[:8]}")
    page.get_by_label("API key").fill(KEY)
    program = page.locator(".steps pre").last.text_content() or ""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "clients/python"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20, env=environment)
    expect(page.get_by_text("The first line came at")).to_be_visible()
    expect(page.locator(".rows .row", has_text="Order placed")).to_have_count(1)


def test_a_key_that_one_has_is_put_into_the_lines(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/logs/connect/alloy/")
    page.get_by_label("API key").fill("pharos_mine")
    expect(page.locator(".steps pre").first).to_contain_text('password = "pharos_mine"')
    assert "pharos_mine" not in page.url
