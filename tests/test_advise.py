"""Advice from measured cells: nearest cells, stated distances, refusal where nothing is near, an honest report."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from tests.views import samples
from tlcore.advise import (
    ATLAS,
    BUDGETS,
    COORDINATES,
    NEIGHBOURS,
    PAIRS,
    STRATEGIES_MEASURED,
    Atlas,
    AtlasArm,
    AtlasCell,
    Recommendation,
    advise,
    measure_atlas,
    plan_atlas,
    position,
)
from tlcore.errors import UserError
from tlcore.estimate import SourceScores
from tlcore.experiment import Experiment
from tlcore.metrics.stats import mean_interval
from tlcore.results import Comparison

BETTER = {"scratch": 0.5, "feature_extraction": 0.5, "fine_tune_last": 0.55, "fine_tune_all": 0.5, "lp_ft": 0.5}


def similarity(distance: float, share: float, cka: float, classes: int = 10, seeds: int = 3) -> SourceScores:
    """Scores with a given meaning."""
    leep = (share - 1) * math.log(classes)
    values = {"proxy_a_distance": distance, "leep": leep, "cka_labels": cka}
    return SourceScores(source="mnist", scores={k: (v,) * seeds for k, v in values.items()}, seconds={})


def cell(source: str, target: str, labels: int, best: str, scores: SourceScores) -> AtlasCell:
    """A measured cell in which one strategy is ten points ahead."""
    experiment = Experiment(
        source=source, target=target, strategies=STRATEGIES_MEASURED, labels_per_class=labels, steps=200
    )
    arms = tuple(
        AtlasArm(
            strategy=name,
            seed=seed,
            test_accuracy=(0.6 if name == best else 0.5) + 0.001 * seed + (0.0005 * seed if name == "lp_ft" else 0),
            arm_hash=experiment.arm_hash(name, seed),
            created=datetime(2026, 11, 20, tzinfo=UTC),
        )
        for name in STRATEGIES_MEASURED
        for seed in (0, 1, 2)
    )
    return AtlasCell(
        experiment=experiment, content_hash=experiment.content_hash(), scores=scores, arms=arms, machine="sample"
    )


NEAR, FAR = similarity(0.2, 0.8, 0.6), similarity(1.9, 0.1, 0.1)
MADE = Atlas(
    cells=tuple(
        cell(source, target, labels, best, scores)
        for source, target, scores, best in (
            ("mnist", "uci_digits", NEAR, "feature_extraction"),
            ("drawn_digits", "uci_digits", NEAR, "feature_extraction"),
            ("mnist", "fashion_mnist", FAR, "fine_tune_all"),
            ("uci_digits", "fashion_mnist", FAR, "fine_tune_all"),
        )
        for labels in (5, 10, 20)
    )
)


def asked(labels: int = 10) -> Experiment:
    return Experiment(source="drawn_digits", target="mnist", labels_per_class=labels)


def test_the_nearest_cells_decide() -> None:
    near, far = advise(asked(), NEAR, MADE), advise(asked(), FAR, MADE)
    assert (near.strategy, far.strategy) == ("feature_extraction", "fine_tune_all")
    assert near.gains["feature_extraction"] == pytest.approx(0.1)
    assert list(near.gains) == sorted(near.gains, key=lambda name: -near.gains[name])
    assert len(near.neighbours) == NEIGHBOURS
    distances = [neighbour.distance for neighbour in near.neighbours]
    assert distances == sorted(distances)
    assert distances[0] == pytest.approx(0)
    assert near.warnings == ()
    item = near.neighbours[0].cell.difference("feature_extraction")
    assert (item.n, item.verdict) == (3, "helps")
    assert Recommendation.from_json(near.to_json()) == near


def test_what_is_far_is_warned_about_and_then_refused() -> None:
    atlas = Atlas(cells=MADE.cells[:3] + MADE.cells[6:9])  # no twins, so cells lie apart
    step = atlas.reach * math.sqrt(len(COORDINATES)) * float(atlas.scale[1])
    warned = advise(asked(), similarity(0.2 - 1.5 * step, 0.8, 0.6), atlas)
    assert any("guess" in warning for warning in warned.warnings)
    with pytest.raises(UserError, match="no measured cell is near"):
        advise(asked(), similarity(0.2 - 2.5 * step, 0.8, 0.6), atlas)


def test_another_backbone_is_said() -> None:
    deep = asked().model_copy(update={"backbone": "cnn_deep"})
    assert any("cnn_deep" in warning for warning in advise(deep, NEAR, MADE).warnings)


def test_a_score_that_is_missing_is_named() -> None:
    without = SourceScores(source="mnist", scores={}, seconds={}, missing={"proxy_a_distance": "no pictures"})
    with pytest.raises(UserError, match="no pictures"):
        position(asked(), without)


def test_a_position_means_the_same_for_any_number_of_classes() -> None:
    trucks = Experiment(source="cifar10_cars", target="cifar10_trucks", labels_per_class=10)
    assert position(trucks, similarity(0.2, 0.8, 0.6, classes=2)) == pytest.approx(position(asked(), NEAR))
    assert position(asked(40), NEAR)[0] == pytest.approx(position(asked(10), NEAR)[0] + 2)


def test_the_report_counts_and_charges() -> None:
    policies = {policy.name: policy for policy in MADE.report()}
    own, pair = policies["advice, the cell left out"], policies["advice, its pair of tasks left out"]
    assert (own.best, own.as_good, own.cells) == (12, 12, 12)
    assert (own.regret.mean, own.worst) == pytest.approx((0, 0))
    assert pair.best == 12  # each pair has a twin
    always = policies["always feature_extraction"]
    assert always.best == 6
    assert always.regret.mean == pytest.approx(0.05)
    assert always.regret.n == 4, "the pairs are what repeats, not the cells"
    assert always.worst == pytest.approx(0.1)
    assert policies["always scratch"].regret.mean == pytest.approx(0.1)
    assert {f"always {name}" for name in STRATEGIES_MEASURED} <= set(policies)
    assert len(MADE.table()) == len(policies)


def test_an_atlas_comes_back_from_its_json() -> None:
    assert Atlas.from_json(MADE.to_json()) == MADE
    with pytest.raises(UserError, match="not an atlas"):
        Atlas.from_json("{}")


def test_an_atlas_is_measured_from_comparisons() -> None:
    experiments = plan_atlas()[:2]
    run = lambda e: Comparison(e, tuple(samples.records(e)))  # noqa: E731
    atlas = measure_atlas(run, lambda _: NEAR, experiments)
    assert [item.experiment for item in atlas.cells] == list(experiments)
    for item in atlas.cells:
        assert item.content_hash == item.experiment.content_hash()
        assert {(arm.strategy, arm.seed) for arm in item.arms} == set(item.experiment.arms)
        assert all(arm.arm_hash == item.experiment.arm_hash(arm.strategy, arm.seed) for arm in item.arms)
        assert item.regret(item.best) == 0
        assert item.as_good(item.best)


# --- the recorded atlas -----------------------------------------------------------------------------------------------


def recorded() -> Atlas:
    assert ATLAS.is_file(), "run python -m tlcore atlas"
    return Atlas.read(ATLAS)


def test_the_recorded_atlas_is_what_the_plan_says() -> None:
    cells = recorded().cells
    assert [item.experiment for item in cells] == list(plan_atlas())
    assert len(cells) == len(PAIRS) * len(BUDGETS)
    for item in cells:
        assert item.content_hash == item.experiment.content_hash()
        assert {(arm.strategy, arm.seed) for arm in item.arms} == set(item.experiment.arms)
        assert all(0 <= arm.test_accuracy <= 1 for arm in item.arms)
        assert len(position(item.experiment, item.scores)) == len(COORDINATES)


def test_the_advice_of_the_recorded_atlas_loses_less_than_always_scratch() -> None:
    policies = {policy.name: policy for policy in recorded().report()}
    assert policies["advice, the cell left out"].regret.mean < policies["always scratch"].regret.mean


@pytest.mark.real_data
def test_measuring_a_recorded_arm_again_agrees() -> None:
    from tlcore.arm import run_arm

    item = next(c for c in recorded().cells if c.pair == ("mnist", "uci_digits"))
    again = run_arm(item.experiment, "feature_extraction", 0)
    interval = mean_interval(item.accuracies("feature_extraction"))
    assert interval.low is not None
    assert again.test_accuracy == pytest.approx(
        item.accuracies("feature_extraction")[0], abs=max(0.02, interval.mean - interval.low)
    )
