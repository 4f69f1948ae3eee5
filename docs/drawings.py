"""The recorded figures as pictures, as the pages show them before Plotly is there: ``make drawings``.

Every page on which one stands is opened, wide and on a telephone, light and dark, and Plotly's own drawing is
photographed. To be repeated whenever a record, a figure or the pages' colours change; a test says so.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

from pages.shared.drawings import DENSITY, FOLDER, WIDTHS
from tests.browser.conftest import CHROMIUM, FLAGS, App
from tlcore.lessons import lessons

if TYPE_CHECKING:
    from playwright.sync_api import Page

REST = 3000  # milliseconds for charts to be drawn after the last element came
FIGURES = '[class*="st-key-drawing-"]'


def main(only: list[str]) -> None:
    """Draw the pictures.

    Args:
        only: Paths of pages; none for all, which also removes what no page shows any more.
    """
    paths = only or ["", *(lesson.slug for lesson in lessons().values()), "models", "beyond"]
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        made = Path(home) / "drawings"
        made.mkdir()
        os.environ |= {"TLCORE_DRAWINGS": str(made), "TLCORE_NO_WORKER": "1"}  # an empty folder: Plotly draws them all
        app = App.on_free_port(Path(home))
        app.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            for look, width in WIDTHS.items():
                for scheme in ("light", "dark"):
                    context = browser.new_context(
                        viewport={"width": width, "height": 900}, color_scheme=scheme, device_scale_factor=DENSITY
                    )
                    for path in paths:
                        _draw(context.new_page(), f"{app.address}/{path}", made, look)
                    context.close()
        finally:
            browser.close()
            app.stop()
        if not only:
            shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(exist_ok=True)
        for picture in made.iterdir():
            shutil.copy(picture, FOLDER)


def _draw(page: Page, address: str, folder: Path, look: str) -> None:
    page.set_default_timeout(120_000)
    page.goto(address)
    page.locator(FIGURES).first.wait_for()
    _photograph(page, folder, look)
    for number in range(page.get_by_role("tab").count()):
        page.get_by_role("tab").nth(number).click()
        _photograph(page, folder, look)
    page.close()


def _photograph(page: Page, folder: Path, look: str) -> None:
    page.wait_for_timeout(REST)
    width = (page.viewport_size or {"width": WIDTHS[look]})["width"]
    tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": int(tall) + 20})  # nothing has to be scrolled under the menu
    page.mouse.move(0, 0)
    page.wait_for_timeout(REST)
    for figure in page.locator(FIGURES).all():
        classes = (figure.get_attribute("class") or "").split()
        name = next(one for one in classes if one.startswith("st-key-drawing-")).removeprefix("st-key-drawing-")
        if figure.is_visible():
            _keep(figure.get_by_test_id("stPlotlyChart").screenshot(), folder / f"{name}-{look}.webp")


def _keep(screenshot: bytes, path: Path) -> None:
    # 256 colours are enough for a chart, and a third of the bytes.
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB").quantize(256).convert("RGB")
    picture.save(path, lossless=True, quality=100, method=6)
    print(path.name, picture.size, path.stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1:])
