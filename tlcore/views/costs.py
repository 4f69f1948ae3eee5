"""What networks cost, as a table and a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd
from plotly.subplots import make_subplots

from tlcore.views.common import layout

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tlcore.costs import Cost, Costs

PUBLISHED, OWN = "#0072B2", "#D55E00"
ROW, AROUND = 25, 110  # pixels: a network's row; titles, axes and legend together
LABEL = 0.75  # of an axis, beyond the largest value: room for its number on a telephone


def costs_table(costs: Costs) -> pd.DataFrame:
    """One row a network.

    Args:
        costs: What was measured.

    Returns:
        Name, input, parameters in millions, file in megabytes, feature width, images a second, memory of a batch in
        megabytes, published accuracy in percent with its source, and licence; missing where nothing was published.
    """
    return pd.DataFrame(
        [
            {
                "Network": cost.title,
                "Input": "×".join(map(str, cost.input_shape)),
                "Parameters (millions)": cost.parameters / 1e6,
                "Weights file (MB)": cost.weights_bytes / 1e6,
                "Features": cost.feature_width,
                "Images a second": cost.images_per_second,
                f"Memory, {costs.batch} images (MB)": cost.memory_bytes / 1e6,
                "ImageNet top-1 (%)": None if cost.top1 is None else 100 * cost.top1,
                "Published by": cost.top1_source,
                "Licence of the weights": cost.licence,
            }
            for cost in costs.costs
        ]
    )


def costs_figure(costs: Costs) -> go.Figure:
    """Parameters and images a second of every network, both logarithmic, a row each, the fastest on top.

    Networks with published weights are circles, this project's own are diamonds: they see smaller images too.

    Args:
        costs: What was measured.

    Returns:
        The figure.
    """
    columns = (
        ("Parameters", {cost.backbone: float(cost.parameters) for cost in costs.costs}, _millions),
        ("Images a second", {cost.backbone: cost.images_per_second for cost in costs.costs}, _rate),
    )
    groups = (
        ("ImageNet weights", PUBLISHED, "circle", [cost for cost in costs.costs if cost.top1 is not None]),
        ("this project's own", OWN, "diamond", [cost for cost in costs.costs if cost.top1 is None]),
    )
    figure = make_subplots(
        1, 2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=[title for title, _, _ in columns]
    )
    for name, colour, symbol, group in groups:
        for column, (_, values, written) in enumerate(columns, start=1):
            if not group:
                continue
            figure.add_scatter(
                x=[values[cost.backbone] for cost in group],
                y=[cost.title for cost in group],
                mode="markers+text",
                marker={"color": colour, "symbol": symbol, "size": 10},
                text=[written(values[cost.backbone]) for cost in group],
                textposition="middle right",
                textfont={"size": 12},
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                customdata=[[_accuracy(cost), "×".join(map(str, cost.input_shape))] for cost in group],
                hovertemplate="<b>%{y}</b>, pictures of %{customdata[1]}<br>%{text}<br>%{customdata[0]}<extra></extra>",
                cliponaxis=False,
                row=1,
                col=column,
            )
    for column, (_, values, _) in enumerate(columns, start=1):
        low, high = math.log10(min(values.values())), math.log10(max(values.values()))
        span = max(high - low, 1.0)
        shown = [low - 0.1 * span, high + LABEL * span]
        # Every point has its number beside it.
        figure.update_xaxes(
            title="logarithmic", type="log", range=shown, dtick=1, showticklabels=False, zeroline=False, col=column
        )
    ordered = sorted(costs.costs, key=lambda cost: cost.images_per_second)
    titles = [cost.title for cost in ordered]
    figure.update_yaxes(
        categoryorder="array", categoryarray=titles, range=[-0.6, len(titles) - 0.4], showgrid=True, automargin=True
    )
    figure.update_annotations(font_size=13)
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    margin = {"l": 8, "r": 8, "t": 28, "b": 64}
    return figure.update_layout(
        **layout(height=AROUND + ROW * len(titles), margin=margin, legend=legend, showlegend=True)
    )


def _millions(parameters: float) -> str:
    return f"{parameters / 1e6:.1f} M" if parameters >= 1e6 else f"{parameters / 1e3:.0f} k"


def _rate(images: float) -> str:
    return f"{images:,.0f}" if images >= 10 else f"{images:.1f}"


def _accuracy(cost: Cost) -> str:
    return "no published weights" if cost.top1 is None else f"ImageNet top-1 {100 * cost.top1:.1f} %"
