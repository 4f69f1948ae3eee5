"""The code that ran, as a plain Keras script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.charts import fold
from tlcore.errors import UserError
from tlcore.export.script import script
from tlcore.views import title_of

if TYPE_CHECKING:
    from tlcore.experiment import Experiment


def show_script(experiment: Experiment, key: str) -> None:
    """Show the script of one arm of an experiment.

    Args:
        experiment: What was run.
        key: Prefix of the widgets' keys.
    """
    strategy = st.pills(
        "As a stand-alone Keras script",
        experiment.strategies,
        format_func=title_of,
        default=experiment.strategies[min(1, len(experiment.strategies) - 1)],
        required=True,
        key=f"{key}-arm",
    )
    try:
        text = script(experiment, strategy, experiment.first_seed)
    except UserError as error:
        st.info(str(error), icon=":material/code_off:")
        return
    st.download_button(
        "Download it",
        text,
        f"{strategy}.py",
        "text/x-python",
        icon=":material/download:",
        key=f"{key}-download",
        on_click="ignore",
    )
    fold("Read it here", f"{key}-read", lambda: st.code(text, language="python"), icon=":material/code:")
