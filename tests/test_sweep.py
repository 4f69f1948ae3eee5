"""Sweeps: every value checked before anything runs, equal arms trained once, quantities from the records alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tests.views import samples
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.metrics.curves import QUANTITIES
from tlcore.metrics.stats import paired_interval
from tlcore.results import Comparison
from tlcore.saved import records_in, run_each, shared_arms
from tlcore.strategies import STRATEGIES
from tlcore.sweep import ALIASES, CUT_STRATEGIES, FACTORS, Sweep, plan_sweep, sweep

if TYPE_CHECKING:
    from pathlib import Path

# Two values a factor that can be run with the defaults, and what else they need.
TWO: dict[str, tuple[str, dict[str, str]]] = {
    "labels_per_class": ("5,20", {}),
    "cut": ("1,2", {}),
    "source": ("mnist,uci_digits", {}),
    "source_images": ("500,auto", {}),
    "backbone": ("cnn_small,cnn_deep", {}),
    "learning_rate": ("0.001,0.01", {}),
    "steps": ("50,100", {}),
    "unfreeze_at": ("0.2,0.5", {}),
    "target": ("fashion_mnist,uci_digits", {}),
    "batch_size": ("16,64", {}),
    "augmentation": ("none,shift", {}),
    "normalization": ("train,freeze", {}),
    "image_size": ("96,128", {"source": "imagenet", "backbone": "mobilenet_v2_035", "target": "cifar10_trucks"}),
}


class Fake:
    """Makes records without training, and remembers what it was asked to run."""

    def __init__(self, gain: float = 0.0) -> None:
        self.asked: list[Experiment] = []
        self.gain = gain

    def __call__(self, experiment: Experiment) -> Comparison:
        self.asked.append(experiment)
        level = 0.5 + 0.05 * math.log2(experiment.labels_per_class)
        records = [
            samples.record(experiment, strategy, seed, level + 0.01 * seed + self.gain * (strategy != "scratch"))
            for strategy in experiment.strategies
            for seed in experiment.seed_values
        ]
        return Comparison(experiment, tuple(records))


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_can_be_planned(name: str) -> None:
    values, given = TWO[name]
    plan = plan_sweep(f"{name}={values}", given)
    assert plan.factor == name
    assert len(plan.experiments) == 2
    assert plan.experiments[0].strategies == FACTORS[name].strategies
    first, second = (experiment.model_dump(exclude={name}) for experiment in plan.experiments)
    assert first == second, "a sweep varies one thing"
    assert FACTORS[name].sentence.endswith(".")
    assert set(FACTORS[name].strategies) <= set(STRATEGIES)


def test_other_words_name_the_same_factors() -> None:
    assert plan_sweep("depth=cnn_small,cnn_deep").factor == "backbone"
    assert plan_sweep("source-size=100,1000").factor == "source_images"
    assert set(ALIASES.values()) <= set(FACTORS)
    assert plan_sweep("cut=1,2").experiments[0].strategies == CUT_STRATEGIES


@pytest.mark.parametrize(
    ("vary", "given", "expected"),
    [
        ("labels=5,10", {}, "did you mean labels_per_class"),
        ("labels_per_class", {}, "two values or more"),
        ("labels_per_class=", {}, "two values or more"),
        ("labels_per_class=5", {}, "two values or more"),
        ("labels_per_class=5,5", {}, "named twice"),
        ("labels_per_class=5,many", {}, "labels_per_class=many"),
        ("labels_per_class=5,1", {}, "at least 2"),
        ("labels_per_class=5,94", {"target": "uci_digits"}, "at most 93"),
        ("learning_rate=0.1,2", {}, "at most 1"),
        ("cut=1,4", {}, "0 to 3"),
        ("cut=1,2", {"cut": "1"}, "leave --cut out"),
        ("backbone=cnn_small,cnn_smal", {}, "did you mean cnn_small"),
        ("source=mnist,fashion_mnist", {}, "two different datasets"),
        ("steps=10,20", {"sauce": "mnist"}, "no such setting"),
    ],
)
def test_a_wrong_sweep_is_refused_in_one_line(vary: str, given: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        plan_sweep(vary, given)
    assert len(str(caught.value).splitlines()) == 1


# --- equal arms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vary", "once"),
    [
        ("cut=1,2", {"scratch"}),
        ("source=mnist,uci_digits", {"scratch", "random_features", "pixel_baseline"}),
        ("source_images=500,1000", {"scratch", "random_features", "pixel_baseline"}),
        ("steps=50,100", {"pixel_baseline"}),
        ("learning_rate=0.001,0.01", {"pixel_baseline"}),
        ("labels_per_class=5,10", set()),
        ("unfreeze_at=0.2,0.5", {"scratch", "random_features", "pixel_baseline", "fine_tune_all"}),
    ],
)
def test_what_is_the_same_arm_is_trained_once(vary: str, once: set[str]) -> None:
    strategies = ("scratch", "copy_frozen", "fine_tune_all", "random_features", "pixel_baseline", "lp_ft")
    if vary.startswith("cut"):
        strategies = ("scratch", "copy_frozen")
    run = Fake()
    result = sweep(plan_sweep(vary, {"strategies": strategies, "seeds": 2}), run)
    if vary.startswith("unfreeze"):
        once = once | {"copy_frozen"}
    assert set(run.asked[0].strategies) == set(strategies)
    assert set(run.asked[1].strategies) == set(strategies) - once
    for comparison in result.comparisons:  # complete, in order, and each record names the experiment it is shown in
        assert [(r.strategy, r.seed) for r in comparison.records] == [(s, e) for s in strategies for e in (0, 1)]
        assert all(record.experiment == comparison.experiment for record in comparison.records)


def test_a_borrowed_arm_names_the_source_and_that_it_did_not_use_it() -> None:
    result = sweep(plan_sweep("source=mnist,uci_digits", {"seeds": 1}), Fake())
    borrowed = next(record for record in result.comparisons[1].records if record.strategy == "scratch")
    assert borrowed.datasets["source"].name == "uci_digits"
    assert borrowed.datasets["source"].provenance == "not used by this arm"


def test_an_arm_on_other_inputs_is_another_arm() -> None:
    """Images are fitted to the source's input, so with a colour source even training from scratch differs."""
    plan = plan_sweep("source=mnist,cifar10_cars", {"target": "cifar10_trucks", "seeds": 1})
    run = Fake()
    run_each(plan.experiments, run)
    assert "scratch" in run.asked[1].strategies
    assert shared_arms(run(plan.experiments[0]).records, plan.experiments[1]) == []


# --- results ----------------------------------------------------------------------------------------------------------


def labels_sweep(gain: float = 0.1, seeds: int = 3) -> Sweep:
    """A sweep over labels in which accuracy rises by five points with every doubling."""
    return sweep(plan_sweep("labels_per_class=5,10,20,40", {"seeds": seeds}), Fake(gain))


def test_a_sweep_comes_back_from_its_json(tmp_path: Path) -> None:
    result = labels_sweep()
    assert Sweep.from_json(result.to_json()) == result
    (tmp_path / "s.json").write_text(result.to_json(), encoding="utf-8")
    assert Sweep.read(tmp_path / "s.json") == result
    assert records_in(tmp_path / "s.json") == result.records


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"factor": 3}', "\x00"])
def test_what_is_no_sweep_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a sweep") as caught:
        Sweep.from_json(text)
    assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.json"):
        records_in(tmp_path / "x.json")


def test_a_point_holds_what_the_records_say() -> None:
    result = labels_sweep()
    assert result.values == (5, 10, 20, 40)
    point = next(p for p in result.points if (p.value, p.strategy) == (10, "fine_tune_all"))
    records = result.comparisons[1].records
    ours, scratch = ([r.test_accuracy for r in records if r.strategy == name] for name in ("fine_tune_all", "scratch"))
    assert point.difference is not None
    expected = paired_interval(ours, scratch)
    assert (point.difference.mean_difference, point.difference.ci_low) == pytest.approx((expected.mean, expected.low))
    assert {"area_under_curve", "transfer_ratio", "asymptote", "negative_transfer_gap"} <= set(point.quantities)
    assert point.quantities["negative_transfer_gap"].interval is not None
    assert point.quantities["negative_transfer_gap"].interval.mean == pytest.approx(-0.1)


def test_label_efficiency_is_read_off_the_sweep() -> None:
    """Ten points are two doublings here, so transfer is worth four times the labels where that was measured."""
    points = {(p.value, p.strategy): p.label_efficiency for p in labels_sweep().points}
    first = points[5, "feature_extraction"]
    assert first is not None
    assert first.ratio == pytest.approx(4, rel=0.01)
    last = points[40, "feature_extraction"]
    assert last is not None
    assert (last.ratio, last.censored) == (None, "at least")
    assert points[5, "scratch"] is None


def test_the_table_has_a_row_a_value_and_strategy() -> None:
    result = labels_sweep()
    table = result.table()
    assert len(table) == 4 * 4
    assert table.columns[0] == "Labels a class"
    assert {QUANTITIES[name].title for name in ("area_under_curve", "asymptote")} <= set(table.columns)
    one = labels_sweep(seeds=1).table()
    assert one["Test accuracy (%), low"].isna().all()


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_can_be_drawn(name: str) -> None:
    values, given = TWO[name]
    result = sweep(plan_sweep(f"{name}={values}", given), lambda e: Comparison(e, tuple(draw(e))))
    figure = result.figure()
    assert len(figure.data) == len(result.strategies)
    for trace, strategy in zip(figure.data, result.strategies, strict=True):
        assert trace.line.color == STRATEGIES[strategy].colour
        assert trace.line.dash == STRATEGIES[strategy].dash
        assert len(trace.x) == 2
    logarithmic = FACTORS[name].log and "auto" not in values
    assert figure.layout.xaxis.type == ("log" if logarithmic else "linear")
    assert len(figure.layout.annotations) == len(result.strategies)
    assert len(result.table()) == 2 * len(result.strategies)


def draw(experiment: Experiment) -> list[samples.RunRecord]:
    """Records of an experiment whose source may be one without pictures, as ImageNet."""
    foreign = experiment.source == "imagenet"
    usual = {"source": "mnist", "backbone": "cnn_small", "image_size": None}
    stand_in = experiment.model_copy(update=usual) if foreign else experiment
    return [
        samples.record(stand_in, strategy, seed).model_copy(update={"experiment": experiment})
        for strategy, seed in experiment.arms
    ]
