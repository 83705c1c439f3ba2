"""One visit to each main page, and what was seen there: what it asked for, what it weighs, what axe says of it in light
and dark. What is asserted of that is in test_tour.py; benchmarks/pages.py prints the figures.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from playwright.sync_api import BrowserContext, Page

from tests import servers
from tests.product import Product, run_in

AXE: Final = servers.NODE_MODULES / "axe-core" / "axe.min.js"
SEED: Final = """
from datetime import timedelta
from django.utils import timezone
from alerts.models import Incident
from services.models import Check, Service
shop = Service.objects.create(name="tour-shop", category="web", owner="Alice")
Check.objects.create(service=shop, name="readiness", target="http://127.0.0.1:1/", kind="http")
job = Service.objects.create(name="tour-job")
Check.objects.create(service=job, name="nightly", kind="heartbeat", options={"period": 3600})
"""
# Contrast is what differs between light and dark; everything else is the same page.
LIGHT: Final = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
DARK: Final = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
# A colour on its way to another is no fault.
STILL: Final = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("*, *::before, *::after { transition: none !important; animation: none !important }");
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""
LOOK: Final = """async (options) => {
    const { violations } = await axe.run(document, { ...options, resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary: why }) => `${id}: ${target.join(" ")} ${why.split("\\n").at(-1).trim()}`));
}"""
FIRST_PAINT: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


class Stop(NamedTuple):
    name: str
    path: str
    signed_in: bool = True


STOPS: Final = (
    Stop("log in", "/login/", signed_in=False),
    Stop("overview", "/"),
    Stop("first steps", "/first-steps/"),
    Stop("first steps, begun", "/first-steps/begun/?since=1"),
    Stop("time zone", "/account/time-zone/"),
    Stop("logs", "/logs/?q=tour"),
    Stop("log usage", "/logs/usage/"),
    Stop("connect", "/logs/connect/"),
    Stop("services", "/services/"),
    Stop("service", "/services/{service}/"),
    Stop("heartbeat", "/services/heartbeat/{heartbeat}/"),
    Stop("SLA report", "/services/sla/"),
    Stop("containers", "/containers/"),
    Stop("incidents", "/incidents/"),
    Stop("active alerts", "/alerts/"),
    Stop("route tester", "/alerts/routes/"),
    Stop("silences", "/silences/"),
    Stop("new silence", "/silences/new/"),
    Stop("report", "/reports/weekly/"),
    Stop("admin", "/admin/"),
    Stop("admin list", "/admin/services/service/"),
    Stop("admin form", "/admin/services/check/{check}/change/"),
    Stop("alert rules", "/admin/alerts/alertrule/"),
    Stop("alert rule", "/admin/alerts/alertrule/1/change/"),
    Stop("users", "/admin/auth/user/"),
    Stop("new user", "/admin/auth/user/add/"),
)


class Visit(NamedTuple):
    asked: list[str]  # addresses
    bytes: int  # as they went over the wire, with nothing in the browser's cache
    painted: float  # ms until something stood there
    faults: list[str]  # what axe found, light and dark


def seed(product: Product) -> dict[str, int]:
    """What pages are about; returns the numbers in the addresses of STOPS."""
    run_in(product, SEED)
    product.send(
        *({"level": level, "service": "tour", "message": f"tour {level}", "metadata": {"user_id": 7}}
          for level in ("debug", "info", "warn", "error", "fatal"))
    )  # fmt: skip
    listed = {each["name"]: each for each in product.request("/api/services")["services"]}
    shop, job = listed["tour-shop"]["id"], listed["tour-job"]["id"]
    check = product.request(f"/api/services/{shop}")["checks"][0]["id"]
    return {"service": shop, "check": check, "heartbeat": product.request(f"/api/services/{job}")["checks"][0]["id"]}


def visit(context: BrowserContext, url: str, *, look: bool = True) -> Visit:
    page = context.new_page()
    try:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.bring_to_front()
        page.emulate_media(color_scheme="light")
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.send("Network.setCacheDisabled", {"cacheDisabled": True})
        weights: list[int] = []
        network.on("Network.loadingFinished", lambda event: weights.append(int(event["encodedDataLength"])))
        page.goto(url, wait_until="networkidle")
        painted = page.wait_for_function(FIRST_PAINT).json_value()
        return Visit(asked, sum(weights), painted, _faults(page) if look else [])
    finally:
        page.close()


def _faults(page: Page) -> list[str]:
    page.evaluate(STILL)
    page.evaluate(AXE.read_text())
    faults: list[str] = page.evaluate(LOOK, LIGHT)
    page.evaluate("() => document.documentElement.classList.add('dark')")
    dark: list[str] = page.evaluate(LOOK, DARK)
    return faults + [f"dark: {fault}" for fault in dark]


def walk(context: BrowserContext, outside: BrowserContext, product: Product, *, look: bool = True) -> dict[str, Visit]:
    """All stops, by name. `outside` is nobody's."""
    numbers: dict[str, Any] = seed(product)
    return {
        stop.name: visit(context if stop.signed_in else outside, product.url + stop.path.format(**numbers), look=look)
        for stop in STOPS
    }
