"""A run while it waits and trains, and how it ended: one polling fragment, then the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.charts import show_live
from pages.shared.host import is_dark, plain_errors
from pages.shared.results_panel import show_curves, show_results
from tlcore import views
from tlcore.jobs.queue import STALE_SECONDS
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tlcore.experiment import RunRecord
    from tlcore.jobs.progress import ArmProgress, Job

    ShowRecords = Callable[[Sequence[RunRecord], Job], None]

STATES = {
    "queued": ":blue-badge[:material/hourglass_empty: waiting]",
    "running": ":blue-badge[:material/play_arrow: running]",
    "stopping": ":orange-badge[:material/stop_circle: stopping]",
    "stopped": ":orange-badge[:material/stop_circle: stopped]",
    "finished": ":green-badge[:material/check_circle: finished]",
    "failed": ":red-badge[:material/error: failed]",
    "interrupted": ":orange-badge[:material/bolt: interrupted]",
}
_ARMS = {
    "waiting": ":gray-badge[:material/hourglass_empty: seed {seed}]",
    "running": ":blue-badge[:material/play_arrow: seed {seed} · {percent} %]",
    "finished": ":green-badge[:material/check: seed {seed}]",
    "failed": ":red-badge[:material/error: seed {seed}]",
    "stopped": ":orange-badge[:material/stop_circle: seed {seed}]",
    "interrupted": ":orange-badge[:material/bolt: seed {seed}]",
}


def show_run(job: Job, owner: str, show: ShowRecords | None = None, suffix: str = "") -> None:
    """Show a run in whatever state it is.

    Args:
        job: The run.
        owner: Who looks; only the one who started it can stop it.
        show: Shows the records of a run that has ended; None for everything that is known about them.
        suffix: Tells the widgets' keys from those of another run on the page.
    """
    if job.active:
        # The timer lives in the browser and goes with this fragment, so a run that has ended costs nothing.
        st.fragment(_watch, run_every=1.0)(job.id, owner, suffix)
    else:
        _heading(job)
        _show_ended(job, show)


def _heading(job: Job) -> None:
    st.markdown(f"### {views.experiment_title(job.experiment)} {STATES[job.state]}")


def _show_ended(job: Job, show: ShowRecords | None) -> None:
    """Show how a run ended, and what it measured until then."""
    store = Store()
    records, looks = store.records(job.id), store.points(job.id)
    kept = f" {len(records)} of {len(job.arms)} arms had finished; their results are below." if records else ""
    reason = f": {job.message.rstrip('.')}." if job.message else "."
    if job.state == "failed":
        st.error(f"This run failed{reason}{kept}", icon=":material/error:")
    elif job.state == "interrupted":
        st.warning(f"This run was interrupted{reason}{kept} Press Run to start it again.", icon=":material/bolt:")
    elif job.state == "stopped":
        st.warning(
            f"This run was stopped{reason}{kept} Press Run to start it again from the beginning.",
            icon=":material/stop_circle:",
        )
    if records and show is not None:
        show(records, job)
    elif records:
        show_results(records, job.experiment, job.id, looks=looks)
    elif looks:
        show_curves(looks, job.experiment, job.id)


def _watch(job_id: str, owner: str, suffix: str) -> None:
    """One look at a running job: how far it is, and its curves."""
    with plain_errors():
        store = Store()
        job = store.job(job_id)
        if job is None or not job.active:
            st.rerun()
        heading, stop = st.columns([4, 1], vertical_alignment="center")
        with heading:
            _heading(job)
        if job.owner == owner and stop.button(
            "Stop", icon=":material/stop:", key=f"stop{suffix}", width="stretch", disabled=job.state == "stopping"
        ):
            store.request_stop(job.id, owner)
            st.rerun()
        st.progress(min(max(job.fraction, 0.0), 1.0), text=_progress_text(job))
        if job.state == "queued" and not any(worker.heartbeat_age < STALE_SECONDS for worker in store.workers()):
            st.warning(
                "Nothing trains on this machine at the moment. The run waits until a worker is started: "
                "`python -m tlcore worker`.",
                icon=":material/power_off:",
            )
        if job.preparation is not None and job.preparation.state in ("waiting", "running"):
            detail = f": {job.preparation.text}" if job.preparation.text else ""
            st.markdown(f"**First, the source model**{detail} ({job.preparation.fraction:.0%})")
        st.markdown(_arms_text(job))
        looks = store.points(job_id)
        sentence = views.live_sentence(looks)
        show_live(views.live_options(looks, job.experiment, dark=is_dark()), sentence, f"live-curves{suffix}")
        st.caption(f"{sentence} Line: mean of the seeds that got so far; shade: their range.")


def _progress_text(job: Job) -> str:
    if job.state == "stopping":
        return "Stopping at the next safe place"
    left = f" · {views.duration(job.seconds_left)} left" if job.seconds_left is not None else ""
    if job.position:
        return f"Number {job.position} in the queue{left}"
    return f"{job.fraction:.0%} done{left}"


def _arms_text(job: Job) -> str:
    """A line a strategy with a badge a seed."""
    lines: dict[str, list[str]] = {}
    for arm in job.arms:
        lines.setdefault(arm.strategy, []).append(_badge(arm))
    return "  \n".join(f"{views.title_of(strategy)} {' '.join(badges)}" for strategy, badges in lines.items())


def _badge(arm: ArmProgress) -> str:
    return _ARMS[arm.state].format(seed=arm.seed, percent=round(100 * arm.fraction))
