"""Looking inside: figures and lists say what the arrays hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.views import samples
from tlcore import inside as kept
from tlcore.experiment import Experiment
from tlcore.inside import Inside
from tlcore.models.registry import get_backbone
from tlcore.views import inside as draw
from tlcore.views.common import look_of

CLASSES = tuple("abcdefghij")


def sample(seed: int = 0, *, channels: int = 1, filters: int = 16) -> Inside:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 10, 200)
    made = kept.answers_only("ab" * 32, (28, 28, channels), 0.5, truth, rng.integers(0, 10, 200))
    kernel = rng.normal(size=(3, 3, channels, filters))
    made = kept.with_kernels(made, [kernel], [kernel * 1.5])
    maps = {"conv1": rng.random((3, 14, 14, 16), dtype=np.float32), "dense1": rng.random((3, 40), dtype=np.float32)}
    made = kept.with_activations(made, np.arange(3), maps)
    labels = np.repeat(np.arange(10), 6)
    far = np.eye(10)[labels] * 9 + rng.normal(size=(60, 10))
    return kept.with_features(made, rng.normal(size=(60, 10)), far, labels)


ONE, TWO = sample(), sample(1)
RECORDS = [
    record.model_copy(
        update={
            "weight_change": {"conv1": 0.1 * record.seed, "dense1": 0.5, "head": 9.0},
            "feature_cka": {"conv1": 1.0, "dense1": -0.02},
        }
    )
    for record in samples.records(Experiment(strategies=("scratch", "fine_tune_all", "pixel_baseline")))
    if record.strategy != "pixel_baseline"
]


def every_figure() -> list:
    places, shares = draw.embed(ONE.features_after, "pca")
    flips = draw.fixed_and_broken(ONE, TWO, ONE.truth)
    return [
        draw.filters_figure({"scratch": ONE, "fine_tune_all": TWO}),
        draw.activations_figure(ONE, 1),
        draw.embedding_figure(places, places, ONE.feature_labels, CLASSES, "pca", (shares, shares)),
        draw.stages_figure(RECORDS, "weight_change"),
        draw.stages_figure(RECORDS, "feature_cka"),
        draw.confusion_to_click(samples.record(Experiment(), "scratch", 0)),
        draw.flips_figure(flips, "scratch", "fine_tune_all"),
        draw.filters_figure({}),
        draw.activations_figure(ONE, 7),
        draw.stages_figure([], "feature_change"),
    ]


def test_all_figures_are_transparent_and_leave_text_colours_alone() -> None:
    for figure in every_figure():
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.height > 0
        assert all(note.font.color is None for note in figure.layout.annotations)
        json.loads(figure.to_json())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("filters", [5, 16])
def test_filters_are_bright_where_they_are_positive(channels: int, filters: int) -> None:
    inside = sample(channels=channels, filters=filters)
    figure = draw.filters_figure(
        {"scratch": inside, "pixel_baseline": replace(inside, kernels_before=np.zeros(0), kernels_after=np.zeros(0))}
    )
    assert len(figure.data) == 2  # one arm, before and after
    picture = np.asarray(figure.data[0].z)
    first = inside.kernels_before[..., 0].astype(float)
    first = first if channels == 3 else first.repeat(3, axis=2)
    assert ((picture[:3, :3, :3] > 127) == (first > 0)).mean() > 0.9
    assert (picture[3, :, 3] == 0).all() if filters > 8 else picture.shape[0] == 3
    table = draw.filters_table({"scratch": inside})
    assert table.iloc[0].tolist()[1:] == [filters, pytest.approx(50, abs=0.5)]


def test_activations_hold_the_stages_in_order() -> None:
    figure = draw.activations_figure(ONE, 2)
    assert len(figure.data) == 2
    low, high = ONE.ranges["conv1"]
    z = np.asarray(figure.data[0].z)
    assert z.shape[0] == 14
    assert np.nanmax(z) <= high + 1e-3
    np.testing.assert_allclose(z[:, :14], low + ONE.activations["conv1"][2, :, :, 0] / 255 * (high - low), atol=1e-3)
    assert np.asarray(figure.data[1].z).shape == (2, 32)  # 40 units
    quiet = kept.with_activations(ONE, np.arange(3), {"conv1": np.zeros((3, 4, 4, 2), dtype=np.float32)})
    assert draw.silent_share(quiet) == {"conv1": 1.0}
    draw.activations_figure(quiet)


def test_principal_components_are_those_of_the_features() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6)) * [9, 4, 1, 1, 1, 1]
    places, shares = draw.embed(features, "pca")
    assert shares[0] > shares[1] > 0.05
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(np.abs(np.corrcoef(places[:, 0], centred[:, 0])[0, 1]), 1, atol=0.02)
    assert draw.embed(np.ones((9, 4)), "pca")[1] == (0.0, 0.0)
    assert draw.embed(np.random.default_rng(0).normal(size=(9, 1)), "pca")[0].shape == (9, 2)


def test_tsne_keeps_groups_together() -> None:
    places, shares = draw.embed(ONE.features_after, "tsne")
    assert shares == ()
    assert draw.neighbours_agree(places, ONE.feature_labels) > 0.9
    assert draw.neighbours_agree(ONE.features_before, ONE.feature_labels) < 0.5
    assert np.isfinite(draw.embed(np.zeros((9, 4)), "tsne")[0]).all()
    table = draw.neighbours_table({"scratch": ONE})
    assert table.iloc[0, 2] > 90 > 50 > table.iloc[0, 1]


def test_class_names_do_not_cover_each_other() -> None:
    places = np.zeros((60, 2)) + np.random.default_rng(0).normal(size=(60, 2)) * 1e-3
    figure = draw.embedding_figure(places, places, ONE.feature_labels, CLASSES, "tsne")
    names = [note for note in figure.layout.annotations if note.text in CLASSES]
    assert len(names) == 20
    heights = [note.y for note in names[:10]]
    assert len({round(height, 6) for height in heights}) == 10
    assert len({trace.marker.symbol for trace in figure.data}) == 10


def test_stages_average_the_seeds_and_leave_the_head_to_the_table() -> None:
    figure = draw.stages_figure(RECORDS, "weight_change")
    assert [trace.name for trace in figure.data] == ["From scratch", "Fine-tune everything"]
    trace = figure.data[1]
    assert list(trace.x) == ["conv1", "dense1"]
    assert list(trace.y) == pytest.approx([0.1, 0.5])
    assert trace.line.color == look_of("fine_tune_all").colour
    table = draw.stages_table(RECORDS, "weight_change")
    assert table.loc["From scratch"].to_dict() == pytest.approx({"conv1": 0.1, "dense1": 0.5, "head": 9.0})
    assert draw.stages_table(RECORDS, "feature_change").empty
    low, _ = draw.stages_figure(RECORDS, "feature_cka").layout.yaxis.range
    assert low == pytest.approx(-0.02)


def test_a_cell_holds_its_images() -> None:
    cell = draw.confusion_cell(ONE, 3, 4, 10)
    assert all(ONE.truth[at] == 3 and ONE.answers[at] == 4 for at in cell)
    assert len(cell) == sum((ONE.truth == 3) & (ONE.answers == 4))
    foreign = replace(ONE, answers=np.where(ONE.truth == 3, 12, ONE.truth).astype(np.int16))
    assert len(draw.confusion_cell(foreign, 3, 10, 10)) == sum(ONE.truth == 3)


def test_every_cell_can_be_clicked() -> None:
    record = samples.record(Experiment(), "scratch", 0)
    marks = draw.confusion_to_click(record).data[-1]
    assert len(marks.x) == 100
    assert [list(pair) for pair in marks.customdata][12] == [1, 2]
    assert f"{record.confusion[1][2]} images" in marks.text[12]


def test_fixed_and_broken_and_both_are_all_images() -> None:
    flips = draw.fixed_and_broken(ONE, TWO, ONE.truth)
    assert flips.count == 200
    assert all(ONE.answers[at] != ONE.truth[at] == TWO.answers[at] for at in flips.fixed)
    assert all(ONE.answers[at] == ONE.truth[at] != TWO.answers[at] for at in flips.broken)
    same = draw.fixed_and_broken(ONE, ONE, ONE.truth)
    assert len(same.fixed) == len(same.broken) == 0
    table = draw.flips_table(flips, "scratch", "fine_tune_all")
    assert int(table.to_numpy().sum()) == 200
    assert table.iloc[1, 0] == len(flips.fixed)


def test_pictures_are_enlarged_pixel_by_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), dtype=np.uint8)
    strip = draw.pictures_strip(images)
    assert [one.shape for one in strip] == [(112, 112)] * 2
    np.testing.assert_array_equal(strip[1][::4, ::4], images[1, :, :, 0])
    assert draw.pictures_strip(np.zeros((1, 32, 32, 3), dtype=np.uint8))[0].shape == (96, 96, 3)


def test_few_filters_are_no_large_networks() -> None:
    assert get_backbone("cnn_deep").stages[0].width <= kept.FILTERS
