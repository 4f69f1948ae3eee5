"""The first page: what the course is, one comparison in which transfer helped beside one in which it did not."""

import streamlit as st

from pages.shared.host import owner
from pages.shared.lab import lab_page
from pages.shared.recorded import read_recorded
from pages.shared.results_panel import show_differences, show_verdicts
from tlcore import views
from tlcore.lessons import lessons, text_of
from tlcore.store import Store

progress = Store().progress(owner())
course = list(lessons().values())
following = next((lesson for lesson in course if lesson.name not in progress or not progress[lesson.name].done), None)

st.title("When does what a network learned help it learn something new?", anchor=False)
st.markdown(
    "Transfer learning reuses what a network has learned on one task for another. It often helps, sometimes does "
    "nothing, and sometimes hurts. In eleven short labs you **predict**, **run** real Keras training on this machine, "
    "**compare** strategies under equal conditions, and **explain** what you measured."
)
if following is not None:
    words = "Start with lab 1" if not progress else f"Go on with lab {following.number}"
    title = text_of(following.name).heading.title
    if st.button(f"{words}: {title}", type="primary", icon=":material/play_arrow:", key="go-on"):
        st.switch_page(lab_page(following))

st.header("The labs", anchor=False)
for row in range(0, len(course), 3):
    for column, lesson in zip(st.columns(3), course[row : row + 3], strict=False):
        with column.container(border=True, height="stretch"):
            heading = text_of(lesson.name).heading
            done = lesson.name in progress and progress[lesson.name].done
            st.page_link(lab_page(lesson), label=f"**{lesson.number} · {heading.title}**")
            st.markdown(heading.question)
            badge = " :green-badge[:material/check_circle: done]" if done else ""
            st.caption(f"about {lesson.minutes} minutes{badge}")

st.header("Two measured answers", anchor=False)
for column, name in zip(st.columns(2, gap="large"), ("cars_to_trucks", "mnist_to_fashion"), strict=True):
    with column, st.container(border=True):
        comparison, missing = read_recorded(name)
        if comparison is None:
            st.info(missing, icon=":material/inventory_2:")
            continue
        st.markdown(f"### {views.experiment_title(comparison.experiment)}")
        st.markdown(f":violet-badge[:material/history: recorded] {views.recorded_label(comparison.records)}")
        transfer = [item for item in comparison.comparisons if views.is_transfer(item)]
        controls = [item for item in comparison.comparisons if not views.is_transfer(item)]
        show_verdicts(transfer, comparison.experiment)
        show_differences(transfer, comparison.experiment, f"start-{name}", recorded=True)
        if st.button("Run it yourself", type="secondary", icon=":material/play_arrow:", key=f"run-{name}"):
            st.switch_page("compare.py", query_params=comparison.experiment.to_query())
        with st.expander("The controls, and where these numbers come from"):
            st.markdown("\n".join(f"- {line}" for line in views.verdict_sentences(controls, comparison.experiment)))
            st.markdown(views.accuracy_sentence(comparison.records))
            st.caption(views.provenance_sentence(comparison.records, recorded=True))
