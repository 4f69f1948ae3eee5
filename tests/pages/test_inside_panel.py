"""The panel that looks inside: every look with what it needs, and in plain words without."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.page_text import everything
from tests.views import samples
from tlcore import inside as kept
from tlcore.experiment import Experiment
from tlcore.inside import Pictures

ASKED = Experiment(strategies=("scratch", "fine_tune_all", "direct_reuse", "pixel_baseline"), seeds=2)


def panel(*looks: str) -> AppTest:
    def page(looks: tuple[str, ...]) -> None:
        from pages.shared.inside_panel import show_inside
        from tests.pages.test_inside_panel import ASKED, records

        show_inside(records(), ASKED, looks, "k")

    at = AppTest.from_function(page, args=(looks,), default_timeout=30)
    at.run()
    assert not at.exception, at.exception
    return at


def records():
    stages = {"conv1": 0.2, "conv2": 0.5, "dense1": 0.9}
    return [
        record.model_copy(update={"weight_change": stages, "feature_change": stages, "feature_cka": stages})
        for record in samples.records(ASKED)
    ]


@pytest.fixture
def opened():
    """What a run would have kept: every arm's first seed, and the pictures."""
    for place, record in enumerate(records()):
        if record.seed:
            continue
        rng = np.random.default_rng(place)
        truth = np.random.default_rng(99).integers(0, 10, 200)
        answers = np.where(rng.random(200) < 0.7, truth, rng.integers(0, 10, 200))
        sha256 = record.datasets["target"].sha256
        made = kept.answers_only(sha256, (28, 28, 1), record.test_accuracy, truth, answers)
        if record.strategy != "pixel_baseline":
            kernel = rng.normal(size=(3, 3, 1, 16))
            made = kept.with_kernels(made, [kernel], [kernel + 0.1])
            maps = {"conv1": rng.random((3, 14, 14, 16)), "dense1": rng.random((3, 128))}
            made = kept.with_activations(made, np.arange(3), maps)
            made = kept.with_features(made, rng.normal(size=(60, 24)), rng.normal(size=(60, 24)), np.arange(60) % 10)
        kept.keep(ASKED, record.strategy, 0, made)
    images = np.random.default_rng(0).integers(0, 256, (200, 28, 28, 1), dtype=np.uint8)
    kept.keep_pictures("fashion_mnist", "1" * 64, Pictures(images, truth.astype(np.int16)))


@pytest.mark.parametrize(
    "look", ["filters", "activations", "embedding", "cka", "changes", "confusion", "fixed_and_broken"]
)
def test_every_look_has_a_chart_with_a_text(look, opened):
    at = panel(look)
    (chart,) = at.get("plotly_chart")
    assert len(chart.proto.alt) > 30
    assert at.caption
    assert not at.info
    assert not at.button_group or look in ("embedding", "changes")


@pytest.mark.parametrize("look", ["filters", "activations", "embedding", "fixed_and_broken"])
def test_what_was_not_kept_is_said(look):
    at = panel(look)
    assert "can be opened, and of those the first seed" in at.info[0].value
    assert not at.get("plotly_chart")


def test_without_pictures_the_counts_are_still_there():
    at = panel("confusion")
    assert len(at.get("plotly_chart")) == 1
    assert "test images of this class" in everything(at)
    assert "the first seed" in at.info[0].value


def test_several_looks_are_offered_one_at_a_time(opened):
    at = panel("cka", "filters", "nonsense")
    assert len(at.get("plotly_chart")) == 1
    at.button_group(key="k-look").set_value("cka").run()
    assert not at.exception
    assert "0 is unrelated" in everything(at)


def test_choosing_a_cell_opens_its_pictures(opened):
    at = panel("confusion")
    inside = kept.find(ASKED, "scratch", 0)
    assert inside is not None
    at.selectbox(key="k-confusion-scratch-0-true").set_value(2)
    at.selectbox(key="k-confusion-scratch-0-answer").set_value(2).run()
    assert not at.exception
    count = int(((inside.truth == 2) & (inside.answers == 2)).sum())
    assert f"{count} " in everything(at)
    assert len(at.get("image")[0].proto.imgs) == count
    at.selectbox(key="k-confusion-seed").set_value(1).run()
    assert not at.exception
    assert "the first seed" in at.info[0].value  # the second seed was not kept


def test_another_run_of_the_arm_says_so(opened, monkeypatch):
    inside = kept.find(ASKED, "scratch", 0)
    assert inside is not None
    from dataclasses import replace

    kept.keep(ASKED, "scratch", 0, replace(inside, test_accuracy=0.111))
    assert "ended at 11.1 % on the test images" in everything(panel("filters"))


def test_the_same_strategy_twice_is_refused(opened):
    at = panel("fixed_and_broken")
    assert "fixes" in everything(at)
    at.selectbox(key="k-flips-b").set_value("scratch").run()
    assert "two different strategies" in at.info[0].value


def test_tsne_is_drawn_when_asked_for(opened):
    at = panel("embedding")
    at.button_group(key="k-embedding-method").set_value("t-SNE").run()
    assert not at.exception
    assert "distances between groups and their sizes mean nothing" in everything(at)
