"""What networks cost, as a table and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from tlcore.views.common import layout

if TYPE_CHECKING:
    from tlcore.costs import Cost, Costs

PUBLISHED, OWN = "#0072B2", "#D55E00"
HEIGHT = 460
ABOVE, BELOW = "top center", "bottom center"


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
    """Parameters against images a second, both logarithmic, every network by name.

    Networks with published weights are circles, this project's own are diamonds: they see smaller images too.

    Args:
        costs: What was measured.

    Returns:
        The figure.
    """
    figure = go.Figure()
    groups = (
        ("ImageNet weights", PUBLISHED, "circle", [cost for cost in costs.costs if cost.top1 is not None]),
        ("this project's own", OWN, "diamond", [cost for cost in costs.costs if cost.top1 is None]),
    )
    for name, colour, symbol, group in groups:
        if not group:
            continue
        figure.add_scatter(
            x=[cost.parameters for cost in group],
            y=[cost.images_per_second for cost in group],
            mode="markers+text",
            marker={"color": colour, "symbol": symbol, "size": 11},
            text=[cost.title for cost in group],
            textposition=[_side(cost, costs.costs) for cost in group],
            textfont={"color": colour, "size": 12},
            name=name,
            customdata=[[_accuracy(cost), "×".join(map(str, cost.input_shape))] for cost in group],
            hovertemplate="<b>%{text}</b><br>%{x:,} parameters<br>%{y:,.0f} images a second of %{customdata[1]}"
            "<br>%{customdata[0]}<extra></extra>",
            cliponaxis=False,
        )
    figure.update_xaxes(title="Parameters (logarithmic)", type="log", zeroline=False, dtick=1)
    figure.update_yaxes(title="Images a second (logarithmic)", type="log", zeroline=False, dtick=1, automargin=True)
    margin = {"l": 8, "r": 56, "t": 28, "b": 44}
    return figure.update_layout(**layout(height=HEIGHT, margin=margin, legend={"orientation": "h"}, showlegend=True))


def _accuracy(cost: Cost) -> str:
    return "no published weights" if cost.top1 is None else f"ImageNet top-1 {100 * cost.top1:.1f} %"


def _side(cost: Cost, others: tuple[Cost, ...]) -> str:
    """Below the point where a near neighbour, a factor of two away at most, is above it."""
    for other in others:
        near = (
            0.5 < other.parameters / cost.parameters < 2 and 0.5 < other.images_per_second / cost.images_per_second < 2
        )
        if (
            other is not cost
            and near
            and (other.images_per_second, other.backbone)
            > (
                cost.images_per_second,
                cost.backbone,
            )
        ):
            return BELOW
    return ABOVE
