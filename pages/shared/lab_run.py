"""Predict and run: the first action of a lab, and its result with the prediction drawn in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared import guess as guessing
from pages.shared.charts import fold, show_figure, show_table
from pages.shared.results_panel import show_curves, show_differences
from pages.shared.run_panel import show_run
from tlcore import views
from tlcore.experiment import Experiment
from tlcore.lessons import Lesson, Text
from tlcore.results import paired_comparisons
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import RunRecord
    from tlcore.jobs.progress import Job


def predict_and_run(
    store: Store,
    me: str,
    lesson: Lesson,
    text: Text,
    experiment: Experiment,
    job: Job | None,
    guess: views.Guess | None,
    hidden: set[str],
) -> None:
    """Ask for the prediction, run the lab's experiment, and show it live and finished."""
    st.header("Predict, then run", anchor=False)
    if job is None or not job.active:
        asked = None
        with st.container(border=True, key="predict"):
            if "predict" not in hidden:
                asked = guessing.ask(lesson, text.heading.prediction, guess)
            with st.container(horizontal=True, vertical_alignment="center"):
                again = "Run again" if job else "Run"
                if st.button(again, type="primary", icon=":material/play_arrow:", key="run"):
                    _submit(store, me, lesson, experiment, asked)
                st.markdown(_what_runs(experiment))
    if job is not None:
        show_run(job, me, partial(show_result, guess=guess))
    else:
        st.caption(
            ":material/hourglass_empty: Nothing has been run yet: your result appears here, live, with your prediction "
            "drawn into it."
        )


def _submit(store: Store, me: str, lesson: Lesson, experiment: Experiment, asked: views.Guess | None) -> None:
    run_id = store.submit(experiment, me)
    if asked is not None:
        store.note_progress(me, lesson.name, prediction=guessing.write(asked))
    store.note_progress(me, lesson.name, run=run_id)
    st.session_state[f"{lesson.name}.run"] = run_id
    st.query_params["run"] = run_id
    st.rerun()


def _what_runs(experiment: Experiment) -> str:
    return (
        f"{views.experiment_title(experiment)} · {experiment.labels_per_class} labels a class · "
        f"{len(experiment.strategies)} strategies × {experiment.seeds} seeds · {experiment.steps} steps each"
    )


def show_result(records: Sequence[RunRecord], job: Job, guess: views.Guess | None) -> None:
    """The words, the two charts with the prediction drawn in, the curves; everything else is a click away."""
    comparisons = paired_comparisons(records)
    if comparisons:
        st.markdown(f"#### {views.summary_sentence(comparisons)}")
    if guess is not None and (said := views.prediction_sentence(records, guess)):
        st.info(f"**Your prediction.** {said}", icon=":material/psychology_alt:")
    for record in records:
        if record.status == "diverged":
            st.warning(
                f"**{views.title_of(record.strategy)}, seed {record.seed}**: {record.message}.",
                icon=":material/trending_down:",
            )
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("##### Accuracy on the test images")
        st.caption("Dot: one seed. Diamond and bar: mean and 95 % interval.")
        scores = [(record.strategy, record.seed, record.test_accuracy) for record in records]
        show_figure(
            lambda: views.predicted_figure(records, guess),
            (scores, guess),
            f"{job.id}-accuracy",
            views.accuracy_sentence(records),
        )
    if comparisons:
        with right:
            show_differences(comparisons, job.experiment, job.id)
    fold(
        "Learning curves and the numbers",
        f"{job.id}-more",
        partial(_show_numbers, records, job),
        icon=":material/show_chart:",
    )


def _show_numbers(records: Sequence[RunRecord], job: Job) -> None:
    show_curves(views.points_of(records), job.experiment, job.id, levels=views.levels_of(records))
    show_table(views.results_table(records), f"{job.id}-table", views.accuracy_sentence(records))
    st.caption(views.provenance_sentence(records, recorded=False))
    st.page_link(
        "compare.py",
        label="Open this run on the Compare page",
        icon=":material/science:",
        query_params={"run": job.id},
    )
