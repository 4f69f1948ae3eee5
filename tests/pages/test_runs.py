"""The list of runs: open, compare two, delete."""

from __future__ import annotations

import pytest
import streamlit as st

from tests.pages import filling
from tests.pages.page_text import ME, address, everything
from tlcore.experiment import Experiment
from tlcore.store import Store


@pytest.fixture
def tick(monkeypatch):
    """Ticks rows of the table: AppTest cannot."""
    show = st.dataframe

    def choose(*rows):
        def with_rows(*args, **kwargs):
            event = show(*args, **kwargs)
            return {"selection": {"rows": list(rows)}} if "on_select" in kwargs else event

        monkeypatch.setattr(st, "dataframe", with_rows)

    return choose


def test_empty(app):
    at = app("runs")
    assert "Nothing has been run" in at.info[0].value
    at.button(key="first").click().run()
    assert at.title[0].value == "Compare strategies"


def test_only_my_runs_are_listed_newest_first(app):
    filling.run(Experiment(), "someone else")
    filling.run(Experiment(), ME)
    Store().submit(Experiment(labels_per_class=50), ME)
    table = app("runs").dataframe[0].value
    assert list(table["State"]) == ["… queued", "✓ finished"]
    assert table["Best mean test accuracy"].iloc[1].startswith("Fine-tune everything")
    assert list(table["Labels per class"]) == [50, 20]


def test_nothing_ticked_nothing_to_do(app):
    filling.run(Experiment(), ME)
    at = app("runs")
    assert all(at.button(key=key).disabled for key in ("open", "pair", "delete"))


def test_open(app, tick):
    filling.run(Experiment(), ME)
    tick(0)
    at = app("runs")
    at.button(key="open").click().run()
    assert at.title[0].value == "Compare strategies"
    assert "points against From scratch" in everything(at)


def test_compare_two_names_what_differed(app, tick):
    first = filling.run(Experiment(), ME)
    second = filling.run(Experiment(labels_per_class=50, seeds=2), ME)
    tick(0, 1)
    at = app("runs")
    at.button(key="pair").click().run()
    assert not at.exception
    assert "Side by side" in everything(at)
    assert list(at.dataframe[1].value["Setting"]) == ["labels per class", "seeds"]
    assert len(at.get("plotly_chart")) == 2
    assert set(address(at)["pair"].split(",")) == {first, second}


def test_compare_with_a_run_without_results(app):
    first, second = filling.run(Experiment(), ME), Store().submit(Experiment(), ME)
    at = app("runs", pair=f"{first},{second}")
    assert "No arm of this run has finished" in everything(at)
    assert "exactly the same experiment" in everything(at)


def test_compare_with_a_run_that_is_gone(app):
    first = filling.run(Experiment(), ME)
    assert "is not on this machine" in everything(app("runs", pair=f"{first},gone"))


def test_delete_asks_first(app, tick):
    run = filling.run(Experiment(), ME)
    tick(0)
    at = app("runs")
    at.button(key="delete").click().run()
    assert Store().job(run) is not None
    at.button(key="delete-yes").click().run()
    assert not at.exception
    assert Store().job(run) is None
