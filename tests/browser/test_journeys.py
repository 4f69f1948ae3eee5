"""What people do: open, predict, run, watch, compare, share the link, come back."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SMALL, App, wait_for
from tlcore.experiment import QUERY_KEYS
from tlcore.presets import PRESETS

Visitor = Callable[[], Page]
LONG = SMALL.model_copy(update={"steps": 3000, "seeds": 3})


def run_button(page: Page):
    return page.get_by_test_id("stMain").get_by_role("button", name=re.compile(r"^(play_arrow )?Run \d"))


def press_run(page: Page) -> None:
    expect(run_button(page)).to_be_enabled()
    before = query(page).get("run")
    run_button(page).click()
    wait_for(lambda: query(page).get("run") not in (None, before), "the run in the address")


def wait_until(page: Page, state: str) -> None:
    """Wait for the badge beside the run's title."""
    expect(page.locator("h3", has_text=state)).to_be_visible()


def address(page: Page) -> str:
    """The address bar; Playwright's own `page.url` misses what Streamlit changes in place."""
    return page.evaluate("location.href")


def query(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(address(page)).query).items()}


def no_traceback(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_deep_link_first(app: App, visitor: Visitor) -> None:
    """The very first visit after a start is a deep link: the router and the navigation are there all the same."""
    page = visitor()
    page.goto(app.link("compare", SMALL))
    expect(page.get_by_role("heading", name="Compare strategies")).to_be_visible()
    expect(page.get_by_role("link", name="Start")).to_be_visible()
    expect(run_button(page)).to_be_enabled()
    no_traceback(page)


def test_a_page_below_the_root_asks_the_server_once_and_goes_back_and_forward(app: App, visitor: Visitor) -> None:
    page = visitor()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app.link("glossary"))
    expect(page.get_by_role("heading", name="Glossary")).to_be_visible()
    assert [url for url in asked if url.endswith("/_stcore/health")] == [f"{app.address}/_stcore/health"]
    page.get_by_role("link", name="Start").click()
    expect(page.get_by_role("button", name="Explore this chart").first).to_be_visible()
    assert address(page) == f"{app.address}/"
    page.go_back()
    expect(page.get_by_role("heading", name="Glossary")).to_be_visible()
    assert address(page) == app.link("glossary")
    page.go_forward()
    expect(page.get_by_role("button", name="Explore this chart").first).to_be_visible()
    no_traceback(page)


def test_start_shows_recorded_results_and_leads_to_compare(app: App, visitor: Visitor) -> None:
    page = visitor()
    page.goto(app.address)
    expect(page.get_by_text("recorded").first).to_be_visible()
    begin = time.monotonic()
    page.reload()
    expect(page.locator("img[src$='#wide']").nth(1)).to_be_visible()
    # The page says two seconds; this machine may be training for other tests meanwhile.
    assert time.monotonic() - begin < 10
    expect(page.locator("img[src$='#phone']").first).to_be_hidden()
    page.get_by_role("button", name="Explore this chart").first.click()
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    no_traceback(page)
    page.get_by_role("link", name=re.compile("Run it yourself")).or_(
        page.get_by_role("button", name=re.compile("Run it yourself"))
    ).first.click()
    expect(page.get_by_role("heading", name="Compare strategies")).to_be_visible()
    wait_for(lambda: "src" in query(page))
    assert {key: query(page)[key] for key in ("src", "tgt")} in [
        {"src": preset.experiment.source, "tgt": preset.experiment.target} for preset in PRESETS.values()
    ]


def open_from_menu(page: Page, section: str, title: str) -> None:
    """Go to another page as a learner does: the sections of the navigation open on a click."""
    page.get_by_role("navigation").get_by_role("button", name=section).click()
    page.get_by_role("menuitem", name=title).click()


def test_predict_run_watch_share_and_come_back(app: App, visitor: Visitor) -> None:
    page = visitor()
    wait_for(app.worker)
    page.goto(app.link("compare", SMALL))
    page.get_by_test_id("stMain").get_by_text("Predict first").wait_for()
    press_run(page)
    chart = page.locator("[data-testid=stEChartsChart], .echarts-for-react, [data-testid*=chart i] canvas").first
    expect(chart).to_be_visible()
    chart.evaluate("node => { node.dataset.mark = 'mine' }")
    time.sleep(3)
    if page.locator("h3", has_text="running").count():  # a chart that is drawn anew would have lost the mark
        assert chart.evaluate("node => node.dataset.mark") == "mine"
    wait_until(page, "finished")
    expect(page.get_by_text(re.compile(r"95 % interval.*2 seeds")).first).to_be_visible()
    expect(page.locator(".js-plotly-plot").nth(1)).to_be_visible()
    no_traceback(page)

    shared = address(page)
    other = visitor()
    other.goto(shared)
    wait_until(other, "finished")
    assert query(other) == query(page) == SMALL.to_query() | {"run": query(page)["run"]}

    page.get_by_role("link", name="Start").click()
    expect(page.get_by_role("heading", name="Compare strategies")).to_have_count(0)
    open_from_menu(page, "Experiment", "Compare")
    wait_until(page, "finished")
    page.reload()
    wait_until(page, "finished")

    open_from_menu(page, "Experiment", "Runs")
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    no_traceback(page)


def test_a_run_goes_on_without_its_page(app: App, visitor: Visitor) -> None:
    page = visitor()
    page.goto(app.link("compare", SMALL.model_copy(update={"first_seed": 10})))
    press_run(page)
    left = address(page)
    page.goto("about:blank")
    again = visitor()
    again.goto(left)
    wait_until(again, "finished")


def test_stop(app: App, visitor: Visitor) -> None:
    page = visitor()
    page.goto(app.link("compare", LONG))
    press_run(page)
    page.get_by_role("button", name=re.compile("Stop")).click()
    wait_until(page, "stopped")
    expect(run_button(page)).to_be_enabled()
    no_traceback(page)


def test_two_learners_at_once(app: App, visitor: Visitor) -> None:
    pages = [visitor(), visitor()]
    for seed, page in enumerate(pages):
        page.goto(app.link("compare", SMALL.model_copy(update={"first_seed": 20 + seed})))
        press_run(page)
    for page in pages:
        wait_until(page, "finished")
        no_traceback(page)
    assert query(pages[0])["run"] != query(pages[1])["run"]


def test_killed_worker(app: App, visitor: Visitor) -> None:
    """kill -9: the run is marked interrupted with its curve kept, and the next run starts by itself."""
    page = visitor()
    page.goto(app.link("compare", LONG.model_copy(update={"learning_rate": 1e-3})))
    press_run(page)
    expect(page.locator("[data-testid=stMarkdown]", has_text=re.compile(r"seed 0 · [1-9]")).first).to_be_visible()
    worker = app.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    wait_until(page, "interrupted")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    no_traceback(page)
    page.goto(app.link("compare", SMALL.model_copy(update={"first_seed": 30})))
    press_run(page)
    wait_until(page, "finished")
    wait_for(lambda: app.worker() not in (None, worker))


def test_runs_survive_a_restart_open_compare_and_delete(app: App, visitor: Visitor) -> None:
    page = visitor()
    for seed in (40, 41):
        page.goto(app.link("compare", SMALL.model_copy(update={"first_seed": seed})))
        press_run(page)
        wait_until(page, "finished")
    run = query(page)["run"]
    app.stop()
    app.start()
    wait_for(app.worker)
    page.goto(app.link("compare", run=run))
    wait_until(page, "finished")
    page.goto(app.link("runs"))
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible()

    def tick(row: int) -> None:
        """Tick a row's box; the table is a canvas, so by place: rows are 35 pixels high, the heading too."""
        box = table.locator("canvas").first.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 16, box["y"] + 35 * (row + 1) + 17)

    page.wait_for_timeout(1000)  # the canvas is drawn after it is there
    tick(0)
    tick(1)
    page.get_by_role("button", name="Compare the two").click()
    expect(page.locator(".js-plotly-plot").nth(1)).to_be_visible()
    no_traceback(page)

    page.goto(app.link("runs"))
    expect(table).to_be_visible()
    page.wait_for_timeout(1000)
    tick(0)
    page.get_by_role("button", name="Open").click()
    wait_until(page, "finished")
    assert query(page)["run"] == run

    page.goto(app.link("runs"))
    expect(table).to_be_visible()
    page.wait_for_timeout(1000)
    tick(0)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Delete")).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto(app.link("compare", run=run))
    expect(run_button(page)).to_be_enabled()
    expect(page.locator("h3", has_text="finished")).to_have_count(0)
    no_traceback(page)


def test_every_control_once(app: App, visitor: Visitor) -> None:
    """Each control is used as a person would, and the address follows."""
    page = visitor()
    page.goto(app.link("compare", SMALL))
    expect(run_button(page)).to_be_enabled()
    page.get_by_text("More settings").click()
    main = page.get_by_test_id("stMain")

    def choose(label: str, option: str) -> None:
        box = main.get_by_role("combobox", name=re.compile(label))
        box.evaluate("node => node.scrollIntoView({block: 'center'})")  # a list closes when the page scrolls
        box.click()
        page.get_by_role("option", name=option, exact=True).click()

    def number(label: str, value: str) -> None:
        box = main.get_by_role("spinbutton", name=label)
        box.fill(value)
        box.press("Enter")

    def write(label: str, value: str) -> None:
        box = main.get_by_role("textbox", name=label)
        box.fill(value)
        box.press("Enter")

    def pill(name: str) -> None:
        main.get_by_role("button", name=name, exact=True).click()

    def toggle(name: str) -> None:
        main.get_by_text(name).click()

    changes: list[tuple[str, str, Callable[[], None]]] = [
        ("tgt", "drawn_digits", lambda: choose("Target task", "Drawn digits · generated")),
        ("src", "fashion_mnist", lambda: choose("Source task", "Fashion-MNIST")),
        ("arms", "scratch,feature_extraction,fine_tune_all", lambda: pill("Fine-tune everything")),
        (
            "arms",
            "scratch,feature_extraction,fine_tune_all,pixel_baseline",
            lambda: pill("Pixel baseline"),
        ),
        ("n", "7", lambda: number("Labels per class", "7")),
        ("seeds", "1", lambda: number("Seeds", "1")),
        ("steps", "80", lambda: number("Training steps", "80")),
        ("net", "cnn_deep", lambda: choose("Network", "Deeper CNN")),
        ("cut", "2", lambda: choose("Cut point", "up to conv2")),
        ("unfreeze", "0.5", lambda: toggle("Unfreeze after: as each strategy does it")),
        ("srcn", "1000", lambda: toggle("Source images: all of them")),
        ("bn", "freeze", lambda: choose("Batch normalisation", "Held")),
        ("bs", "16", lambda: number("Batch size", "16")),
        ("grid", "0.0003,0.003,0.01", lambda: pill("0.001")),
        ("lr", "0.001", lambda: toggle("Learning rate: choose")),
        ("aug", "shift", lambda: choose("Augmentation", "Shift")),
        ("prec", "float32", lambda: choose("Number format", "float32")),
        ("sec", "60.0", lambda: toggle("Time limit an arm (s): no limit")),
        ("s0", "5", lambda: number("First seed", "5")),
        # Published weights bring networks and settings of their own.
        ("src", "imagenet", lambda: choose("Source task", "ImageNet · published weights")),
        ("px", "96", lambda: toggle("Image size (px): the network's own")),
        ("w", "mine.h5", lambda: write("Weights file", "mine.h5")),
    ]
    for key, value, act in changes:
        act()
        # A list that is open while the page is drawn anew would close.
        expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()
        wait_for(
            lambda key=key, value=value: query(page).get(key) == value,
            f"{key}={value} in the address",
            20,
        )
    assert {key for key, _, _ in changes} == set(QUERY_KEYS)
    no_traceback(page)
    expect(run_button(page)).to_be_enabled()


def test_a_damaged_link_is_corrected_and_says_so(app: App, visitor: Visitor) -> None:
    page = visitor()
    page.goto(app.link("compare", n="99999", seeds="-4", src="nonsense", lr="NaN", v="1", run="0000"))
    expect(page.get_by_text(re.compile("in the link")).first).to_be_visible()
    expect(run_button(page)).to_be_enabled()
    no_traceback(page)


def test_an_impossible_combination_says_what_to_do(app: App, visitor: Visitor) -> None:
    page = visitor()
    page.goto(app.link("compare", SMALL))
    main = page.get_by_test_id("stMain")
    main.get_by_role("combobox", name=re.compile("Target task")).click()
    page.get_by_role("option", name="MNIST digits", exact=True).click()
    expect(page.get_by_text(re.compile("choose two different datasets"))).to_be_visible()
    expect(main.get_by_role("button", name=re.compile("Run"))).to_be_disabled()


@pytest.mark.parametrize("name", ["", "compare", "runs"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_and_dark(app: App, visitor: Visitor, name: str, scheme: str) -> None:
    """Nothing runs over the edge of a phone, in light or dark."""
    page = visitor()
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(app.link(name))
    expect(page.get_by_role("heading").first).to_be_visible()
    page.wait_for_timeout(1500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    no_traceback(page)
