"""Compare strategies: choose two tasks, predict, run, read the measured differences."""

import streamlit as st

from pages.shared import address, controls, prediction
from pages.shared.host import owner
from pages.shared.results_panel import show_network
from pages.shared.run_panel import show_run
from tlcore import views
from tlcore.models.registry import BACKBONES
from tlcore.store import Store

store, me = Store(), owner()
st.title("Compare strategies", anchor=False)
st.markdown("Every strategy trains for real, on the same images, with the same steps. What differs is what it reuses.")
corrections = st.container()
address.restore(store)
shown = address.current_run()
job = store.job(shown) if shown else None
guess = None
# Two names, so two elements: once a run is shown the settings fold away, and the run has the screen.
with st.expander("Settings of the next run" if job else "Settings", icon=":material/tune:", expanded=job is None):
    experiment, problem = controls.draw()
    if experiment:
        if st.toggle("Show what each strategy reuses, freezes and trains", key="plan-shown"):
            rows = views.planned_network(experiment.strategies, BACKBONES[experiment.backbone], experiment.cut)
            show_network(rows)
        if job is None or not job.active:
            guess = prediction.ask(experiment)
address.write(experiment)
for notice in address.notices():
    corrections.warning(notice, icon=":material/build:")
if problem:
    st.error(problem, icon=":material/block:")

with st.container(horizontal=True, vertical_alignment="center"):
    arms = f"{len(experiment.strategies)} × {experiment.seeds} = {len(experiment.arms)} trainings" if experiment else ""
    if st.button(
        f"Run {arms}".strip(),
        type="primary",
        icon=":material/play_arrow:",
        key="run",
        disabled=experiment is None or (job is not None and job.active),
    ):
        assert experiment is not None
        run_id = store.submit(experiment, me)
        if guess:
            prediction.keep(run_id, guess)
        address.set_run(run_id)
        address.write(experiment)
        st.rerun()
    with st.popover("Share", icon=":material/share:"):
        st.markdown("This link opens the same settings, and the run that is shown:")
        st.code(address.link(), language=None, wrap_lines=True)
    earlier = store.find_finished(experiment) if experiment else None
    if (
        earlier
        and earlier != shown
        and st.button("Open the same experiment, already run here", icon=":material/history:", key="open-earlier")
    ):
        address.set_run(earlier)
        address.write(experiment)
        st.rerun()

if shown:
    st.divider()
    if job is None:
        st.info(
            "The run that this address names is not on this machine: it was deleted, or made elsewhere. "
            "Its settings are above; press Run to train it here.",
            icon=":material/search_off:",
        )
    else:
        if experiment and job.experiment != experiment:
            changed = ", ".join(name for name, _, _ in views.differing_settings(job.experiment, experiment))
            note, back = st.columns([4, 1], vertical_alignment="center")
            note.info(f"The settings above were changed since this run: {changed}.", icon=":material/info:")
            back.button(
                "Back to its settings", key="back", on_click=controls.fill, args=(job.experiment,), width="stretch"
            )
        show_run(job, me)
