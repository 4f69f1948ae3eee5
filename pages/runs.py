"""What this browser has run: open, compare two, delete."""

from contextlib import suppress

import streamlit as st

from pages.shared.host import owner
from pages.shared.run_list import runs_table, show_pair
from tlcore.errors import UserError
from tlcore.store import Store
from tlcore.views import experiment_title

PAIR = "pair"

store, me = Store(), owner()
st.title("My runs", anchor=False)
jobs = store.jobs(me)
if not jobs:
    st.info("Nothing has been run from this browser yet. Results appear here as soon as you press Run.")
    if st.button("Compare strategies", type="primary", icon=":material/science:", key="first"):
        st.switch_page("compare.py")
    st.stop()


def delete(ids: list[str]) -> None:
    """Remove runs; one that another tab has removed meanwhile is no loss."""
    for job_id in ids:
        with suppress(UserError):
            store.delete(job_id, me)


@st.dialog("Delete for good?")
def confirm(ids: list[str]) -> None:
    """Ask before anything is lost."""
    for job in jobs:
        if job.id in ids:
            st.markdown(f"- {experiment_title(job.experiment)}, {job.created:%Y-%m-%d %H:%M} UTC")
    st.markdown("Their curves and records are removed. A run that still trains is stopped.")
    if st.button("Delete", type="primary", icon=":material/delete:", key="delete-yes", on_click=delete, args=(ids,)):
        st.query_params.pop(PAIR, None)
        st.rerun()


st.caption("Tick a run to open or delete it, two to compare them. Newest first; times in UTC.")
event = st.dataframe(
    runs_table(store, jobs),
    hide_index=True,
    on_select="rerun",
    selection_mode="multi-row",
    key="runs",
    alt="Your runs, newest first.",
    placeholder="–",
    column_config={"When": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")},
)
ticked = [jobs[row].id for row in event["selection"]["rows"] if row < len(jobs)]
with st.container(horizontal=True):
    if st.button("Open", icon=":material/open_in_new:", key="open", disabled=len(ticked) != 1):
        st.switch_page("compare.py", query_params={"run": ticked[0]})
    if st.button("Compare the two", icon=":material/compare:", key="pair", disabled=len(ticked) != 2):
        st.query_params[PAIR] = ",".join(ticked)
    if st.button("Delete", icon=":material/delete:", key="delete", disabled=not ticked):
        confirm(ticked)

if PAIR in st.query_params:
    show_pair(store, st.query_params[PAIR].split(",")[:2])
