"""Saving a view, using it, removing it; one user's lines; the export. In a real browser, on the whole product."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.product import Product

SERVICE = f"saved-{os.getpid()}"


@pytest.fixture
def logs(page: Page, product: Product) -> Page:
    for message, user in (("one receipt", "u-1"), ("another thing", "u-1"), ("=1+1", "u-2")):
        line = {"service": SERVICE, "level": "info", "message": message, "metadata": {"context": {"userId": user}}}
        product.send(line)
    page.goto(f"{product.url}/logs/?q=receipt&service={SERVICE}&from=-1h")
    expect(page.locator("#log-rows > .row").first).to_contain_text("one receipt")
    return page


def menu(page: Page) -> Locator:
    opened = page.locator("#log-saved")
    if opened.get_attribute("open") is None:
        opened.locator("summary").click()
    return opened


def test_a_view_is_saved_used_and_removed(logs: Page, product: Product) -> None:
    name = f"Receipts {SERVICE}"
    menu(logs).get_by_label("Name").fill(name)
    menu(logs).get_by_label("Share with everyone").check()
    menu(logs).get_by_role("button", name="Save", exact=True).click()
    expect(menu(logs).get_by_role("status")).to_contain_text(f"Saved as “{name}”.")
    expect(logs).to_have_url(re.compile(r"/logs/\?q=receipt"))  # the view is where it was
    expect(logs.locator("#log-state")).to_have_text("connected · live")

    menu(logs).get_by_label("Name").fill(name)
    menu(logs).get_by_label("Name").press("Enter")
    expect(menu(logs).get_by_role("alert")).to_contain_text("with this name already")

    logs.goto(f"{product.url}/logs/?service={SERVICE}")
    menu(logs).get_by_role("link", name=name).click()
    expect(logs).to_have_url(re.compile(rf"/logs/\?q=receipt&service={SERVICE}&from=-1h$"))
    expect(logs.locator("#log-query")).to_have_value("receipt")
    expect(menu(logs).get_by_role("link", name=name)).to_have_attribute("aria-current", "true")

    logs.once("dialog", lambda dialog: dialog.accept())
    menu(logs).get_by_label(f"Remove {name}").click()
    expect(menu(logs).get_by_role("status")).to_have_text("Removed.")
    expect(menu(logs).get_by_role("link", name=name)).to_have_count(0)
    logs.reload()
    expect(menu(logs).get_by_role("link", name=name)).to_have_count(0)


def test_the_menu_asks_for_a_user(logs: Page) -> None:
    menu(logs).get_by_label("User whose lines to show").fill("u-1")
    menu(logs).get_by_role("button", name="Show").click()
    expect(logs).to_have_url(re.compile(r"/logs/\?q=user_id%3Au-1&from=-24h$"))
    expect(logs.locator("#log-query")).to_have_value("user_id:u-1")
    expect(logs.locator("#log-rows > .row", has_text="another thing").first).to_be_visible()
    expect(logs.locator("#log-rows > .row", has_text="=1+1")).to_have_count(0)


def test_an_opened_line_leads_to_its_user(logs: Page) -> None:
    logs.locator(".row .msg").first.click()
    logs.get_by_text("all lines of this user").click()
    expect(logs.locator("#log-query")).to_have_value("user_id:u-1")
    expect(logs.locator("#log-rows > .row", has_text="another thing").first).to_be_visible()


@pytest.mark.parametrize("name", ["CSV", "NDJSON"])
def test_what_is_shown_can_be_taken_along(logs: Page, product: Product, name: str) -> None:
    logs.goto(f"{product.url}/logs/?service={SERVICE}&from=-1h")
    logs.get_by_label("Export").click()
    with logs.expect_download() as download:
        logs.get_by_role("link", name=f"Export as {name}").click()
    assert download.value.suggested_filename.endswith(name.lower())
    text = Path(download.value.path()).read_text()
    if name == "CSV":
        assert ",'=1+1," in text
    else:
        assert "=1+1" in {json.loads(line)["message"] for line in text.splitlines()}
    assert len(text.splitlines()) >= 3
    expect(logs.locator("#log-rows > .row").first).to_be_visible()  # the page stays
