"""Test accuracy of every strategy, and the paired differences from the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from tlcore.results import accuracy_interval
from tlcore.views.common import (
    GREY,
    bounds,
    by_strategy,
    error_bars,
    guessing,
    interval_text,
    is_transfer,
    layout,
    look_of,
    percent,
    title_of,
    verdict_word,
    wrapped,
)
from tlcore.views.common import points as as_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import PairedComparison, RunRecord

ROW_PIXELS = 62
SIGNS = {"helps": "▲", "hurts": "▼", "no clear difference": "●", "one seed: no verdict": "○"}
"""A sign beside every verdict word, to be read from the back row."""


def accuracy_figure(records: Sequence[RunRecord]) -> go.Figure:
    """Test accuracy in percent: a row a strategy, a dot a seed, a diamond with its 95 % interval for the mean.

    Args:
        records: Records of one experiment; an empty figure for none.

    Returns:
        The figure. A dotted line marks guessing: always answering the commonest class.
    """
    figure = go.Figure()
    groups = by_strategy(records)
    ends: list[float] = []
    for row, (strategy, group) in enumerate(groups.items()):
        colour, title = look_of(strategy).colour, title_of(strategy)
        values = [record.test_accuracy for record in group]
        interval = accuracy_interval(group)
        diverged = [record.status == "diverged" for record in group]
        low, high = bounds(interval.mean, interval.low, interval.high)
        ends += [*values, max(low, 0.0), min(high, 1.0)]
        figure.add_scatter(
            x=[100 * value for value in values],
            y=[row + 0.2] * len(values),
            mode="markers",
            marker={
                "color": colour,
                "size": 8,
                "opacity": 0.75,
                "symbol": ["x" if bad else "circle" for bad in diverged],
            },
            customdata=[
                [record.seed, " (diverged)" if bad else ""] for record, bad in zip(group, diverged, strict=True)
            ],
            hovertemplate=f"{title}<br>seed %{{customdata[0]}}: %{{x:.1f}} %%{{customdata[1]}}<extra></extra>",
            name=title,
        )
        words = "" if interval.low is None else f"<br>95 % interval {percent(low)} to {percent(high)}"
        figure.add_scatter(
            x=[100 * interval.mean],
            y=[row - 0.08],
            mode="markers+text",
            marker={"color": colour, "size": 13, "symbol": "diamond"},
            error_x=error_bars([(100 * interval.mean, 100 * low, 100 * high)], colour=colour),
            text=[percent(interval.mean)],
            textposition="top center",
            textfont={"size": 14},
            cliponaxis=False,
            hovertemplate=f"{title}<br>mean of {interval.n}: %{{x:.1f}} %{words}<extra></extra>",
            name=title,
        )
    rows = len(groups)
    if rows:
        chance = guessing(records)
        ends.append(chance)
        figure.add_vline(x=100 * chance, line={"color": GREY, "dash": "dot", "width": 1.5})
        figure.add_annotation(
            x=100 * chance,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor="left",
            showarrow=False,
            text=f"guessing {percent(chance)}",
            font={"size": 13},
        )
        room = 0.08 * max(max(ends) - min(ends), 0.05)
        figure.update_xaxes(range=[max(0.0, 100 * (min(ends) - room)), min(103.0, 100 * (max(ends) + room))])
    figure.update_xaxes(title="Test accuracy (%)", zeroline=False)
    figure.update_yaxes(
        tickvals=list(range(rows)),
        ticktext=[wrapped(title_of(strategy)) for strategy in groups],
        range=[rows - 0.5, -0.6],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    return figure.update_layout(**layout(height=ROW_PIXELS * max(rows, 1) + 84))


def differences_figure(comparisons: Sequence[PairedComparison]) -> go.Figure:
    """Mean paired difference from the baseline in percentage points, with its 95 % interval and its verdict.

    Args:
        comparisons: Comparisons with one baseline; an empty figure for none.

    Returns:
        The figure: right of the zero line the strategy scores higher than the baseline.
    """
    figure = go.Figure()
    left, right = _differences_range(comparisons)
    for row, item in enumerate(comparisons):
        mean = item.mean_difference
        # One piece a row: the words above a row stay free of it.
        figure.add_shape(
            type="line", x0=0, x1=0, y0=row - 0.12, y1=row + 0.42, line={"color": GREY, "width": 2}, layer="below"
        )
        words = f"{SIGNS[item.verdict]} {as_points(mean)} · {verdict_word(item)}"
        # The words lean towards the middle, so that none is cut off at an edge.
        place = (mean - left) / (right - left)
        outside = not 0 <= place <= 1
        figure.add_annotation(
            x=100 * min(max(mean, left), right),
            y=row + 0.12 if outside else row - 0.1,
            yanchor="middle" if outside else "bottom",
            xanchor="left" if place < 0.25 else "right" if place > 0.75 else "center",
            showarrow=False,
            text=f"◀ {words}, off this scale" if place < 0 else f"{words}, off this scale ▶" if place > 1 else words,
            font={"size": 14},
        )
        if not outside:
            _add_difference(figure, row, item)
    rows = len(comparisons)
    baseline = title_of(comparisons[0].baseline) if comparisons else "the baseline"
    figure.update_xaxes(title=f"Percentage points against {baseline}", range=[100 * left, 100 * right], zeroline=False)
    figure.update_yaxes(
        tickvals=list(range(rows)),
        ticktext=[wrapped(title_of(item.strategy)) for item in comparisons],
        range=[rows - 0.5, -0.6],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    return figure.update_layout(**layout(height=ROW_PIXELS * max(rows, 1) + 84))


def _add_difference(figure: go.Figure, row: int, item: PairedComparison) -> None:
    colour, title, mean = look_of(item.strategy).colour, title_of(item.strategy), item.mean_difference
    low, high = bounds(item.mean_difference, item.ci_low, item.ci_high)
    words = "" if item.ci_low is None else f"<br>95 % interval {interval_text(low, high)}"
    figure.add_scatter(
        x=[100 * mean],
        y=[row + 0.12],
        mode="markers",
        marker={"color": colour, "size": 14, "symbol": "diamond"},
        error_x=error_bars([(100 * mean, 100 * low, 100 * high)], colour=colour),
        hovertemplate=(
            f"{title} against {title_of(item.baseline)}<br>{as_points(mean)} points"
            f"{words}<br>{item.n} seeds: {verdict_word(item)}<extra></extra>"
        ),
        name=title,
    )


def _differences_range(comparisons: Sequence[PairedComparison]) -> tuple[float, float]:
    """Ends of the axis: around the differences of transfer, so that a control far away does not flatten them."""
    shown = [item for item in comparisons if is_transfer(item)] or comparisons
    left, right = _span(shown)
    reach = 1.5 * (right - left)
    others = [item for item in comparisons if left - reach <= item.mean_difference <= right + reach]
    left, right = _span([*shown, *others])
    room = 0.12 * (right - left)
    # With two seeds an interval can be wider than any difference: beyond 100 points there is nothing to see.
    return max(left - room, -1.0), min(right + room, 1.0)


def _span(comparisons: Sequence[PairedComparison]) -> tuple[float, float]:
    ends = [0.0, *(end for item in comparisons for end in bounds(item.mean_difference, item.ci_low, item.ci_high))]
    left, right = min(ends), max(ends)
    return (left, right) if right - left > 0.01 else (left - 0.005, right + 0.005)
