"""The parts of a lab besides its first run: recorded results, the question, one thing changed, a look inside."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.host import sentence
from pages.shared.inside_panel import show_inside
from pages.shared.lab_run import show_result
from pages.shared.recorded import show_recorded
from pages.shared.run_panel import show_run
from tlcore import views
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.lessons import Lesson, Text
from tlcore.presets import PRESETS
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.jobs.progress import Job
    from tlcore.lessons import Change, Pitfall, Step


def as_query(changed: Experiment, lesson: Experiment) -> dict[str, str]:
    """What a step changes, as the address says it: a teacher's own settings stay."""
    before, after = lesson.to_query(), changed.to_query()
    return {key: value for key, value in after.items() if value != before[key]}


def filled(text: Text, section: str, lesson: Lesson) -> str:
    """A section of a lab's text with its numbers; where a recorded result is missing, that."""
    try:
        return text.section(section, lesson)
    except UserError as error:
        return f":material/inventory_2: {sentence(error)}"


def show_recorded_results(lesson: Lesson, text: Text) -> None:
    """The full experiments on the real data, as they were recorded."""
    st.header("Recorded: the full experiment", anchor=False)
    st.markdown(filled(text, "recorded", lesson))
    if len(lesson.recorded) < 3:
        columns = st.columns(len(lesson.recorded), gap="large")
        shown = list(zip(columns, lesson.recorded, strict=True))
    else:
        tabs = st.tabs(_titles(lesson.recorded), key=f"{lesson.name}-recorded", on_change="rerun")
        shown = [(tab, name) for tab, name in zip(tabs, lesson.recorded, strict=True) if tab.open]
    for place, name in shown:
        with place, st.container(border=True):
            show_recorded(name, lesson.name)


def _titles(records: Sequence[str]) -> list[str]:
    return [PRESETS[name].title if name in PRESETS else name for name in records]


def ask_why(store: Store, me: str, lesson: Lesson, text: Text, chosen: str | None) -> None:
    """The question after the run, with a reply to every choice."""
    st.header("Why?", anchor=False)
    question = text.heading.why
    names = list(lesson.why.choices)
    answer = st.radio(
        question.question,
        names,
        format_func=lambda name: question.choices[name].text,
        index=names.index(chosen) if chosen in names else None,
        key=f"{lesson.name}.why",
    )
    if answer is None:
        st.caption("Choose an answer: each one gets a reply.")
        return
    if answer != chosen:
        store.note_progress(me, lesson.name, why=answer)
    reply = question.choices[answer].explain
    if answer == lesson.why.answer:
        st.success(reply, icon=":material/check_circle:")
    else:
        st.warning(reply, icon=":material/help:")


def show_steps(store: Store, me: str, lesson: Lesson, text: Text, experiment: Experiment, part: str) -> None:
    """Runs beside the first one: one thing changed, or a mistake made on purpose."""
    change = part == "change"
    steps: Sequence[Change | Pitfall] = lesson.changes if change else lesson.pitfalls
    words: dict[str, Step] = text.heading.changes if change else text.heading.pitfalls
    titles = {step.name: words[step.name].title for step in steps}
    chosen = st.pills(
        "What to change" if change else "Which mistake to make",
        list(titles),
        format_func=titles.__getitem__,
        default=steps[0].name,
        required=True,
        key=f"{lesson.name}.{part}",
    )
    step = next(step for step in steps if step.name == chosen)
    st.markdown(words[step.name].text)
    changed, _ = Experiment.from_query(experiment.to_query() | as_query(lesson.changed(step), lesson.experiment))
    differing = "; ".join(
        f"{name}: {before} → **{after}**" for name, before, after in views.differing_settings(experiment, changed)
    )
    st.markdown(f":material/tune: {differing}")
    key = f"{lesson.name}.{part}.{step.name}"
    job = store.job(st.session_state[key]) if key in st.session_state else None
    if (job is None or not job.active) and st.button(
        "Run again" if job else "Run", icon=":material/play_arrow:", key=f"run-{part}"
    ):
        st.session_state[key] = store.submit(changed, me)
        if change:
            store.note_progress(me, lesson.name, change=st.session_state[key])
        st.rerun()
    if job is not None:
        show_run(job, me, partial(show_result, guess=None), suffix=f"-{part}")


def look_inside(store: Store, lesson: Lesson, job: Job | None) -> None:
    """What the run looks like from inside, once there is one."""
    if set(lesson.inside) <= {"models", "recipe"}:
        return
    st.header("Looking inside", anchor=False)
    records = store.records(job.id) if job is not None and not job.active else []
    if job is None or not records:
        st.caption(
            ":material/visibility: Run the lab first: then its filters, features, mistakes and changes are here to see."
        )
        return
    show_inside(records, job.experiment, lesson.inside, f"{lesson.name}-inside")
