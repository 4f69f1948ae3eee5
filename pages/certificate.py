"""What this learner has run and read: a page to print, and a code that carries it to another browser."""

import html
from contextlib import suppress
from datetime import datetime

import streamlit as st

from pages.shared import guess
from pages.shared.host import owner, sentence
from tlcore import course, views
from tlcore.errors import UserError
from tlcore.lessons import DEFAULT_LANGUAGE, Lesson, lessons, text_of
from tlcore.store import LessonProgress, Store

PRINT = """<style>
.st-key-certificate h2 { font-size: 1.25rem }
@media print {
  .stAppHeader, [data-testid="stHeader"], .st-key-tools, [data-testid="stToolbar"] { display: none !important }
  html, body, #root, .stApp, .stApp * { color: #000 !important; background: #fff !important }
  .stApp * { border-color: #999 !important }
  .stMainBlockContainer { padding: 0 !important; max-width: none !important }
  .st-key-certificate li { break-inside: avoid }
}
</style>"""

store, me = Store(), owner()
language = st.query_params.get("lang", DEFAULT_LANGUAGE)
progress = store.progress(me)
course_lessons = lessons()
done = [lesson for name, lesson in course_lessons.items() if name in progress and progress[name].done]
begun = [
    lesson for name, lesson in course_lessons.items() if name in progress and progress[name].run and lesson not in done
]


def day(moment: datetime) -> str:
    """A date as people write it."""
    return f"{moment.day} {moment:%B %Y}"


def lesson_line(lesson: Lesson, kept: LessonProgress) -> str:
    """A lesson in one line: when, what was expected, what came out, which runs."""
    parts = [f"**{course.lesson_link(lesson.name, language)}** · {day(kept.updated)}.", _predicted(lesson, kept)]
    if kept.why:
        choice = text_of(lesson.name, language).heading.why.choices.get(kept.why)
        word = "right" if kept.why == lesson.why.answer else "not right"
        parts.append(f"Why? “{choice.text if choice else kept.why}” ({word}).")
    runs = [(kept.run, "Run"), (kept.change, "One thing changed")]
    parts += [f"{what}: {_run_link(run)}." for run, what in runs if run]
    return " ".join(part for part in parts if part)


def _run_link(run: str) -> str:
    """A run's id, as a link as long as the run is here."""
    with suppress(UserError):  # a run of another version cannot be opened
        if store.job(run) is not None:
            return f"[{run}](compare?run={run})"
    return f"{run} (not on this machine)"


def _predicted(lesson: Lesson, kept: LessonProgress) -> str:
    """The prediction beside the result."""
    if not kept.run:
        return "Read without a run."
    records = []
    with suppress(UserError):  # a run of another version is no reason to show nothing
        records = store.records(kept.run)
    if not records:
        return "No result here yet."
    said = guess.read(kept.prediction, lesson)
    return (views.prediction_sentence(records, said) if said else "") or (
        f"No prediction. {views.accuracy_sentence(records)}"
    )


def show_tools() -> None:
    """What is not printed: the name, the button, the code."""
    printer = st.empty()  # has a place of its own: the popover would close if something came and went beside it
    with st.container(key="tools"), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Your name on the page",
            key="certificate.name",
            max_chars=100,
            autocomplete="name",
            persist_state="session",
            help="It stays in this visit and is not stored.",
            width=320,
        )
        if st.button("Print or save as PDF", type="primary", icon=":material/print:", key="print"):
            times = st.session_state["certificate.printed"] = st.session_state.get("certificate.printed", 0) + 1
            # Another text each time: a script that has not changed does not run again.
            printer.html(f"<script>window.print() // {times}</script>", unsafe_allow_javascript=True)
        show_code()


def show_code() -> None:
    """The way to another browser and from there."""
    with st.popover("To another browser", icon=":material/devices:"):
        st.markdown(
            "Progress is kept for this browser. To go on in another one, enter this code there, on this page, within "
            "30 days. Lessons and quiz answers are copied; the runs stay with the browser that started them."
        )
        if st.toggle("Show my code", key="code-shown"):
            st.code(store.progress_code(me), language=None)
        with st.form("take", border=False):
            code = st.text_input("A code from another browser", key="code-entered", max_chars=20, autocomplete="off")
            pressed = st.form_submit_button("Take over its progress", icon=":material/download:", key="take-button")
            if pressed and code.strip():
                try:
                    st.session_state["certificate.taken"] = store.take_progress(code, me)
                except UserError as error:
                    st.error(sentence(error), icon=":material/error:")
                else:
                    st.rerun()


def show_lessons() -> None:
    """Every lesson that was touched."""
    st.header("Labs run and read", anchor=False)
    if done:
        st.markdown("\n".join(f"- {lesson_line(lesson, progress[lesson.name])}" for lesson in done))
    else:
        st.markdown("None is finished yet: the button at the end of a lab marks it as done.")
    if begun:
        st.header("Begun", anchor=False)
        st.markdown("\n".join(f"- {lesson_line(lesson, progress[lesson.name])}" for lesson in begun))


def show_quiz() -> None:
    """The quiz's score."""
    st.header("Quiz", anchor=False)
    questions, kept = course.questions(language), progress.get(course.QUIZ)
    answers = {name: given for name, given in (kept.answers if kept else {}).items() if name in questions}
    if kept is None or not answers:
        st.markdown("Not begun.")
        return
    right = sum(questions[name].answer == given for name, given in answers.items())
    st.markdown(
        f"**{right} right** of {len(answers)} answered, of {len(questions)} questions; last on {day(kept.updated)}. "
        "Explanations are shown after each answer, and the quiz can be taken again."
    )


st.html(PRINT)
st.title("What you have run and read", anchor=False)
taken = st.session_state.pop("certificate.taken", None)
if taken is not None:
    st.success(f"Copied from the other browser: {taken} of its entries.", icon=":material/check_circle:")
show_tools()
if not progress:
    st.info(
        "Nothing is kept for this browser yet. Run a lab or answer a question, and it appears here.",
        icon=":material/history_edu:",
    )
    st.stop()
with st.container(key="certificate", border=True, width=900):
    name = st.session_state["certificate.name"].strip()
    st.html(f"<p style='font-size:1.5rem;font-weight:600;margin:0'>{html.escape(name) or 'A learner'}</p>")
    moments = sorted(item.updated for item in progress.values())
    st.markdown(
        f"has run and read **{len(done)} of {len(course_lessons)}** labs of *Learn transfer learning by measuring it*, "
        f"last on {day(moments[-1])}. In each, a prediction comes before a run of real training, and the result after."
    )
    show_lessons()
    show_quiz()
    st.header("What this page says, and what it does not", anchor=False)
    base = (st.context.url or "").split("?")[0].rpartition("/")[0]
    st.markdown(
        "It lists what one browser has run and answered; dates are in UTC. Nobody has examined the learner, and the "
        "name is what they typed. "
        + (f"Each run can be opened at {base}/compare?run=ID as long as it is kept there." if base else "")
    )
