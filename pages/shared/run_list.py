"""Runs in a table, and two of them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.shared.charts import show_table
from pages.shared.results_panel import show_accuracy
from pages.shared.run_panel import STATES
from tlcore import views
from tlcore.results import paired_comparisons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.jobs.progress import Job, JobSummary
    from tlcore.store import Store

SIGNS = {
    "queued": "…",
    "running": "▶",
    "stopping": "■",
    "stopped": "■",
    "finished": "✓",
    "failed": "✕",
    "interrupted": "↯",
}


def runs_table(store: Store, jobs: Sequence[JobSummary]) -> pd.DataFrame:
    """One row a run.

    Args:
        store: Where their results are.
        jobs: The runs, in the order to show.

    Returns:
        The table.
    """
    rows = [
        {
            "When": job.created.replace(tzinfo=None),
            "State": f"{SIGNS[job.state]} {job.state}",
            "Tasks": views.experiment_title(job.experiment),
            "Best mean test accuracy": _best(store, job),
            "Strategies": ", ".join(views.title_of(name) for name in job.experiment.strategies),
            "Labels per class": job.experiment.labels_per_class,
            "Seeds": job.experiment.seeds,
            "Steps": job.experiment.steps,
        }
        for job in jobs
    ]
    return pd.DataFrame(rows)


def show_pair(store: Store, ids: Sequence[str]) -> None:
    """Show two runs side by side, and in what they differ.

    Args:
        store: Where they are.
        ids: Their ids.
    """
    found = [job for job_id in ids if (job := store.job(job_id)) is not None]
    st.divider()
    if len(found) != 2:
        st.info("To compare, tick two runs above: one of those in the address is not on this machine any more.")
        return
    st.header("Side by side", anchor=False)
    first, second = found
    differing = views.differing_settings(first.experiment, second.experiment)
    if differing:
        table = pd.DataFrame(differing, columns=["Setting", "First", "Second"])
        show_table(table, "pair-settings", "The settings in which the two runs differ.")
    else:
        st.markdown("Both ran exactly the same experiment: what differs is chance in the arithmetic.")
    for column, job, name in zip(st.columns(2, gap="large"), found, ("First", "Second"), strict=True):
        with column:
            _show_side(store, job, name)


def _show_side(store: Store, job: Job, name: str) -> None:
    st.markdown(f"#### {name}: {views.experiment_title(job.experiment)} {STATES[job.state]}")
    records = store.records(job.id)
    if not records:
        st.info("No arm of this run has finished.")
        return
    show_accuracy(records, f"{name}-{job.id}")
    comparisons = paired_comparisons(records)
    if comparisons:
        show_table(
            views.differences_table(comparisons), f"{name}-{job.id}-paired", "Paired differences from the baseline."
        )
    st.caption(views.provenance_sentence(records, recorded=False))


def _best(store: Store, job: JobSummary) -> str:
    """The arm with the highest mean, as far as arms have finished."""
    if job.state == "queued":
        return ""
    values: dict[str, list[float]] = {}
    for record in store.records(job.id):
        values.setdefault(record.strategy, []).append(record.test_accuracy)
    if not values:
        return ""
    means = {name: sum(scores) / len(scores) for name, scores in values.items()}
    top = max(means, key=means.__getitem__)
    return f"{views.title_of(top)} {100 * means[top]:.1f} %"
