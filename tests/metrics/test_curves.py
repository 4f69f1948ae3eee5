"""Quantities from curves and records: by hand, by property, with what is censored counted and never averaged."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.views import samples
from tlcore.experiment import CurvePoint, Experiment, RunRecord
from tlcore.metrics.curves import (
    QUANTITIES,
    LabelEfficiency,
    Measurement,
    area_under_curve,
    asymptote,
    forgetting,
    generalisation_gap,
    jumpstart,
    label_efficiencies,
    label_efficiency_ratio,
    negative_transfer_gap,
    quantities,
    seconds_to_threshold,
    seconds_with_pretraining,
    steps_to_threshold,
    training_seconds,
    transfer_ratio,
    usual_threshold,
)
from tlcore.metrics.stats import mean_interval, paired_interval

accuracies = st.floats(0, 1)
budgets = st.dictionaries(st.integers(1, 500), accuracies, min_size=2, max_size=8)


def curve(*looks: tuple[int, float]) -> tuple[CurvePoint, ...]:
    """Looks from (step, accuracy), a hundredth of a second a step."""
    return tuple(
        CurvePoint(step=step, seconds=step / 100, train_loss=1.0, train_accuracy=0.5, validation_accuracy=accuracy)
        for step, accuracy in looks
    )


curves = st.lists(accuracies, min_size=2, max_size=9).map(
    lambda values: curve(*((step * step * 10, value) for step, value in enumerate(values)))
)
SLOW = curve((0, 0.1), (10, 0.2), (30, 0.6), (40, 0.5), (100, 0.7))
FAST = curve((0, 0.3), (10, 0.6), (30, 0.8), (40, 0.8), (100, 0.8))


# --- plain functions --------------------------------------------------------------------------------------------------


def test_by_hand() -> None:
    assert area_under_curve(SLOW) == pytest.approx((1.5 + 8 + 5.5 + 36) / 100)
    assert area_under_curve(FAST) == pytest.approx((4.5 + 14 + 8 + 48) / 100)
    assert transfer_ratio(FAST, SLOW) == pytest.approx((74.5 - 51) / 51)
    assert jumpstart(FAST, SLOW) == pytest.approx(0.2)
    assert asymptote(SLOW) == pytest.approx(0.6)
    assert asymptote(SLOW, looks=1) == 0.7
    assert asymptote(SLOW, looks=99) == pytest.approx(2.1 / 5)
    assert generalisation_gap(0.9, 0.7) == pytest.approx(0.2)
    assert forgetting(0.98, 0.35) == pytest.approx(0.63)


@pytest.mark.parametrize(
    ("threshold", "step"), [(0.05, 0), (0.2, 10), (0.21, 30), (0.6, 30), (0.65, 100), (0.71, None)]
)
def test_the_first_look_at_the_threshold_counts(threshold: float, step: int | None) -> None:
    """No line between looks: nobody saw .21 at step 10.5; and what is lost again at step 40 was reached at 30."""
    assert steps_to_threshold(SLOW, threshold) == step
    assert seconds_to_threshold(SLOW, threshold) == (None if step is None else step / 100)


@given(curves, st.floats(0.01, 1))
def test_what_holds_for_every_curve(looks: tuple[CurvePoint, ...], threshold: float) -> None:
    seen = [look.validation_accuracy for look in looks]
    assert min(seen) - 1e-12 <= area_under_curve(looks) <= max(seen) + 1e-12
    assert area_under_curve(looks) == pytest.approx(
        np.trapezoid(seen, [look.step for look in looks]) / looks[-1].step, abs=1e-12
    )
    assert jumpstart(looks, looks) == 0
    if area_under_curve(looks) > 0:
        assert transfer_ratio(looks, looks) == 0
    reached = steps_to_threshold(looks, threshold)
    assert (reached is None) == (max(seen) < threshold)
    if reached is not None:
        assert all(look.validation_accuracy < threshold for look in looks if look.step < reached)
    assert asymptote(looks, 1) == seen[-1]


@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=8))
def test_the_negative_transfer_gap_is_a_difference_of_risks(pairs: list[tuple[float, float]]) -> None:
    treatment, baseline = zip(*pairs, strict=True)
    gap = negative_transfer_gap(treatment, baseline)
    risks = paired_interval([1 - value for value in treatment], [1 - value for value in baseline])
    assert gap.mean == pytest.approx(risks.mean, abs=1e-12)
    assert gap.low == pytest.approx(risks.low, abs=1e-9)
    assert negative_transfer_gap([0.5, 0.5, 0.5], [0.7, 0.7, 0.7]).mean == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: area_under_curve(SLOW[:1]), "at least 2"),
        (lambda: area_under_curve(SLOW[::-1]), "must rise"),
        (lambda: area_under_curve((SLOW[0], SLOW[0])), "must rise"),
        (lambda: jumpstart(FAST[1:], SLOW), "no look before training"),
        (lambda: jumpstart(FAST, ()), "at least 1"),
        (lambda: transfer_ratio(FAST[:-1], SLOW), "same budget"),
        (lambda: transfer_ratio(FAST, curve((0, 0.0), (100, 0.0))), "0 throughout"),
        (lambda: steps_to_threshold(SLOW, 0.0), "above 0"),
        (lambda: seconds_to_threshold(SLOW, 1.01), "1 at most"),
        (lambda: steps_to_threshold((), 0.5), "at least 1"),
        (lambda: asymptote(SLOW, 0), "at least one"),
        (lambda: asymptote(()), "at least 1"),
        (lambda: generalisation_gap(1.2, 0.5), "no accuracy"),
        (lambda: forgetting(0.5, math.nan), "no accuracy"),
        (lambda: negative_transfer_gap([0.5], [0.5, 0.6]), "cannot be paired"),
        (lambda: label_efficiency_ratio({10: 0.5}, 10, 0.5), "at least two"),
        (lambda: label_efficiency_ratio({0: 0.1, 10: 0.5}, 10, 0.5), "above 0"),
        (lambda: label_efficiency_ratio({5: 0.1, 10: 0.5}, 0, 0.5), "above 0"),
        (lambda: label_efficiency_ratio({5: 0.1, 10: 1.5}, 10, 0.5), "no accuracy"),
        (lambda: label_efficiency_ratio({5: 0.1, 10: 0.5}, 10, -0.5), "no accuracy"),
    ],
)
def test_misuse_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        (0.5, LabelEfficiency(1.0, 1.0, "")),
        (0.6, LabelEfficiency(10.0, 10.0, "")),
        (0.55, LabelEfficiency(math.sqrt(10), math.sqrt(10), "")),  # half-way on the logarithm
        (0.7, LabelEfficiency(100.0, 100.0, "")),
        (0.71, LabelEfficiency(None, 100.0, "at least")),
        (0.49, LabelEfficiency(None, 1.0, "at most")),
    ],
)
def test_labels_by_hand(accuracy: float, expected: LabelEfficiency) -> None:
    found = label_efficiency_ratio({1000: 0.7, 10: 0.5, 100: 0.6}, 10, accuracy)
    assert found.censored == expected.censored
    assert found.bound == pytest.approx(expected.bound)
    assert found.ratio == pytest.approx(expected.ratio)


def test_a_dip_is_noise_and_a_plateau_starts_where_it_starts() -> None:
    dipped = {10: 0.4, 20: 0.7, 40: 0.5, 80: 0.8}
    assert label_efficiency_ratio(dipped, 10, 0.6).ratio == pytest.approx(2)  # the mean of .7 and .5, from 20 on
    assert label_efficiency_ratio({10: 0.5, 20: 0.6, 40: 0.6}, 10, 0.6).ratio == pytest.approx(2)
    assert label_efficiency_ratio({10: 0.6, 20: 0.6, 40: 0.7}, 5, 0.6).ratio == pytest.approx(2)


@given(budgets, st.integers(1, 500), accuracies, accuracies)
def test_more_accuracy_is_worth_more_labels(given_: dict[int, float], labels: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    less, more = (label_efficiency_ratio(given_, labels, value) for value in (low, high))
    assert less.bound <= more.bound + 1e-9
    for found in (less, more):
        assert min(given_) / labels - 1e-9 <= found.bound <= max(given_) / labels + 1e-9
        assert (found.ratio is None) == (found.censored != "")
    assert label_efficiency_ratio(given_, 2 * labels, low).bound == pytest.approx(less.bound / 2)


# --- records ----------------------------------------------------------------------------------------------------------

ASKED = Experiment(strategies=samples.ALL_ARMS)


def rows(records: list[RunRecord], **options: float) -> dict[tuple[str, str], Measurement]:
    found = quantities(records, **options)  # type: ignore[arg-type]
    by_name = {(row.strategy, row.quantity): row for row in found}
    assert len(by_name) == len(found)
    return by_name


def with_curve(record: RunRecord, looks: tuple[CurvePoint, ...], **more: object) -> RunRecord:
    return record.model_copy(update={"curve": looks, **more})


@pytest.fixture(scope="module")
def three() -> list[RunRecord]:
    """Scratch and one arm of transfer, with curves made by hand: one seed of scratch never gets to .65."""
    asked = Experiment(strategies=("scratch", "fine_tune_all"))
    slow = [SLOW, SLOW, curve((0, 0.1), (100, 0.6))]
    fast = [FAST, FAST, curve((0, 0.2), (50, 0.6), (100, 0.9))]
    return [
        with_curve(samples.record(asked, strategy, seed), looks, seconds=2.0)
        for strategy, all_looks in (("scratch", slow), ("fine_tune_all", fast))
        for seed, looks in enumerate(all_looks)
    ]


def test_every_quantity_is_what_the_plain_function_says(three: list[RunRecord]) -> None:
    found = rows(three, threshold=0.6)
    scratch, tuned = three[:3], three[3:]
    areas = [[area_under_curve(record.curve) for record in arm] for arm in (scratch, tuned)]
    row = found["fine_tune_all", "area_under_curve"]
    assert row.interval == mean_interval(areas[1])
    assert row.difference == paired_interval(areas[1], areas[0])
    assert row.values == dict(enumerate(areas[1]))
    assert found["scratch", "area_under_curve"].difference is None
    assert found["fine_tune_all", "transfer_ratio"].values == {
        seed: transfer_ratio(tuned[seed].curve, scratch[seed].curve) for seed in range(3)
    }
    assert found["fine_tune_all", "jumpstart"].values == pytest.approx({0: 0.2, 1: 0.2, 2: 0.1})
    gap = negative_transfer_gap(
        [record.test_accuracy for record in tuned], [record.test_accuracy for record in scratch]
    )
    assert found["fine_tune_all", "negative_transfer_gap"].interval == gap
    assert found["fine_tune_all", "steps_to_threshold"].values == {0: 10, 1: 10, 2: 50}
    assert found["scratch", "steps_to_threshold"].values == {0: 30, 1: 30, 2: 100}
    assert found["scratch", "seconds_to_threshold"].values == {0: 0.3, 1: 0.3, 2: 1.0}
    assert not {("scratch", name) for name, quantity in QUANTITIES.items() if quantity.of == "pair"} & set(found)


def test_what_was_never_reached_is_counted_and_not_averaged(three: list[RunRecord]) -> None:
    found = rows(three, threshold=0.65)
    for name in ("steps_to_threshold", "seconds_to_threshold", "seconds_to_threshold_with_pretraining"):
        scratch, tuned = found["scratch", name], found["fine_tune_all", name]
        assert scratch.censored == 1
        assert scratch.values[2] is None
        assert scratch.interval is None
        assert tuned.censored == 0
        assert tuned.interval is not None
        assert tuned.difference is None  # one of its partners never got there
    assert found["scratch", "area_under_curve"].censored == 0


def test_the_usual_threshold_follows_the_baseline(three: list[RunRecord]) -> None:
    ends = [asymptote(record.curve) for record in three[:3]]
    assert usual_threshold(three) == pytest.approx(0.9 * np.mean(ends))
    assert rows(three) == rows(three, threshold=usual_threshold(three) or 0)
    assert usual_threshold(three, baseline="pixel_baseline") is None
    flat = [with_curve(three[0], curve((0, 0.0), (100, 0.0)))]
    assert usual_threshold(flat) is None
    found = rows(flat)
    assert ("scratch", "steps_to_threshold") not in found
    assert found["scratch", "asymptote"].values == {0: 0.0}


def test_pretraining_is_counted_once_and_only_where_it_happened(three: list[RunRecord]) -> None:
    phases = {"features": 0.25, "preparation": 0.5, "selection": 9.0, "training": 2.0, "looks": 7.0, "test": 5.0}
    records = [record.model_copy(update={"phase_seconds": phases}) for record in three]
    scratch, tuned = records[0], records[3]
    assert training_seconds(scratch) == training_seconds(tuned) == 2.75
    assert seconds_with_pretraining(scratch) == 2.75
    assert tuned.source_model is not None
    assert seconds_with_pretraining(tuned) == 2.75 + 80
    found = rows(records, threshold=0.6)
    assert found["fine_tune_all", "seconds_to_threshold"].values[0] == pytest.approx(0.85)
    assert found["fine_tune_all", "seconds_to_threshold_with_pretraining"].values[0] == pytest.approx(80.85)
    assert found["scratch", "seconds_to_threshold_with_pretraining"].values[0] == pytest.approx(1.05)
    untold = tuned.model_copy(update={"source_model": tuned.source_model.model_copy(update={"seconds": None})})
    assert seconds_with_pretraining(untold) is None
    found = rows([scratch, untold], threshold=0.6)
    assert ("fine_tune_all", "seconds_with_pretraining") not in found
    assert ("fine_tune_all", "seconds_to_threshold_with_pretraining") not in found
    assert found["fine_tune_all", "training_seconds"].values == {0: 2.75}


def test_forgetting_is_read_where_it_was_measured(three: list[RunRecord]) -> None:
    seen = three[3].model_copy(update={"source_accuracy_before": 0.9, "source_accuracy_after": 0.4})
    found = rows([*three[:3], seen, *three[4:]])
    row = found["fine_tune_all", "forgetting"]
    assert row.values == pytest.approx({0: 0.5})
    assert row.interval is not None
    assert row.interval.low is None  # one seed
    assert row.difference is None  # scratch has nothing to forget
    assert ("scratch", "forgetting") not in found


def test_arms_without_a_curve_have_what_needs_none() -> None:
    found = rows(samples.records(ASKED))
    for strategy in ("direct_reuse", "pixel_baseline"):
        names = {name for arm, name in found if arm == strategy}
        assert names == {
            "negative_transfer_gap",
            "generalisation_gap",
            "training_seconds",
            "seconds_with_pretraining",
        }
    whole = {name for name, quantity in QUANTITIES.items() if quantity.of != "sweep"} - {"forgetting"}
    assert {name for arm, name in found if arm == "fine_tune_all"} == whole
    assert list(dict.fromkeys(row.strategy for row in quantities(samples.records(ASKED)))) == list(samples.ALL_ARMS)


def test_only_shared_seeds_are_paired(three: list[RunRecord]) -> None:
    found = rows([three[1], *three[3:]], threshold=0.6)
    row = found["fine_tune_all", "area_under_curve"]
    assert row.interval is not None
    assert row.difference is not None
    assert (row.interval.n, row.difference.n) == (3, 1)
    assert set(found["fine_tune_all", "jumpstart"].values) == {1}
    alone = rows(three[3:], threshold=0.6)
    assert alone["fine_tune_all", "area_under_curve"].difference is None
    assert ("fine_tune_all", "jumpstart") not in alone


def test_a_shorter_curve_has_no_transfer_ratio(three: list[RunRecord]) -> None:
    stopped = with_curve(three[3], FAST[:3])
    late = with_curve(three[4], FAST[1:])
    found = rows([*three[:3], stopped, late, three[5]], threshold=0.6)
    assert set(found["fine_tune_all", "transfer_ratio"].values) == {2}
    assert set(found["fine_tune_all", "jumpstart"].values) == {0, 2}
    assert set(found["fine_tune_all", "area_under_curve"].values) == {0, 1, 2}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda records: quantities([*records, records[0]]), "occurs twice"),
        (lambda records: quantities([records[0], samples.record(samples.CARS, "scratch", 5)]), "different experiments"),
        (lambda records: quantities(records, threshold=1.5), "1 at most"),
        (lambda records: quantities(records, looks=0), "at least one"),
        (lambda records: quantities(records, level=1.0), "between 0 and 1"),
        (lambda records: label_efficiencies(records), "at least two"),
        (lambda records: label_efficiencies([records[0], samples.record(samples.CARS, "scratch", 5)]), "one sweep"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(
    three: list[RunRecord], change: Callable[[list[RunRecord]], object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        change(three)


def test_no_records_no_quantities() -> None:
    assert quantities([]) == []


def test_a_sweep_over_label_budgets() -> None:
    records: list[RunRecord] = []
    for labels, scratch, tuned in ((10, 0.5, 0.6), (100, 0.6, 0.65), (1000, 0.7, 0.75)):
        asked = Experiment(strategies=("scratch", "fine_tune_all"), labels_per_class=labels)
        for seed, luck in enumerate((-0.01, 0.0, 0.01)):
            records.append(samples.record(asked, "scratch", seed, scratch + luck))
            records.append(samples.record(asked, "fine_tune_all", seed, tuned + luck))
    found = label_efficiencies(records)
    assert set(found) == {("fine_tune_all", labels) for labels in (10, 100, 1000)}
    assert found["fine_tune_all", 10].ratio == pytest.approx(10)
    assert found["fine_tune_all", 100].ratio == pytest.approx(math.sqrt(10))
    assert found["fine_tune_all", 1000] == LabelEfficiency(None, 1.0, "at least")


@pytest.mark.parametrize("name", QUANTITIES)
def test_every_quantity_is_defined(name: str) -> None:
    quantity = QUANTITIES[name]
    assert quantity.name == name
    assert quantity.title
    assert quantity.definition.endswith(".")
    assert (quantity.arm is not None) == (quantity.of == "arm")
    assert (quantity.pair is not None) == (quantity.of == "pair")
