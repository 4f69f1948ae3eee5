"""Recorded results: measured on the real data by ``python -m tlcore record`` and shipped with the project."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.charts import fold, show_figure, show_table
from pages.shared.host import sentence
from pages.shared.results_panel import show_accuracy, show_differences, show_verdicts
from tlcore import recorded, views
from tlcore.errors import UserError
from tlcore.estimate import Estimate
from tlcore.results import Comparison
from tlcore.sweep import FACTORS, Sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from tlcore.experiment import RunRecord
    from tlcore.recorded import Recorded


def read_recorded(name: str) -> tuple[Comparison | None, str]:
    """Read a recorded comparison.

    Args:
        name: Name of the file without its ending.

    Returns:
        The comparison and an empty string, or None and what to do about it.
    """
    try:
        found = recorded.read_recorded(name)
    except UserError as error:
        return None, sentence(error)
    if not isinstance(found, Comparison) or not found.records:
        return None, f"The recorded result “{name}” is empty. Make it again with `python -m tlcore record`."
    return found, ""


def show_recorded(name: str, key: str) -> None:
    """Show a recorded result: what it is, where it was measured, its words, its chart and its table.

    Args:
        name: Name of the file without its ending.
        key: Prefix of the widgets' keys.
    """
    try:
        found = recorded.read_recorded(name)
    except UserError as error:
        st.info(sentence(error), icon=":material/inventory_2:")
        return
    records = found.records
    if not records:
        st.info("This recorded result holds no measurement yet.", icon=":material/inventory_2:")
        return
    st.markdown(f"**{title_of(found)}**  \n:violet-badge[:material/history: recorded] {views.recorded_label(records)}")
    if isinstance(found, Comparison):
        transfer = [item for item in found.comparisons if views.is_transfer(item)]
        show_verdicts(transfer or list(found.comparisons), found.experiment)
        show_differences(transfer or list(found.comparisons), found.experiment, f"{key}-{name}", recorded=True)
        fold(
            "Accuracies, controls, and where these numbers come from",
            f"{key}-{name}-more",
            partial(_show_numbers, found, f"{key}-{name}"),
        )
    else:
        _show_several(found, f"{key}-{name}")
    first = found.experiments[0] if isinstance(found, Estimate) else found.records[0].experiment
    st.page_link(
        "compare.py",
        label="Open it on the Compare page, to repeat it" if isinstance(found, Comparison) else "Open one of its runs",
        icon=":material/science:",
        query_params=first.to_query(),
    )


def _show_numbers(found: Comparison, key: str) -> None:
    show_accuracy(found.records, key)
    show_table(views.results_table(found.records), f"{key}-table", views.accuracy_sentence(found.records))
    st.caption(views.provenance_sentence(found.records, recorded=True))


def title_of(found: Recorded) -> str:
    """What a recorded result compares, in a line."""
    if isinstance(found, Comparison):
        return views.experiment_title(found.experiment)
    if isinstance(found, Sweep):
        first = found.comparisons[0].experiment
        what = FACTORS[found.factor].title.lower()
        if found.factor == "source":
            return f"Several sources → {views.target_title(first)}"
        return f"{views.experiment_title(first)} by {what}"
    if isinstance(found, Estimate):
        return f"Judging sources for {views.target_title(found.experiments[0])} before training"
    return f"Four scenarios for {views.target_title(found.cells[0].comparison.experiment)}"


def _show_several(found: Recorded, key: str) -> None:
    if isinstance(found, Sweep):
        said = views.sweep_sentence(found)
        st.markdown(f"**{said}**")
        st.caption("Line: mean test accuracy over the seeds; bars: 95 % intervals.")
        content = (key, len(found.records))
        show_figure(lambda: views.study_figure(found), content, f"{key}-figure", said, recorded=True)
        said = "Mean accuracy and difference by value."
        _fold_table(lambda: views.sweep_summary(found), found.records, key, said)
        return
    if isinstance(found, Estimate):
        st.caption("A score is worth something if sources that score higher gain more: τ = 1 is the same order.")
        said = views.estimate_sentence(found)
        content = (key, len(found.records))
        show_figure(lambda: views.estimate_figure(found), content, f"{key}-figure", said, recorded=True)
        st.markdown(f"{said}\n\n{views.gains_sentence(found)}")
        fold(
            "Every score of every source",
            f"{key}-more",
            lambda: show_table(found.table(), f"{key}-table", "Scores by source.", digits=2),
        )
        return
    assert not isinstance(found, Comparison)
    sentences = [cell.sentence() for cell in found.cells]
    st.markdown("\n".join(f"- {one}" for one in sentences))
    content = (key, len(found.records))
    show_figure(lambda: views.scenario_figure(found), content, f"{key}-figure", " ".join(sentences), recorded=True)
    _fold_table(found.table, found.records, key, "One row a scenario.")


def _fold_table(table: Callable[[], pd.DataFrame], records: Sequence[RunRecord], key: str, said: str) -> None:
    def show() -> None:
        show_table(table(), f"{key}-table", said)
        st.caption(views.provenance_sentence(records, recorded=True))

    fold("As a table, and where these numbers come from", f"{key}-more", show)
