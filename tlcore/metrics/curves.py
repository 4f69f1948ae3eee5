"""What transfer buys, as numbers with a definition: from learning curves, final accuracies, seconds and labels.

Plain functions of curves and numbers come first; `quantities` applies all of them to the records of one comparison,
with an interval over its seeds, and `label_efficiencies` to a sweep over label budgets. Accuracy on a curve is that of
the observation set, which nothing selects on. What never happened (a threshold that was not reached) is *censored*: it
has no number, is counted, and never averaged over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from tlcore.metrics.stats import Interval, mean_interval, paired_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tlcore.experiment import CurvePoint, RunRecord

USUAL_LOOKS = 3
USUAL_SHARE = 0.9
TORREY_SHAVLIK = "Torrey and Shavlik 2009, Transfer Learning"


def area_under_curve(curve: Sequence[CurvePoint]) -> float:
    """Area under a learning curve, as the mean accuracy while training went on.

    ``1/(s_m - s_0) Σ ½ (a_i + a_{i+1}) (s_{i+1} - s_i)`` over the looks (s, a): trapezoids, divided by the steps.

    Args:
        curve: Looks at steps that rise, at least 2.

    Returns:
        A value in [0, 1].

    Raises:
        ValueError: If there are fewer than 2 looks, or their steps do not rise.
    """
    points = _rising(curve, 2)
    area = math.fsum(
        (a.validation_accuracy + b.validation_accuracy) / 2 * (b.step - a.step) for a, b in pairwise(points)
    )
    return area / (points[-1].step - points[0].step)


def jumpstart(treatment: Sequence[CurvePoint], baseline: Sequence[CurvePoint]) -> float:
    """Jumpstart: accuracy before any training on the target, with transfer less without (Torrey and Shavlik 2009).

    Careful: an output layer for new classes starts at random, and then even the best features give chance at step 0.
    The jumpstart of features shows at step 0 only in arms whose head comes from the source; for the others compare
    the frozen-features arm (a head probe) with scratch instead.

    Args:
        treatment: Looks of the arm with transfer; the first is at step 0.
        baseline: Looks of the arm without; the first is at step 0.

    Returns:
        A difference in [-1, 1].

    Raises:
        ValueError: If a curve has no look at step 0, or its steps do not rise.
    """
    first = [_rising(curve, 1)[0] for curve in (treatment, baseline)]
    if any(point.step != 0 for point in first):
        raise ValueError("a curve has no look before training (step 0): there is no jumpstart to read")
    return first[0].validation_accuracy - first[1].validation_accuracy


def steps_to_threshold(curve: Sequence[CurvePoint], threshold: float) -> int | None:
    """Optimiser steps until the accuracy was first seen at a threshold (Torrey and Shavlik 2009: time to learn).

    The step of the first look at or above it. Nothing is interpolated, so the spacing of the looks is its resolution.

    Args:
        curve: Looks at steps that rise, at least 1.
        threshold: Accuracy, in (0, 1].

    Returns:
        The step, or None (censored) if no look reached it.

    Raises:
        ValueError: If there is no look, the steps do not rise, or the threshold is out of range.
    """
    point = _first_at(curve, threshold)
    return None if point is None else point.step


def seconds_to_threshold(curve: Sequence[CurvePoint], threshold: float) -> float | None:
    """Seconds of training until the accuracy was first seen at a threshold; looks at the curve are not counted.

    Args:
        curve: Looks at steps that rise, at least 1.
        threshold: Accuracy, in (0, 1].

    Returns:
        The seconds, or None (censored) if no look reached it.

    Raises:
        ValueError: If there is no look, the steps do not rise, or the threshold is out of range.
    """
    point = _first_at(curve, threshold)
    return None if point is None else point.seconds


def asymptote(curve: Sequence[CurvePoint], looks: int = USUAL_LOOKS) -> float:
    """Accuracy at which the curve ends: the mean of its last looks (Torrey and Shavlik 2009: final performance).

    The last ones, never the best ones: picking those would count luck as learning.

    Args:
        curve: Looks at steps that rise, at least 1.
        looks: How many of the last ones to average; all of them where there are fewer.

    Returns:
        A value in [0, 1].

    Raises:
        ValueError: If there is no look, the steps do not rise, or looks is below 1.
    """
    if looks < 1:
        raise ValueError("average at least one look")
    last = _rising(curve, 1)[-looks:]
    return math.fsum(point.validation_accuracy for point in last) / len(last)


def transfer_ratio(treatment: Sequence[CurvePoint], baseline: Sequence[CurvePoint]) -> float:
    """Transfer ratio: what the area under the curve gains, relative to the baseline's (Taylor and Stone 2009).

    ``(AUC_t - AUC_s) / AUC_s``, with areas divided by their steps as in `area_under_curve`.

    Args:
        treatment: Looks of the arm with transfer.
        baseline: Looks of the arm without.

    Returns:
        A value of at least -1; 0 for no gain, 0.1 for a tenth more.

    Raises:
        ValueError: If a curve has fewer than 2 looks or steps that do not rise, the curves end at different steps, or
            the baseline's area is 0.
    """
    ends = [(points[0].step, points[-1].step) for points in (_rising(treatment, 2), _rising(baseline, 2))]
    if ends[0] != ends[1]:
        raise ValueError(f"the curves cover steps {ends[0]} and {ends[1]}: compare arms with the same budget")
    area = area_under_curve(baseline)
    if area == 0:
        raise ValueError("the baseline's accuracy was 0 throughout: nothing can be relative to it")
    return (area_under_curve(treatment) - area) / area


def negative_transfer_gap(treatment: Sequence[float], baseline: Sequence[float], level: float = 0.95) -> Interval:
    """Negative transfer gap: risk with transfer less risk of the same algorithm without (Wang et al. 2019).

    ``R(A(S, T)) - R(A(∅, T))`` with the risk ``1 - test accuracy``, paired by seed ("Characterizing and Avoiding
    Negative Transfer"). Above 0 transfer hurts. Same algorithm means that the baseline had the same search and budget.

    Args:
        treatment: Test accuracies of the arm with transfer, one a seed, in [0, 1].
        baseline: Those of the arm without, for the same seeds in the same order.
        level: Coverage of the interval.

    Returns:
        The mean gap in [-1, 1] and its t interval: negative transfer is shown only if all of it is above 0.

    Raises:
        ValueError: As `tlcore.metrics.stats.paired_interval`.
    """
    return paired_interval(baseline, treatment, level)  # (1 - t) - (1 - b), without the rounding


def generalisation_gap(train_accuracy: float, test_accuracy: float) -> float:
    """Generalisation gap: accuracy on the labelled images less accuracy on the test images.

    Args:
        train_accuracy: In [0, 1].
        test_accuracy: In [0, 1].

    Returns:
        A difference in [-1, 1]; large where the labels were learned by heart.

    Raises:
        ValueError: If an accuracy is out of range.
    """
    return _accuracy(train_accuracy) - _accuracy(test_accuracy)


def forgetting(source_accuracy_before: float, source_accuracy_after: float) -> float:
    """Forgetting: what the network lost of the source task, its source head put back (McCloskey and Cohen 1989).

    Args:
        source_accuracy_before: Accuracy of the source model on the source's test images, in [0, 1].
        source_accuracy_after: The same after training on the target, with the source's own output layer.

    Returns:
        Before less after, in [-1, 1]; 0 where all of the backbone was frozen.

    Raises:
        ValueError: If an accuracy is out of range.
    """
    return _accuracy(source_accuracy_before) - _accuracy(source_accuracy_after)


def training_seconds(record: RunRecord) -> float:
    """Seconds that the arm's training took with its settings known: features, preparation and final training.

    Looks at the curve, the test and the search for a learning rate are left out; every arm has the same search.

    Args:
        record: The arm.

    Returns:
        Seconds, at least 0.
    """
    phases = record.phase_seconds
    return record.seconds + phases.get("features", 0.0) + phases.get("preparation", 0.0)


def seconds_with_pretraining(record: RunRecord) -> float | None:
    """`training_seconds` and what pre-training took: the price of transfer if nobody else paid for the source model.

    Args:
        record: The arm.

    Returns:
        Seconds, or None where the source model was trained by others, who did not say how long. Pre-training is
        counted in full, once an arm, on whatever machine it ran.
    """
    if record.source_model is None:
        return training_seconds(record)
    spent = record.source_model.seconds
    return None if spent is None else training_seconds(record) + spent


@dataclass(frozen=True)
class LabelEfficiency:
    """How many labels transfer saves.

    Args:
        ratio: Labels that the baseline needs for the accuracy, over the labels that transfer had; None if censored.
        bound: The ratio, or what is known of it if censored.
        censored: ``""`` if the ratio is known; ``at least`` if the baseline never got there with the most labels that
            were measured; ``at most`` if it was already better with the fewest.
    """

    ratio: float | None
    bound: float
    censored: Literal["", "at least", "at most"]


def label_efficiency_ratio(baseline: Mapping[int, float], labels: int, accuracy: float) -> LabelEfficiency:
    """How many times the labels the baseline needs to match an accuracy that transfer has.

    The baseline's accuracies are made monotone in the labels (isotonic regression: more labels never hurt on average,
    noise does) and joined by straight lines over log labels; the least number of labels with the accuracy is read off.

    Args:
        baseline: The baseline's mean accuracy in [0, 1] by number of labels, at least 2 numbers, all above 0.
        labels: Labels that transfer had, above 0, counted alike (both a class, or both in all).
        accuracy: Its mean accuracy, in [0, 1].

    Returns:
        The ratio, or a bound where the accuracy lies outside what was measured: nothing is extrapolated.

    Raises:
        ValueError: If fewer than 2 numbers of labels were measured, one is not above 0, or an accuracy is out of range.
    """
    if len(baseline) < 2:
        raise ValueError("measure the baseline with at least two numbers of labels")
    if labels <= 0 or min(baseline) <= 0:
        raise ValueError("numbers of labels lie above 0")
    _accuracy(accuracy)
    from scipy.optimize import isotonic_regression  # takes a third of a second to import

    counts = sorted(baseline)
    fitted = isotonic_regression([_accuracy(baseline[count]) for count in counts]).x
    if accuracy > fitted[-1]:
        return LabelEfficiency(None, counts[-1] / labels, "at least")
    if accuracy < fitted[0]:
        return LabelEfficiency(None, counts[0] / labels, "at most")
    place = int(np.searchsorted(fitted, accuracy, side="left"))  # the first that has it
    needed = float(counts[place])
    if place > 0:
        below, above = float(fitted[place - 1]), float(fitted[place])
        share = (accuracy - below) / (above - below)
        needed = counts[place - 1] * (counts[place] / counts[place - 1]) ** share
    return LabelEfficiency(needed / labels, needed / labels, "")


# --- all of them for a comparison -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """How `quantities` reads its records.

    Args:
        threshold: Accuracy for the times to threshold, or None if there is none to take.
        looks: Looks that the asymptote averages.
    """

    threshold: float | None
    looks: int


@dataclass(frozen=True)
class Quantity:
    """One quantity as pages list it.

    Args:
        name: What the command line calls it.
        title: What a page calls it.
        unit: ``accuracy``, ``steps``, ``seconds`` or ``ratio``.
        definition: In one sentence.
        paper: Where it comes from, or an empty string.
        higher_is_better: Whether more of it is better.
        of: ``arm`` if each arm has it, ``pair`` if it compares an arm with the baseline's of the same seed, ``sweep``
            if it needs several label budgets (`label_efficiencies`).
        arm: Reads it from an arm, for ``arm``: a number, infinity if censored, None if not measured.
        pair: Reads it from an arm and the baseline's, for ``pair``; likewise.
    """

    name: str
    title: str
    unit: Literal["accuracy", "steps", "seconds", "ratio"]
    definition: str
    paper: str
    higher_is_better: bool
    of: Literal["arm", "pair", "sweep"]
    arm: Callable[[RunRecord, Reading], float | None] | None = None
    pair: Callable[[RunRecord, RunRecord], float | None] | None = None


@dataclass(frozen=True)
class Measurement:
    """One quantity of one strategy over its seeds.

    Args:
        strategy: The strategy.
        quantity: Name of the quantity.
        interval: Its mean and t interval; None if any seed is censored (the mean of the others would flatter it).
        difference: Mean difference to the baseline, paired by seed; None for the baseline, for quantities that are
            differences themselves, without shared seeds, and if a seed of either is censored.
        values: Its value by seed, None where censored; seeds in which it was not measured are absent.
        censored: Number of seeds that are censored.
    """

    strategy: str
    quantity: str
    interval: Interval | None
    difference: Interval | None
    values: dict[int, float | None]
    censored: int


def usual_threshold(records: Iterable[RunRecord], baseline: str = "scratch", looks: int = USUAL_LOOKS) -> float | None:
    """The threshold that `quantities` takes by itself: nine tenths of where the baseline ends.

    Args:
        records: Records of one comparison.
        baseline: Name of the baseline strategy.
        looks: Looks that the asymptote averages.

    Returns:
        0.9 times the mean over seeds of the baseline's asymptote, one number for all arms; None if the baseline has no
        curve or ends at 0.
    """
    ends = [asymptote(record.curve, looks) for record in records if record.strategy == baseline and record.curve]
    return USUAL_SHARE * math.fsum(ends) / len(ends) if any(ends) else None


def quantities(
    records: Sequence[RunRecord],
    threshold: float | None = None,
    baseline: str = "scratch",
    looks: int = USUAL_LOOKS,
    level: float = 0.95,
) -> list[Measurement]:
    """Every quantity of every strategy of one comparison, with intervals over its seeds.

    Args:
        records: Records of one comparison: several strategies and seeds, each pair of them once.
        threshold: Accuracy for the times to threshold, in (0, 1]; None for `usual_threshold`.
        baseline: Strategy without transfer; arms are paired with its arms by seed. Without it nothing is paired.
        looks: Looks that the asymptote averages.
        level: Coverage of the intervals.

    Returns:
        Strategy by strategy in the order of the records, quantity by quantity in the order of `QUANTITIES`; those that
        no seed of a strategy has (direct reuse has no curve) are absent. Diverged arms count as they ended.

    Raises:
        ValueError: If an arm occurs twice, the records are of different experiments, or an argument is out of range.
    """
    arms = {(record.strategy, record.seed): record for record in records}
    if len(arms) != len(records):
        raise ValueError("an arm occurs twice: give each strategy and seed once")
    if len({record.experiment.arm_hash("", 0) for record in records}) > 1:
        raise ValueError("the records are of different experiments: give those of one comparison")
    if threshold is not None and not 0 < threshold <= 1:
        raise ValueError("the threshold must lie above 0 and be 1 at most")
    reading = Reading(usual_threshold(records, baseline, looks) if threshold is None else threshold, looks)
    rows: list[Measurement] = []
    for strategy in dict.fromkeys(record.strategy for record in records):
        own = {seed: record for (name, seed), record in arms.items() if name == strategy}
        for quantity in QUANTITIES.values():
            row = _measure(strategy, quantity, own, arms, baseline, reading, level)
            if row is not None:
                rows.append(row)
    return rows


def label_efficiencies(
    records: Sequence[RunRecord], baseline: str = "scratch"
) -> dict[tuple[str, int], LabelEfficiency]:
    """How many labels each strategy saves at each budget, from comparisons that differ in the label budget only.

    Args:
        records: Records of the comparisons; the baseline's with at least two budgets.
        baseline: The strategy without transfer.

    Returns:
        Efficiency by strategy and labels a class, from mean test accuracies over seeds.

    Raises:
        ValueError: If the baseline was measured with fewer than two budgets, or anything but the budget differs.
    """
    if len({record.experiment.model_copy(update={"labels_per_class": 2}).arm_hash("", 0) for record in records}) > 1:
        raise ValueError("the records differ in more than the label budget: give one sweep")
    accuracies: dict[tuple[str, int], list[float]] = {}
    for record in records:
        accuracies.setdefault((record.strategy, record.experiment.labels_per_class), []).append(record.test_accuracy)
    means = {key: math.fsum(values) / len(values) for key, values in accuracies.items()}
    without = {labels: mean for (strategy, labels), mean in means.items() if strategy == baseline}
    return {
        (strategy, labels): label_efficiency_ratio(without, labels, mean)
        for (strategy, labels), mean in means.items()
        if strategy != baseline
    }


def _measure(
    strategy: str,
    quantity: Quantity,
    own: Mapping[int, RunRecord],
    arms: Mapping[tuple[str, int], RunRecord],
    baseline: str,
    reading: Reading,
    level: float,
) -> Measurement | None:
    without = {seed: arms[baseline, seed] for seed in own if (baseline, seed) in arms and strategy != baseline}
    difference: Interval | None = None
    overlap = max(record.labels.overlap for record in own.values())
    if quantity.arm is not None:
        values = _numbers({seed: quantity.arm(record, reading) for seed, record in own.items()})
        others = _numbers({seed: quantity.arm(record, reading) for seed, record in without.items()})
        pairs = [(values[seed], others[seed]) for seed in values if seed in others]
        if pairs and all(math.isfinite(a) and math.isfinite(b) for a, b in pairs):
            difference = paired_interval([a for a, _ in pairs], [b for _, b in pairs], level, overlap)
    elif quantity.pair is not None:
        values = _numbers({seed: quantity.pair(own[seed], other) for seed, other in without.items()})
    else:
        return None
    if not values:
        return None
    censored = sum(math.isinf(value) for value in values.values())
    return Measurement(
        strategy=strategy,
        quantity=quantity.name,
        interval=None if censored else mean_interval(list(values.values()), level, overlap),
        difference=difference,
        values={seed: None if math.isinf(value) else value for seed, value in values.items()},
        censored=censored,
    )


def _numbers(values: Mapping[int, float | None]) -> dict[int, float]:
    """Those that were measured, seed by seed."""
    return {seed: float(value) for seed, value in sorted(values.items()) if value is not None}


# --- the registry -----------------------------------------------------------------------------------------------------


def _read_steps(record: RunRecord, reading: Reading) -> float | None:
    if reading.threshold is None or not record.curve:
        return None
    steps = steps_to_threshold(record.curve, reading.threshold)
    return math.inf if steps is None else steps


def _read_seconds(record: RunRecord, reading: Reading) -> float | None:
    if reading.threshold is None or not record.curve:
        return None
    seconds = seconds_to_threshold(record.curve, reading.threshold)
    return math.inf if seconds is None else training_seconds(record) - record.seconds + seconds


def _read_all_seconds(record: RunRecord, reading: Reading) -> float | None:
    total, reached = seconds_with_pretraining(record), _read_seconds(record, reading)
    if total is None or reached is None:
        return None
    return reached + total - training_seconds(record)


def _read_forgetting(record: RunRecord, _: Reading) -> float | None:
    before, after = record.source_accuracy_before, record.source_accuracy_after
    return None if before is None or after is None else forgetting(before, after)


def _read_jumpstart(record: RunRecord, baseline: RunRecord) -> float | None:
    looked = all(arm.curve and arm.curve[0].step == 0 for arm in (record, baseline))
    return jumpstart(record.curve, baseline.curve) if looked else None


def _read_transfer_ratio(record: RunRecord, baseline: RunRecord) -> float | None:
    curves = record.curve, baseline.curve
    if min(map(len, curves)) < 2 or area_under_curve(baseline.curve) == 0:
        return None
    # An arm that was stopped by the clock, or diverged, covers fewer steps: its area is not comparable.
    same_budget = len({(curve[0].step, curve[-1].step) for curve in curves}) == 1
    return transfer_ratio(*curves) if same_budget else None


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity(
            name="jumpstart",
            title="Jumpstart",
            unit="accuracy",
            definition="Accuracy before the first step, less the baseline's; about 0 where the head starts at random.",
            paper=TORREY_SHAVLIK,
            higher_is_better=True,
            of="pair",
            pair=_read_jumpstart,
        ),
        Quantity(
            name="area_under_curve",
            title="Area under the curve",
            unit="accuracy",
            definition="Mean accuracy on the observation images while training went on, by trapezoids over steps.",
            paper=TORREY_SHAVLIK,
            higher_is_better=True,
            of="arm",
            arm=lambda record, _: area_under_curve(record.curve) if len(record.curve) > 1 else None,
        ),
        Quantity(
            name="transfer_ratio",
            title="Transfer ratio",
            unit="ratio",
            definition="What the area under the curve gains over the baseline's, as a share of the baseline's.",
            paper="Taylor and Stone 2009, Transfer Learning for Reinforcement Learning Domains: A Survey",
            higher_is_better=True,
            of="pair",
            pair=_read_transfer_ratio,
        ),
        Quantity(
            name="steps_to_threshold",
            title="Steps to threshold",
            unit="steps",
            definition="Steps at the first look at which the accuracy was at the threshold or above.",
            paper=TORREY_SHAVLIK,
            higher_is_better=False,
            of="arm",
            arm=_read_steps,
        ),
        Quantity(
            name="seconds_to_threshold",
            title="Seconds to threshold",
            unit="seconds",
            definition="Seconds of features, preparation and training until that look; pre-training is not counted.",
            paper=TORREY_SHAVLIK,
            higher_is_better=False,
            of="arm",
            arm=_read_seconds,
        ),
        Quantity(
            name="seconds_to_threshold_with_pretraining",
            title="Seconds to threshold, pre-training counted",
            unit="seconds",
            definition="The same with all the seconds that pre-training the source model took.",
            paper="",
            higher_is_better=False,
            of="arm",
            arm=_read_all_seconds,
        ),
        Quantity(
            name="asymptote",
            title="Asymptote",
            unit="accuracy",
            definition="Mean accuracy at the last looks of the curve.",
            paper=TORREY_SHAVLIK,
            higher_is_better=True,
            of="arm",
            arm=lambda record, reading: asymptote(record.curve, reading.looks) if record.curve else None,
        ),
        Quantity(
            name="negative_transfer_gap",
            title="Negative transfer gap",
            unit="accuracy",
            definition="Test error less the test error of the same algorithm without transfer; above 0 transfer hurts.",
            paper="Wang, Dai, Póczos and Carbonell 2019, Characterizing and Avoiding Negative Transfer",
            higher_is_better=False,
            of="pair",
            pair=lambda record, baseline: baseline.test_accuracy - record.test_accuracy,
        ),
        Quantity(
            name="generalisation_gap",
            title="Generalisation gap",
            unit="accuracy",
            definition="Accuracy on the labelled images less accuracy on the test images.",
            paper="",
            higher_is_better=False,
            of="arm",
            arm=lambda record, _: generalisation_gap(record.train_accuracy, record.test_accuracy),
        ),
        Quantity(
            name="forgetting",
            title="Forgetting",
            unit="accuracy",
            definition="Accuracy on the source task before training less that after it, with the source's head.",
            paper="McCloskey and Cohen 1989, Catastrophic Interference in Connectionist Networks",
            higher_is_better=False,
            of="arm",
            arm=_read_forgetting,
        ),
        Quantity(
            name="training_seconds",
            title="Seconds of training",
            unit="seconds",
            definition="Seconds of features, preparation and final training, without looks and search.",
            paper="",
            higher_is_better=False,
            of="arm",
            arm=lambda record, _: training_seconds(record),
        ),
        Quantity(
            name="seconds_with_pretraining",
            title="Seconds of training, pre-training counted",
            unit="seconds",
            definition="The same with all the seconds that pre-training the source model took.",
            paper="",
            higher_is_better=False,
            of="arm",
            arm=lambda record, _: seconds_with_pretraining(record),
        ),
        Quantity(
            name="label_efficiency",
            title="Label efficiency",
            unit="ratio",
            definition="How many times the labels the baseline needs for the accuracy that transfer has.",
            paper="",
            higher_is_better=True,
            of="sweep",
        ),
    )
}
"""Every quantity by name, in the order in which pages list them."""


# --- the parts that the quantities share ------------------------------------------------------------------------------


def _rising(curve: Sequence[CurvePoint], least: int) -> Sequence[CurvePoint]:
    if len(curve) < least:
        raise ValueError(f"a curve of {len(curve)} looks: give at least {least}")
    if any(a.step >= b.step for a, b in pairwise(curve)):
        raise ValueError("the steps of a curve must rise from look to look")
    return curve


def _first_at(curve: Sequence[CurvePoint], threshold: float) -> CurvePoint | None:
    if not 0 < threshold <= 1:
        raise ValueError("the threshold must lie above 0 and be 1 at most")
    return next((point for point in _rising(curve, 1) if point.validation_accuracy >= threshold), None)


def _accuracy(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is no accuracy: it must lie between 0 and 1")
    return value
