"""The same numbers as tables, for reading, sorting and taking away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from tlcore.results import accuracy_interval
from tlcore.views.common import by_strategy, title_of, verdict_word
from tlcore.views.confusion import confusion_labels
from tlcore.views.curves import bands

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tlcore.experiment import CurvePoint, PairedComparison, RunRecord

RESULT_COLUMNS = (
    "Strategy",
    "Test accuracy (%)",
    "95 % low (%)",
    "95 % high (%)",
    "Each seed (%)",
    "Train accuracy (%)",
    "Train − test (points)",
    "Learning rate",
    "Trained weights",
    "All weights",
    "Steps",
    "Training (s)",
    "With selection (s)",
)
DIFFERENCE_COLUMNS = ("Strategy", "Baseline", "Difference (points)", "95 % low", "95 % high", "Seeds", "Verdict")


def results_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a strategy: accuracy with its 95 % Student t interval, overfitting, what was chosen, and the cost.

    Args:
        records: Records of one experiment.

    Returns:
        Columns `RESULT_COLUMNS`; steps and seconds are means over the seeds. Intervals are missing with one seed.
    """
    rows: list[dict[str, Any]] = []
    for strategy, group in by_strategy(records).items():
        interval = accuracy_interval(group)
        train = sum(record.train_accuracy for record in group) / len(group)
        diverged = sum(record.status == "diverged" for record in group)
        note = f" ({diverged} diverged)" if diverged else ""
        values = (
            title_of(strategy) + note,
            100 * interval.mean,
            _percent_or_nan(interval.low),
            _percent_or_nan(interval.high),
            " · ".join(f"{100 * record.test_accuracy:.1f}" for record in group),
            100 * train,
            100 * (train - interval.mean),
            _rates(group),
            group[0].trainable_parameters,
            group[0].total_parameters,
            round(sum(record.steps for record in group) / len(group)),
            sum(record.seconds for record in group) / len(group),
            sum(record.seconds + record.phase_seconds.get("selection", 0.0) for record in group) / len(group),
        )
        rows.append(dict(zip(RESULT_COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS))


def differences_table(comparisons: Sequence[PairedComparison]) -> pd.DataFrame:
    """One row a strategy: the paired difference from the baseline, its 95 % interval and the verdict.

    Args:
        comparisons: The comparisons.

    Returns:
        Columns `DIFFERENCE_COLUMNS`, differences in percentage points. Intervals are missing with one seed.
    """
    rows = [
        (
            title_of(item.strategy),
            title_of(item.baseline),
            100 * item.mean_difference,
            _percent_or_nan(item.ci_low),
            _percent_or_nan(item.ci_high),
            item.n,
            verdict_word(item),
        )
        for item in comparisons
    ]
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def curves_table(looks: Iterable[tuple[str, int, CurvePoint]]) -> pd.DataFrame:
    """Mean accuracy on the observation images in percent: a row a step, a column a strategy.

    Args:
        looks: Strategy, seed and look.

    Returns:
        The table; a cell is missing where a strategy was not looked at.
    """
    columns = {
        title_of(strategy): pd.Series([100 * value for value in band.mean], index=list(band.steps), dtype=float)
        for strategy, band in bands(looks).items()
    }
    return pd.DataFrame(columns).rename_axis("Step").sort_index()


def confusion_table(record: RunRecord) -> pd.DataFrame:
    """Test images by true class (row) and answer (column).

    Args:
        record: One arm with one seed.

    Returns:
        Counts.
    """
    rows, columns = confusion_labels(record)
    return pd.DataFrame([list(row) for row in record.confusion], index=rows, columns=columns).rename_axis("True class")


def _percent_or_nan(value: float | None) -> float:
    return float("nan") if value is None else 100 * value


def _rates(group: Sequence[RunRecord]) -> str:
    """Rates by seed, a repeated one once; the pixel baseline's C where it has that instead."""
    chosen = [record.selection.chosen for record in group]
    texts = ["–" if value is None else f"{value:g}" for value in chosen]
    texts = texts[:1] if len(set(texts)) == 1 else texts
    return ("C = " if group[0].selection.setting == "C" else "") + " · ".join(texts)
