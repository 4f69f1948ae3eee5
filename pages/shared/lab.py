"""A lab: predict, run, compare, explain, change one thing. What it says and runs is data in `data/lessons`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from pages.shared import guess as guessing
from pages.shared.charts import show_figure, show_table
from pages.shared.costs_panel import show_costs
from pages.shared.host import owner, sentence
from pages.shared.inside_panel import show_inside
from pages.shared.recorded import show_recorded
from pages.shared.results_panel import show_curves, show_differences, show_network
from pages.shared.run_panel import show_run
from pages.shared.script_panel import show_script
from tlcore import views
from tlcore.errors import UserError
from tlcore.experiment import QUERY_KEYS, Experiment
from tlcore.lessons import DEFAULT_LANGUAGE, LANGUAGES, Lesson, Text, lessons, text_of
from tlcore.models.registry import BACKBONES
from tlcore.presets import PRESETS
from tlcore.results import paired_comparisons
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import RunRecord
    from tlcore.jobs.progress import Job
    from tlcore.lessons import Change, Pitfall, Step

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
        st.markdown(_filled(text, "intro", lesson))
    with right:
        _network(experiment)
    progress = store.progress(me).get(name)
    run_id = st.session_state.get(f"{name}.run") or st.query_params.get("run") or (progress.run if progress else None)
    job = store.job(run_id) if run_id else None
    guess = guessing.read(progress.prediction if progress else None, lesson)
    _predict_and_run(store, me, lesson, text, experiment, job, guess, hidden)
    if "recorded" not in hidden:
        _recorded(lesson, text)
    if "why" not in hidden:
        _why(store, me, lesson, text, progress.why if progress else None)
    if "change" not in hidden:
        st.header("Change one thing", anchor=False)
        _steps(store, me, lesson, text, experiment, "change")
    if lesson.pitfalls and "pitfalls" not in hidden:
        st.header("Pitfalls, run instead of told", anchor=False)
        st.markdown(_filled(text, "pitfalls", lesson))
        _steps(store, me, lesson, text, experiment, "pitfalls")
    if lesson.inside and "inside" not in hidden:
        _inside(store, lesson, job)
    if "models" in lesson.inside:
        st.header("What the models cost", anchor=False)
        show_costs(f"{name}-costs")
    st.header("What you have seen", anchor=False)
    st.markdown(_filled(text, "seen", lesson))
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
    show_network(rows, "network")


# --- predict and run --------------------------------------------------------------------------------------------------


def _predict_and_run(
    store: Store,
    me: str,
    lesson: Lesson,
    text: Text,
    experiment: Experiment,
    job: Job | None,
    guess: views.Guess | None,
    hidden: set[str],
) -> None:
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
        show_run(job, me, partial(_result, guess=guess))
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


def _result(records: Sequence[RunRecord], job: Job, guess: views.Guess | None) -> None:
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
    with st.expander("Learning curves and the numbers", icon=":material/show_chart:"):
        show_curves(views.points_of(records), job.experiment, job.id, levels=views.levels_of(records))
        show_table(views.results_table(records), f"{job.id}-table", views.accuracy_sentence(records))
        st.caption(views.provenance_sentence(records, recorded=False))
        st.page_link(
            "compare.py",
            label="Open this run on the Compare page",
            icon=":material/science:",
            query_params={"run": job.id},
        )


# --- recorded, why, change one thing ----------------------------------------------------------------------------------


def _recorded(lesson: Lesson, text: Text) -> None:
    st.header("Recorded: the full experiment", anchor=False)
    st.markdown(_filled(text, "recorded", lesson))
    columns = (
        st.columns(len(lesson.recorded), gap="large") if len(lesson.recorded) < 3 else st.tabs(_titles(lesson.recorded))
    )
    for column, name in zip(columns, lesson.recorded, strict=True):
        with column, st.container(border=True):
            show_recorded(name, lesson.name)


def _titles(records: Sequence[str]) -> list[str]:
    return [PRESETS[name].title if name in PRESETS else name for name in records]


def _filled(text: Text, section: str, lesson: Lesson) -> str:
    try:
        return text.section(section, lesson)
    except UserError as error:
        return f":material/inventory_2: {sentence(error)}"


def _why(store: Store, me: str, lesson: Lesson, text: Text, chosen: str | None) -> None:
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


def _steps(store: Store, me: str, lesson: Lesson, text: Text, experiment: Experiment, part: str) -> None:
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
    changed, _ = Experiment.from_query(experiment.to_query() | _as_query(lesson.changed(step), lesson.experiment))
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
        show_run(job, me, partial(_result, guess=None), suffix=f"-{part}")


def _as_query(changed: Experiment, lesson: Experiment) -> dict[str, str]:
    """What a step changes, as the address says it: a teacher's own settings stay."""
    before, after = lesson.to_query(), changed.to_query()
    return {key: value for key, value in after.items() if value != before[key]}


def _inside(store: Store, lesson: Lesson, job: Job | None) -> None:
    if set(lesson.inside) == {"models"}:
        return
    st.header("Looking inside", anchor=False)
    records = store.records(job.id) if job is not None and not job.active else []
    if job is None or not records:
        st.caption(
            ":material/visibility: Run the lab first: then its filters, features, mistakes and changes are here to see."
        )
        return
    show_inside(records, job.experiment, lesson.inside, f"{lesson.name}-inside")


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
    with st.popover("For teachers: a link to this lab", icon=":material/school:"):
        chosen = st.multiselect("Hide from the learner", list(PARTS), format_func=PARTS.__getitem__, key="teacher-hide")
        labels = st.number_input("Labels a class", 2, 200, experiment.labels_per_class, key="teacher-labels")
        seeds = st.number_input("Seeds", 1, 10, experiment.seeds, key="teacher-seeds")
        steps = st.number_input("Steps", 10, 1000, experiment.steps, step=10, key="teacher-steps")
        preset = experiment.model_copy(update={"labels_per_class": labels, "seeds": seeds, "steps": steps})
        query = _as_query(preset, lesson.experiment)
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
