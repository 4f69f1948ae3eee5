"""One chart of a report, and how a figure becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

INK = "#1B2733"
WIDTH = 668  # pixels: what fits between the margins of a sheet
_CONFIG = {"displaylogo": False, "displayModeBar": False, "plotlyServerURL": "", "responsive": False}


@dataclass(frozen=True)
class Chart:
    """One chart of a report.

    Args:
        html: The chart; where there is nothing to draw, an empty string.
        words: What it shows, for those who cannot see it.
        title: What stands above it.
        note: How to read it.
        part: Title of the part that begins with it, or an empty string.
    """

    html: str
    words: str
    title: str = ""
    note: str = ""
    part: str = ""


def drawn(figure: go.Figure) -> str:
    """A figure as HTML, in the report's ink and width.

    Args:
        figure: The figure.

    Returns:
        HTML for a page that has Plotly.
    """
    figure.update_layout(width=WIDTH, font={"color": INK, "size": 13})
    return str(figure.to_html(config=_CONFIG, include_plotlyjs=False, full_html=False))
