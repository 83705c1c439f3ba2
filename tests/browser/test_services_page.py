"""The pages of services in a real browser, on the whole product: what changes is seen without a reload."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.product import Product, run_in
from tests.waiting import until

_names = itertools.count()

MAKE = """
from datetime import timedelta
from django.utils import timezone
from core import clock
from services.models import Check, CheckResult, Service, StatusChange
now, at = timezone.now(), clock.now()
for name in {names!r}:
    service = Service.objects.create(name=name, status="healthy", owner={owner!r}, labels={{"team": {owner!r}}},
        status_since=now - timedelta(hours=1), created_at=now - timedelta(days=3))
    StatusChange.objects.create(service=service, at=now - timedelta(days=3), old="unknown", new="healthy")
    check = Check.objects.create(service=service, name="readiness", role="readiness", outcome=0, last_outcome=0,
        latency_us=42_000, last_at=at, due_at=at + clock.DAY, interval=3600,
        parts=[{{"path": "redis", "outcome": 0, "latency_ms": 1.5, "since": at}}])
    CheckResult.objects.bulk_create(CheckResult(service_check=check, at=at - n * clock.MINUTE, outcome=0,
        latency_us=42_000 + n * 100) for n in range(90))
"""
BECOME = """
from django.utils import timezone
from core import clock
from services import live
from services.models import Check, Service, StatusChange
service = Service.objects.get(name={name!r})
now = timezone.now()
StatusChange.objects.create(service=service, at=now, old=service.status, new={status!r}, reason={reason!r})
Service.objects.filter(pk=service.pk).update(status={status!r}, reason={reason!r}, status_since=now)
live.announce([service.pk])
import time; time.sleep(0.5)  # a thread sends it
"""


@pytest.fixture
def owner() -> str:
    """The services of a test are told from those of others by their owner, for all share one product."""
    return f"owner-{os.getpid()}-{next(_names)}"


@pytest.fixture
def services(product: Product, owner: str) -> list[str]:
    names = [f"{name}-{owner}" for name in ("api", "ocr", "worker")]
    run_in(product, MAKE.format(names=names, owner=owner))
    return names


@pytest.fixture
def become(product: Product) -> Callable[[str, str, str], None]:
    return lambda name, status, reason: run_in(product, BECOME.format(name=name, status=status, reason=reason))


def opened(page: Page, product: Product, query: str) -> None:
    page.goto(f"{product.url}/services/?{query}")
    expect(page.locator("#services-state")).to_have_text("live")


def shown(page: Page) -> list[str]:
    return page.locator("#services > .watched h3 a").all_inner_texts()


Become = Callable[[str, str, str], None]


def test_a_card_turns_red_and_comes_first_without_a_reload(
    page: Page, product: Product, services: list[str], owner: str, become: Become
) -> None:
    opened(page, product, f"owner={owner}")
    assert shown(page) == services
    page.evaluate("window.sameDocument = true")
    page.mouse.move(5, 5)
    become(services[2], "down", "readiness is unreachable: connection refused")
    first = page.locator("#services > .watched").first
    expect(first).to_contain_text(services[2])
    expect(first).to_contain_text("connection refused")
    expect(page.locator("#count-red")).to_have_text("1")
    expect(first.locator("time")).not_to_have_text("0 s")  # it goes on counting
    become(services[2], "healthy", "every check is up")
    until(lambda: shown(page) == services)
    assert page.evaluate("window.sameDocument")


def test_nothing_slips_away_under_the_pointer(
    page: Page, product: Product, services: list[str], owner: str, become: Become
) -> None:
    opened(page, product, f"owner={owner}")
    page.locator("#services > .watched").first.hover()
    become(services[2], "down", "refused")
    expect(page.locator("#services > .watched", has_text="refused")).to_have_count(1)
    assert shown(page) == services
    page.mouse.move(5, 5)
    until(lambda: shown(page)[0] == services[2])


def test_the_filter_stays_in_the_address_and_going_back_brings_the_view_before(
    page: Page, product: Product, services: list[str], owner: str, become: Become
) -> None:
    opened(page, product, f"owner={owner}")
    page.keyboard.press("/")
    page.keyboard.type("work", delay=20)
    expect(page).to_have_url(re.compile("q=work"))
    expect(page.locator("#services > .watched")).to_have_count(1)
    expect(page.locator("#services-text")).to_be_focused()
    expect(page.locator("#services-text")).to_have_value("work")
    page.get_by_role("link", name="Dense list").click()
    expect(page.locator("#services.table")).to_be_visible()
    expect(page).to_have_url(re.compile(f"(?=.*q=work)(?=.*view=table)(?=.*owner={owner})"))
    page.reload()
    expect(page.locator("#services.table > .watched")).to_have_count(1)
    become(services[0], "down", "not of this view")
    become(services[2], "degraded", "of this view")
    expect(page.locator("#services > .watched")).to_contain_text("of this view")
    assert shown(page) == [services[2]]
    page.go_back()
    expect(page.locator("#services.cards")).to_be_visible()


def test_the_page_of_a_service_changes_by_itself(
    page: Page, product: Product, services: list[str], owner: str, become: Become
) -> None:
    opened(page, product, f"owner={owner}")
    page.get_by_role("link", name=services[0]).click()
    expect(page.locator("#service-chart canvas")).to_be_visible()
    expect(page.locator("#service-lines-state")).to_have_text("live")
    become(services[0], "down", "readiness is unreachable: connection refused")
    expect(page.locator("#service-head .why")).to_contain_text("connection refused")
    expect(page.locator("#service-outages")).to_contain_text("so far")
    product.send({"service": services[0], "level": "error", "message": "no connection to redis"})
    expect(page.locator("#service-lines .row")).to_contain_text("no connection to redis")
    page.locator("#service-lines .row .msg").click()
    expect(page.locator("#service-lines .row.open .detail")).to_contain_text("no connection to redis")
    page.locator("#service-outages a").first.click()
    expect(page).to_have_url(re.compile(f"/logs/.*service={services[0]}"))


def test_another_range_is_in_the_address(page: Page, product: Product, services: list[str], owner: str) -> None:
    opened(page, product, f"owner={owner}")
    page.get_by_role("link", name=services[1]).click()
    page.get_by_role("link", name="3h").click()
    expect(page.locator("#service-latency a[aria-current]")).to_have_text("3h")
    expect(page).to_have_url(re.compile("range=3h"))
    expect(page.locator("#service-chart canvas")).to_be_visible()
    page.reload()
    expect(page.locator("#service-latency a[aria-current]")).to_have_text("3h")


def test_pause_and_check_now(page: Page, product: Product, services: list[str], owner: str) -> None:
    opened(page, product, f"owner={owner}")
    page.get_by_role("link", name=services[0]).click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#service-head .why")).to_contain_text("paused")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#service-head .why")).not_to_contain_text("paused")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("#checked .answers")).to_contain_text("readiness")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#checked .answers")).to_have_count(0)


@contextmanager
def window(browser: Browser, signed_in: Any, scheme: Any, width: int) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": 844},
        storage_state=signed_in,
        color_scheme=scheme,
    )
    try:
        yield context.new_page()
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_light_and_dark_wide_and_narrow_fit(
    browser: Browser, signed_in: Any, product: Product, services: list[str], owner: str, scheme: str, width: int
) -> None:
    with window(browser, signed_in, scheme, width) as page:
        for path in (f"/services/?owner={owner}", f"/services/?owner={owner}&view=table"):
            page.goto(product.url + path)
            expect(page.locator("#services > .watched")).to_have_count(3)
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.get_by_role("link", name=services[0]).click()
        expect(page.locator("#service-chart canvas")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        light = page.evaluate("getComputedStyle(document.querySelector('#service-strip')).backgroundColor")
        assert (light == "rgb(255, 255, 255)") == (scheme == "light")
