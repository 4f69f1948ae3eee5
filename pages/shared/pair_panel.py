"""A pair of one's own: classes for the source, others for the target, and how alike the pictures are, measured."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from pages.shared.host import sentence
from pages.shared.widgets import PREFIX
from tlcore.apart import run_apart
from tlcore.data import own
from tlcore.data.external import EXTERNAL
from tlcore.data.registry import CHOOSABLE, DATASETS, find_dataset, shared_classes, some_classes_name
from tlcore.errors import UserError

KEY = "pair"
PATIENCE_SECONDS = 120
MANY = 20


def choose_pair() -> None:
    """Offer classes of one dataset to make a source and a target of; using them sets both controls."""
    panel = st.popover("Choose classes for a pair of your own", icon=":material/join:", key=KEY, on_change="rerun")
    if not panel.open:
        return
    with panel:
        st.markdown(
            "A network learns some classes and is then given others. Which ones are alike? No picture is in both tasks."
        )
        whole = st.selectbox(
            "Pictures", list(CHOOSABLE), format_func=lambda name: DATASETS[name].title, index=1, key=f"{KEY}.whole"
        )
        learned = _classes("The source learns", whole, "source", [])
        wanted = _classes("The target has", whole, "target", learned)
        try:
            names = [some_classes_name(whole, classes) for classes in (learned, wanted)]
        except UserError:
            st.caption("Two classes or more for each of them.")
            return
        st.button("Use this pair", type="primary", key=f"{KEY}.use", on_click=_use, args=tuple(names))


def _classes(label: str, whole: str, side: str, taken: list[str]) -> list[str]:
    options = [title for title in DATASETS[whole].classes if title not in taken]
    key = f"{KEY}.{whole}.{side}"
    if len(options) > MANY:
        return st.multiselect(label, options, key=key, max_selections=MANY)
    return st.pills(label, options, selection_mode="multi", key=key, wrap=True)


def _use(source: str, target: str) -> None:
    st.session_state[PREFIX + "source"], st.session_state[PREFIX + "target"] = source, target


def show_similarity(source: str, target: str) -> None:
    """Offer to measure how far two tasks' pictures lie apart, and say what was measured.

    Args:
        source: Name of the source.
        target: Name of the target.
    """
    if source in EXTERNAL or own.is_name(target) or source == target or shared_classes(source, target):
        return
    if any((spec := find_dataset(name)) is None or spec.looks() is None for name in (source, target)):
        return
    asked = st.session_state.get(f"{KEY}.asked") == (source, target)
    if not asked and not st.button("How alike are their pictures? Measure it", icon=":material/straighten:"):
        return
    st.session_state[f"{KEY}.asked"] = (source, target)
    with st.spinner("Measuring: a classifier tries to tell the two tasks' pictures apart …"):
        try:
            found = _measured(source, target)
        except UserError as error:
            del st.session_state[f"{KEY}.asked"]
            st.info(sentence(error), icon=":material/block:")
            return
    low, high = max(found["low"], 0), min(found["high"], 2)
    st.markdown(
        f":material/straighten: **{found['mean']:.2f}** of 2 (95 % interval {low:.2f} to {high:.2f}): the proxy "
        "A-distance of their pixels. At 0 a linear classifier cannot tell the two tasks' pictures apart, at 2 always."
    )


@st.cache_data(max_entries=500, show_spinner=False)
def _measured(source: str, target: str) -> dict[str, Any]:
    # In a process of its own: reading the pictures and fitting classifiers would hold up everybody's pages.
    command = ["similarity", source, target, "--as-json"]
    return json.loads(run_apart(command, PATIENCE_SECONDS, "how alike they are could not be measured"))
