"""How often intervals hold the truth, counted: paired t intervals do 95 times in 100, what they replace does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

from tlcore.metrics.aggregate import aggregate_interval, interquartile_mean, task_mean
from tlcore.metrics.stats import paired_interval, verdict

RUNS = 8000
GAIN = 0.02
T_RATIO = 1.959964 / stdtrit(2, 0.975)


def arms(n: int, gain: float, correlation: float) -> NDArray[np.float64]:
    """Accuracies (runs, arms, seeds) of two arms that share the luck of their seeds."""
    rng = np.random.default_rng([n, round(100 * correlation)])
    shared, own = rng.normal(0, 1, (RUNS, 1, n)), rng.normal(0, 1, (RUNS, 2, n))
    luck = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    return 0.7 + 0.03 * luck + np.array([gain, 0.0])[:, None]


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_paired_interval_covers_the_gain_95_times_in_100(n: int, correlation: float) -> None:
    covered, normal = 0, 0
    for treatment, baseline in arms(n, GAIN, correlation).tolist():
        interval = paired_interval(treatment, baseline)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= GAIN <= interval.high
        half = (interval.high - interval.low) / 2 * T_RATIO  # 1.96 standard errors, for n = 3
        normal += abs(interval.mean - GAIN) <= half
    assert covered / RUNS == pytest.approx(0.95, abs=0.015)
    if n == 3:
        assert normal / RUNS < 0.87


def test_pairing_makes_the_interval_narrower_and_no_less_true() -> None:
    widths = []
    for correlation in (0.0, 0.8):
        found = [paired_interval(*pair) for pair in arms(5, GAIN, correlation)[:1000].tolist()]
        widths.append(np.mean([(interval.high or 0) - (interval.low or 0) for interval in found]))
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(0.2), abs=0.03)


def test_without_a_gain_one_verdict_in_twenty_is_luck() -> None:
    words = [verdict(paired_interval(*pair)) for pair in arms(3, 0.0, 0.5)[:4000].tolist()]
    assert words.count("helps") / 4000 == pytest.approx(0.025, abs=0.01)
    assert words.count("hurts") / 4000 == pytest.approx(0.025, abs=0.01)


@pytest.mark.parametrize("statistic", [task_mean, interquartile_mean])
def test_the_bootstrap_over_tasks_covers_nine_times_in_ten(statistic) -> None:
    rng = np.random.default_rng(0)
    truth, runs = rng.uniform(0.4, 0.9, 8), 120
    goal = statistic({str(task): rng.normal(mean, 0.03, 10_000) for task, mean in enumerate(truth)})
    covered = 0
    for seed in range(runs):
        scores = {str(task): rng.normal(mean, 0.03, 5).tolist() for task, mean in enumerate(truth)}
        interval = aggregate_interval(scores, statistic, seed=seed, replicates=150)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= goal <= interval.high
    assert covered / runs > 0.86
