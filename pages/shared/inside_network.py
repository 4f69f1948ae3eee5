"""Looking inside the network: filters, activations, features, and what training changed by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.shared.charts import show_figure, show_table
from pages.shared.inside_arms import Arms, say_empty, say_withheld
from tlcore import inside as kept
from tlcore import views
from tlcore.views import inside as draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import RunRecord


def show_filters(arms: Arms, key: str) -> None:
    """The first stage's filters, before and after training."""
    found = arms.such_that(lambda inside: inside.has_kernels)
    if not found:
        say_empty("There are no first filters to show: the network has no such convolution, or it was not kept.")
        return
    st.caption(
        "Each tile is one filter of the first stage: middle grey is zero, bright is positive, dark is negative. Find "
        "the edges and blobs: which filters have them before training, and which still look like the noise they "
        f"started as afterwards? Seed {arms.seed}."
    )
    table = draw.filters_table(found)
    moved = "; ".join(f"{row[0]}: moved by {row[2]:.0f} % of their size" for row in table.itertuples(index=False))
    show_figure(
        lambda: draw.filters_figure(found),
        [arms.name_of(strategy) for strategy in found],
        f"{key}-filters",
        f"First-stage filters before and after training. {moved}.",
    )
    arms.say_if_of_another_run(found)
    show_table(table, f"{key}-filters-table", "How far training moved the first filters.")


def show_activations(arms: Arms, key: str) -> None:
    """One picture on its way through the network."""
    found = arms.such_that(lambda inside: bool(inside.activations))
    if not found:
        say_empty("There are no activations to show.")
        return
    if not arms.pictures:  # the maps of the first stages are the picture itself, a little blurred
        say_withheld()
        return
    st.caption(
        "What each stage hands on for one test picture, after training. Follow it from stage to stage: where can you "
        "still see the picture, and where is only an answer left? Dark maps and units are silent."
    )
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    strategy = left.selectbox("Strategy", list(found), format_func=views.title_of, key=f"{key}-activations-arm")
    inside, classes = found[strategy], arms.classes(strategy)

    def name(place: int) -> str:
        label = int(inside.truth[inside.pictured[place]])
        return f"{place + 1}: {classes[label]}"

    place = right.selectbox("Picture", range(len(inside.pictured)), format_func=name, key=f"{key}-activations-picture")
    row = int(inside.pictured[place])
    pictures = kept.find_pictures(inside)
    answer = draw.answer_words(int(inside.answers[row]), classes)
    small, large = st.columns([1, 5])
    with small:
        if pictures is not None and row < len(pictures.images):
            st.image(
                draw.pictures_strip(pictures.images[row : row + 1]),
                width=120,
                alt=f"A picture of {name(place)[3:]}",
                output_format="PNG",
            )
        st.markdown(f"True class: **{name(place)[3:]}**  \nAnswer: **{answer}**")
    shares = draw.silent_share(inside, place)
    silent = "; ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
    with large:
        show_figure(
            lambda: draw.activations_figure(inside, place),
            (arms.name_of(strategy), place),
            f"{key}-activations-{strategy}-{place}",
            f"Activations of {views.title_of(strategy)} by stage. Share of the outputs shown that are zero: {silent}.",
        )
        st.caption(f"Share of the outputs shown that are zero: {silent}.")
    arms.say_if_of_another_run([strategy])


def show_embedding(arms: Arms, key: str) -> None:
    """Where the features put the test images, before and after training."""
    found = arms.such_that(lambda inside: inside.has_features)
    if not found:
        say_empty("There are no features to show.")
        return
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    strategy = left.selectbox("Strategy", list(found), format_func=views.title_of, key=f"{key}-embedding-arm")
    chosen = right.segmented_control(
        "Drawn by",
        list(draw.METHOD_TITLES.values()),
        default=draw.METHOD_TITLES["pca"],
        required=True,
        key=f"{key}-embedding-method",
    )
    method: draw.Method = "tsne" if chosen == draw.METHOD_TITLES["tsne"] else "pca"
    inside, classes = found[strategy], arms.classes(strategy)
    st.caption(
        "Each mark is one picture that nothing was trained on, placed by the features that the output layer sees. Are "
        "the classes apart before training, and are they further apart afterwards? "
        + (
            "The two axes are those along which the features differ most."
            if method == "pca"
            else "t-SNE keeps neighbours together; distances between groups and their sizes mean nothing."
        )
    )
    name = arms.name_of(strategy)
    before, shares_before = _placed(name, "before", method, inside.features_before)
    same = inside.features_after is inside.features_before
    after, shares_after = (before, shares_before) if same else _placed(name, "after", method, inside.features_after)
    table = draw.neighbours_table(found)
    # Measured in all features, not in the drawing, which has lost most of them.
    words = "; ".join(f"{row[0]}: {row[1]:.0f} % before, {row[2]:.0f} % after" for row in table.itertuples(index=False))
    show_figure(
        lambda: draw.embedding_figure(
            before, after, inside.feature_labels, classes, method, (shares_before, shares_after)
        ),
        (name, method),
        f"{key}-embedding-{strategy}-{method}",
        f"{draw.METHOD_TITLES[method]} of the features of {len(inside.feature_labels)} pictures before and after "
        f"training. Pictures whose nearest neighbour has the same class: {words}.",
    )
    if same:
        st.caption("Every stage was frozen, so the features after training are the features before it.")
    arms.say_if_of_another_run([strategy])
    st.caption("How often the nearest neighbour, among all features, has the same class:")
    show_table(table, f"{key}-embedding-table", f"Nearest neighbours of the same class. {words}.")


@st.cache_data(max_entries=200, show_spinner="Placing the pictures …")
def _placed(name: tuple[str, float], when: str, method: draw.Method, _features: Any) -> tuple[Any, tuple[float, ...]]:
    return draw.embed(_features, method)


# --- stages -----------------------------------------------------------------------------------------------------------


def show_changes(records: Sequence[RunRecord], key: str) -> None:
    """What training changed by stage, by a measure to choose."""
    chosen = st.segmented_control(
        "Of what",
        ["Weights", "Features"],
        default="Weights",
        required=True,
        key=f"{key}-changes-what",
        label_visibility="collapsed",
    )
    show_stages(records, "weight_change" if chosen == "Weights" else "feature_change", key)


_STAGE_WORDS: dict[draw.What, str] = {
    "weight_change": (
        "How far each stage's weights moved in training, relative to their size. A frozen stage stays at zero: do the "
        "early stages of the others move less than the late ones? The output layer starts from noise; see the table."
    ),
    "feature_change": (
        "How far each stage's outputs moved for the same pictures. A frozen stage behind one that moved changes too: "
        "its input does."
    ),
    "feature_cka": (
        "How alike each stage's outputs for the same pictures are before and after training: 1 is the same up to "
        "rotation and size, 0 is unrelated. Where did fine-tuning keep what was transferred, and where did it rebuild?"
    ),
}


def show_stages(records: Sequence[RunRecord], what: draw.What, key: str) -> None:
    """One measure of change by stage."""
    st.caption(_STAGE_WORDS[what] + " Line: mean of the seeds; bars: their range.")
    table = draw.stages_table(records, what)
    if table.empty:
        say_empty("There is nothing to show here: these arms have no stages, or were not measured.")
        return
    words = "; ".join(
        f"{strategy}: " + ", ".join(f"{stage} {value:.2f}" for stage, value in row.dropna().items())
        for strategy, row in table.iterrows()
    )
    measured = [(record.strategy, record.seed, getattr(record, what)) for record in records]
    show_figure(
        lambda: draw.stages_figure(records, what), measured, f"{key}-{what}", f"{draw.WHAT_TITLES[what]}. {words}."
    )
    show_table(table, f"{key}-{what}-table", f"{draw.WHAT_TITLES[what]} by stage.", digits=3, hide_index=False)
