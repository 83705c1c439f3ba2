"""Silences, the route tester, the form of a rule, the link in a mail and reports in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_incident_pages import BEGIN, opened
from tests.browser.test_live_pages import open_page, tell
from tests.product import Product
from tests.waiting import until


@pytest.fixture
def name() -> str:
    return f"Down-{uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def _silent_console(page: Page) -> Iterator[None]:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    yield
    assert said == []


def fits_a_phone(page: Page) -> None:
    """The sidebar needs a moment to go."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_function("document.documentElement.scrollWidth === 390")
    page.set_viewport_size({"width": 1440, "height": 960})
    page.wait_for_function("document.documentElement.scrollWidth === 1440")


def test_a_silence_shows_what_it_would_hit_and_is_ended(page: Page, product: Product, name: str) -> None:
    made = "made.alert(labels={{'alertname': {0!r}, 'host': {1!r}}}, severity='high')"
    tell(product, f"{BEGIN}{made.format(name, 'a')}; {made.format(name, 'b')}; news.announce([1])")
    page.goto(f"{product.url}/silences/")
    page.get_by_role("link", name="New silence").click()
    matchers = page.get_by_label("Alerts that match")
    matchers.press_sequentially(f"alertname={name}")
    expect(page.locator("#preview")).to_contain_text("2 alerts that fire would be silent")
    matchers.press_sequentially("\nhost=")
    expect(page.locator("#preview")).to_contain_text("0 alerts that fire would be silent")
    matchers.press_sequentially("~[")
    expect(page.locator("#preview .wrong")).to_be_visible()
    matchers.fill(f"alertname={name}\nhost=a")
    expect(page.locator("#preview li")).to_have_count(1)
    assert page.locator(".ph").evaluate("each => getComputedStyle(each).opacity") == "1"
    fits_a_phone(page)
    page.get_by_label("For", exact=False).first.fill("3h")
    page.get_by_label("Why").fill("we know")
    page.get_by_role("button", name="Silence", exact=True).click()
    row = page.locator("tr", has_text=name)
    expect(row).to_contain_text("in force")
    expect(row).to_contain_text("1 alert")
    fits_a_phone(page)

    open_page(page, product, f"/alerts/?q={name}")
    silenced = page.locator("#rows tr", has_text="silenced by")
    expect(silenced).to_have_count(1)
    page.locator("#tally a", has_text="silenced").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    silenced.get_by_role("link", name="admin").click()
    row.get_by_role("button", name="End now").click()
    expect(page.locator("body")).to_contain_text("has ended")
    expect(row).to_be_hidden()
    page.get_by_text("Ended in the last week").click()
    expect(row.get_by_role("link", name="Again")).to_be_visible()


def test_the_route_tester_shows_the_way_and_who_is_told(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/alerts/routes/")
    page.get_by_label("Labels of an alert").fill("severity=critical\nservice=api")
    page.get_by_role("button", name="Who is told?").click()
    told = page.locator("#told")
    for receiver in ("PagerDuty", "Slack #incidents", "E-mail"):
        expect(told.get_by_role("heading", name=receiver, exact=True)).to_be_visible()
    expect(told.get_by_role("heading", name="Slack #alerts", exact=True)).to_have_count(0)
    expect(page.locator(".route-tree .told")).to_have_count(3)
    expect(page.locator(".route-tree .refused").first).to_contain_text("does not hold")
    fits_a_phone(page)


def test_a_rule_is_tried_on_a_week(page: Page, product: Product, name: str) -> None:
    line = {"message": f"{name} failed", "level": "error", "service": "shop"}
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    product.send(*[line | {"timestamp": an_hour_ago.isoformat()}] * 3)
    until(lambda: len(product.find(name)) == 3)

    page.goto(f"{product.url}/admin/alerts/alertrule/add/?kind=service_down")
    page.locator("input[name=name]").fill(name)
    expect(page.locator("[name=limit_critical]")).to_have_count(0)
    page.locator("select[name=kind]").select_option("log_count")
    expect(page.locator("[name=limit_critical]")).to_be_visible()
    expect(page.locator("input[name=name]")).to_have_value(name)  # what else is in the form stays
    expect(page.locator("[name=interval]")).to_have_value("15s")
    assert page.locator("[name=limit_info]").bounding_box()["x"] < 1_440  # type: ignore[index]
    fits_a_phone(page)

    page.get_by_role("button", name="Try it as it stands above").click()
    expect(page.locator("#previewed .wrong")).to_contain_text("It can’t be tried yet")
    page.locator("[name=option_query]").fill(f'"{name}"')
    page.locator("[name=limit_high]").fill("2")
    page.locator("[name=limit_critical]").fill("100")
    page.get_by_role("button", name="Try it as it stands above").click()
    expect(page.locator("#previewed")).to_contain_text("would have fired once", timeout=60_000)
    expect(page.locator("#previewed tbody tr")).to_contain_text("high")


def test_the_link_in_a_mail_asks_for_a_click_and_needs_no_login(
    browser: Browser, page: Page, product: Product, name: str
) -> None:
    pk = opened(product, name, severity="critical")
    token = tell(product, f"{BEGIN}from alerts import links; print(links.sign({pk}, 'ops'))")
    context = browser.new_context(timezone_id="Europe/Berlin")
    reader = context.new_page()
    said: list[str] = []
    reader.on("console", lambda message: said.append(message.text))
    reader.goto(f"{product.url}/incidents/{pk}/acknowledge/{token}/")
    expect(reader.locator("body")).to_contain_text(name)
    open_page(page, product, f"/incidents/{pk}/")
    expect(page.locator("#headline")).to_contain_text("Open for")
    fits_a_phone(reader)
    reader.get_by_role("button", name="Acknowledge").click()
    expect(reader.locator("body")).to_contain_text("You have acknowledged it.")
    expect(page.locator("#headline")).to_contain_text("Acknowledged")
    expect(page.locator("#timeline")).to_contain_text("acknowledged by a mail to ops")
    reader.reload()
    expect(reader.locator("body")).not_to_contain_text("Log in to see")
    reader.goto(f"{product.url}/incidents/{pk}/acknowledge/{token[:-1]}/")
    expect(reader.locator("body")).to_contain_text("This link is too old, or not whole.")
    context.close()
    assert [each for each in said if "404" not in each] == []


def test_a_report_is_read_and_ticked_off(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/reports/weekly/")
    fits_a_phone(page)
    part = page.locator("#incidents")
    part.get_by_role("button", name="Looked at").click()
    expect(part).to_contain_text("looked at by admin")
    page.get_by_role("link", name="Daily").click()
    expect(page).to_have_url(re.compile(r"/reports/daily/"))
    expect(page.get_by_role("link", name="Daily")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="The one before").click()
    expect(page.locator("body")).to_contain_text("looked at")
    fits_a_phone(page)
