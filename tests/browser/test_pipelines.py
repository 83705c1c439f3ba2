"""A pipeline is tried on a line before it is saved, and holds within seconds after. In a browser, on the product."""

from __future__ import annotations

import os

from playwright.sync_api import Page, expect

from tests.product import Product
from tests.waiting import until

SERVICE = f"piped-{os.getpid()}"


def test_a_row_is_tried_saved_and_holds(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/admin/logs/pipeline/add/")
    page.get_by_label("Name").fill("Users of the shop")
    page.get_by_label("Services").fill(SERVICE)
    page.get_by_label("Extract").fill(r"user=(?P<user_id>\w+")
    page.get_by_label("Line", exact=True).fill("2026-11-21 10:30:45,123 - shop.orders - DEBUG - user=u7 sold out")
    page.get_by_role("button", name="Test this line").click()
    expect(page.locator("#tried")).to_contain_text("This is no regular expression at character 6")

    page.get_by_label("Extract").fill(r"user=(?P<user_id>\w+)")
    page.get_by_role("button", name="Test this line").click()
    expect(page.locator("#tried")).to_contain_text("metadata.user_id")
    expect(page.locator("#tried")).to_contain_text("Changed.")

    page.get_by_label("Minimum level").select_option("info")
    page.get_by_role("button", name="Test this line").click()
    expect(page.locator("#tried")).to_contain_text("Dropped: its level is below the minimum.")
    if directory := os.environ.get("SHOTS"):
        page.screenshot(path=f"{directory}/pipe-1440.png", full_page=True)
        page.set_viewport_size({"width": 390, "height": 844})
        page.screenshot(path=f"{directory}/pipe-390.png", full_page=True)
        page.set_viewport_size({"width": 1440, "height": 960})

    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#result_list")).to_contain_text("extracts, drops below info")
    if directory := os.environ.get("SHOTS"):
        page.screenshot(path=f"{directory}/pipe-list.png")

    def holds() -> bool:
        product.send({"service": SERVICE, "level": "info", "message": "user=u7 bought"})
        return product.find(f"service:{SERVICE} metadata.user_id:u7") != []

    until(holds)
    product.send(
        {"service": SERVICE, "level": "debug", "message": "asked late"},
        {"service": SERVICE, "level": "info", "message": "bought late"},
    )
    until(lambda: product.find(f'service:{SERVICE} "bought late"') != [])
    assert product.find(f'service:{SERVICE} "asked late"') == []
