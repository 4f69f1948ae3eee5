"""A comparison as a value: the experiment, its records, and the paired differences that follow from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlcore.errors import UserError
from tlcore.experiment import Experiment, PairedComparison, RunRecord
from tlcore.metrics.stats import Interval, mean_interval, paired_interval, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    import plotly.graph_objects as go


def paired_comparisons(records: Sequence[RunRecord], baseline: str | None = None) -> tuple[PairedComparison, ...]:
    """Every strategy against a baseline, paired by seed.

    Args:
        records: Records of one experiment.
        baseline: The strategy to compare with; None for ``scratch`` if it was run, else the first record's.

    Returns:
        One comparison for each other strategy that shares a seed with the baseline, in the order of the records.
        Diverged arms count with the accuracy they ended at.
    """
    by_arm = {(record.strategy, record.seed): record.test_accuracy for record in records}
    strategies = list(dict.fromkeys(record.strategy for record in records))
    if baseline is None:
        baseline = "scratch" if "scratch" in strategies or not strategies else strategies[0]
    seeds = sorted({seed for strategy, seed in by_arm if strategy == baseline})
    comparisons: list[PairedComparison] = []
    for strategy in strategies:
        shared = [seed for seed in seeds if (strategy, seed) in by_arm]
        if strategy == baseline or not shared:
            continue
        accuracies = ([by_arm[name, seed] for seed in shared] for name in (strategy, baseline))
        comparisons.append(paired_comparison(strategy, baseline, *accuracies, overlap=overlap_of(records)))
    return tuple(comparisons)


def accuracy_interval(records: Sequence[RunRecord]) -> Interval:
    """Mean test accuracy of one strategy with its interval.

    Args:
        records: One record a seed; at least one.

    Returns:
        The mean and its interval.
    """
    return mean_interval([record.test_accuracy for record in records], overlap=overlap_of(records))


def overlap_of(records: Sequence[RunRecord]) -> float:
    """How much the test sets of several seeds share, for the intervals.

    Args:
        records: Records of one experiment.

    Returns:
        Test images over the others where every seed draws its own from one pool; 0 with a fixed test set.
    """
    return max((record.labels.overlap for record in records), default=0.0)


def paired_comparison(
    strategy: str, baseline: str, treatment: Sequence[float], control: Sequence[float], overlap: float = 0.0
) -> PairedComparison:
    """One strategy against a baseline.

    Args:
        strategy: The strategy.
        baseline: What it is compared with.
        treatment: The strategy's test accuracies, one a seed.
        control: The baseline's for the same seeds, in the same order.
        overlap: From `overlap_of`.

    Returns:
        The mean difference with its interval and verdict.
    """
    interval = paired_interval(treatment, control, overlap=overlap)
    return PairedComparison(
        strategy=strategy,
        baseline=baseline,
        mean_difference=interval.mean,
        ci_low=interval.low,
        ci_high=interval.high,
        n=interval.n,
        verdict=verdict(interval),
    )


@dataclass(frozen=True)
class Comparison:
    """What `tlcore.compare` returns and ``--json`` writes.

    Args:
        experiment: What was asked for.
        records: One record an arm and seed.
    """

    experiment: Experiment
    records: tuple[RunRecord, ...]

    @property
    def comparisons(self) -> tuple[PairedComparison, ...]:
        """Paired differences against the baseline."""
        return paired_comparisons(self.records)

    def table(self) -> pd.DataFrame:
        """One row a strategy: accuracy with its interval, cost, difference, verdict."""
        from tlcore.views import results_table  # pandas takes a while to import and many callers never need a table

        return results_table(self.records)

    def figure(self) -> go.Figure:
        """Test accuracy of every strategy, a dot a seed, with intervals."""
        from tlcore.views import accuracy_figure  # likewise plotly

        return accuracy_figure(self.records)

    def to_json(self) -> str:
        """The comparison as JSON text; `from_json` reads it back."""
        values: dict[str, Any] = {
            "experiment": self.experiment.model_dump(mode="json"),
            "records": [record.model_dump(mode="json") for record in self.records],
            "comparisons": [comparison.model_dump(mode="json") for comparison in self.comparisons],
        }
        return json.dumps(values, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read what `to_json` wrote; the comparisons are computed again from the records.

        Args:
            text: JSON text.

        Returns:
            The comparison.

        Raises:
            UserError: If the text is not a comparison.
        """
        try:
            values = json.loads(text)
            records = tuple(RunRecord.model_validate(record) for record in values["records"])
            return cls(Experiment.model_validate(values["experiment"]), records)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"this file is not a comparison written by tlcore: {str(error).splitlines()[0]}") from None

    @classmethod
    def read(cls, path: Path) -> Comparison:
        """Read a comparison from a file.

        Args:
            path: The file.

        Returns:
            The comparison.

        Raises:
            UserError: If the file cannot be read or is not a comparison.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror})") from None
        except UnicodeDecodeError:
            raise UserError(f"{path} is not a comparison written by tlcore: it is not text") from None
        return cls.from_json(text)
