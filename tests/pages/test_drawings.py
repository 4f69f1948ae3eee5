"""Recorded figures shown as pictures: every one is there, in both themes, and never in place of another figure."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from pages.shared import charts, drawings
from tests.pages.test_labs import open_lab
from tlcore import recorded
from tlcore.lessons import lessons
from tlcore.presets import RECORDS

PAGES = ("start", "models", "beyond", *lessons())


@pytest.fixture
def opened(app, monkeypatch):
    """Opens a page or a lab with the recorded results that ship, in a theme."""

    def open_page(name, theme="light"):
        monkeypatch.setattr(recorded, "RECORDS", RECORDS)
        monkeypatch.setattr(charts, "is_dark", lambda: theme == "dark")
        return open_lab(name) if name in lessons() else app(name)

    return open_page


def pictures(at):
    return [element.value for element in at.markdown if "](data:image/webp;base64," in element.value]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_plotly(opened, name, theme):
    at = opened(name, theme)
    assert not at.get("plotly_chart"), "no picture of a recorded figure is up to date: run `make drawings`"
    shown = pictures(at)
    assert shown
    assert [one.rpartition("#")[2] for one in shown] == ["wide)", "phone)"] * (len(shown) // 2)
    assert not any(one.startswith("![]") for one in shown)


def test_the_chart_comes_when_somebody_wants_to_point_at_it(opened):
    at = opened("fewer_labels")
    count = len(pictures(at))
    button = next(button for button in at.button if button.label == "Explore this chart")
    button.click().run()
    assert not at.exception
    assert len(at.get("plotly_chart")) == 1
    assert len(pictures(at)) == count - 2


def test_without_pictures_plotly_draws(opened, monkeypatch, tmp_path):
    monkeypatch.setattr(drawings, "FOLDER", tmp_path)
    drawings.drawing.cache_clear()
    at = opened("beyond")
    drawings.drawing.cache_clear()
    assert not pictures(at)
    assert at.get("plotly_chart")


def test_a_picture_belongs_to_one_figure():
    def name(value, **layout):
        return drawings.name_of("a_place", go.Figure(go.Scatter(x=[0.1, value], y=[1, 2]), layout))

    assert name(0.3) == name(0.1 + 0.2) == name(0.30000001)
    assert name(0.3).startswith("a-place-")
    assert len({name(0.3), name(0.31), name(0.3, font_color="#FFFFFF"), name(0.3, title="new")}) == 4


def test_words_for_those_who_cannot_see_survive_as_they_are(monkeypatch, tmp_path):
    for look in drawings.WIDTHS:
        Image.new("RGB", (200, 100)).save(tmp_path / f"a-place-{look}.webp")
    monkeypatch.setattr(drawings, "FOLDER", tmp_path)
    drawings.drawing.cache_clear()
    words = r"a_b [c] (d) $e$ *f* :red[g] <h> `i` \\ 50 % – “j”"
    pictures = drawings.drawing("a-place", words)
    drawings.drawing.cache_clear()
    assert [picture.width for picture in pictures] == [200 // drawings.DENSITY] * 2
    said = MarkdownIt().parseInline(pictures[0].markdown)[0].children or []
    assert [token.type for token in said] == ["image"]
    assert "".join(part.content for part in said[0].children or []) == words


def test_no_picture_is_left_over():
    keys = {Path(path).name.rsplit("-", 2)[0] for path in drawings.FOLDER.iterdir()}
    assert all(len(list(drawings.FOLDER.glob(f"{key}-????????????-*.webp"))) == 4 for key in keys)
