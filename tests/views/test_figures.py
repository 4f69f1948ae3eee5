"""Figures: what they show is what the records say."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.views import samples
from tlcore import views
from tlcore.experiment import Experiment
from tlcore.models.registry import BACKBONES, get_backbone
from tlcore.results import Comparison, paired_comparisons
from tlcore.strategies import STRATEGIES
from tlcore.views.common import spread
from tlcore.views.curves import bands

RECORDS = samples.records()
COMPARISONS = paired_comparisons(RECORDS)


def texts(figure) -> str:
    return " ".join(note.text for note in figure.layout.annotations)


def test_accuracy_shows_every_seed_the_mean_and_guessing():
    figure = views.accuracy_figure(RECORDS)
    shown = sorted(x for trace in figure.data if trace.mode == "markers" for x in trace.x)
    assert shown == pytest.approx(sorted(100 * record.test_accuracy for record in RECORDS))
    diamonds = [trace for trace in figure.data if trace.mode == "markers+text"]
    assert len(diamonds) == len(samples.ALL_ARMS)
    scratch = [record.test_accuracy for record in RECORDS if record.strategy == "scratch"]
    assert diamonds[0].x[0] == pytest.approx(100 * sum(scratch) / 3)
    assert "guessing 10.0 %" in texts(figure)
    low, high = figure.layout.xaxis.range
    assert low <= 10 <= high
    assert min(shown) >= low
    assert max(shown) <= high


def test_guessing_is_the_commonest_class_not_one_over_classes():
    record = samples.record(samples.CARS, "scratch", 0)
    uneven = record.model_copy(update={"confusion": ((700, 200), (50, 50))})
    assert "guessing 90.0 %" in texts(views.accuracy_figure([uneven]))


def test_a_diverged_seed_has_its_own_mark():
    broken = RECORDS[0].model_copy(update={"status": "diverged"})
    first = views.accuracy_figure([broken, *RECORDS[1:]]).data[0]
    assert first.marker.symbol == ("x", "circle", "circle")


def test_one_seed_has_no_interval():
    one = samples.records(Experiment(seeds=1))
    figure = views.accuracy_figure(one)
    assert not any(trace.error_x.visible for trace in figure.data if trace.mode == "markers+text")
    differences = views.differences_figure(paired_comparisons(one))
    assert "one seed: no verdict" in texts(differences)
    assert not any(trace.error_x.visible for trace in differences.data)


def test_differences_carry_the_verdicts_of_the_comparisons():
    figure = views.differences_figure(paired_comparisons(samples.cars()))
    assert texts(figure).count("▲") == 3
    assert texts(figure).count("helps") == 3
    for trace, item in zip(figure.data, paired_comparisons(samples.cars()), strict=True):
        assert trace.x[0] == pytest.approx(100 * item.mean_difference)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(100 * item.ci_low)


def test_a_control_far_away_does_not_flatten_the_others():
    figure = views.differences_figure(COMPARISONS)
    low, high = figure.layout.xaxis.range
    assert low > -40
    assert low < 0 < high
    assert "off this scale" in texts(figure)
    shown = {trace.name for trace in figure.data}
    assert "Direct reuse" not in shown
    assert {STRATEGIES[name].title for name in ("feature_extraction", "fine_tune_all")} <= shown


def test_controls_are_lower_not_hurt():
    only = [item for item in COMPARISONS if STRATEGIES[item.strategy].kind == "control"]
    figure = views.differences_figure(only)
    assert "hurts" not in texts(figure)
    assert "lower" in texts(figure)


@pytest.mark.parametrize("figure", [views.accuracy_figure([]), views.differences_figure([])])
def test_nothing_gives_an_empty_figure(figure):
    assert len(figure.data) == 0
    assert figure.layout.height > 0


def test_all_figures_are_transparent_and_leave_text_colours_alone():
    figures = [
        views.accuracy_figure(RECORDS),
        views.differences_figure(COMPARISONS),
        views.curves_figure(views.points_of(RECORDS), levels=views.levels_of(RECORDS)),
        views.confusion_figure(RECORDS[0]),
    ]
    for figure in figures:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.font.color is None
        assert all(note.font.color is None for note in figure.layout.annotations)
        json.loads(figure.to_json())


def test_every_strategy_keeps_its_colour_and_dash():
    looks = {(item.colour, item.dash) for item in STRATEGIES.values()}
    assert len(looks) == len(STRATEGIES)
    figure = views.curves_figure(views.points_of(RECORDS), levels=views.levels_of(RECORDS))
    lines = {trace.name: trace.line for trace in figure.data if trace.name}
    for item in (STRATEGIES[name] for name in samples.ALL_ARMS):
        assert lines[item.title].color == item.colour
        assert lines[item.title].dash == item.dash


def test_curves_average_the_seeds_and_span_their_range():
    looks = views.points_of(RECORDS)
    band = bands(looks)["scratch"]
    last = [point.validation_accuracy for name, _, point in looks if name == "scratch" and point.step == 300]
    assert band.steps[-1] == 300
    assert band.seeds[-1] == 3
    assert band.mean[-1] == pytest.approx(sum(last) / 3)
    assert (band.low[-1], band.high[-1]) == (min(last), max(last))
    table = views.curves_table(looks)
    assert table.loc[300, "From scratch"] == pytest.approx(100 * band.mean[-1])


def test_arms_without_steps_are_drawn_level():
    levels = views.levels_of(RECORDS)
    assert set(levels) == {"direct_reuse", "pixel_baseline"}
    figure = views.curves_figure(views.points_of(RECORDS), levels=levels)
    level = next(trace for trace in figure.data if trace.name == "Pixel baseline")
    assert level.y[0] == level.y[1] == pytest.approx(100 * levels["pixel_baseline"])


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.01, 0.3))
def test_labels_never_overlap_and_keep_their_order(wanted, gap):
    placed = spread(wanted, gap)
    assert len(placed) == len(wanted)
    room = min(gap, 1 / max(len(wanted) - 1, 1))
    ranked = sorted(placed)
    assert all(b - a >= room - 1e-9 for a, b in pairwise(ranked))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in placed)
    for i, first in enumerate(wanted):
        for j, second in enumerate(wanted):
            if first < second:
                assert placed[i] < placed[j]


def test_labels_that_have_room_stay_where_they_are():
    assert spread([0.1, 0.9, 0.5], 0.1) == pytest.approx([0.1, 0.9, 0.5])


def test_live_axes_and_series_never_move():
    experiment = Experiment(strategies=samples.ALL_ARMS)
    looks = views.points_of(samples.records(experiment))
    frames = [views.live_options(looks[:count], experiment) for count in (0, 1, 20, len(looks))]
    for frame in frames:
        assert [one["id"] for one in frame["series"]] == [one["id"] for one in frames[0]["series"]]
        assert (frame["xAxis"]["min"], frame["xAxis"]["max"]) == (0, experiment.steps)
        assert (frame["yAxis"]["min"], frame["yAxis"]["max"]) == (0, 100)
        assert frame["animation"] is False
        assert "dataZoom" not in frame
        json.dumps(frame, allow_nan=False)
    assert views.live_options(looks, experiment) == frames[-1]


def test_live_lines_are_means_and_the_shade_is_the_range():
    experiment = Experiment()
    looks = views.points_of(samples.records(experiment))
    series = {one["id"]: one["data"] for one in views.live_options(looks, experiment)["series"]}
    band = bands(looks)["scratch"]
    assert series["scratch"][-1] == [300, pytest.approx(100 * band.mean[-1], abs=0.01)]
    low, height = series["scratch low"][-1][1], series["scratch range"][-1][1]
    assert low == pytest.approx(100 * band.low[-1], abs=0.01)
    assert low + height == pytest.approx(100 * band.high[-1], abs=0.02)


def test_dark_changes_the_ink_only():
    experiment, looks = Experiment(), views.points_of(samples.records())
    light, dark = (views.live_options(looks, experiment, dark=dark) for dark in (False, True))
    assert light["legend"]["textStyle"]["color"] != dark["legend"]["textStyle"]["color"]
    assert light["series"] == dark["series"]


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_the_planned_network_is_the_one_that_is_recorded(backbone):
    for name, strategy in STRATEGIES.items():
        experiment = Experiment(backbone="cnn_small", strategies=("scratch",))
        try:
            strategy.recipe(get_backbone(backbone), None)
            experiment = Experiment(backbone=backbone, strategies=(name,), seeds=1)
        except ValueError:
            continue
        (planned,) = views.planned_network((name,), get_backbone(backbone))
        (recorded,) = views.recorded_network(samples.records(experiment))
        assert [(box.column, box.origin, box.mode) for box in planned.boxes] == [
            (box.column, box.origin, box.mode) for box in recorded.boxes
        ]


def test_the_network_says_in_words_what_it_draws():
    rows = views.planned_network(("feature_extraction", "pixel_baseline"), get_backbone("cnn_small"))
    table = views.network_table(rows)
    assert table.count("<b>frozen</b>") == table.count("tl-filled tl-frozen") == 3
    assert table.count("fresh") == 1
    assert "no network" in table
    assert STRATEGIES["feature_extraction"].colour in table
    assert views.network_table(()) == ""
    counted = views.network_table(views.recorded_network(RECORDS))
    assert f"{RECORDS[0].stages[0].parameters:,}" in counted


def test_confusion_shows_the_counts_and_the_foreign_column():
    record = samples.record(
        Experiment(source="mnist", target="cifar10_trucks", strategies=("direct_reuse",)), "direct_reuse", 0
    )
    figure = views.confusion_figure(record)
    assert figure.data[0].x[-1] == "(a source class)"
    assert sum(figure.data[0].z[0]) == pytest.approx(100)
    table = views.confusion_table(record)
    assert table.to_numpy().sum() == 200
    assert list(table.index) == list(record.datasets["target"].classes)


def test_a_comparison_gives_its_table_and_figure():
    comparison = Comparison(samples.CARS, tuple(samples.cars()))
    assert len(comparison.table()) == 4
    assert len(comparison.figure().data) == 8
