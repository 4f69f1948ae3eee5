"""Pictures of every page, wide, on a telephone and in the dark: ``make screenshots``.

A fresh app with its own worker; one lab and one comparison are run first, so that results are seen, not only forms.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, SMALL, App, wait_for
from tlcore.lessons import lessons

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).resolve().parent / "screenshots"
LOOKS = {
    "wide": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
TALLEST = 5000
REST = 2500  # milliseconds for charts to be drawn after the last element came


def main(only: list[str]) -> None:
    """Take the pictures.

    Args:
        only: Names of pages; none for all.
    """
    FOLDER.mkdir(exist_ok=True)
    os.environ.pop("TLCORE_DATA_DIR", None)  # pages name the folders that files were found in, which are this host's
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        app = App.on_free_port(Path(home))
        app.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            wait_for(app.worker, "the worker", 180)
            cookies = _run_something(app, browser.new_context().new_page())
            pages = {"start": "", "compare": cookies.pop("compare")["url"], "runs": "runs"}
            pages |= {f"lab{lesson.number:02}": lesson.slug for lesson in lessons().values()}
            pages |= {
                name: name for name in ("models", "pictures", "beyond", "claims", "glossary", "quiz", "certificate")
            }
            for look, options in LOOKS.items():
                context = browser.new_context(**options)
                context.add_cookies(cookies["cookies"])
                for name, path in pages.items():
                    if not only or name in only:
                        _take(context.new_page(), f"{app.address}/{path}", FOLDER / f"{name}-{look}.png")
                context.close()
        finally:
            browser.close()
            app.stop()


def _run_something(app: App, page: Page) -> dict:
    """Run lab 3 and a small comparison; give the browser's cookies, to which the runs belong."""
    page.set_default_timeout(180_000)
    expect.set_options(timeout=180_000)
    page.goto(f"{app.address}/feature-extraction")
    page.get_by_role("button", name="Run").first.click()
    expect(page.get_by_text("finished").first).to_be_visible()
    page.goto(app.link("compare", SMALL))
    page.get_by_test_id("stMain").get_by_role("button", name="Run 2").click()
    expect(page.get_by_text("finished").first).to_be_visible()
    path = page.evaluate("location.href").removeprefix(f"{app.address}/")
    return {"cookies": page.context.cookies(), "compare": {"url": path}}


def _take(page: Page, address: str, path: Path) -> None:
    page.goto(address)
    page.locator("[data-testid=stMainBlockContainer] h1").first.wait_for()
    page.wait_for_timeout(REST)
    size = page.viewport_size or {"width": 1280, "height": 900}
    tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(int(tall) + 20, TALLEST)})
    page.wait_for_timeout(REST)
    picture = Image.open(io.BytesIO(page.screenshot()))
    # 256 colours are enough for a page, and a quarter of the bytes.
    picture.convert("RGB").quantize(256).save(path, optimize=True)
    page.close()
    print(path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
