"""The course as a learner walks it, by keyboard too, and what axe-core says of every page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, wait_for
from tests.browser.test_journeys import no_traceback, query
from tlcore.lessons import Lesson, lessons, text_of
from tlcore.views import title_of

Visitor = Callable[[], Page]
OTHERS = ("", "compare", "models", "pictures", "beyond", "runs", "claims", "glossary", "quiz", "certificate")
# What Streamlit's own markup breaks, and no page can mend: rule → where (a part of the selector).
STREAMLITS_OWN = {
    "aria-allowed-attr": "data-testid",
    "button-name": "data-testid",
    "nested-interactive": "data-testid",
    "scrollable-region-focusable": "data-testid",
}


def open_lab(app: App, page: Page, lesson: Lesson) -> None:
    page.goto(f"{app.address}/{lesson.slug}")
    expect(page.get_by_role("heading", name=text_of(lesson.name).heading.title, level=1)).to_be_visible()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def main(page: Page):
    return page.get_by_test_id("stMain")


def predict(page: Page, lesson: Lesson) -> None:
    if lesson.prediction.kind == "accuracy":
        slider = main(page).get_by_role("slider").first
        slider.focus()
        for _ in range(5):
            slider.press("ArrowRight")
        return
    box = main(page).get_by_role("combobox").first
    for arm in lesson.prediction.arms:
        box.focus()
        # Typed: a list that a click opens closes again when a chart above it is drawn and moves it.
        box.press_sequentially(title_of(arm))
        page.get_by_role("option", name=title_of(arm), exact=True).wait_for()
        box.press("Enter")
    page.keyboard.press("Escape")


def run(page: Page) -> None:
    before = query(page).get("run")
    main(page).get_by_role("button", name=re.compile(r"Run( again)?$")).first.click()
    wait_for(lambda: query(page).get("run") not in (None, before), "the run in the address")
    expect(page.locator("h3", has_text="finished").first).to_be_visible()


@pytest.mark.timeout(900)  # eleven labs at up to 15 s of training each, more on a busy machine
def test_the_whole_course(app: App, visitor: Visitor) -> None:
    """Every lab: predict, run, see the prediction in the result, answer why, say that it is done; then the end."""
    page = visitor()
    wait_for(app.worker, "the worker", 180)
    page.goto(app.address)
    for lesson in lessons().values():
        open_lab(app, page, lesson)
        expect(page.locator(".stMarkdownBadge", has_text="recorded").first).to_be_visible()
        predict(page, lesson)
        run(page)
        expect(page.get_by_text("Your prediction").first).to_be_visible()
        right = text_of(lesson.name).heading.why.choices[lesson.why.answer]
        page.get_by_text(right.text, exact=True).first.click()
        expect(page.get_by_text(right.explain).first).to_be_visible()
        page.get_by_role("button", name=re.compile("I am done with this lab")).click()
        expect(page.locator(".stMarkdownBadge", has_text="done").last).to_be_visible()
        no_traceback(page)
    page.goto(f"{app.address}/certificate")
    for lesson in lessons().values():
        expect(page.get_by_text(text_of(lesson.name).heading.title).first).to_be_visible()
    no_traceback(page)


def test_change_one_thing_and_come_back(app: App, visitor: Visitor) -> None:
    lesson, page = next(iter(lessons().values())), visitor()
    wait_for(app.worker, "the worker", 180)
    open_lab(app, page, lesson)
    main(page).get_by_role("button", name=re.compile(r"Run$")).last.click()
    expect(page.locator("h3", has_text="finished").first).to_be_visible()
    run(page)
    page.goto(app.address)
    open_lab(app, page, lesson)  # without the run in the address: progress knows it
    expect(page.locator("h3", has_text="finished").first).to_be_visible()


def test_by_keyboard_alone(app: App, visitor: Visitor) -> None:
    """From the start page into a lab, predict, run, answer: without a pointer."""
    page = visitor()
    wait_for(app.worker, "the worker", 180)
    page.goto(app.address)
    expect(page.get_by_role("button", name=re.compile("lab 1"))).to_be_visible()
    tab_to(page, lambda text: "lab 1" in text)
    page.keyboard.press("Enter")
    first = next(iter(lessons().values()))
    expect(page.get_by_role("heading", name=text_of(first.name).heading.title, level=1)).to_be_visible()
    if first.prediction.kind == "order":
        tab_to(page, lambda text: "highest" in text.lower())
        for _ in first.prediction.arms:
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
        page.keyboard.press("Escape")
    else:
        tab_to(page, lambda text: "will reach" in text)
        page.keyboard.press("ArrowRight")
    tab_to(page, lambda text: re.search(r"Run( again)?$", text) is not None)
    page.keyboard.press("Enter")
    expect(page.locator("h3", has_text="finished").first).to_be_visible()
    tab_to(page, lambda text: text in {choice.text for choice in text_of(first.name).heading.why.choices.values()})
    page.keyboard.press("Space")
    answers = [choice.explain for choice in text_of(first.name).heading.why.choices.values()]
    wait_for(lambda: any(page.get_by_text(answer).count() for answer in answers), "the reply")


def tab_to(page: Page, wanted: Callable[[str], bool], most: int = 200) -> None:
    """Press Tab until what has the focus is called so."""
    name = """() => {
        const element = document.activeElement;
        if (!element.matches('a, button, input, textarea, [role]')) return '';  // a scrolling region holds every text
        const label = element.labels && element.labels[0] ? element.labels[0].innerText : '';
        return [element.getAttribute('aria-label'), label, element.innerText, element.placeholder].filter(Boolean)
            .join(' ').trim();
    }"""
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted(page.evaluate(name)):
            return
    raise AssertionError("the keyboard does not get there")


def test_a_teachers_link_hides_and_presets(app: App, visitor: Visitor) -> None:
    page = visitor()
    page.goto(f"{app.address}/feature-extraction?n=7&hide=why,code")
    expect(page.get_by_text("7 labels a class").first).to_be_visible()
    expect(page.get_by_role("heading", name="Why?")).to_have_count(0)
    expect(page.get_by_role("heading", name="The code that ran")).to_have_count(0)
    expect(page.get_by_role("heading", name="Change one thing")).to_be_visible()


def test_another_language(app: App, visitor: Visitor) -> None:
    page = visitor()
    page.goto(f"{app.address}/feature-extraction?lang=de")
    expect(page.get_by_role("heading", name=text_of("feature_extraction", "de").heading.title)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(app: App, browser, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    faults: list[str] = []
    labs = [lesson.slug for lesson in lessons().values()]
    for path in (*OTHERS, *(labs if scheme == "light" else labs[2:3])):
        page.goto(f"{app.address}/{path}")
        page.locator("[data-testid=stMainBlockContainer] h1").first.wait_for()
        page.wait_for_timeout(2000)
        page.evaluate(axe)
        found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
        for rule in found:
            if rule["impact"] not in ("serious", "critical"):
                continue
            for node in rule["nodes"]:
                where = json.dumps(node["target"])
                if STREAMLITS_OWN.get(rule["id"], "no such") not in node["html"] + where:
                    faults.append(f"/{path}: {rule['id']}: {where}: {node['html'][:160]}")
    context.close()
    assert not faults, "\n".join(faults)
