"""Several tasks at once: what a strategy gains over all of them, with intervals by stratified bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tlcore.errors import UserError
from tlcore.experiment import RunRecord
from tlcore.metrics.aggregate import aggregate_interval, improvement_interval
from tlcore.metrics.stats import Interval
from tlcore.saved import Saved

if TYPE_CHECKING:
    from collections.abc import Iterable

BASELINE = "scratch"


class SummaryRow(Saved):
    """One strategy over all tasks.

    Args:
        strategy: The strategy.
        accuracy: Interquartile mean of test accuracy over all runs of all tasks.
        difference: Interquartile mean of the differences from scratch, paired by seed; None for scratch.
        improvement: Probability that a run of it beats a run of scratch on the same task; None for scratch.
    """

    strategy: str
    accuracy: Interval
    difference: Interval | None
    improvement: Interval | None


class Summary(Saved):
    """Strategies over several tasks.

    The intervals are about these very tasks: what other seeds would give, not what other tasks would.

    Args:
        tasks: The tasks, each in a few words.
        rows: One a strategy that all tasks have.
        records: What it rests on.
    """

    kind: ClassVar[str] = "a summary"
    tasks: tuple[str, ...]
    rows: tuple[SummaryRow, ...]
    records: tuple[RunRecord, ...]


def task_of(record: RunRecord) -> str:
    """Which task a record is of: the pair, the network and the label budget."""
    asked = record.experiment
    return f"{asked.source} → {asked.target}, {asked.backbone}, {asked.labels_per_class} labels a class"


def summarise(records: Iterable[RunRecord], seed: int = 0) -> Summary:
    """Sum up strategies over tasks.

    Args:
        records: Records of several tasks, each with training from scratch.
        seed: Seed of the bootstrap.

    Returns:
        Interquartile means and probabilities of improvement (Agarwal et al. 2021), for the strategies that every task
        has.

    Raises:
        UserError: If a task was measured in two ways, has no scratch, or there are too few tasks or seeds.
    """
    kept = tuple(records)
    accuracies: dict[str, dict[str, dict[int, float]]] = {}
    ways: dict[str, str] = {}
    for record in kept:
        task, way = task_of(record), record.experiment.arm_hash("", 0)
        if ways.setdefault(task, way) != way:
            raise UserError(f"{task} is there with two settings (steps, rates and the like): give one of them")
        accuracies.setdefault(record.strategy, {}).setdefault(task, {})[record.seed] = record.test_accuracy
    if set(accuracies.get(BASELINE, ())) != set(ways):
        raise UserError("not every task has training from scratch: measure it, there is nothing to compare with")
    base = accuracies[BASELINE]
    rows: list[SummaryRow] = []
    for strategy, by_task in accuracies.items():
        if set(by_task) != set(ways):
            continue
        ours = {task: list(by_task[task].values()) for task in ways}
        paired = {
            task: [value - base[task][seed] for seed, value in by_task[task].items() if seed in base[task]]
            for task in ways
        }
        compared = strategy != BASELINE and all(paired.values())
        theirs = {task: list(base[task].values()) for task in ways}
        rows.append(
            SummaryRow(
                strategy=strategy,
                accuracy=aggregate_interval(ours, seed=seed),
                difference=aggregate_interval(paired, seed=seed) if compared else None,
                improvement=improvement_interval(ours, theirs, seed=seed) if compared else None,
            )
        )
    return Summary(tasks=tuple(ways), rows=tuple(rows), records=kept)
