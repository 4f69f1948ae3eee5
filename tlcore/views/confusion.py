"""Which classes are taken for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from tlcore.views.common import layout, look_of, tinted

if TYPE_CHECKING:
    from tlcore.experiment import RunRecord

FOREIGN = "(a source class)"
"""Column of the answers that only the source has."""


def confusion_labels(record: RunRecord) -> tuple[list[str], list[str]]:
    """Names of the rows (true classes) and of the columns (answers) of a record's confusion matrix."""
    classes = list(record.datasets["target"].classes)
    width = len(record.confusion[0])
    return classes, classes if width == len(classes) else [*classes, FOREIGN]


def confusion_figure(record: RunRecord) -> go.Figure:
    """Test images by true class (row) and answer (column), in percent of the row, with the counts written in.

    Args:
        record: One arm with one seed.

    Returns:
        The figure.
    """
    rows, columns = confusion_labels(record)
    shares = [[100 * count / max(sum(row), 1) for count in row] for row in record.confusion]
    colour = look_of(record.strategy).colour
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=columns,
            y=rows,
            zmin=0,
            zmax=100,
            # The strongest tint stays light enough for the theme's text on it.
            colorscale=[[0, tinted(colour, 0.0)], [1, tinted(colour, 0.62)]],
            showscale=False,
            xgap=1,
            ygap=1,
            customdata=[list(row) for row in record.confusion],
            hovertemplate="true %{y}, answered %{x}<br>%{customdata} images, %{z:.1f} % of the row<extra></extra>",
        )
    )
    # All at once: added one by one, a hundred annotations take plotly half a second.
    notes = [
        {"x": column, "y": row, "text": f"{count}", "showarrow": False, "font": {"size": 11}}
        for row, counts in zip(rows, record.confusion, strict=True)
        for column, count in zip(columns, counts, strict=True)
        if count
    ]
    figure.update_xaxes(title="Answer", type="category", side="bottom", showgrid=False, automargin=True, tickangle=-40)
    figure.update_yaxes(
        title="True class", type="category", autorange="reversed", showgrid=False, automargin=True, scaleanchor=None
    )
    return figure.update_layout(
        **layout(height=120 + 34 * len(rows), annotations=notes, margin={"l": 8, "r": 8, "t": 12, "b": 8})
    )
