"""A service is added by its address, and a check in the form of its kind. In a browser, on the product."""

from __future__ import annotations

import os

from playwright.sync_api import Page, expect

from tests.product import Product
from tests.waiting import until

NAME = f"itself-{os.getpid()}"


def shoot(page: Page, name: str) -> None:
    directory = os.environ.get("SHOTS")
    if not directory:
        return
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 960})
        for theme in ("light", "dark"):
            page.evaluate(f"document.documentElement.classList.toggle('dark', {str(theme == 'dark').lower()})")
            page.screenshot(path=f"{directory}/{name}-{width}-{theme}.png", full_page=True)
    page.set_viewport_size({"width": 1440, "height": 960})


def test_a_service_is_added_by_its_address_and_a_check_in_the_form_of_its_kind(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/admin/services/service/")
    page.get_by_role("link", name="Add by address").first.click()
    shoot(page, "address")
    page.get_by_label("Address").fill(product.url)
    page.get_by_role("button", name="Look").click()
    expect(page.locator(".plan")).to_contain_text("/health/ready")
    expect(page.locator(".plan")).to_contain_text("/health/live")
    page.get_by_label("Name", exact=False).first.fill(NAME)
    shoot(page, "proposal")
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("body")).to_contain_text("The first results come within seconds.")

    def is_up() -> bool:
        page.reload()
        return page.locator(".state-green", has_text="healthy").count() > 0

    until(is_up)
    shoot(page, "service")

    page.get_by_role("link", name="Add a check to this service").click()
    page.get_by_label("Name", exact=False).first.fill("port")
    expect(page.get_by_label("Method")).to_be_visible()
    page.locator("select[name=kind]").select_option("tcp")
    expect(page.locator("[name=option_send]")).to_be_visible()
    expect(page.get_by_label("Method")).to_have_count(0)
    expect(page.locator("input[name=name]")).to_have_value("port")

    page.locator("input[name=target]").fill("nonsense")
    page.get_by_role("button", name="Try it as it stands above").click()
    expect(page.locator("#asked")).to_contain_text("expected host:port", ignore_case=True)
    page.locator("input[name=target]").fill(f"127.0.0.1:{product.port}")
    page.get_by_role("button", name="Try it as it stands above").click()
    expect(page.locator("#asked .state-green")).to_have_text("up")
    shoot(page, "check")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#result_list")).to_contain_text(f"{NAME} · port")
    shoot(page, "checks")

    page.goto(f"{product.url}/admin/services/check/add/?kind=http")
    shoot(page, "http")
    page.goto(f"{product.url}/admin/services/service/import/")
    page.locator("textarea[name=text]").fill(f"services:\n  - name: {NAME}\n    owner: ann\n  - name: second-{NAME}\n")
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.locator(".plan")).to_contain_text("owner: nothing → ann")
    shoot(page, "import")
    page.get_by_role("button", name="Import it").click()
    expect(page.locator("body")).to_contain_text("Imported: 1 made, 1 changed, 0 left as they were.")
    shoot(page, "services")
