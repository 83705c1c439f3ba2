"""The pages of incidents in a real browser: what one person does, another one sees without a reload; with the mouse,
with the keyboard and on a phone."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.test_live_pages import mark, open_page, same_document, tell
from tests.product import Product

BEGIN = (
    "from tests.alerts import made; from alerts import incidents, live as news; from alerts.models import Incident; "
)
RULE = "made.rule({name!r}, diagnosis='- Is it **there**? `docker ps`\\n- Does it answer?', what='It is <b>down</b>.')"


@pytest.fixture
def name() -> str:
    return f"Down-{uuid4().hex[:8]}"


def opened(product: Product, name: str, **fields: Any) -> str:
    """The incident's number."""
    made = f"i = made.incident({name!r}, rule={RULE.format(name=name)}, **{fields!r}); made.alert(i.rule, incident=i)"
    return tell(product, f"{BEGIN}{made}; news.announce([i.pk]); print(i.pk)")


def test_what_one_does_the_other_sees_at_once(page: Page, context: BrowserContext, product: Product, name: str) -> None:
    other = context.new_page()
    open_page(other, product, f"/incidents/?q={name}")
    mark(other)
    expect(other.locator("#after")).to_contain_text("No incident is like that")
    pk = opened(product, name, severity="critical", summary="redis refuses")
    row = other.locator("#rows tr")
    expect(row).to_contain_text("redis refuses")
    expect(other.locator("#open-incidents")).to_have_text(re.compile(r"^[1-9]\d*$"))
    expect(other).to_have_title(re.compile(r"^\(\d+\) Incidents"))

    open_page(page, product, f"/incidents/{pk}/")
    mark(page)
    expect(page.locator("#headline")).to_contain_text(re.compile(r"Open for 2 min"))
    page.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(page.locator("#headline")).to_contain_text("Acknowledged by admin")
    expect(page.locator("#timeline")).to_contain_text("acknowledged by admin")
    expect(row).to_contain_text("acknowledged by admin")

    step = page.get_by_role("checkbox", name="Does it answer?")
    step.click()
    expect(step).to_have_attribute("aria-checked", "true")
    expect(page.locator("#runbook")).to_contain_text("1 of 2")
    page.locator("#comment").fill("raising <the> limit")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("#timeline")).to_contain_text("raising <the> limit")
    expect(page.locator("#comment")).to_have_value("")

    page.get_by_text("Assign ▾").click()
    page.get_by_role("button", name="admin you").click()
    expect(page.locator("#headline")).to_contain_text("assigned to admin")
    page.keyboard.press("Escape")
    page.locator("summary", has_text="Resolve").click()
    page.locator("#resolution").fill("limit is 512 MB")
    page.locator("form[action$='/resolve/'] button").click()
    expect(page.locator("#headline")).to_contain_text("limit is 512 MB")
    expect(page.get_by_text("Assign ▾")).to_be_hidden()
    expect(row).to_contain_text("resolved by admin")
    assert same_document(page)
    assert same_document(other)


def test_who_writes_is_not_interrupted(page: Page, product: Product, name: str) -> None:
    pk = opened(product, name)
    open_page(page, product, f"/incidents/{pk}/")
    page.keyboard.press("r")
    page.locator("#resolution").press_sequentially("half a sen")
    tell(product, f"{BEGIN}i = Incident.objects.get(pk={pk}); incidents.acknowledge(i, by='bob', via='api')")
    expect(page.locator("#headline")).to_contain_text("Acknowledged")
    expect(page.locator("#resolution")).to_be_focused()
    expect(page.locator("#resolution")).to_have_value("half a sen")
    expect(page.locator("#acknowledge")).to_have_count(0)


def test_several_are_acknowledged_with_the_keyboard(page: Page, product: Product, name: str) -> None:
    for n in range(3):
        opened(product, f"{name}-{n}")
    open_page(page, product, "/incidents/")
    mark(page)
    page.keyboard.press("/")
    page.keyboard.type(name)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(3)
    expect(page).to_have_url(re.compile(f"q={name}$"))
    page.locator("#find").blur()
    for key in "jxjx":
        page.keyboard.press(key)
    expect(page.locator("#bulk-button")).to_have_text("Acknowledge selected (2)")
    tell(product, f"{BEGIN}made.incident('{name}-new'); news.announce([1])")
    expect(rows).to_have_count(4)
    expect(page.locator("#rows :checked")).to_have_count(2)  # what is selected stays so
    page.keyboard.press("a")
    expect(rows.filter(has_text="acknowledged by admin")).to_have_count(2)
    expect(page.locator("#bulk-button")).to_be_disabled()
    expect(rows.first).to_contain_text(f"{name}-new")
    page.locator("#tally a", has_text="acknowledged").click()
    expect(rows).to_have_count(2)
    assert same_document(page)
    page.reload()
    expect(rows).to_have_count(2)


def test_the_start_page_acknowledges(page: Page, product: Product, name: str) -> None:
    open_page(page, product)
    mark(page)
    pk = opened(product, name, severity="critical")
    item = page.locator(f"#incident-{pk}")
    item.get_by_role("button").click()
    expect(item).to_contain_text("acknowledged by admin")
    assert same_document(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_log_no_error(page: Page, product: Product, scheme: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    name = f"a-very-long-name-of-an-incident-{uuid4().hex * 3}"[:99]
    pk = opened(product, name, summary="x" * 300)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/incidents/", f"/incidents/{pk}/", "/alerts/"):
        open_page(page, product, path)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
    assert said == []
