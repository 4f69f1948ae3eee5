"""The first page: one comparison in which transfer was measured beside another, and what the words mean."""

import streamlit as st

from pages.shared.recorded import read_recorded
from pages.shared.results_panel import show_differences, show_network, show_verdicts
from tlcore import views
from tlcore.models.registry import BACKBONES
from tlcore.strategies import STRATEGIES

st.title("When does what a network learned help it learn something new?", anchor=False)
st.markdown(
    "Choose what a network learned first and what it has to learn now, let every strategy train under the same "
    "conditions, and read from the measured differences whether transfer helped."
)

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
        show_differences(transfer, comparison.experiment, name)
        if st.button("Run it yourself", type="primary", icon=":material/play_arrow:", key=f"run-{name}"):
            st.switch_page("compare.py", query_params=comparison.experiment.to_query())
        with st.expander("The controls, and where these numbers come from"):
            st.markdown("\n".join(f"- {line}" for line in views.verdict_sentences(controls, comparison.experiment)))
            st.markdown(views.accuracy_sentence(comparison.records))
            st.caption(views.provenance_sentence(comparison.records, recorded=True))

st.header("Three steps", anchor=False)
steps = (
    (
        "1 · Pre-train",
        "A network learns a **source** task with many labelled images. What it learned is in its weights: early "
        "stages see edges and textures, late ones what matters for that task.",
    ),
    (
        "2 · Extract features",
        "On the **target** task its weights are frozen and only a new output layer, the head, is trained. Cheap, and "
        "little can go wrong with few labels; but the features stay those of the source.",
    ),
    (
        "3 · Fine-tune",
        "The source's weights are the starting point, and some stages or all are trained on. More can adapt, and with "
        "few labels more can go wrong.",
    ),
)
for column, (heading, text) in zip(st.columns(3), steps, strict=True):
    column.markdown(f"#### {heading}\n{text}")
strategies = [name for name, strategy in STRATEGIES.items() if strategy.kind != "control"]
show_network(views.planned_network(strategies, BACKBONES["cnn_small"]), "network")
for name in strategies:
    st.markdown(f"- **{STRATEGIES[name].title}**: {STRATEGIES[name].sentence}")
if st.button("Compare your own choice", icon=":material/science:", key="own"):
    st.switch_page("compare.py")
