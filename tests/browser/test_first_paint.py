"""A page is there before Alpine has read it, and looks as it will: shell.js."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.product import Product


@pytest.fixture
def dark(context: BrowserContext) -> Page:
    page = context.new_page()
    page.emulate_media(color_scheme="dark")
    return page


def test_without_alpine_a_page_is_dark_and_what_is_folded_is_hidden(dark: Page, product: Product) -> None:
    dark.route("**/alpine*.js", lambda route: route.abort())
    dark.goto(product.url + "/admin/alerts/alertrule/")
    expect(dark.get_by_role("link", name="ServiceDown", exact=True)).to_be_visible()
    expect(dark.locator("html")).to_have_class("starting dark")
    expect(dark.locator("#changelist-filter")).to_be_hidden()
    expect(dark.locator("#nav-sidebar")).to_be_visible()
    dark.evaluate("localStorage.setItem('sidebarDesktopOpen', '0')")
    dark.reload()
    expect(dark.locator("#nav-sidebar")).to_be_hidden()


def test_alpine_takes_the_theme_over(dark: Page, product: Product) -> None:
    dark.goto(product.url + "/services/")
    for theme in ("dark", "light", "dark"):
        expect(dark.locator("html")).to_have_class(theme)
        dark.keyboard.press("Control+e")
