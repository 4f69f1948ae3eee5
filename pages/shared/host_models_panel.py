"""The models that whoever runs this host has named: what each is, and the way to a comparison with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.host import sentence
from pages.shared.models_panel import experiment_with
from tlcore.errors import UserError
from tlcore.models.named import described_models, named_models

if TYPE_CHECKING:
    from tlcore.models.named import Description, NamedModel

COMMAND = "python -m tlcore models"


def show_host_models() -> None:
    """Every model of the host's list, under a header of its own; nothing where the host has no list."""
    try:
        entries, found = named_models(), described_models()
    except UserError as error:
        st.header("This host's own", anchor=False)
        st.error(sentence(error), icon=":material/error:")
        return
    if not entries:
        return
    st.header("This host's own", anchor=False)
    st.markdown("Models on this host's disk, which whoever runs it has named. They are sources like any other.")
    for name, entry in entries.items():
        with st.container(border=True):
            described = found[name]
            if described is None or not entry.place.exists():
                _show_waiting(entry)
            else:
                _show(described)


def _show_waiting(entry: NamedModel) -> None:
    st.markdown(f"#### {entry.title} :orange-badge[:material/pending: not looked into]")
    st.markdown("It is named, but not yet known here, or its file is gone. Whoever runs this host has to run:")
    st.code(COMMAND, language=None)


def _show(described: Description) -> None:
    entry, backbone = described.entry, described.backbone()
    st.markdown(f"#### {entry.title} :green-badge[:material/check_circle: here]")
    st.markdown(backbone.sentence)
    stages = " → ".join(f"{stage.name} ({stage.width:,})" for stage in backbone.stages)
    st.markdown(
        f"licence {entry.licence} · trained on: {entry.trained_on or 'not said'} · pictures of "
        f"{described.side}×{described.side} pixels · stages and their channels: {stages}"
    )
    if st.button("Use it", icon=":material/science:", key=f"use-host-{entry.name}"):
        st.switch_page("compare.py", query_params=experiment_with(backbone).to_query())
