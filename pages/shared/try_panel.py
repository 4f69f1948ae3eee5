"""A new picture for a finished arm: what it says, and which of the pictures that it learned from are nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.shared.host import may_see_pictures, sentence
from pages.shared.inside_arms import say_withheld
from tlcore import kept_weights
from tlcore.data import own
from tlcore.data.own.pictures import SUFFIXES
from tlcore.errors import UserError
from tlcore.predicted import Prediction, predict_apart
from tlcore.views import title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import RunRecord

SHOWN = 140
MOST = 6  # classes whose probability is shown


def show_try(records: Sequence[RunRecord], key: str) -> None:
    """Offer to ask the arms of a finished run about a new picture.

    Args:
        records: Its records.
        key: Prefix of the widgets' keys.
    """
    arms = {record.strategy: record for record in records if kept_weights.has(record)}
    if not arms:
        return
    st.markdown("##### Try it on a new picture")
    st.caption("It is looked at once, in a process of its own, and kept nowhere.")
    asked = st.pills(
        "Who is asked", list(arms), format_func=title_of, default=_usual(arms), required=True, key=f"{key}-who"
    )
    way = st.segmented_control(
        "Picture from", ["A file", "The camera"], default="A file", required=True, key=f"{key}-way"
    )
    if way == "A file":
        given = st.file_uploader("A picture", type=list(SUFFIXES), key=f"{key}-file")
    else:
        given = st.camera_input("A picture", key=f"{key}-camera")
    if given is None:
        return
    with st.spinner("Loading the trained network and asking it …", show_time=True):
        try:
            said = _said(f"{arms[asked].arm_hash} {arms[asked].test_accuracy}", arms[asked], given.getvalue())
        except UserError as error:
            st.error(sentence(error), icon=":material/broken_image:")
            return
    left, right = st.columns([1, 2], gap="large")
    with left:
        st.image(given.getvalue(), width=2 * SHOWN, alt="The new picture")
    with right:
        _show(arms[asked], said)


def _usual(arms: dict[str, RunRecord]) -> str:
    return "feature_extraction" if "feature_extraction" in arms else next(iter(arms))


@st.cache_data(max_entries=30, scope="session", show_spinner=False)
def _said(run: str, _record: RunRecord, picture: bytes) -> Prediction:
    return predict_apart(_record, picture)


def _show(record: RunRecord, said: Prediction) -> None:
    best = sorted(zip(said.probabilities, said.classes, strict=True), reverse=True)[:MOST]
    st.markdown(f"**{title_of(record.strategy)}** says **{best[0][1]}**.")
    table = pd.DataFrame({"Class": [name for _, name in best], "Probability": [100 * share for share, _ in best]})
    st.dataframe(
        table,
        hide_index=True,
        column_config={"Probability": st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)},
        alt=", ".join(f"{name}: {100 * share:.1f} %" for share, name in best),
    )
    st.caption("A probability is the network's own opinion, and networks are surer than they are right.")
    found = own.find(record.experiment.target)
    if found is None:
        return
    if not may_see_pictures(found.name):
        say_withheld()
        return
    st.caption("The pictures that it learned from and that lie nearest in its features:")
    images, _, _ = own.arrays(found)
    st.image(
        [images[one.row] for one in said.neighbours],
        caption=[f"{said.classes[one.label]} · {one.similarity:.2f}" for one in said.neighbours],
        width=SHOWN,
    )
