"""Looking inside: filters, activations, embeddings, stages, and the pictures behind a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.inside_answers import show_confusion, show_fixed_and_broken
from pages.shared.inside_arms import Arms
from pages.shared.inside_network import show_activations, show_changes, show_embedding, show_filters, show_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tlcore.experiment import Experiment, RunRecord

LOOKS: dict[str, tuple[str, str]] = {
    "filters": ("First filters", ":material/grid_view:"),
    "activations": ("Activations", ":material/visibility:"),
    "embedding": ("Embedding", ":material/scatter_plot:"),
    "cka": ("Similarity (CKA)", ":material/compare:"),
    "changes": ("What moved", ":material/timeline:"),
    "confusion": ("Confusions", ":material/grid_on:"),
    "fixed_and_broken": ("Fixed and broken", ":material/swap_vert:"),
}
"""Every look with its title and icon, in the order in which they are offered."""


def show_inside(records: Sequence[RunRecord], experiment: Experiment, looks: Sequence[str], key: str) -> None:
    """Show finished arms from inside, one look at a time: what is not looked at costs nothing.

    Args:
        records: Records of one experiment; at least one.
        experiment: What was asked for; its first seed is the one that is kept from inside.
        looks: Names of `LOOKS`; others are passed over.
        key: Prefix of the widgets' keys.
    """
    offered = [look for look in LOOKS if look in looks]
    if not offered or not records:
        return
    look = offered[0]
    if len(offered) > 1:
        look = st.segmented_control(
            "Look inside",
            offered,
            default=offered[0],
            required=True,
            format_func=lambda name: f"{LOOKS[name][1]} {LOOKS[name][0]}",
            key=f"{key}-look",
            label_visibility="collapsed",
        )
    if look == "confusion":
        show_confusion(records, key)
    elif look == "cka":
        show_stages(records, "feature_cka", key)
    elif look == "changes":
        show_changes(records, key)
    else:
        shown: dict[str, Callable[[Arms, str], None]] = {
            "filters": show_filters,
            "activations": show_activations,
            "embedding": show_embedding,
            "fixed_and_broken": show_fixed_and_broken,
        }
        shown[str(look)](Arms(records, experiment), key)
