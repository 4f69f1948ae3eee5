"""Experiments of several comparisons: sweeps, scenario maps, estimates and advice as figures and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tlcore.metrics.curves import QUANTITIES
from tlcore.metrics.stats import Interval
from tlcore.sweep import FACTORS
from tlcore.views.common import bounds, error_bars, label_ends, layout, look_of, percent, tinted, title_of
from tlcore.views.curves import HEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.advise import Policy
    from tlcore.estimate import Estimate
    from tlcore.metrics.curves import LabelEfficiency, Measurement
    from tlcore.scenario import Scenario
    from tlcore.sweep import Sweep, Value

AUTOMATIC = "auto"


def value_text(value: Value) -> str:
    """A factor's value as text."""
    return AUTOMATIC if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def efficiency_text(efficiency: LabelEfficiency) -> str:
    """A label efficiency as text: ``× 4.2``, ``at least × 10``."""
    return f"{efficiency.censored} × {efficiency.bound:.2g}".strip()


def quantity_text(measured: Measurement) -> str:
    """A quantity with its interval as text, accuracies in percent; what was not reached is said, never averaged."""
    if measured.interval is None:
        reached = len(measured.values) - measured.censored
        return f"reached by {reached} of {len(measured.values)} seeds"
    percents = QUANTITIES[measured.quantity].unit == "accuracy"
    interval, factor = measured.interval, 100 if percents else 1
    numbers = [f"{factor * value:.3g}" for value in (interval.mean, interval.low, interval.high) if value is not None]
    text = numbers[0] + (" %" if percents else "")
    return text if len(numbers) == 1 else f"{text} ({numbers[1]} to {numbers[2]})"


def sweep_figure(sweep: Sweep) -> go.Figure:
    """Mean test accuracy against the factor: a line a strategy, 95 % t intervals over seeds, labels at the line's end.

    Args:
        sweep: A finished sweep.

    Returns:
        The figure; the factor's axis is logarithmic where equal ratios matter, and one place a value where the values
        are names.
    """
    factor, figure = FACTORS[sweep.factor], go.Figure()
    numbers = [value for value in sweep.values if isinstance(value, int | float)]
    numeric = len(numbers) == len(sweep.values)
    order = np.argsort(numbers, kind="stable").tolist() if numeric else list(range(len(sweep.values)))
    texts = [value_text(sweep.values[at]) for at in order]
    places = [numbers[at] for at in order] if numeric else list(range(len(order)))
    last: dict[str, float] = {}
    heights: list[float] = []
    for strategy in sweep.strategies:
        intervals = [sweep.accuracy(strategy)[at] for at in order]
        look, title = look_of(strategy), title_of(strategy)
        drawn: list[tuple[float, float, float]] = []
        for interval in intervals:
            low, high = bounds(interval.mean, interval.low, interval.high)
            drawn.append((100 * interval.mean, 100 * low, 100 * high))
        figure.add_scatter(
            x=places,
            y=[100 * interval.mean for interval in intervals],
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 3},
            marker={"color": look.colour, "size": 9},
            error_y=error_bars(drawn, colour=tinted(look.colour, 0.55), thickness=1.5, width=4),
            name=title,
            text=texts,
            customdata=[[low, high] for _, low, high in drawn],
            hovertemplate=(
                f"<b>{title}</b> at %{{text}}: %{{y:.1f}} %<br>"
                "95 % interval %{customdata[0]:.1f} to %{customdata[1]:.1f}<extra></extra>"
            ),
        )
        last[strategy] = intervals[-1].mean
        heights += [min(max(end / 100, 0.0), 1.0) for ends in drawn for end in ends]
    room = 0.06 * max(max(heights) - min(heights), 0.05)
    low, high = max(0.0, min(heights) - room), min(1.03, max(heights) + room)
    label_ends(
        figure,
        {strategy: (value - low) / (high - low) for strategy, value in last.items()},
        {strategy: f"{percent(value)} at {texts[-1]}" for strategy, value in last.items()},
    )
    log = factor.log and numeric and min(numbers) > 0
    figure.update_xaxes(
        title=factor.title + (" (logarithmic)" if log else ""),
        type="log" if log else "linear",
        tickvals=places,
        ticktext=texts,
        zeroline=False,
    )
    figure.update_yaxes(title="Test accuracy (%)", range=[100 * low, 100 * high], zeroline=False, automargin=True)
    margin = {"l": 8, "r": 136, "t": 20, "b": 44}
    return figure.update_layout(**layout(height=HEIGHT, margin=margin, dragmode="zoom"))


def sweep_table(sweep: Sweep) -> pd.DataFrame:
    """One row a value and strategy.

    Args:
        sweep: A finished sweep.

    Returns:
        Accuracy and difference from scratch in percentage points with their 95 % intervals, the verdict, and every
        quantity of `Sweep.points` with its interval (missing where it is not defined, or with one seed).
    """
    title = FACTORS[sweep.factor].title
    rows: list[dict[str, Any]] = []
    for point in sweep.points:
        row: dict[str, Any] = {title: value_text(point.value), "Strategy": title_of(point.strategy)}
        row |= _columns("Test accuracy (%)", point.accuracy, 100)
        difference = point.difference
        row |= {
            "Difference (points)": None if difference is None else 100 * difference.mean_difference,
            "difference low": None if difference is None or difference.ci_low is None else 100 * difference.ci_low,
            "difference high": None if difference is None or difference.ci_high is None else 100 * difference.ci_high,
            "Verdict": "" if difference is None else difference.verdict,
        }
        for name, measured in point.quantities.items():
            row |= _columns(QUANTITIES[name].title, measured.interval, 1)
        if point.label_efficiency is not None:
            row["Label efficiency"] = efficiency_text(point.label_efficiency)
        for title, changes in (("Weight change", point.weight_change), ("Feature change", point.feature_change)):
            for stage, interval in changes.items():
                row |= _columns(f"{title}, {stage}", interval, 1)
        rows.append(row)
    return pd.DataFrame(rows)


def estimate_table(estimate: Estimate) -> pd.DataFrame:
    """One row a score: the mean over seeds for every source, and how it agreed with measured gains.

    Args:
        estimate: The estimates.

    Returns:
        The table; cells are missing where a score could not be computed or nothing was measured.
    """
    from tlcore.estimate import SCORES

    rows: list[dict[str, Any]] = []
    for score in SCORES.values():
        row: dict[str, Any] = {"Score": score.title}
        for scores in estimate.sources:
            row |= _columns(scores.source, scores.interval(score.name), 1)
        for item in estimate.agreements:
            if item.score == score.name:
                row[f"weighted τ, {title_of(item.strategy)}"] = item.weighted_tau
                row[f"Pearson's r, {title_of(item.strategy)}"] = item.pearson
        rows.append(row)
    return pd.DataFrame(rows)


def scenario_table(scenario: Scenario) -> pd.DataFrame:
    """One row a cell of the 2 × 2 map.

    Args:
        scenario: The map.

    Returns:
        Source with its measured distance, labels, the measured best with its interval, what cannot be told from it,
        the textbook's advice, and whether that holds.
    """
    rows: list[dict[str, Any]] = []
    for cell in scenario.cells:
        experiment = cell.comparison.experiment
        distance = scenario.distances[0 if cell.similar else 1]
        best = cell.best_interval
        rows.append(
            {
                "Source": experiment.source,
                "Proxy A-distance": distance,
                "Labels a class": experiment.labels_per_class,
                "Measured best": title_of(cell.best),
                **_columns("Test accuracy (%)", best, 100),
                "As good": ", ".join(title_of(name) for name in cell.as_good if name != cell.best),
                "Textbook": " or ".join(title_of(name) for name in cell.advice.strategies),
                "The textbook's advice": cell.verdict,
                "Loss against the best (points)": 0.0
                if cell.shortfall is None
                else 100 * cell.shortfall.mean_difference,
            }
        )
    return pd.DataFrame(rows)


def policies_table(policies: Sequence[Policy]) -> pd.DataFrame:
    """One row a way of choosing a strategy: how often it was right and what it lost.

    Args:
        policies: As `Atlas.report` gives them.

    Returns:
        Counts of cells, and losses in percentage points.
    """
    return pd.DataFrame(
        [
            {
                "Policy": policy.name,
                "Measured best": policy.best,
                "Best or as good": policy.as_good,
                "Cells": policy.cells,
                **_columns("Mean loss (points)", policy.regret, 100),
                "Largest loss (points)": 100 * policy.worst,
            }
            for policy in policies
        ]
    )


def _columns(name: str, interval: Interval | None, factor: float) -> dict[str, float | None]:
    """An interval as three columns."""
    if interval is None:
        return {name: None, f"{name}, low": None, f"{name}, high": None}
    ends = [None if end is None else factor * end for end in (interval.low, interval.high)]
    return {name: factor * interval.mean, f"{name}, low": ends[0], f"{name}, high": ends[1]}
