"""The quiz: one question at a time, every answer explained, the score kept with the learner's progress."""

import streamlit as st

from pages.shared.host import owner
from tlcore import course
from tlcore.course import QuizQuestion
from tlcore.lessons import DEFAULT_LANGUAGE, lessons
from tlcore.store import Store

AT, LESSON = "quiz.at", "lesson"

store, me = Store(), owner()
language = st.query_params.get("lang", DEFAULT_LANGUAGE)
everything = course.questions(language)
# A link such as `quiz?lesson=fine_tuning` asks about one lesson only.
lesson = st.query_params.get(LESSON, "")
asked = {name: item for name, item in everything.items() if item.lesson == lesson} or everything
kept = store.progress(me).get(course.QUIZ)
answers = {name: given for name, given in (kept.answers if kept else {}).items() if name in everything}
names = list(asked)
answered = [name for name in names if name in answers]
right = [name for name in answered if answers[name] == asked[name].answer]


def go(name: str) -> None:
    """Show a question."""
    st.session_state[AT] = name


def answer(name: str) -> None:
    """Keep the answer that is chosen; the first one counts."""
    store.note_progress(me, course.QUIZ, answers=answers | {name: st.session_state[f"quiz.{name}"]})


def forget() -> None:
    """Forget the answers to what is asked here, and begin again."""
    store.note_progress(me, course.QUIZ, answers={name: answers[name] for name in answers if name not in asked})
    go(names[0])


def show_reply(item: QuizQuestion, given: str) -> None:
    """Say what is right or wrong about every choice, the chosen one first."""
    chosen = item.choices.get(given)
    if given == item.answer and chosen:
        st.success(f"**Right: {chosen.text}**  \n{chosen.explain}", icon=":material/check_circle:")
    else:
        if chosen:
            st.warning(f"**Not this one: {chosen.text}**  \n{chosen.explain}", icon=":material/cancel:")
        best = item.choices[item.answer]
        st.success(f"**The right answer: {best.text}**  \n{best.explain}", icon=":material/check_circle:")
    others = [choice for name, choice in item.choices.items() if name not in (given, item.answer)]
    if others:
        st.markdown("The other answers:\n\n" + "\n".join(f"- **{choice.text}** {choice.explain}" for choice in others))
    if link := course.lesson_link(item.lesson, language):
        st.markdown(f":material/science: See it measured: {link}")


def show_question(name: str) -> None:
    """Ask a question, or show how it was answered."""
    item, at = asked[name], names.index(name)
    with st.container(border=True, key="question"):
        st.caption(f"Question {at + 1} of {len(names)}")
        st.header(item.question, anchor=False)
        if name in answers:
            show_reply(item, answers[name])
        else:
            chosen = st.radio(
                item.question,
                list(item.choices),
                index=None,
                format_func=lambda choice: item.choices[choice].text,
                key=f"quiz.{name}",
                label_visibility="collapsed",
            )
            st.button(
                "Answer",
                type="primary",
                icon=":material/check:",
                key="answer",
                disabled=chosen is None,
                on_click=answer,
                args=(name,),
            )
    with st.container(horizontal=True):
        if at:
            st.button("Back", icon=":material/arrow_back:", key="back", on_click=go, args=(names[at - 1],))
        if at + 1 < len(names):
            st.button(
                "Next" if name in answers else "Skip",
                type="primary" if name in answers else "secondary",
                icon=":material/arrow_forward:",
                key="next",
                on_click=go,
                args=(names[at + 1],),
            )


def show_result() -> None:
    """Say what was right, and where to look again."""
    st.header("Your result", anchor=False)
    st.markdown(f"**{len(right)} of {len(names)} right.**")
    wrong = [name for name in names if name not in right]
    if not wrong:
        st.success("Every answer is right.", icon=":material/check_circle:")
        return
    st.markdown("Look at these again:")
    for name in wrong:
        with st.container(horizontal=True, vertical_alignment="center"):
            number = f"Question {names.index(name) + 1}"
            st.button(number, key=f"show-{name}", icon=":material/visibility:", on_click=go, args=(name,))
            st.markdown(f"{asked[name].question} {course.lesson_link(asked[name].lesson, language)}", width=600)


st.html("<style>.st-key-question h2 { font-size: 1.35rem; line-height: 1.35; padding-top: 0 }</style>")
st.title("Quiz", anchor=False)
with st.container(width=820):
    about = f"about “{course.lesson_link(lesson, language)}”" if lesson in lessons() and asked is not everything else ""
    st.markdown(
        f"{len(names)} questions {about or 'about what the labs show'}. Every choice is explained once you have "
        "answered, and the first answer counts. Your answers are kept for this browser."
    )
    score = f"{len(right)} right of {len(answered)} answered, {len(names)} questions"
    st.progress(len(answered) / len(names), text=score)
    if st.session_state.get(AT) not in asked:
        go(next((name for name in names if name not in answers), names[0]))
    show_question(st.session_state[AT])
    if len(answered) == len(names):
        show_result()
    if answered:
        with st.popover("Start again", icon=":material/restart_alt:"):
            st.markdown(f"This forgets your {len(answered)} answers.")
            st.button("Forget them and start again", type="primary", key="restart", on_click=forget)
