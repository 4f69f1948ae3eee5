"""Several tasks at once: interquartile mean, bootstrap within tasks, probability of improvement, profiles.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (the `rliable`
library), with a random generator of its own: the library draws from NumPy's global one, so its seed has no effect.

Scores are given by task, one number a seed; tasks may differ in their number of seeds. The intervals are about these
very tasks: they say what other seeds would give, not what other tasks would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tlcore.errors import UserError
from tlcore.metrics.stats import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Runs = Mapping[str, NDArray[np.float64]]

LEAST_TASKS = 3
LEAST_RUNS = 3
ENOUGH_RUNS = 10
REPLICATES = 2000


def interquartile_mean(scores: Mapping[str, ArrayLike]) -> float:
    """Interquartile mean: the mean of the middle half of all runs of all tasks.

    A quarter of the values (rounded down) is left out at either end. It bends less to one odd run or task than the
    mean, and needs fewer runs than the median.

    Args:
        scores: Scores by task, one a seed, on one scale.

    Returns:
        A value between the least and the greatest score.

    Raises:
        ValueError: If there is no task, one has no run, or a score is not finite.
    """
    values = np.sort(np.concatenate(list(_runs(scores).values())))
    cut = len(values) // 4
    return float(values[cut : len(values) - cut].mean())


def task_mean(scores: Mapping[str, ArrayLike]) -> float:
    """Mean over tasks of each task's mean.

    Args:
        scores: Scores by task, one a seed, on one scale.

    Returns:
        A value between the least and the greatest score.

    Raises:
        ValueError: As `interquartile_mean`.
    """
    return float(np.mean([values.mean() for values in _runs(scores).values()]))


def probability_of_improvement(treatment: Mapping[str, ArrayLike], baseline: Mapping[str, ArrayLike]) -> float:
    """Probability that a run of the treatment beats a run of the baseline on the same task.

    Mean over tasks of ``P(x > y) + ½ P(x = y)`` over all pairs of runs: Mann and Whitney's U over its greatest value.

    Args:
        treatment: Scores by task, one a seed; more is better.
        baseline: The baseline's for the same tasks; their number of runs may differ.

    Returns:
        A value in [0, 1]; ½ if the runs are alike.

    Raises:
        ValueError: If the tasks differ, or as `interquartile_mean`.
    """
    ours, theirs = _runs(treatment), _runs(baseline)
    _same_tasks(ours, theirs)
    shares = [_wins(values, theirs[task]) for task, values in ours.items()]
    return float(np.mean(shares))


def performance_profile(scores: Mapping[str, ArrayLike], thresholds: ArrayLike) -> NDArray[np.float64]:
    """Performance profile: what share of the runs scores above each threshold.

    Mean over tasks of the share of a task's runs; one profile above another everywhere is better throughout.

    Args:
        scores: Scores by task, one a seed, on one scale.
        thresholds: Scores, shape (m,).

    Returns:
        Shares in [0, 1], shape (m,), that never rise with the threshold.

    Raises:
        ValueError: As `interquartile_mean`.
    """
    limits = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    return np.mean([(values[:, None] > limits).mean(axis=0) for values in _runs(scores).values()], axis=0)


def stratified_bootstrap(
    scores: Mapping[str, ArrayLike], seed: int, replicates: int = REPLICATES
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Draw runs anew within each task.

    Of n runs n - 1 are drawn, with replacement: the spread of means of n draws falls short by (n - 1) / n, a third for
    3 seeds, and that of n - 1 draws does not (McCarthy and Snowden 1985).

    Args:
        scores: Scores by task, one a seed; at least 2 a task.
        seed: Seed of this bootstrap's own generator; NumPy's global one is not touched.
        replicates: Number of replicates.

    Yields:
        Scores by task of one replicate.

    Raises:
        ValueError: If a task has a single run, or as `interquartile_mean`.
    """
    runs = _runs(scores)
    for task, values in runs.items():
        if len(values) < 2:
            raise ValueError(f"{task} has a single run, which cannot be drawn anew")
    generator = np.random.default_rng(seed)
    for _ in range(replicates):
        yield {task: values[generator.integers(len(values), size=len(values) - 1)] for task, values in runs.items()}


def aggregate_interval(
    scores: Mapping[str, Sequence[float]],
    statistic: Callable[[Runs], float] = interquartile_mean,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> Interval:
    """A statistic of several tasks with its percentile interval by stratified bootstrap.

    For the difference of two strategies that share their seeds, give the differences by seed as scores. Measured on
    normal data, the 95 % interval of the interquartile mean holds the truth .87 of the time with 3 tasks of 3 runs,
    .93 with 10 of 3 and .95 with 10 of 5 (.81, .88 and .91 if as many runs are drawn as there are).

    Args:
        scores: Scores by task, one a seed, on one scale; at least 3 tasks of at least 3 runs, or one of at least 10.
        statistic: Number from scores by task.
        seed: Seed of the bootstrap.
        replicates: Number of replicates, at least 100.
        level: Coverage, in (0, 1).

    Returns:
        The statistic of the scores themselves, its interval, and the number of runs in all.

    Raises:
        UserError: If there are too few tasks or runs for a bootstrap; the message names what to use in its place.
        ValueError: If the level or the number of replicates is out of range, or as `interquartile_mean`.
    """
    runs = _enough(scores)
    draws = [statistic(drawn) for drawn in stratified_bootstrap(runs, seed, _checked(replicates, level))]
    return _interval(statistic(runs), draws, level, sum(len(values) for values in runs.values()))


def improvement_interval(
    treatment: Mapping[str, Sequence[float]],
    baseline: Mapping[str, Sequence[float]],
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> Interval:
    """`probability_of_improvement` with its percentile interval by stratified bootstrap, both sides drawn apart.

    Args:
        treatment: Scores by task, one a seed; as many as for `aggregate_interval`.
        baseline: The baseline's for the same tasks.
        seed: Seed of the bootstrap.
        replicates: Number of replicates, at least 100.
        level: Coverage, in (0, 1).

    Returns:
        The probability, its interval, and the number of runs of the treatment.

    Raises:
        UserError: As `aggregate_interval`.
        ValueError: If the tasks differ, or as `aggregate_interval`.
    """
    ours, theirs = _enough(treatment), _enough(baseline)
    _same_tasks(ours, theirs)
    _checked(replicates, level)
    one, other = (int(state) for state in np.random.SeedSequence(seed).generate_state(2, np.uint64))
    draws = [
        probability_of_improvement(a, b)
        for a, b in zip(
            stratified_bootstrap(ours, one, replicates), stratified_bootstrap(theirs, other, replicates), strict=True
        )
    ]
    return _interval(
        probability_of_improvement(ours, theirs), draws, level, sum(len(values) for values in ours.values())
    )


def logit(accuracies: ArrayLike, examples: int) -> NDArray[np.float64]:
    """Accuracies on the logit scale, ``log(p / (1 - p))``, where those of easy and hard tasks average and correlate.

    From .98 to .99 is as far as from .50 to .67 there, for both double the odds of being right (Kornblith, Shlens and
    Le 2019, "Do Better ImageNet Models Transfer Better?"). Accuracies of 0 and 1, whose logit is infinite,
    are moved in by half a test image, to ``1/(2m)`` and ``1 - 1/(2m)``.

    Args:
        accuracies: In [0, 1], any shape.
        examples: Number m of test images behind each, at least 1.

    Returns:
        Logits, same shape, in ±log(2m - 1).

    Raises:
        ValueError: If an accuracy is out of range, or examples is below 1.
    """
    values = np.asarray(accuracies, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("accuracies lie between 0 and 1")
    if examples < 1:
        raise ValueError("give the number of test images, at least 1")
    inside = values.clip(0.5 / examples, 1 - 0.5 / examples)
    return np.log(inside) - np.log1p(-inside)


# --- the parts that they share ----------------------------------------------------------------------------------------


def _runs(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    if not scores:
        raise ValueError("no tasks: give the scores of at least one")
    runs = {task: np.asarray(values, dtype=np.float64) for task, values in scores.items()}
    for task, values in runs.items():
        if values.ndim != 1 or values.size == 0:
            raise ValueError(f"{task} has scores of shape {values.shape}: give one number a seed")
        if not np.isfinite(values).all():
            raise ValueError(f"a score of {task} is not finite: leave diverged repetitions out and say so")
    return runs


def _enough(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    runs = _runs(scores)
    fewest = min(runs, key=lambda task: len(runs[task]))
    if len(runs) == 1:
        if len(runs[fewest]) < ENOUGH_RUNS:
            raise UserError(
                f"{len(runs[fewest])} seeds of one task are too few for a bootstrap: use its Student t interval "
                f"(mean_interval), or run at least {ENOUGH_RUNS} seeds"
            )
    elif len(runs) < LEAST_TASKS:
        raise UserError(
            f"{len(runs)} tasks are too few to sum up: add tasks until there are {LEAST_TASKS}, or look at each with "
            "its Student t interval"
        )
    elif len(runs[fewest]) < LEAST_RUNS:
        raise UserError(
            f"{fewest} has {len(runs[fewest])} seeds, too few to sum up: run at least {LEAST_RUNS} of every task"
        )
    return runs


def _same_tasks(ours: Runs, theirs: Runs) -> None:
    if set(ours) != set(theirs):
        raise ValueError(f"tasks {sorted(ours)} and {sorted(theirs)} cannot be compared")


def _checked(replicates: int, level: float) -> int:
    if replicates < 100:
        raise ValueError("draw at least 100 replicates")
    if not 0 < level < 1:
        raise ValueError("the level must lie between 0 and 1")
    return replicates


def _interval(value: float, draws: list[float], level: float, n: int) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)


def _wins(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    above = ours[:, None] - theirs[None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())
