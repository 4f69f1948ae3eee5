"""The learner's sets: what is in them, deleting one, and the comparison on one."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages.shared.own_upload import ADDED, SHOWN_SET
from pages.shared.run_panel import show_run
from pages.shared.try_panel import show_try
from tlcore.data import own
from tlcore.errors import UserError
from tlcore.own_plan import RATE, plan, starts
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.data.own import OwnSet
    from tlcore.own_plan import Start

THUMBNAIL, SHOWN = 72, 8


def draw(sets: Sequence[OwnSet], owner: str) -> None:
    """Draw the list of sets and the one that is chosen.

    Args:
        sets: The learner's, newest first; at least one.
        owner: The learner.
    """
    st.header("Your sets", anchor=False)
    names = {one.id: one for one in sets}
    wanted = st.query_params.get(SHOWN_SET, "")
    if st.session_state.get("own-set") not in names or (wanted in names and wanted != st.session_state.get("own-seen")):
        st.session_state["own-set"] = wanted if wanted in names else sets[0].id
        st.session_state["own-seen"] = wanted
    chosen = st.selectbox(
        "Set", list(names), format_func=lambda at: _title(names[at]), key="own-set", label_visibility="collapsed"
    )
    shown = names[chosen]
    _show(shown)
    network = _network()
    planned = plan(shown, network)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Compare", type="primary", icon=":material/play_arrow:", key="own-compare"):
            Store().submit(planned, owner)
            st.rerun()
        st.page_link(
            "compare.py",
            label="All settings",
            icon=":material/tune:",
            query_params=planned.to_query(),
        )
        if st.button("Delete", icon=":material/delete:", key="own-delete"):
            _confirm(shown, owner)
    st.caption(
        f"{len(planned.strategies)} arms with {planned.seeds} seeds; each seed tests on pictures of its own and learns "
        f"from the others, with one learning rate for all arms ({RATE:g}). “All settings” opens the same comparison to "
        "change it."
    )
    store = Store()
    run = next((job for job in store.jobs(owner) if job.experiment.target == shown.name), None)
    if run is not None and (job := store.job(run.id)) is not None:
        st.divider()
        show_run(job, owner)
        if not job.active:
            show_try(store.records(job.id), job.id)


def _title(one: OwnSet) -> str:
    return f"{one.title} · {sum(one.counts):,} pictures · {one.created:%d %B, %H:%M} UTC"


def _show(one: OwnSet) -> None:
    st.markdown(f"Deleted on **{one.expires:%d %B %Y}**, together with what was measured with it.")
    try:
        strips = _strips(one)
    except UserError as error:
        st.error(f"{error}.", icon=":material/error:")
        return
    for name, count, strip in zip(one.classes, one.counts, strips, strict=True):
        st.markdown(f"**{name}** · {count:,} pictures")
        st.image(strip, alt=f"Some of the pictures of {name}")


@st.cache_data(max_entries=20, scope="session", show_spinner=False, hash_funcs={own.OwnSet: lambda one: one.id})
def _strips(one: OwnSet) -> list[bytes]:
    """Some pictures of each class side by side: one small file a class, in place of many requests."""
    images, labels, _ = own.arrays(one)
    made: list[bytes] = []
    for label in range(len(one.classes)):
        rows = np.flatnonzero(labels == label)
        some = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)]
        strip = Image.new("RGBA", (len(some) * (THUMBNAIL + 4) - 4, THUMBNAIL))  # seen through between them
        for place, row in enumerate(some):
            strip.paste(Image.fromarray(images[row]).resize((THUMBNAIL, THUMBNAIL)), (place * (THUMBNAIL + 4), 0))
        file = io.BytesIO()
        strip.save(file, "PNG")
        made.append(file.getvalue())
    return made


def _network() -> Start:
    found = starts()
    start = st.selectbox("Start from", found, format_func=lambda one: one.title, key="own-network", width=380)
    if len(found) == 1:
        st.caption("No network with ImageNet weights is on this host; the page Models says how to get one.")
    return start


@st.dialog("Delete for good?")
def _confirm(one: OwnSet, owner: str) -> None:
    st.markdown(f"“{one.title}”: {sum(one.counts):,} pictures, and every run on them, are removed.")
    if st.button(
        "Delete", type="primary", icon=":material/delete:", key="own-delete-yes", on_click=_delete, args=(one, owner)
    ):
        st.rerun()


def _delete(one: OwnSet, owner: str) -> None:
    with suppress(UserError):  # another tab was faster
        own.delete(one.id, owner)
    _strips.clear()
    st.session_state.pop(ADDED, None)
    st.query_params.pop(SHOWN_SET, None)
