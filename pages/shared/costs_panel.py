"""What pre-trained models cost: measured parameters, file sizes, memory and speed."""

from __future__ import annotations

import streamlit as st

from pages.shared.charts import fold, show_figure, show_table
from tlcore.costs import Costs
from tlcore.errors import UserError
from tlcore.presets import RECORDS
from tlcore.views.costs import costs_figure, costs_table


def show_costs(key: str) -> None:
    """Show the recorded costs of every registered network.

    Args:
        key: Prefix of the widgets' keys.
    """
    try:
        costs = Costs.read(RECORDS / "costs.json")
    except UserError:
        st.info("The costs are not here: measure them with `python -m tlcore costs --json data/records/costs.json`.")
        return
    table = costs_table(costs)
    st.markdown(
        "Parameters are disk, memory and time: for everybody who downloads the model, and in every prediction. "
        "Measured on one machine, one after another."
    )
    said = "Parameters and images a second of every network, the fastest first; table below."
    show_figure(lambda: costs_figure(costs), key, f"{key}-figure", said, recorded=True)
    fold("Every model as a table", f"{key}-more", lambda: show_table(table, f"{key}-table", "Costs of every network."))
