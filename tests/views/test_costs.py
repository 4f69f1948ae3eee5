"""The table and the figure of what networks cost."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.views.samples import costs
from tlcore.views.common import CLEAR
from tlcore.views.costs import costs_figure, costs_table


def test_the_table_has_a_row_for_every_network() -> None:
    table = costs_table(costs())
    assert table["Network"].tolist() == [cost.title for cost in costs().costs]
    row = table.set_index("Network").loc["ResNet-50"]
    assert row["Parameters (millions)"] == pytest.approx(23.587712)
    assert row["Weights file (MB)"] == pytest.approx(94.8)
    assert row["ImageNet top-1 (%)"] == pytest.approx(74.9)
    assert row["Licence of the weights"] == "MIT"
    assert row["Input"] == "224×224×3"
    assert pd.isna(table.set_index("Network").loc["Small CNN"]["ImageNet top-1 (%)"])


def test_the_figure_has_a_row_for_every_network_and_its_numbers_beside_the_points() -> None:
    figure = costs_figure(costs())
    assert (figure.layout.xaxis.type, figure.layout.xaxis2.type) == ("log", "log")
    assert figure.layout.paper_bgcolor == CLEAR
    for axis, what in (("x", "parameters"), ("x2", "images_per_second")):
        shown = {
            title: x for trace in figure.data if trace.xaxis == axis for title, x in zip(trace.y, trace.x, strict=True)
        }
        assert shown == {cost.title: getattr(cost, what) for cost in costs().costs}
    written = {
        (trace.xaxis, title): text for trace in figure.data for title, text in zip(trace.y, trace.text, strict=True)
    }
    assert written["x", "ResNet-50"] == "23.6 M"
    assert len({trace.marker.symbol for trace in figure.data}) == 2


def test_the_fastest_network_is_on_top() -> None:
    titles = costs_figure(costs()).layout.yaxis.categoryarray
    speeds = {cost.title: cost.images_per_second for cost in costs().costs}
    assert [speeds[title] for title in titles] == sorted(speeds.values())
