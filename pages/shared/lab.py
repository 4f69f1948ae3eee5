"""A lab: predict, run, compare, explain, change one thing. What it says and runs is data in `data/lessons`."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode

import streamlit as st

from pages.shared import guess as guessing
from pages.shared.costs_panel import show_costs
from pages.shared.host import owner
from pages.shared.lab_parts import as_query, ask_why, filled, look_inside, show_recorded_results, show_steps
from pages.shared.lab_run import predict_and_run
from pages.shared.recipe_panel import show_recipe
from pages.shared.results_panel import show_network
from pages.shared.script_panel import show_script
from tlcore import views
from tlcore.experiment import QUERY_KEYS, Experiment
from tlcore.lessons import DEFAULT_LANGUAGE, LANGUAGES, Lesson, Text, lessons, text_of
from tlcore.models.registry import BACKBONES
from tlcore.store import Store

HIDE = "hide"
LANGUAGE = "lang"
PARTS = {
    "predict": "The prediction",
    "recorded": "The recorded result",
    "why": "The question “why?”",
    "change": "Change one thing",
    "pitfalls": "Pitfalls",
    "inside": "Looking inside",
    "code": "The Keras script",
    "next": "Ways to the other labs",
}
"""What a teacher's link can hide, by the word in the link."""


def show_lab(name: str) -> None:
    """Show a lab.

    Args:
        name: Name of its lesson.
    """
    store, me = Store(), owner()
    lesson = lessons()[name]
    text = text_of(name, st.query_params.get(LANGUAGE, DEFAULT_LANGUAGE))
    hidden = {part for part in st.query_params.get(HIDE, "").split(",") if part in PARTS}
    experiment = _preset(lesson)
    _heading(lesson, text)
    left, right = st.columns([5, 4], gap="large")
    with left:
        st.markdown(filled(text, "intro", lesson))
    with right:
        _network(experiment)
    progress = store.progress(me).get(name)
    run_id = st.session_state.get(f"{name}.run") or st.query_params.get("run") or (progress.run if progress else None)
    job = store.job(run_id) if run_id else None
    guess = guessing.read(progress.prediction if progress else None, lesson)
    predict_and_run(store, me, lesson, text, experiment, job, guess, hidden)
    if "recorded" not in hidden:
        show_recorded_results(lesson, text)
    if "why" not in hidden:
        ask_why(store, me, lesson, text, progress.why if progress else None)
    if "change" not in hidden:
        st.header("Change one thing", anchor=False)
        show_steps(store, me, lesson, text, experiment, "change")
    if lesson.pitfalls and "pitfalls" not in hidden:
        st.header("Pitfalls, run instead of told", anchor=False)
        st.markdown(filled(text, "pitfalls", lesson))
        show_steps(store, me, lesson, text, experiment, "pitfalls")
    if lesson.inside and "inside" not in hidden:
        look_inside(store, lesson, job)
    if "models" in lesson.inside:
        st.header("What the models cost", anchor=False)
        show_costs(f"{name}-costs")
    if "recipe" in lesson.inside:
        st.header("The recipe, one step at a time", anchor=False)
        show_recipe(name)
    st.header("What you have seen", anchor=False)
    st.markdown(filled(text, "seen", lesson))
    if "code" not in hidden:
        st.header("The code that ran", anchor=False)
        show_script(job.experiment if job else experiment, f"{name}-script")
    done = bool(progress and progress.done)
    _ending(store, me, lesson, experiment, hidden, done=done)


def _preset(lesson: Lesson) -> Experiment:
    """The lesson's own experiment, or what a teacher's link changes of it."""
    given = {key: value for key, value in st.query_params.items() if key in QUERY_KEYS}
    if not given:
        return lesson.experiment
    experiment, notices = Experiment.from_query(lesson.experiment.to_query() | given)
    for notice in notices:
        st.warning(notice, icon=":material/build:")
    return experiment


def _heading(lesson: Lesson, text: Text) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"Lab {lesson.number} of {len(lessons())} · about {lesson.minutes} minutes")
        if len(lesson.languages) > 1:
            st.segmented_control(
                "Language",
                lesson.languages,
                format_func=LANGUAGES.__getitem__,
                default=text.language,
                key=f"{lesson.name}.language",
                label_visibility="collapsed",
                on_change=_set_language,
                args=(f"{lesson.name}.language",),
            )
    st.title(text.heading.title, anchor=False)
    st.markdown(f"##### {text.heading.question}")


def _set_language(key: str) -> None:
    if chosen := st.session_state[key]:
        st.query_params[LANGUAGE] = chosen


def _network(experiment: Experiment) -> None:
    rows = views.planned_network(experiment.strategies, BACKBONES[experiment.backbone], experiment.cut)
    show_network(rows)


# --- ending -----------------------------------------------------------------------------------------------------------


def _ending(store: Store, me: str, lesson: Lesson, experiment: Experiment, hidden: set[str], *, done: bool) -> None:
    st.divider()
    every = list(lessons().values())
    at = every.index(lesson)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if "next" not in hidden and at:
            before = every[at - 1]
            st.page_link(lab_page(before), label=text_of(before.name).heading.title, icon=":material/arrow_back:")
        if done:
            st.markdown(":green-badge[:material/check_circle: done]")
        elif st.button("I am done with this lab", icon=":material/check:", key="done"):
            store.note_progress(me, lesson.name, done=True)
            st.rerun()
        if "next" not in hidden and at + 1 < len(every):
            after = every[at + 1]
            st.page_link(lab_page(after), label=text_of(after.name).heading.title, icon=":material/arrow_forward:")
    teachers = st.popover(
        "For teachers: a link to this lab", icon=":material/school:", key="teacher", on_change="rerun"
    )
    if teachers.open:
        with teachers:
            _teachers_link(lesson, experiment)


def _teachers_link(lesson: Lesson, experiment: Experiment) -> None:
    chosen = st.multiselect("Hide from the learner", list(PARTS), format_func=PARTS.__getitem__, key="teacher-hide")
    labels = st.number_input("Labels a class", 2, 200, experiment.labels_per_class, key="teacher-labels")
    seeds = st.number_input("Seeds", 1, 10, experiment.seeds, key="teacher-seeds")
    steps = st.number_input("Steps", 10, 1000, experiment.steps, step=10, key="teacher-steps")
    preset = experiment.model_copy(update={"labels_per_class": labels, "seeds": seeds, "steps": steps})
    query = as_query(preset, lesson.experiment)
    if chosen:
        query[HIDE] = ",".join(chosen)
    if LANGUAGE in st.query_params:
        query[LANGUAGE] = st.query_params[LANGUAGE]
    base = (st.context.url or "").split("?")[0]
    st.code(f"{base}?{urlencode(query, safe=',')}" if query else base, language=None, wrap_lines=True)
    st.caption(
        f"Anybody who opens it finds this lab with these settings. Any field of the Compare page's link works too; "
        f"one process holds a class of 100. `{HIDE}` takes {', '.join(f'`{part}`' for part in PARTS)}."
    )


def lab_page(lesson: Lesson) -> st.Page:
    """A lab as a page of the navigation.

    Args:
        lesson: Its lesson.

    Returns:
        The page, titled as the lesson is.
    """
    title = text_of(lesson.name).heading.title
    return st.Page(partial(show_lab, lesson.name), title=f"{lesson.number} · {title}", url_path=lesson.slug)
