"""How charts and tables are put on a page: never without a text for those who cannot see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.shared import drawings
from pages.shared.host import is_dark

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import plotly.graph_objects as go

LIVE_HEIGHT = 460


def show_figure(
    make: Callable[[], go.Figure],
    content: object,
    key: str,
    alt: str,
    *,
    zoom: bool = False,
    recorded: bool = False,
) -> None:
    """Show a finished result.

    Args:
        make: Draws the figure; called only if no other page run has drawn the same.
        content: What the figure depends on; equal text, equal figure.
        key: Unique on the page.
        alt: What it shows, numbers included.
        zoom: Whether there is something to zoom into; without it a finger on the chart scrolls the page.
        recorded: Whether it comes with the project: then a picture of it is shown until somebody points at the chart.
    """
    drawn = (key, repr(content), ink_of_page(), make)
    if not recorded:
        _show_plotly(_drawn(*drawn), key, alt, zoom=zoom)
        return
    name = _drawing_name(*drawn)
    exploring = st.session_state.get(f"{key}-explored", False)
    if not exploring and (pictures := drawings.drawing(name, alt)):
        for picture in pictures:
            st.markdown(picture.markdown, width=picture.width)
        st.button(
            "Explore this chart",
            key=f"{key}-explore",
            type="tertiary",
            icon=":material/ads_click:",
            on_click=st.session_state.update,
            args=({f"{key}-explored": True},),
        )
        return
    with st.container(key=f"drawing-{name}"):  # by which `make drawings` finds it
        _show_plotly(_drawn(*drawn), key, alt, zoom=zoom)


def _show_plotly(figure: go.Figure, key: str, alt: str, *, zoom: bool) -> None:
    config: dict[str, Any] = {
        "displaylogo": False,
        "displayModeBar": "hover" if zoom else False,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "scrollZoom": False,
    }
    st.plotly_chart(figure, key=key, config=config, alt=alt)


@st.cache_resource(max_entries=300, show_spinner=False)
def _drawn(key: str, content: str, ink: str, _make: Callable[[], go.Figure]) -> go.Figure:
    """A figure, drawn once for a class: building one takes longer than everything else on a page.

    Kept as a figure and not as plain values, for those Streamlit has Plotly check again at every rerun.
    """
    return inked(_make(), ink)


@st.cache_resource(max_entries=300, show_spinner=False)
def _drawing_name(key: str, content: str, ink: str, _make: Callable[[], go.Figure]) -> str:
    return drawings.name_of(key, _drawn(key, content, ink, _make))


def fold(label: str, key: str, show: Callable[[], object], *, icon: str | None = None) -> None:
    """Offer more under a line to click: made and sent only once it is open, for charts and tables load slowly.

    Args:
        label: The line.
        key: Unique on the page.
        show: Shows what is under it.
        icon: An icon before the line.
    """
    more = st.expander(label, key=key, icon=icon, on_change="rerun")
    if more.open:
        with more:
            show()


def ink_of_page() -> str:
    """Colour of what is written on charts: Streamlit's theme takes a faded grey that nobody reads from the back row."""
    return str(st.get_option(f"theme.{'dark' if is_dark() else 'light'}.textColor"))


def inked(figure: go.Figure, ink: str) -> go.Figure:
    """A figure with its words in a colour, large enough for a room."""
    figure.update_layout(font={"color": ink, "size": 14})
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(tickfont={"color": ink, "size": 14}, title_font={"color": ink, "size": 14})
    return figure


def show_live(options: dict[str, Any], alt: str, key: str = "live-curves") -> None:
    """Show curves that grow: one chart under one key, so that nothing is drawn anew between polls.

    Args:
        options: An ECharts option.
        alt: What it shows.
        key: Unique on the page.
    """
    st.echarts_chart(options, height=LIVE_HEIGHT, key=key, alt=alt)


def show_table(table: pd.DataFrame, key: str, alt: str, *, digits: int = 1, hide_index: bool = True) -> None:
    """Show a table with its numbers rounded for reading.

    Args:
        table: The table.
        key: Unique on the page.
        alt: What it shows.
        digits: Decimal places of fractions.
        hide_index: Whether the rows have no names of their own.
    """
    config = {
        str(name): st.column_config.NumberColumn(format=f"%.{digits}f")
        if table[name].dtype.kind == "f"
        else st.column_config.NumberColumn(format="localized")
        for name in table.columns
        if table[name].dtype.kind in "fiu"
    }
    st.dataframe(table, key=key, alt=alt, hide_index=hide_index, column_config=config, placeholder="–")
