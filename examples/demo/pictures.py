"""The pictures of the docs: pages of a running demo, as a reader sees them.

    PHAROS_ADMIN_PASSWORD=… python -m examples.demo.pictures [--url http://127.0.0.1:8000] [--into docs/pictures]

Break something first (`python -m examples.demo break redis`) and give it two minutes. Needs the packages for
development, and Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

SIZE: Final = (1280, 860)
# Name → address, or the address and what is clicked there; and whether it is dark.
PICTURES: Final = {
    "overview": ("/", "", False),
    "logs": ("/logs/?q=level%3Aerror", "", True),
    "service": ("/services/", ".watched a", True),
    "incidents": ("/incidents/", "", False),
    "incident": ("/incidents/", "[id^=incident-] a[href^='/incidents/']", False),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m examples.demo.pictures", description="Takes the pictures of the docs.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the running demo")
    parser.add_argument("--into", type=Path, default=Path("docs/pictures"), help="where the files go")
    given = parser.parse_args(arguments)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for dark in (False, True):
            context = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]})
            theme = "dark" if dark else "light"
            context.add_init_script(f"localStorage.setItem('_x_adminTheme', JSON.stringify('{theme}'))")
            page = context.new_page()
            sign_in(page, given.url)
            for name, (path, click, is_dark) in PICTURES.items():
                if is_dark == dark:
                    take(page, given.url + path, click, given.into / f"{name}.png")
        browser.close()


def sign_in(page: Page, url: str) -> None:
    page.goto(url)
    page.fill("input[name=username]", os.environ.get("PHAROS_ADMIN_USER", "admin"))
    page.fill("input[name=password]", os.environ["PHAROS_ADMIN_PASSWORD"])
    page.click("button[type=submit]")
    page.wait_for_url(f"{url}/")


def take(page: Page, address: str, click: str, file: Path) -> None:
    page.goto(address)
    if click:
        page.locator(click).first.click()
        page.wait_for_load_state()
    page.wait_for_timeout(1_500)  # charts draw themselves
    file.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=file)
    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
