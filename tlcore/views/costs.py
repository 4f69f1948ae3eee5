"""What networks cost, as a table and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tlcore.views.common import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.costs import Cost, Costs

PUBLISHED, OWN = "#0072B2", "#D55E00"
HEIGHT = 460
# Of a page of usual width, as shares of the drawing area: a point, a letter's width, a line's height.
POINT, CHARACTER, LINE = (0.013, 0.03), 0.0068, 0.045


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
    figure, sides = go.Figure(), _sides(costs.costs)
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
            textposition=[sides[cost.backbone] for cost in group],
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


def _sides(costs: Sequence[Cost]) -> dict[str, str]:
    """Where each name stands beside its point, so that it covers no other name and no point, as far as there is room.

    Args:
        costs: The networks.

    Returns:
        Plotly's text position by name of the network.
    """
    places = np.log10([(cost.parameters, cost.images_per_second) for cost in costs])
    places = (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9)
    taken = [_Box(x, y, *POINT) for x, y in places]
    sides: dict[str, str] = {}
    for at in np.argsort(-places[:, 1], kind="stable"):
        cost, (x, y) = costs[at], places[at]
        wide = CHARACTER * len(cost.title)
        across, up = 0.51 * (wide + POINT[0]), 0.51 * (LINE + POINT[1])
        boxes = {
            "top center": _Box(x, y + up, wide, LINE),
            "bottom center": _Box(x, y - up, wide, LINE),
            "middle right": _Box(x + across, y, wide, LINE),
            "middle left": _Box(x - across, y, wide, LINE),
        }
        side = min(boxes, key=lambda name: sum(boxes[name].covers(box) for box in taken))
        taken.append(boxes[side])
        sides[cost.backbone] = side
    return sides


class _Box(NamedTuple):
    """A rectangle about a middle, in shares of the drawing area."""

    x: float
    y: float
    wide: float
    high: float

    def covers(self, other: _Box) -> bool:
        """Whether two of them overlap."""
        return 2 * abs(self.x - other.x) < self.wide + other.wide and 2 * abs(self.y - other.y) < self.high + other.high
