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


def test_the_figure_names_every_network_where_it_lies() -> None:
    figure = costs_figure(costs())
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    assert figure.layout.paper_bgcolor == CLEAR
    shown = {text: (x, y) for trace in figure.data for text, x, y in zip(trace.text, trace.x, trace.y, strict=True)}
    assert shown == {cost.title: (cost.parameters, cost.images_per_second) for cost in costs().costs}
    assert len({trace.marker.symbol for trace in figure.data}) == 2


def test_labels_of_neighbours_lie_on_two_sides() -> None:
    sides = {
        text: side
        for trace in costs_figure(costs()).data
        for text, side in zip(trace.text, trace.textposition, strict=True)
    }
    assert sides["ResNet-50"] != sides["Xception"]
