"""Learning curves: one Plotly figure for finished runs, one ECharts option for running ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from tlcore.views.common import CLEAR, by_strategy, label_ends, layout, look_of, percent, tinted, title_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tlcore.experiment import CurvePoint, Experiment, RunRecord

HEIGHT = 440


@dataclass(frozen=True)
class Band:
    """One strategy's curve over its seeds.

    Args:
        steps: Steps at which at least one seed was looked at, ascending.
        mean: Mean accuracy of the seeds that were looked at there, in [0, 1].
        low: Smallest of them.
        high: Largest of them.
        seeds: How many they are.
    """

    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seeds: tuple[int, ...]


def bands(points: Iterable[tuple[str, int, CurvePoint]]) -> dict[str, Band]:
    """Gather looks by strategy and step.

    Args:
        points: Strategy, seed and look, in any order.

    Returns:
        One band a strategy, in the order in which strategies first appear.
    """
    seen: dict[str, dict[int, list[float]]] = {}
    for strategy, _, point in points:
        seen.setdefault(strategy, {}).setdefault(point.step, []).append(point.validation_accuracy)
    result: dict[str, Band] = {}
    for strategy, by_step in seen.items():
        columns = [(step, by_step[step]) for step in sorted(by_step)]
        result[strategy] = Band(
            steps=tuple(step for step, _ in columns),
            mean=tuple(sum(values) / len(values) for _, values in columns),
            low=tuple(min(values) for _, values in columns),
            high=tuple(max(values) for _, values in columns),
            seeds=tuple(len(values) for _, values in columns),
        )
    return result


def points_of(records: Iterable[RunRecord]) -> list[tuple[str, int, CurvePoint]]:
    """The looks of records, in the form in which the store gives them."""
    return [(record.strategy, record.seed, point) for record in records for point in record.curve]


def curves_figure(
    looks: Iterable[tuple[str, int, CurvePoint]], *, levels: Mapping[str, float] | None = None, steps: int | None = None
) -> go.Figure:
    """Accuracy on the observation images over optimiser steps: mean line and the seeds' range, labelled at the end.

    Args:
        looks: Strategy, seed and look, as `Store.points` or `points_of` give them.
        levels: Accuracies in [0, 1] of strategies that have no steps (the pixel baseline, direct reuse): drawn level.
        steps: Right end of the axis; None for the last look.

    Returns:
        The figure.
    """
    figure = go.Figure()
    drawn = bands(looks)
    end = steps or max((band.steps[-1] for band in drawn.values()), default=1)
    ends: dict[str, float] = {}
    for strategy, band in drawn.items():
        look, title = look_of(strategy), title_of(strategy)
        figure.add_scatter(
            x=[*band.steps, *reversed(band.steps)],
            y=[100 * value for value in (*band.high, *reversed(band.low))],
            fill="toself",
            fillcolor=tinted(look.colour, 0.16),
            line={"width": 0, "color": CLEAR},
            hoverinfo="skip",
            legendgroup=strategy,
        )
        figure.add_scatter(
            x=band.steps,
            y=[100 * value for value in band.mean],
            mode="lines",
            line={"color": look.colour, "dash": look.dash, "width": 3},
            name=title,
            legendgroup=strategy,
            customdata=[[100 * low, 100 * high] for low, high in zip(band.low, band.high, strict=True)],
            hovertemplate=(
                f"<b>{title}</b> %{{y:.1f}} %, seeds %{{customdata[0]:.1f}} to %{{customdata[1]:.1f}}<extra></extra>"
            ),
        )
        ends[strategy] = band.mean[-1]
    for strategy, level in (levels or {}).items():
        look, title = look_of(strategy), title_of(strategy)
        figure.add_scatter(
            x=[0, end],
            y=[100 * level] * 2,
            mode="lines",
            line={"color": look.colour, "dash": look.dash, "width": 2},
            opacity=0.8,
            name=title,
            hovertemplate=f"<b>{title}</b> %{{y:.1f}} %, no steps<extra></extra>",
        )
        ends[strategy] = level
    # From zero, so that the eye can compare heights, to just above what was measured.
    top = min(
        1.0, 0.06 + max([0.2, *(levels or {}).values(), *(value for band in drawn.values() for value in band.high)])
    )
    label_ends(
        figure,
        {strategy: value / top for strategy, value in ends.items()},
        {strategy: f"{percent(value)} at the end" for strategy, value in ends.items()},
    )
    figure.update_xaxes(title="Optimiser steps", range=[0, end], zeroline=False)
    figure.update_yaxes(
        title="Accuracy on observation images (%)", range=[0, 100 * top], zeroline=False, automargin=True
    )
    margin = {"l": 8, "r": 122, "t": 20, "b": 44}
    return figure.update_layout(**layout(height=HEIGHT, margin=margin, hovermode="x unified", dragmode="zoom"))


def levels_of(records: Sequence[RunRecord]) -> dict[str, float]:
    """Mean accuracy on the observation images of the strategies that have no curve, by strategy."""
    return {
        strategy: sum(record.validation_accuracy for record in group) / len(group)
        for strategy, group in by_strategy(records).items()
        if not any(record.curve for record in group)
    }


_ECHARTS_DASH: dict[str, str | list[int]] = {
    "solid": "solid",
    "dash": "dashed",
    "dot": "dotted",
    "dashdot": [9, 4, 2, 4],
    "longdash": [14, 5],
    "longdashdot": [14, 4, 2, 4],
}


def live_options(
    looks: Iterable[tuple[str, int, CurvePoint]], experiment: Experiment, *, dark: bool = False
) -> dict[str, Any]:
    """Options of the live chart: the same series in the same order at every poll, axes that never move.

    Args:
        looks: Strategy, seed and look so far.
        experiment: What runs; it fixes the series and the axes.
        dark: Whether the page is dark.

    Returns:
        An ECharts option: for each strategy a mean line and, once two seeds were looked at, the range between them.
    """
    drawn = bands(looks)
    empty = Band((), (), (), (), ())
    ink, faint = ("#E6EBF0", "#3A4653") if dark else ("#1B2733", "#D9DFE5")
    series: list[dict[str, Any]] = []
    for strategy in experiment.strategies:
        look, title, band = look_of(strategy), title_of(strategy), drawn.get(strategy, empty)
        quiet = {"type": "line", "symbol": "none", "silent": True, "tooltip": {"show": False}, "animation": False}
        stack = {"stack": f"range {strategy}", "lineStyle": {"opacity": 0}}
        series.append(
            {
                **quiet,
                **stack,
                "id": f"{strategy} low",
                "data": [[x, round(100 * low, 2)] for x, low in zip(band.steps, band.low, strict=True)],
            }
        )
        series.append(
            {
                **quiet,
                **stack,
                "id": f"{strategy} range",
                "areaStyle": {"color": look.colour, "opacity": 0.18},
                "data": [
                    [x, round(100 * (high - low), 2)]
                    for x, low, high in zip(band.steps, band.low, band.high, strict=True)
                ],
            }
        )
        series.append(
            {
                "id": strategy,
                "name": title,
                "type": "line",
                "symbol": "circle",
                "symbolSize": 5,
                "showSymbol": len(band.steps) == 1,
                "lineStyle": {"color": look.colour, "width": 3, "type": _ECHARTS_DASH[look.dash]},
                "itemStyle": {"color": look.colour},
                "emphasis": {"focus": "none"},
                "data": [[x, round(100 * mean, 2)] for x, mean in zip(band.steps, band.mean, strict=True)],
            }
        )
    axis = {
        "type": "value",
        "min": 0,
        "nameTextStyle": {"color": ink, "fontSize": 13},
        "axisLabel": {"color": ink, "fontSize": 13, "hideOverlap": True},
        "axisLine": {"show": True, "lineStyle": {"color": faint}},
        "splitLine": {"lineStyle": {"color": faint}},
    }
    return {
        "animation": False,
        "backgroundColor": "transparent",
        "grid": {"left": 48, "right": 20, "top": 76, "bottom": 48},
        # On a phone two names fit in a line of the legend.
        "media": [
            {"query": {"maxWidth": 620}, "option": {"grid": {"top": 42 + 23 * -(-len(experiment.strategies) // 2)}}},
            {"option": {"grid": {"top": 76}}},
        ],
        "legend": {
            "top": 0,
            "left": 0,
            "right": 0,
            "itemWidth": 34,
            "itemGap": 14,
            "textStyle": {"color": ink, "fontSize": 13},
            "data": [title_of(strategy) for strategy in experiment.strategies],
        },
        "tooltip": {"trigger": "axis", "valueFormatter": "%.1f %%", "confine": True},
        "xAxis": {
            **axis,
            "max": experiment.steps,
            "name": "Optimiser steps",
            "nameLocation": "middle",
            "nameGap": 28,
        },
        "yAxis": {
            **axis,
            "max": 100,
            "name": "Accuracy on observation images (%)",
            "nameLocation": "end",
            "nameGap": 12,
            "nameTextStyle": {"color": ink, "fontSize": 13, "align": "left", "padding": [0, 0, 0, -40]},
        },
        "series": series,
    }
