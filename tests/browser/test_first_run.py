"""What a new user does on the first day, in a real browser, against the whole product."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from typing import Any
from uuid import uuid4

import pytest
import redis
from playwright.sync_api import Page, expect

from tests.product import Product
from tests.waiting import until

LIVE = re.compile("connected · live")


def row(page: Page, text: str) -> Any:
    return page.locator("#log-rows .row", has_text=text)


def open_logs(page: Page, product: Product, query: str = "") -> None:
    page.goto(f"{product.url}/logs/{query}")
    if "to=" not in query:
        expect(page.locator("#log-state")).to_have_text(LIVE)


def test_the_start_page_lives_from_the_first_second(page: Page, product: Product) -> None:
    expect(page.get_by_role("link", name="Logs").first).to_be_visible()
    open_logs(page, product)
    expect(page.locator("#log-rows .row .svc", has_text="pharos").first).to_be_visible()
    before = page.locator("#log-rows .row").first.get_attribute("id")
    page.request.get(f"{product.url}/nowhere/")  # any request is a line
    expect(page.locator("#log-rows .row").first).not_to_have_attribute("id", str(before))


def test_the_pasted_curl_line_comes_to_the_page_by_itself(page: Page, product: Product) -> None:
    open_logs(page, product)
    curl = re.search(r"^\s+(curl .+)$", product.output.read_text(), re.MULTILINE)
    assert curl
    word = f"pasted-{uuid4().hex[:8]}"
    line = curl[1].replace("Hello from curl", f"Hello from {word}")
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=10)
    assert json.loads(done.stdout) == {"accepted": 1, "rejected": []}
    row(page, word).wait_for()  # how soon, benchmarks.live says


def test_a_line_is_found_again_opened_and_followed_through_all_services(page: Page, product: Product) -> None:
    request_id, word = f"req-{uuid4().hex[:8]}", f"needle-{uuid4().hex[:8]}"
    product.send(
        {"level": "info", "service": "api-gateway", "message": f"POST /receipts {word}", "request_id": request_id},
        {"level": "error", "service": "worker", "title": "OCR Service Timeout", "message": f"no text {word}",
         "correlationId": request_id, "metadata": {"receiptId": "abc-123", "stackTrace": "TimeoutError: 30 s\n  at x"}},
        {"level": "info", "service": "ocr", "message": "elsewhere"},
    )  # fmt: skip
    open_logs(page, product)
    page.fill("#log-query", word)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"q={word}"))
    expect(page.locator("#log-rows .row")).to_have_count(2)
    page.reload()
    expect(page.locator("#log-rows .row")).to_have_count(2)
    expect(page.locator("#log-rows mark").first).to_have_text(word)

    row(page, "OCR Service Timeout").click()
    detail = page.locator("#log-rows .detail")
    expect(detail).to_contain_text("abc-123")
    expect(detail).to_contain_text("TimeoutError: 30 s")
    expect(detail).to_contain_text('"receiptId"')

    row(page, "OCR Service Timeout").locator("a.req").click()
    expect(page.locator("#log-rows .row")).to_have_count(2)
    assert set(page.locator("#log-rows .row .svc").all_text_contents()) == {"worker", "api-gateway"}
    assert request_id in page.url
    page.go_back()
    expect(page).to_have_url(re.compile(rf"q={word}"))


SHAPES: dict[str, dict[str, str]] = {
    "title and correlation id": {
        "timestamp": "{now}", "level": "ERROR", "source": "worker", "title": "Shape A", "message": "{word}",
        "correlationId": "550e8400-e29b-41d4-a716-446655440000", "metadata": '{{"receiptId": "abc-123"}}',
    },
    "logger and trace": {
        "timestamp": "{now}", "level": "INFO", "logger": "backend.routers.tasks", "message": "{word}",
        "request_id": "req-a1b2c3d4", "user_id": "550e8400", "trace_id": "trace-x1y2z3", "span_id": "span-m1n2o3",
    },
    "pino": {"level": "info", "time": "{now}", "msg": "{word}", "userId": "user-123", "duration_ms": "45"},
    "context and error": {
        "timestamp": "{now}", "level": "error", "service": "api", "message": "{word}",
        "context": '{{"requestId": "r-3", "userId": "u-1"}}', "error": '{{"name": "TypeError", "stack": "at GET"}}',
    },
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["json", "flat"])
def test_an_entry_added_by_any_redis_client_is_live(page: Page, product: Product, shape: str, layout: str) -> None:
    open_logs(page, product)
    word = f"xadd-{uuid4().hex[:8]}"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    fields = {name: value.format(word=word, now=now) for name, value in SHAPES[shape].items()}
    with redis.Redis(port=product.redis_port) as client:
        if layout == "flat":
            client.xadd("pharos:logs", fields)
        else:
            nested = {n: json.loads(v) if v.startswith("{") else v for n, v in fields.items()}
            client.xadd("pharos:logs", {"payload": json.dumps(nested)})
    row(page, word).wait_for()
    until(lambda: len(product.find(word)) == 1)


def test_text_is_never_markup(page: Page, product: Product) -> None:
    word = f"evil-{uuid4().hex[:8]}"
    evil = f'{word} <img src=x onerror="document.title=`owned`"><script>document.title="owned"</script>'
    open_logs(page, product, f"?q={word}")
    product.send(
        {"message": evil, "service": evil[:150], "title": evil, "request_id": "<b>" + word, "metadata": {"<i>": evil}}
    )
    row(page, word).first.wait_for()
    row(page, word).first.click()
    expect(page.locator("#log-rows .detail")).to_contain_text("<script>")
    page.reload()
    row(page, word).first.wait_for()
    assert page.title() != "owned"
    assert page.locator("#log-rows img").count() == 0


# --- Bad days --------------------------------------------------------------------------------------------------------


def test_after_the_web_server_was_killed_every_line_is_there_once(page: Page, product: Product) -> None:
    word = f"cut-{uuid4().hex[:8]}"
    open_logs(page, product, f"?q={word}")
    product.send(*[{"message": f"{word} before {n}."} for n in range(5)])
    expect(page.locator("#log-rows .row")).to_have_count(5)
    os.kill(product.pids()["web"], signal.SIGKILL)
    with redis.Redis(port=product.redis_port) as client:
        for n in range(5):
            client.xadd("pharos:logs", {"message": f"{word} during {n}."})
    expect(page.locator("#log-state")).to_have_text(re.compile("connection lost"))
    expect(page.locator("#log-state")).to_have_text(LIVE, timeout=30_000)
    product.send(*[{"message": f"{word} after {n}."} for n in range(5)])
    expect(page.locator("#log-rows .row")).to_have_count(15)
    texts = page.locator("#log-rows .row .msg").all_text_contents()
    assert sorted(texts) == sorted(f"{word} {when} {n}." for when in ("before", "during", "after") for n in range(5))


def test_while_redis_is_away_pages_answer_say_so_and_recover(page: Page, product: Product) -> None:
    word = f"away-{uuid4().hex[:8]}"
    product.send({"message": f"{word} stored"})
    until(lambda: len(product.find(word)) == 1)
    valkey = product.pids()["valkey"]
    os.kill(valkey, signal.SIGSTOP)  # hung is worse than gone
    try:
        page.goto(f"{product.url}/logs/?q={word}")
        expect(row(page, f"{word} stored")).to_be_visible()
        expect(page.locator("body")).to_contain_text("Redis is away", timeout=30_000)
    finally:
        os.kill(valkey, signal.SIGCONT)
    expect(page.locator("#log-state")).to_have_text(LIVE, timeout=30_000)
    product.send({"message": f"{word} again"})
    row(page, f"{word} again").wait_for()
    expect(page.locator("body")).not_to_contain_text("Redis is away", timeout=30_000)
