"""The Logs page in a real browser, on the whole product: lines arrive, are found, open, and come exactly once."""

from __future__ import annotations

import itertools
import os
import re
import signal
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.product import Product
from tests.waiting import until

_names = itertools.count()


@pytest.fixture
def service() -> str:
    """A service of the test's own, for all tests share one product."""
    return f"browser-{os.getpid()}-{next(_names)}"


@pytest.fixture
def logs(page: Page, product: Product, service: str) -> Page:
    """The live page of that service, connected, with the pointer where it holds nothing up."""
    page.goto(f"{product.url}/logs/?service={service}")
    connected(page)
    page.mouse.move(5, 5)
    return page


def connected(page: Page) -> None:
    expect(page.locator("#log-state")).to_have_text("connected · live")


def send(product: Product, service: str, *messages: str, **fields: Any) -> None:
    product.send(*({"service": service, "level": "info", "message": message} | fields for message in messages))


def shown(page: Page) -> list[str]:
    return page.locator("#log-rows > .row .msg").all_inner_texts()


def arrives(page: Page, message: str) -> None:
    expect(page.locator("#log-rows > .row", has_text=message)).to_have_count(1)


# --- A line's way ---------------------------------------------------------------------------------------------------


def test_a_line_appears_by_itself_and_is_found_after_a_reload(logs: Page, product: Product, service: str) -> None:
    send(product, service, "pasted from the banner")
    arrives(logs, "pasted from the banner")
    logs.fill("#log-query", '"from the BANNER"')
    logs.press("#log-query", "Enter")
    expect(logs).to_have_url(re.compile("q=.*BANNER"))
    logs.reload()
    arrives(logs, "pasted from the banner")
    expect(logs.locator("mark")).to_have_text("from the banner")


def test_a_line_opens_and_leads_to_its_request(logs: Page, product: Product, service: str) -> None:
    stack = "Error: no answer\n    at extract (ocr.js:88:3)\n    at process (worker.js:41:1)"
    send(
        product,
        service,
        "failed",
        level="error",
        requestId=f"r-{service}",
        metadata={"user": {"id": 42}, "stackTrace": stack},
    )
    send(product, f"{service}-other", "same request", requestId=f"r-{service}")
    arrives(logs, "failed")
    logs.locator(".row .msg").first.click()
    detail = logs.locator(".row.open .detail")
    expect(detail.locator(".kv")).to_contain_text("42")
    expect(detail.locator(".stack")).to_contain_text("at process (worker.js:41:1)")
    detail.locator("summary", has_text="JSON").click()
    expect(detail.locator(".json")).to_contain_text('"stackTrace"')
    detail.get_by_text("2 lines in 2 services").click()
    expect(logs.locator("#log-rows > .row")).to_have_count(2)
    logs.go_back()
    expect(logs).to_have_url(re.compile(f"service={service}$"))


def test_a_filter_button_narrows_the_view_in_place(logs: Page, product: Product, service: str) -> None:
    send(product, service, "one", metadata={"tenant": "a"})
    send(product, service, "two", metadata={"tenant": "b"})
    arrives(logs, "one")
    logs.locator(".row", has_text="one").locator(".msg").click()
    logs.get_by_label("Only lines with metadata.tenant:a").click()
    expect(logs.locator("#log-rows > .row")).to_have_count(1)
    connected(logs)


def test_the_values_of_a_field_are_one_click_away(logs: Page, product: Product, service: str) -> None:
    for tenant in ("a", "b", "b"):
        send(product, service, f"of {tenant}", metadata={"tenant": tenant})
    expect(logs.locator("#log-rows > .row")).to_have_count(3)
    logs.locator(".row", has_text="of a").locator(".msg").click()
    logs.get_by_label("The most frequent values of metadata.tenant").click()
    expect(logs.get_by_role("list", name="values of metadata.tenant").get_by_role("listitem")).to_have_text(
        [re.compile(r"^b\s+2$"), re.compile(r"^a\s+1$")]
    )
    logs.get_by_role("list", name="values of metadata.tenant").get_by_role("link", name="b").click()
    expect(logs.locator("#log-rows > .row")).to_have_count(2)


def test_hostile_lines_do_nothing(logs: Page, product: Product, service: str) -> None:
    logs.on("dialog", lambda dialog: pytest.fail(dialog.message))
    text = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    send(product, service, text, title=text, requestId=text, metadata={text: text})
    expect(logs.locator("#log-rows > .row")).to_have_count(1)
    logs.locator(".row .msg").click()
    expect(logs.locator(".row.open .kv")).to_contain_text("onerror")
    logs.reload()
    expect(logs.locator("#log-rows > .row .msg")).to_contain_text("<script>")
    assert logs.locator("#log-rows img").count() == 0


# --- Every line exactly once ------------------------------------------------------------------------------------------


def test_a_pause_loses_nothing(logs: Page, product: Product, service: str) -> None:
    send(product, service, "before")
    arrives(logs, "before")
    logs.keyboard.press("Space")
    send(product, service, *(f"meanwhile {n}" for n in range(30)))
    expect(logs.locator("#log-state")).to_have_text("paused · 30 lines waiting")
    assert shown(logs) == ["before"]
    logs.keyboard.press("Space")
    expect(logs.locator("#log-rows > .row")).to_have_count(31)
    assert sorted(shown(logs)) == sorted(["before", *(f"meanwhile {n}" for n in range(30))])


def test_after_a_cut_connection_every_line_is_there_once(logs: Page, product: Product, service: str) -> None:
    send(product, service, "before")
    arrives(logs, "before")
    os.kill(product.pids()["web"], signal.SIGKILL)
    expect(logs.locator("#log-state")).to_contain_text("connection lost")
    for n in range(20):
        until(partial(delivered, product, service, f"meanwhile {n}"), seconds=30)
    connected(logs)
    expect(logs.locator("#log-rows > .row")).to_have_count(21, timeout=20_000)
    send(product, service, "after")
    arrives(logs, "after")
    assert len(set(shown(logs))) == len(shown(logs)) == 22


def delivered(product: Product, service: str, message: str) -> bool:
    try:
        send(product, service, message)
    except OSError:  # the web process is away
        return False
    return True


def test_older_lines_come_by_scrolling(logs: Page, product: Product, service: str) -> None:
    send(product, service, *(f"line {n:04}" for n in range(700)))
    until(lambda: len(product.find(f"service:{service}")) == 700, seconds=20)
    logs.reload()
    expect(logs.locator("#log-rows > .row")).to_have_count(200)
    for count in (400, 600, 700):
        logs.locator("#log-rows").evaluate("list => list.scrollTo(0, list.scrollHeight)")
        expect(logs.locator("#log-rows > .row")).to_have_count(count)
    assert shown(logs) == [f"line {n:04}" for n in reversed(range(700))]


def test_the_live_end_holds_a_bounded_number_of_rows(logs: Page, product: Product, service: str) -> None:
    for batch in range(8):
        send(product, service, *(f"line {n:04}" for n in range(batch * 100, batch * 100 + 100)))
        arrives(logs, f"line {batch * 100 + 99:04}")
    rows = shown(logs)  # a page that is slow for a moment leaves lines out, and says how many
    assert (len(rows), rows[0]) == (300, "line 0799")
    assert rows == sorted(rows, reverse=True)


# --- The reader's place -----------------------------------------------------------------------------------------------


@pytest.fixture
def filled(logs: Page, product: Product, service: str) -> Page:
    send(product, service, *(f"line {n:04}" for n in range(100)))
    expect(logs.locator("#log-rows > .row")).to_have_count(100)
    return logs


def test_nothing_moves_under_the_pointer(filled: Page, product: Product, service: str) -> None:
    row = filled.locator("#log-rows > .row").nth(10)
    row.hover()
    held = row.get_attribute("id")
    place = filled.locator(f"#{held}").bounding_box()
    send(product, service, *(f"new {n}" for n in range(25)))
    expect(filled.locator("#log-new")).to_have_text("25 new lines ↑")
    assert filled.locator(f"#{held}").bounding_box() == place
    filled.click("#log-new")
    expect(filled.locator("#log-new")).to_be_hidden()
    assert filled.locator("#log-rows").evaluate("list => list.scrollTop") == 0


def test_keys_move_open_and_close(filled: Page) -> None:
    filled.keyboard.press("j")
    filled.keyboard.press("j")
    filled.keyboard.press("k")
    filled.keyboard.press("j")
    assert filled.evaluate("document.activeElement.querySelector('.msg').textContent") == "line 0098"
    filled.keyboard.press("Enter")
    expect(filled.locator(".row.open .kv")).to_be_visible()
    filled.keyboard.press("Escape")
    expect(filled.locator(".row.open")).to_have_count(0)
    filled.keyboard.press("/")
    expect(filled.locator("#log-query")).to_be_focused()
    filled.keyboard.press("Escape")
    filled.keyboard.press("?")
    expect(filled.locator("#log-help")).to_be_visible()


def test_dragging_over_the_histogram_zooms_and_back_leads_back(filled: Page, service: str) -> None:
    expect(filled.locator("#count-info")).to_have_text("100")
    box = filled.locator("#log-chart").bounding_box()
    assert box
    filled.mouse.move(box["x"] + 300, box["y"] + 40)
    filled.mouse.down()
    filled.mouse.move(box["x"] + 500, box["y"] + 42, steps=5)
    filled.mouse.up()
    expect(filled).to_have_url(re.compile("from=2.*to=2"))
    expect(filled.locator("#log-state")).to_contain_text("fixed time range")
    filled.go_back()
    expect(filled).to_have_url(re.compile(f"service={service}$"))
    connected(filled)


def test_a_query_that_cant_be_read_is_explained_in_place(filled: Page) -> None:
    filled.fill("#log-query", "a AND (b")
    filled.press("#log-query", "Enter")
    expect(filled.locator("#log-error")).to_contain_text("position 7")
    expect(filled.locator("#log-query")).to_have_value("a AND (b")


def test_it_fits_a_phone(filled: Page) -> None:
    filled.set_viewport_size({"width": 390, "height": 844})
    assert filled.evaluate("document.documentElement.scrollWidth") == 390
    expect(filled.locator("#log-rows > .row .msg").first).to_be_visible()
    expect(filled.locator("#log-rows > .row .svc").first).to_be_hidden()
