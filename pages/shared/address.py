"""The address bar of the Compare page: the whole experiment and the run that is shown, there and back."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from pages.shared import controls
from tlcore.experiment import QUERY_KEYS, Experiment
from tlcore.store import Store

RUN = "run"
_SAVED = "compare_address"
_NOTICES = "compare_notices"


def restore(store: Store) -> None:
    """Set the controls from the address when it was opened, edited or gone back to; else leave them alone.

    Args:
        store: Where a run that the address names is looked up.
    """
    query, saved = dict(st.query_params), st.session_state.get(_SAVED, {})
    # An address without settings is a click on "Compare": what was there before comes back.
    wanted = query if RUN in query or query.keys() & QUERY_KEYS.keys() else saved
    if wanted != saved or not controls.is_filled():
        experiment, corrected = Experiment.from_query(wanted)
        if not wanted.keys() & QUERY_KEYS.keys() and (job := store.job(wanted.get(RUN, ""))) is not None:
            experiment = job.experiment
        controls.fill(experiment)
        st.session_state[_NOTICES] = (experiment, corrected)
        set_run(wanted.get(RUN))


def notices() -> tuple[str, ...]:
    """What had to be corrected in the address, until something else is chosen."""
    return st.session_state.get(_NOTICES, (None, ()))[1]


def write(experiment: Experiment | None) -> None:
    """Put what is shown into the address; settings that cannot run leave the last good ones there.

    Args:
        experiment: What the controls say, or None if that cannot run.
    """
    if experiment is None:
        return
    noticed, _ = st.session_state.get(_NOTICES, (None, ()))
    if noticed != experiment:
        st.session_state.pop(_NOTICES, None)
    query = experiment.to_query()
    if run_id := current_run():
        query[RUN] = run_id
    st.session_state[_SAVED] = query
    if dict(st.query_params) != query:
        st.query_params.from_dict(query)


def current_run() -> str | None:
    """Id of the run that the page shows, or None."""
    return st.session_state.get("compare_run")


def set_run(run_id: str | None) -> None:
    """Show another run, or none."""
    st.session_state["compare_run"] = run_id


def link() -> str:
    """The whole address, for others to open."""
    base = (st.context.url or "").split("?")[0]
    return f"{base}?{urlencode(st.session_state.get(_SAVED, {}), safe=',')}"
