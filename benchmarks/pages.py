"""What the first view of each main page costs a browser that has nothing of it yet.

    python -m benchmarks.pages

The product is started, a real Chromium signs in and visits the stops of the browser tests' tour one after another, each
with an empty cache: requests, bytes as they went over the wire, and the time until something stood there.

Before that, each of the two contexts, with and without a login, shows a page of its own (`data:`). What a browser does
once after its start, as finding the fonts of the system, is no cost of the page that happens to be the first.

Promised: less than a second on this machine, less than 600 KB.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from playwright.sync_api import BrowserContext, sync_playwright

from tests.browser import tour
from tests.browser.conftest import ARGUMENTS, sign_in
from tests.product import running
from tests.servers import NO_BROWSER, browser

PAINTED_MAX: Final = 1_000.0  # ms
BYTES_MAX: Final = 600_000


def main() -> None:
    path = browser()
    if path is None:
        sys.exit(NO_BROWSER)
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with running() as product, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        inside, outside = chromium.new_context(), chromium.new_context()
        for context in (inside, outside):
            _warm(context)
        sign_in(inside.new_page(), product)
        visits = tour.walk(inside, outside, product, look=False)
        chromium.close()
    print("| page | requests | KB | first paint, ms |\n|---|---|---|---|")
    for name, visit in visits.items():
        print(f"| {name} | {len(visit.asked)} | {visit.bytes / 1_000:.0f} | {visit.painted:.0f} |")
    late = [name for name, visit in visits.items() if visit.painted > PAINTED_MAX]
    heavy = [name for name, visit in visits.items() if visit.bytes > BYTES_MAX]
    print(f"\nToo heavy: {', '.join(heavy) or 'none'}. Too late: {', '.join(late) or 'none'}.")


def _warm(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("data:text/html,<p>Nothing of Pharos")
    page.close()


if __name__ == "__main__":
    main()
