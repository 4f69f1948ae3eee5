"""Sweeps, scenario maps and estimates as a page shows them: one sentence, one figure, one short table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tlcore.data.external import SOURCES
from tlcore.models.registry import BACKBONES
from tlcore.results import accuracy_interval
from tlcore.strategies import STRATEGIES
from tlcore.sweep import FACTORS
from tlcore.views.common import GREY, bounds, by_strategy, error_bars, layout, look_of, points, title_of, wrapped
from tlcore.views.sweeps import value_text

if TYPE_CHECKING:
    from tlcore.estimate import Agreement, Estimate
    from tlcore.experiment import Experiment
    from tlcore.scenario import Scenario
    from tlcore.sweep import Sweep, Value

ROW = 46  # pixels of one row


def target_title(experiment: Experiment) -> str:
    """Title of an experiment's target."""
    return SOURCES[experiment.target].title


def named_value(factor: str, value: Value) -> str:
    """A factor's value as a person says it: titles of datasets and networks, plain numbers."""
    if isinstance(value, str) and factor in ("source", "target"):
        return SOURCES[value].title
    if isinstance(value, str) and factor == "backbone":
        return BACKBONES[value].title
    return f"{value:,}" if isinstance(value, int) else value_text(value)


def sweep_sentence(sweep: Sweep) -> str:
    """Where over the factor's values transfer helps, hurts or does nothing, in one sentence a strategy.

    Args:
        sweep: A finished sweep.

    Returns:
        Sentences made of the verdicts of the paired intervals; differences where there is no training from scratch
        are left out.
    """
    parts: list[str] = []
    for strategy in sweep.strategies:
        if STRATEGIES[strategy].kind != "transfer":
            continue
        found: dict[str, list[str]] = {}
        for value, item in zip(sweep.values, sweep.differences(strategy), strict=True):
            if item is not None:
                found.setdefault(item.verdict, []).append(named_value(sweep.factor, value))
        said = "; ".join(f"{verdict} at {' · '.join(values)}" for verdict, values in found.items())
        if said:
            parts.append(f"{title_of(strategy)}: {said}.")
    factor = FACTORS[sweep.factor].title
    return f"{factor}. {' '.join(parts)}" if parts else f"Test accuracy by {factor.lower()}"


def sweep_summary(sweep: Sweep) -> pd.DataFrame:
    """One row a value and strategy: accuracy and difference from scratch with their intervals, and the verdict.

    Args:
        sweep: A finished sweep.

    Returns:
        The table, in percent and percentage points.
    """
    factor, rows = FACTORS[sweep.factor].title, list[dict[str, Any]]()
    for point in sweep.points:
        low, high, item = point.accuracy.low, point.accuracy.high, point.difference
        rows.append(
            {
                factor: named_value(sweep.factor, point.value),
                "Strategy": title_of(point.strategy),
                "Test accuracy (%)": 100 * point.accuracy.mean,
                "low": None if low is None else 100 * low,
                "high": None if high is None else 100 * high,
                "Difference (points)": None if item is None else 100 * item.mean_difference,
                "diff. low": None if item is None or item.ci_low is None else 100 * item.ci_low,
                "diff. high": None if item is None or item.ci_high is None else 100 * item.ci_high,
                "Verdict": "" if item is None else item.verdict,
            }
        )
    return pd.DataFrame(rows)


def categories_figure(sweep: Sweep) -> go.Figure:
    """A sweep over names: a row a value and strategy, a diamond with its 95 % interval.

    Args:
        sweep: A sweep whose factor has no order: sources, networks, targets.

    Returns:
        The figure; what scratch reaches is one row of its own where it is the same at every value.
    """
    figure = go.Figure()
    labels: list[str] = []
    row = 0.0
    ends: list[float] = []
    rows: list[float] = []
    for value, comparison in zip(sweep.values, sweep.comparisons, strict=True):
        for strategy, records in by_strategy(comparison.records).items():
            interval = accuracy_interval(records)
            low, high = bounds(interval.mean, interval.low, interval.high)
            ends += [low, high]
            colour = look_of(strategy).colour
            figure.add_scatter(
                x=[100 * interval.mean],
                y=[row],
                mode="markers+text",
                marker={"color": colour, "size": 12, "symbol": "diamond"},
                error_x=error_bars([(100 * interval.mean, 100 * low, 100 * high)], width=5),
                text=[title_of(strategy)],
                textposition="top center",
                cliponaxis=False,
                hovertemplate=(
                    f"{named_value(sweep.factor, value)}<br>{title_of(strategy)}: %{{x:.1f}} %"
                    f"<br>95 % interval {100 * low:.1f} to {100 * high:.1f}<extra></extra>"
                ),
                name=title_of(strategy),
            )
            labels.append(f"<b>{wrapped(named_value(sweep.factor, value), 16)}</b>")
            rows.append(row)
            row += 1
        figure.add_hline(y=row - 0.35, line={"color": GREY, "width": 0.5})
        row += 0.3
    # One label a value, in the middle of its rows.
    places: dict[str, list[float]] = {}
    for label, at in zip(labels, rows, strict=True):
        places.setdefault(label, []).append(at)
    room = 0.1 * max(max(ends) - min(ends), 0.05)
    figure.update_xaxes(
        title="Test accuracy (%)",
        range=[max(0.0, 100 * (min(ends) - room)), min(104.0, 100 * (max(ends) + room))],
        zeroline=False,
    )
    figure.update_yaxes(
        tickvals=[sum(at) / len(at) for at in places.values()],
        ticktext=list(places),
        range=[row - 0.5, -0.8],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    return figure.update_layout(**layout(height=int(ROW * row) + 84))


def study_figure(sweep: Sweep) -> go.Figure:
    """A sweep as a page draws it: a line a strategy over numbers, rows over names."""
    if all(isinstance(value, int | float) for value in sweep.values):
        return sweep.figure()
    return categories_figure(sweep)


def scenario_figure(scenario: Scenario) -> go.Figure:
    """The 2 × 2 map: in every cell the accuracy of every strategy with its 95 % interval.

    Args:
        scenario: The map.

    Returns:
        Four small figures with one scale; the textbook's advice is marked with a star.
    """
    strategies = scenario.cells[0].comparison.experiment.strategies
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        subplot_titles=[_cell_title(scenario, at) for at in range(4)],
    )
    for at, cell in enumerate(scenario.cells):
        advised = set(cell.advice.strategies)
        for row, (strategy, records) in enumerate(by_strategy(cell.comparison.records).items()):
            interval = accuracy_interval(records)
            low, high = bounds(interval.mean, interval.low, interval.high)
            figure.add_scatter(
                x=[100 * interval.mean],
                y=[row],
                mode="markers",
                marker={
                    "color": look_of(strategy).colour,
                    "size": 16 if strategy in advised else 11,
                    "symbol": "star" if strategy in advised else "diamond",
                },
                error_x=error_bars([(100 * interval.mean, 100 * low, 100 * high)], width=5),
                hovertemplate=(
                    f"{title_of(strategy)}: %{{x:.1f}} %<br>95 % interval {100 * low:.1f} to {100 * high:.1f}"
                    "<extra></extra>"
                ),
                name=title_of(strategy),
                row=at + 1,
                col=1,
            )
        figure.update_yaxes(
            tickvals=list(range(len(strategies))),
            ticktext=[wrapped(title_of(name), 26) for name in by_strategy(cell.comparison.records)],
            range=[len(strategies) - 0.4, -0.6],
            showgrid=False,
            zeroline=False,
            automargin=True,
            fixedrange=True,
            row=at + 1,
            col=1,
        )
    figure.update_xaxes(zeroline=False)
    figure.update_xaxes(title="Test accuracy (%); ★ what the textbook advises", row=4, col=1)
    return figure.update_layout(**layout(height=4 * (34 * len(strategies) + 60) + 60))


def _cell_title(scenario: Scenario, at: int) -> str:
    cell = scenario.cells[at]
    experiment = cell.comparison.experiment
    source = f"{'Similar' if cell.similar else 'Different'} source: {SOURCES[experiment.source].title}"
    return f"<b>{source}</b>, {experiment.labels_per_class} labels a class"


def estimate_figure(estimate: Estimate) -> go.Figure:
    """How well each score foretold the order of the sources: weighted τ against measured gains, a row a score.

    Args:
        estimate: Estimates with measured gains.

    Returns:
        The figure: 1 at the right is the same order, −1 the opposite.
    """
    from tlcore.estimate import SCORES

    figure = go.Figure()
    found = _by_score(estimate)
    for row, (_, items) in enumerate(found.items()):
        for place, item in enumerate(items):
            figure.add_scatter(
                x=[item.weighted_tau],
                y=[row + 0.3 * (place - (len(items) - 1) / 2)],  # beside each other: values of few sources coincide
                mode="markers",
                marker={
                    "color": look_of(item.strategy).colour,
                    "size": 13,
                    "symbol": "diamond" if item.strategy == "feature_extraction" else "circle",
                },
                hovertemplate=f"{title_of(item.strategy)}: τ = %{{x:+.2f}}<extra></extra>",
                name=title_of(item.strategy),
                legendgroup=item.strategy,
                showlegend=row == 0,
            )
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5, "dash": "dot"})
    figure.update_xaxes(
        title="Weighted τ between score and measured gain", range=[-1.1, 1.1], zeroline=False, fixedrange=True
    )
    figure.update_yaxes(
        tickvals=list(range(len(found))),
        ticktext=[wrapped(SCORES[score].title, 22) for score in found],
        range=[len(found) - 0.4, -0.6],
        showgrid=True,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    return figure.update_layout(**layout(height=36 * len(found) + 130, showlegend=True, legend=legend))


def estimate_sentence(estimate: Estimate) -> str:
    """Which score foretold the order of the sources best, and over how many sources."""
    from tlcore.estimate import SCORES

    if not estimate.agreements:
        return f"Scores of {len(estimate.sources)} sources; nothing was measured to hold them against."
    parts: list[str] = []
    for strategy in dict.fromkeys(item.strategy for item in estimate.agreements):
        items = [item for item in estimate.agreements if item.strategy == strategy]
        best = max(items, key=lambda item: item.weighted_tau)
        worst = min(items, key=lambda item: item.weighted_tau)
        parts.append(
            f"For {title_of(strategy).lower()} {SCORES[best.score].title} ordered the sources best "
            f"(τ {best.weighted_tau:+.2f}), {SCORES[worst.score].title} worst ({worst.weighted_tau:+.2f})."
        )
    count = len(estimate.agreements[0].sources)
    return " ".join([*parts, f"{count} sources only: a τ of a few sources moves a lot."]).replace("-", "−")


def gains_sentence(estimate: Estimate) -> str:
    """The measured gains that the scores are held against, by source."""
    parts: list[str] = []
    for strategy in dict.fromkeys(item.strategy for item in estimate.agreements):
        item = next(item for item in estimate.agreements if item.strategy == strategy)
        gains = ", ".join(
            f"{SOURCES[source].title} {points(gain)}" for source, gain in zip(item.sources, item.gains, strict=True)
        )
        parts.append(f"{title_of(strategy)}, points against scratch: {gains}.")
    return " ".join(parts)


def _by_score(estimate: Estimate) -> dict[str, list[Agreement]]:
    found: dict[str, list[Agreement]] = {}
    for item in estimate.agreements:
        found.setdefault(item.score, []).append(item)
    return found
