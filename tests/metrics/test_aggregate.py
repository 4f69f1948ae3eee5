"""Several tasks at once: SciPy's own numbers, a seed that works, and refusals where a bootstrap would flatter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit as scipy_logit
from scipy.stats import mannwhitneyu, trim_mean

from tlcore.errors import UserError
from tlcore.metrics.aggregate import (
    aggregate_interval,
    improvement_interval,
    interquartile_mean,
    logit,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
    task_mean,
)

Scores = dict[str, list[float]]
runs = st.lists(st.integers(0, 20).map(lambda value: value / 20), min_size=1, max_size=6)
tasks = st.dictionaries(st.sampled_from("abcdef"), runs, min_size=1)


def some(seed: int = 0, n: int = 5, names: str = "abcd", gain: float = 0.0) -> Scores:
    rng = np.random.default_rng(seed)
    return {task: (0.5 + gain + 0.1 * place + rng.normal(0, 0.03, n)).tolist() for place, task in enumerate(names)}


@given(tasks)
def test_the_interquartile_mean_is_scipys(scores: Scores) -> None:
    flat = [value for values in scores.values() for value in values]
    assert interquartile_mean(scores) == pytest.approx(trim_mean(flat, 0.25))
    assert min(flat) - 1e-12 <= interquartile_mean(scores) <= max(flat) + 1e-12


def test_one_odd_run_does_not_move_it_far() -> None:
    scores = some()
    odd = scores | {"a": [0.0, *scores["a"][1:]]}
    assert abs(interquartile_mean(odd) - interquartile_mean(scores)) < abs(task_mean(odd) - task_mean(scores))


def test_the_task_mean_weighs_tasks_alike() -> None:
    assert task_mean({"a": [0.2] * 9, "b": [0.6]}) == pytest.approx(0.4)


@given(tasks, st.randoms(use_true_random=False))
def test_the_probability_of_improvement_is_mann_and_whitneys(scores: Scores, random) -> None:
    other = {task: [random.randint(0, 20) / 20 for _ in range(4)] for task in scores}
    expected = [mannwhitneyu(scores[task], other[task]).statistic / (4 * len(scores[task])) for task in scores]
    value = probability_of_improvement(scores, other)
    assert value == pytest.approx(np.mean(expected))
    assert probability_of_improvement(other, scores) == pytest.approx(1 - value)
    assert probability_of_improvement(scores, scores) == pytest.approx(0.5)


@given(tasks)
def test_a_profile_falls_from_one_to_zero(scores: Scores) -> None:
    profile = performance_profile(scores, np.linspace(-0.1, 1, 23))
    assert profile.shape == (23,)
    assert profile[0] == 1
    assert profile[-1] == 0
    assert (np.diff(profile) <= 0).all()


def test_a_profile_by_hand() -> None:
    scores = {"a": [0.2, 0.6], "b": [0.4, 0.4, 0.7]}
    assert performance_profile(scores, [0.4, 0.65]) == pytest.approx([(1 / 2 + 1 / 3) / 2, (0 + 1 / 3) / 2])
    assert performance_profile(scores, 0.0) == pytest.approx([1.0])


# --- the bootstrap ----------------------------------------------------------------------------------------------------


def test_the_seed_works_and_the_global_one_is_left_alone() -> None:
    before = np.random.get_state()
    np.random.seed(1)
    one = aggregate_interval(some(), seed=3, replicates=200)
    np.random.seed(2)
    state = np.random.get_state()
    two = aggregate_interval(some(), seed=3, replicates=200)
    improved = [improvement_interval(some(1, gain=0.01), some(), seed=3, replicates=200) for _ in range(2)]
    after = np.random.get_state()
    assert state[0] == after[0]
    assert np.array_equal(state[1], after[1])
    assert state[2:] == after[2:]
    np.random.set_state(before)
    assert one == two
    assert improved[0] == improved[1]
    assert one != aggregate_interval(some(), seed=4, replicates=200)
    assert improved[0] != improvement_interval(some(1, gain=0.01), some(), seed=4, replicates=200)


def test_runs_are_drawn_within_their_task_one_fewer_than_there_are() -> None:
    scores = {"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0, 40.0]}
    drawn = list(stratified_bootstrap(scores, seed=0, replicates=500))
    assert len(drawn) == 500
    assert all({task: len(values) for task, values in one.items()} == {"a": 2, "b": 3} for one in drawn)
    assert {float(value) for one in drawn for value in one["a"]} == {1.0, 2.0, 3.0}
    assert {float(value) for one in drawn for value in one["b"]} == {10.0, 20.0, 30.0, 40.0}


def test_the_spread_of_means_is_the_standard_error() -> None:
    """With n draws of n it would be √(2/3) of it."""
    scores = {"a": [0.1, 0.5, 0.7]}
    means = [one["a"].mean() for one in stratified_bootstrap(scores, seed=0, replicates=20_000)]
    assert np.std(means) == pytest.approx(np.std(scores["a"], ddof=1) / math.sqrt(3), rel=0.02)


def test_the_interval_holds_the_statistic_and_counts_the_runs() -> None:
    found = aggregate_interval(some(), seed=0)
    assert found.mean == interquartile_mean(some())
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high
    assert found.n == 20
    wider = aggregate_interval(some(), seed=0, level=0.99)
    assert wider.low is not None
    assert wider.low < found.low
    narrower = aggregate_interval(some(n=50), task_mean, replicates=300)
    assert (narrower.high or 1) - (narrower.low or 0) < found.high - found.low
    certain = aggregate_interval({task: [0.5] * 3 for task in "abc"}, replicates=100)
    assert (certain.mean, certain.low, certain.high) == (0.5, 0.5, 0.5)


def test_improvement_has_an_interval_too() -> None:
    better = improvement_interval(some(1, gain=0.2), some(), replicates=200)
    assert (better.mean, better.low, better.high, better.n) == (1, 1, 1, 20)
    alike = improvement_interval(some(1), some(2), replicates=400)
    assert alike.low is not None
    assert alike.high is not None
    assert alike.low < 0.5 < alike.high


@pytest.mark.parametrize("interval", [aggregate_interval, lambda scores: improvement_interval(scores, scores)])
@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (some(n=9, names="a"), "use its Student t interval"),
        (some(n=3, names="a"), "3 seeds of one task are too few"),
        (some(n=20, names="ab"), "2 tasks are too few"),
        (some() | {"e": [0.5, 0.6]}, "e has 2 seeds"),
    ],
)
def test_too_little_is_refused_with_what_to_do(interval: Callable[[Scores], object], scores: Scores, says: str) -> None:
    with pytest.raises(UserError, match=says):
        interval(scores)


def test_ten_seeds_of_one_task_will_do() -> None:
    assert aggregate_interval(some(n=10, names="a"), replicates=100).n == 10


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: interquartile_mean({}), "no tasks"),
        (lambda: interquartile_mean({"a": []}), "one number a seed"),
        (lambda: interquartile_mean({"a": [[0.1]]}), "one number a seed"),
        (lambda: task_mean({"a": [math.nan]}), "a is not finite"),
        (lambda: probability_of_improvement({"a": [1]}, {"b": [1]}), "cannot be compared"),
        (lambda: improvement_interval(some(), some(names="abc")), "cannot be compared"),
        (lambda: list(stratified_bootstrap({"a": [0.5]}, 0)), "a has a single run"),
        (lambda: aggregate_interval(some(), replicates=99), "at least 100"),
        (lambda: aggregate_interval(some(), level=1.0), "between 0 and 1"),
        (lambda: improvement_interval(some(), some(), level=0.0), "between 0 and 1"),
        (lambda: logit([0.5, 1.1], 100), "between 0 and 1"),
        (lambda: logit(math.nan, 100), "between 0 and 1"),
        (lambda: logit(0.5, 0), "at least 1"),
    ],
)
def test_misuse_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


# --- the logit scale --------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1), st.integers(1, 10_000))
def test_logits_are_scipys_half_an_image_from_the_ends(values: list[float], examples: int) -> None:
    found = logit(values, examples)
    assert found.shape == (len(values),)
    assert np.abs(found).max() <= math.log(2 * examples - 1) + 1e-9
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert logit(1 - np.array(values), examples) == pytest.approx(-found, abs=1e-8)
    inside = [value for value in values if 1 / examples < value < 1 - 1 / examples]
    assert logit(inside, examples) == pytest.approx(scipy_logit(inside))


def test_logits_by_hand() -> None:
    assert logit([0.0, 0.5, 1.0], 50) == pytest.approx([-math.log(99), 0, math.log(99)])
    assert logit([[0.98, 0.99]], 10_000).shape == (1, 2)
    assert np.diff(logit([0.98, 0.99], 10_000)) == pytest.approx(np.diff(logit([0.5, 0.67], 10_000)), abs=0.01)
