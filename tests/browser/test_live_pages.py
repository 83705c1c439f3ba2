"""The start page and the pages of containers in a real browser: they live without a reload, and nothing moves under the
cursor."""

from __future__ import annotations

import re
import subprocess
import sys
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.product import ROOT, Product

LIVE = re.compile("^live$")
ALONE = "Service.objects.all().delete()"  # the start page shows the worst services only
PAGES = ("/", "/containers/", "/containers/found/")
BEGIN = """
from tests.services.fleet import *
from services import live, recording
from services.probes import Measurement
"""


def tell(product: Product, code: str) -> str:
    """Runs `code` as a process of the product would, and waits until those who look on were told."""
    lines = f"{BEGIN}{code}\nimport time; time.sleep(0.3)"  # a thread tells; it ends with its process
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", lines],
        cwd=ROOT, env=product.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def down(name: str, detail: str = "connection refused") -> str:
    """An answer that makes a service red, as a worker records it."""
    return (
        f"check = Check.objects.get(service__name={name!r})\n"
        "found = Measurement(Outcome.UNREACHABLE, " + repr(detail) + ")\n"
        "recording.record([recording.Observation(check.pk, clock.now(), found)], timezone.now())"
    )


def becomes(name: str, **fields: object) -> str:
    """What makes a container so, and says so."""
    return f"Container.objects.filter(name={name!r}).update(**{fields!r}); live.announce([1])"


@pytest.fixture
def name() -> str:
    return f"svc-{uuid4().hex[:8]}"


def open_page(page: Page, product: Product, path: str = "/") -> None:
    page.goto(product.url + path)
    expect(page.locator("#live-state")).to_have_text(LIVE)


def mark(page: Page) -> None:
    """A reload would wipe this out."""
    page.evaluate("window.sameDocument = true")


def same_document(page: Page) -> bool:
    return bool(page.evaluate("window.sameDocument === true"))


def test_a_service_that_goes_down_is_red_without_a_reload(page: Page, product: Product, name: str) -> None:
    open_page(page, product)
    mark(page)
    tell(product, f"{ALONE}; service({name!r}); live.announce([1])")
    card = page.locator(".watched", has_text=name)
    expect(card.locator(".dot.green")).to_be_visible()
    tell(product, down(name))
    expect(card.locator(".dot.red")).to_be_visible()
    problem = page.locator(".problem", has_text=name)
    expect(problem).to_contain_text("readiness is unreachable: connection refused")
    expect(problem.locator("time")).to_have_text(re.compile(r"^for \d+ s$"))
    expect(page.locator(".watched").first).to_contain_text(name)
    expect(page.locator("#cards")).to_contain_text("down")
    assert same_document(page)


def place_of(found: Locator) -> tuple[int, int]:
    """In whole pixels."""
    box = found.bounding_box()
    assert box
    return round(box["x"]), round(box["y"])


def test_nothing_moves_under_the_cursor(page: Page, product: Product, name: str) -> None:
    tell(product, f"{ALONE}; service('a-{name}'); service('z-{name}')")
    open_page(page, product)
    first = page.locator(".watched", has_text=f"a-{name}")
    first.hover()
    place = place_of(first)
    tell(product, down(f"z-{name}"))
    last = page.locator(".watched", has_text=f"z-{name}")
    expect(last.locator(".dot.red")).to_be_visible()  # it changes where it is …
    assert place_of(first) == place
    before = page.locator(".watched").all_text_contents()
    assert [n for n, text in enumerate(before) if f"z-{name}" in text] > [0]
    page.mouse.move(2, 2)  # … and goes to its place when the pointer leaves
    expect(page.locator(".watched").first).to_contain_text(f"z-{name}")


def test_the_page_comes_back_after_a_cut_and_says_so_meanwhile(
    page: Page, context: BrowserContext, product: Product, name: str
) -> None:
    tell(product, f"service({name!r})")
    blocked = True

    def meddle(route: object) -> None:
        if blocked:
            route.close()  # type: ignore[attr-defined]
        else:
            route.connect_to_server()  # type: ignore[attr-defined]

    page.route_web_socket(re.compile("/ws/overview/"), meddle)
    page.goto(product.url + "/")
    expect(page.locator("#live-state")).to_contain_text("connection lost, trying again")
    tell(product, down(name))
    expect(page.locator(".problem", has_text=name)).to_have_count(0)
    blocked = False
    expect(page.locator("#live-state")).to_have_text(LIVE)
    expect(page.locator(".problem", has_text=name)).to_be_visible()


def test_a_new_log_line_is_counted_without_the_browser_asking(page: Page, product: Product) -> None:
    open_page(page, product)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    word = f"broken-{uuid4().hex[:8]}"
    product.send({"level": "error", "service": "api", "message": word})
    expect(page.locator("#newest-errors")).to_contain_text(word)
    assert [url for url in asked if not url.endswith(("/status/", ".svg"))] == []  # the icon is the browser's own wish


def test_a_container_changes_its_row_and_its_page(page: Page, product: Product, name: str) -> None:
    pk = tell(product, f"c = container({name!r}); print(c.pk)")
    open_page(page, product, f"/containers/?q={name}")
    row = page.locator("#rows tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("running")
    tell(product, becomes(name, state="exited", exit_code=137, oom_killed=True))
    expect(row).to_contain_text("exited with 137, out of memory")
    row.get_by_role("link", name=name).click()
    expect(page).to_have_url(re.compile(rf"/containers/{pk}/$"))
    expect(page.locator("#headline")).to_contain_text("exited")
    for chart in ("cpu", "memory", "network", "block"):
        expect(page.locator(f"#chart-{chart} canvas")).to_be_visible()
    tell(product, becomes(name, state="running", oom_killed=False))
    expect(page.locator("#headline")).to_contain_text("running")


def test_the_table_is_filtered_as_one_types_and_the_address_keeps_it(page: Page, product: Product, name: str) -> None:
    tell(product, f"container('a-{name}'); container('b-{name}', state='exited', exit_code=1)")
    open_page(page, product, "/containers/")
    mark(page)
    page.locator("input[name=q]").fill(name)
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page).to_have_url(re.compile(f"q={name}$"))
    page.get_by_role("link", name="Container", exact=True).click()
    expect(page.locator("#rows tr").first).to_contain_text(f"a-{name}")
    page.locator("#states a", has_text="exited").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    assert same_document(page)
    page.reload()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#rows")).to_contain_text(f"b-{name}")


def test_a_container_shows_its_newest_log_lines_live(page: Page, product: Product, name: str) -> None:
    pk = tell(product, f"c = container({name!r}); print(c.pk)")
    product.send({"level": "info", "service": "web", "message": "before", "metadata": {"container": name}})
    open_page(page, product, f"/containers/{pk}/")
    lines = page.locator("#last-lines .row")
    expect(page.locator("#lines-state")).to_have_text(LIVE)
    expect(lines.first).to_contain_text("before")
    product.send(
        {"level": "info", "service": "web", "message": "another's", "metadata": {"container": "other"}},
        {"level": "info", "service": "web", "message": "after", "metadata": {"container": name}},
    )
    expect(lines.first).to_contain_text("after")
    expect(lines).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_follow_the_theme(
    context: BrowserContext, page: Page, product: Product, scheme: str
) -> None:
    name = f"a-very-long-name-of-a-container-{uuid4().hex}"
    pk = tell(product, f"c = container({name!r}, service=service({name!r}, 'down', 'x' * 300)); print(c.pk)")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (*PAGES, f"/containers/{pk}/"):
        page.goto(product.url + path)
        expect(page.locator(".ph").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
        assert page.evaluate("document.documentElement.classList.contains('dark')") == (scheme == "dark")
        background = page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")
        light = float(re.findall(r"[\d.]+", background)[0])
        assert (light > 0.5) == (scheme == "light"), background
