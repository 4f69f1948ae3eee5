"""The t interval: its multipliers, its coverage, SciPy's own answer, and words that follow from it and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from tlcore.metrics import Interval, mean_interval, paired_interval, verdict

finite = st.floats(-1e6, 1e6)
accuracies = st.floats(0, 1)


@pytest.mark.parametrize(("n", "multiplier"), [(3, 2.484), (4, 1.591), (5, 1.242), (8, 0.836), (10, 0.715)])
def test_the_half_width_is_the_multiplier_times_s(n: int, multiplier: float) -> None:
    values = np.random.default_rng(n).normal(0.7, 0.02, n)
    interval = mean_interval(values.tolist())
    assert interval.low is not None
    assert interval.high is not None
    assert interval.n == n
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.high - interval.low) / 2 / values.std(ddof=1) == pytest.approx(multiplier, abs=6e-4)


@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=12), st.sampled_from([0.8, 0.95, 0.99]))
def test_it_agrees_with_scipy(pairs: list[tuple[float, float]], level: float) -> None:
    treatment, baseline = zip(*pairs, strict=True)
    ours = paired_interval(treatment, baseline, level)
    differences = np.subtract(treatment, baseline)
    # Differences that are all but equal lose their digits in SciPy's own way, which it warns about.
    if differences.std(ddof=1) < 1e-6:
        assert ours.low == pytest.approx(differences.mean(), abs=1e-4)
        return
    theirs = ttest_rel(treatment, baseline).confidence_interval(level)
    assert ours.low == pytest.approx(theirs.low, abs=1e-9)
    assert ours.high == pytest.approx(theirs.high, abs=1e-9)


@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=12))
def test_swapping_the_arms_mirrors_the_interval(pairs: list[tuple[float, float]]) -> None:
    treatment, baseline = zip(*pairs, strict=True)
    one, other = paired_interval(treatment, baseline), paired_interval(baseline, treatment)
    assert one.low is not None
    assert other.high is not None
    assert one.mean == pytest.approx(-other.mean, abs=1e-12)
    assert one.low == pytest.approx(-other.high, abs=1e-12)


@given(mean=finite, low=finite, high=finite, n=st.integers(2, 30))
def test_the_verdict_follows_from_the_interval_only(mean: float, low: float, high: float, n: int) -> None:
    low, high = min(low, high), max(low, high)
    word = verdict(Interval(mean, low, high, n))
    assert word == verdict(Interval(0.0, low, high, 99))
    assert (word == "helps") == (low > 0)
    assert (word == "hurts") == (high < 0)
    assert (word == "no clear difference") == (low <= 0 <= high)


@given(accuracies, accuracies)
def test_one_seed_gets_no_verdict(treatment: float, baseline: float) -> None:
    interval = paired_interval([treatment], [baseline])
    assert (interval.low, interval.high, interval.n) == (None, None, 1)
    assert verdict(interval) == "one seed: no verdict"


def test_equal_differences_are_certain() -> None:
    """The same gain on every seed has no spread: the interval is the gain itself."""
    interval = paired_interval([0.5, 0.5, 0.5], [0.25, 0.25, 0.25])
    assert interval == Interval(0.25, 0.25, 0.25, 3)
    assert verdict(interval) == "helps"
    assert verdict(paired_interval([0.5] * 3, [0.5] * 3)) == "no clear difference"


@pytest.mark.parametrize("n", [3, 5, 10])
def test_it_covers_the_truth_95_times_in_100(n: int) -> None:
    rng, runs = np.random.default_rng(0), 8000
    covered = 0
    for values in rng.normal(0.03, 0.05, (runs, n)):
        interval = mean_interval(values.tolist())
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 0.03 <= interval.high
    assert covered / runs == pytest.approx(0.95, abs=0.015)


def test_pairing_takes_out_what_the_seeds_share() -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.1, 5)
    baseline, treatment = 0.6 + luck, 0.63 + luck + rng.normal(0, 0.002, 5)
    assert verdict(paired_interval(treatment.tolist(), baseline.tolist())) == "helps"


@pytest.mark.parametrize(
    ("values", "level", "says"),
    [
        ([], 0.95, "no values"),
        ([0.5, math.nan], 0.95, "not finite"),
        ([0.5, math.inf], 0.95, "not finite"),
        ([0.5, 0.6], 0.0, "between 0 and 1"),
        ([0.5, 0.6], 1.0, "between 0 and 1"),
    ],
)
def test_what_has_no_interval_is_refused(values: list[float], level: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mean_interval(values, level)


def test_unequal_lengths_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_interval([0.5, 0.6], [0.5])
