"""Looking inside: filters, activations, embeddings, stages, and the pictures behind a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.shared.charts import show_figure, show_table
from pages.shared.host import is_dark
from tlcore import inside as kept
from tlcore import views
from tlcore.strategies import STRATEGIES
from tlcore.views import inside as draw
from tlcore.views.confusion import confusion_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tlcore.experiment import Experiment, RunRecord
    from tlcore.inside import Inside, Pictures

LOOKS: dict[str, tuple[str, str]] = {
    "filters": ("First filters", ":material/grid_view:"),
    "activations": ("Activations", ":material/visibility:"),
    "embedding": ("Embedding", ":material/scatter_plot:"),
    "cka": ("Similarity (CKA)", ":material/compare:"),
    "changes": ("What moved", ":material/timeline:"),
    "confusion": ("Confusions", ":material/grid_on:"),
    "fixed_and_broken": ("Fixed and broken", ":material/swap_vert:"),
}
"""Every look with its title and icon, in the order in which they are offered."""
PICTURES = 24  # shown of a cell or of a list
PICTURE_PIXELS = 84


def show_inside(records: Sequence[RunRecord], experiment: Experiment, looks: Sequence[str], key: str) -> None:
    """Show finished arms from inside, one look at a time: what is not looked at costs nothing.

    Args:
        records: Records of one experiment; at least one.
        experiment: What was asked for; its first seed is the one that is kept from inside.
        looks: Names of `LOOKS`; others are passed over.
        key: Prefix of the widgets' keys.
    """
    offered = [look for look in LOOKS if look in looks]
    if not offered or not records:
        return
    look = offered[0]
    if len(offered) > 1:
        look = st.segmented_control(
            "Look inside",
            offered,
            default=offered[0],
            required=True,
            format_func=lambda name: f"{LOOKS[name][1]} {LOOKS[name][0]}",
            key=f"{key}-look",
            label_visibility="collapsed",
        )
    if look == "confusion":
        show_confusion(records, key)
    elif look == "cka":
        _show_stages(records, "feature_cka", key)
    elif look == "changes":
        _show_changes(records, key)
    else:
        shown: dict[str, Callable[[_Arms, str], None]] = {
            "filters": _show_filters,
            "activations": _show_activations,
            "embedding": _show_embedding,
            "fixed_and_broken": _show_fixed_and_broken,
        }
        shown[str(look)](_Arms(records, experiment), key)


class _Arms:
    """The arms of an experiment's first seed, as far as they were kept from inside."""

    def __init__(self, records: Iterable[RunRecord], experiment: Experiment) -> None:
        self.records = {record.strategy: record for record in records if record.seed == experiment.first_seed}
        found = {strategy: kept.find_of(record) for strategy, record in self.records.items()}
        self.insides: dict[str, Inside] = {name: inside for name, inside in found.items() if inside is not None}
        self.seed = experiment.first_seed

    def such_that(self, holds: Callable[[Inside], bool]) -> dict[str, Inside]:
        return {strategy: inside for strategy, inside in self.insides.items() if holds(inside)}

    def name_of(self, strategy: str) -> tuple[str, float]:
        """What tells this arm's files from all others."""
        return self.records[strategy].arm_hash, self.insides[strategy].test_accuracy

    def classes(self, strategy: str) -> tuple[str, ...]:
        return tuple(self.records[strategy].datasets["target"].classes)

    def say_if_of_another_run(self, strategies: Iterable[str]) -> None:
        for strategy in strategies:
            if not kept.is_of(self.insides[strategy], self.records[strategy]):
                _say_another_run(self.insides[strategy], self.records[strategy])


def _say_another_run(inside: Inside, record: RunRecord) -> None:
    st.caption(
        f":material/info: {views.title_of(record.strategy)}: what is shown here is of another run of the same arm, on "
        f"the same images. It ended at {100 * inside.test_accuracy:.1f} % on the test images, this one at "
        f"{100 * record.test_accuracy:.1f} %."
    )


def _say_empty(what: str) -> None:
    st.info(
        f"{what} Only arms that were trained on this machine can be opened, and of those the first seed.",
        icon=":material/visibility_off:",
    )


# --- filters, activations, embedding ----------------------------------------------------------------------------------


def _show_filters(arms: _Arms, key: str) -> None:
    found = arms.such_that(lambda inside: inside.has_kernels)
    if not found:
        _say_empty("There are no first filters to show: the network has no such convolution, or it was not kept.")
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


def _show_activations(arms: _Arms, key: str) -> None:
    found = arms.such_that(lambda inside: bool(inside.activations))
    if not found:
        _say_empty("There are no activations to show.")
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
    answer = _answer_words(int(inside.answers[row]), classes)
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


def _show_embedding(arms: _Arms, key: str) -> None:
    found = arms.such_that(lambda inside: inside.has_features)
    if not found:
        _say_empty("There are no features to show.")
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


def _show_changes(records: Sequence[RunRecord], key: str) -> None:
    chosen = st.segmented_control(
        "Of what",
        ["Weights", "Features"],
        default="Weights",
        required=True,
        key=f"{key}-changes-what",
        label_visibility="collapsed",
    )
    _show_stages(records, "weight_change" if chosen == "Weights" else "feature_change", key)


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


def _show_stages(records: Sequence[RunRecord], what: draw.What, key: str) -> None:
    st.caption(_STAGE_WORDS[what] + " Line: mean of the seeds; bars: their range.")
    table = draw.stages_table(records, what)
    if table.empty:
        _say_empty("There is nothing to show here: these arms have no stages, or were not measured.")
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


# --- answers ----------------------------------------------------------------------------------------------------------


def show_confusion(records: Sequence[RunRecord], key: str) -> None:
    """Show a confusion matrix whose cells open their pictures, by a click or by two lists.

    Args:
        records: Records of one experiment; at least one.
        key: Prefix of the widgets' keys.
    """
    strategies = list(dict.fromkeys(record.strategy for record in records))
    left, right = st.columns(2)
    chosen = left.selectbox("Strategy", strategies, format_func=views.title_of, key=f"{key}-confusion-arm")
    seeds = [record.seed for record in records if record.strategy == chosen]
    seed = right.selectbox("Seed", seeds, key=f"{key}-confusion-seed")
    record = next((record for record in records if (record.strategy, record.seed) == (chosen, seed)), None)
    if record is None:
        return
    name = f"{key}-confusion-{chosen}-{seed}"
    rows, columns = confusion_labels(record)
    st.caption(
        "Rows are the true classes, columns the answers. Which mistakes are common? Click one to see its pictures."
    )
    _show_clickable(record, name, f"Confusion matrix of {views.title_of(chosen)}, seed {seed}; the table follows.")
    _start_at_commonest_mistake(record, name)
    left, right = st.columns(2)
    true = left.selectbox("True class", range(len(rows)), format_func=rows.__getitem__, key=f"{name}-true")
    answer = right.selectbox("Taken for", range(len(columns)), format_func=columns.__getitem__, key=f"{name}-answer")
    inside = kept.find_of(record)
    count = record.confusion[true][answer]
    what = f"“{rows[true]}” taken for “{columns[answer]}”" if true != answer else f"“{rows[true]}” recognised"
    if inside is None:
        st.markdown(f"{what}: {count:,} of {sum(record.confusion[true]):,} test images of this class.")
        _say_empty("The pictures of this arm were not kept.")
    else:
        found = draw.confusion_cell(inside, true, answer, len(rows))
        st.markdown(
            f"{what}: {count:,} of {sum(record.confusion[true]):,} test images of this class. Here: the "
            f"{len(found):,} among {_shown_words(len(inside.truth), sum(map(sum, record.confusion)))}."
        )
        if not kept.is_of(inside, record):
            _say_another_run(inside, record)
        _show_pictures(kept.find_pictures(inside), [(int(at), "") for at in found], what)
    show_table(views.confusion_table(record), f"{name}-table", "The counts as a table.", hide_index=False)


def _show_clickable(record: RunRecord, name: str, alt: str) -> None:
    """The matrix, listening: `show_figure` draws what only has to be seen."""
    ink = st.get_option(f"theme.{'dark' if is_dark() else 'light'}.textColor")

    def open_cell() -> None:
        points = st.session_state[f"{name}-chart"].selection.points
        if points:
            true, answer = points[0]["customdata"][:2]
            st.session_state[f"{name}-true"], st.session_state[f"{name}-answer"] = int(true), int(answer)

    st.plotly_chart(
        _matrix(name, record.confusion, ink, record),
        key=f"{name}-chart",
        on_select=open_cell,
        selection_mode="points",
        config={"displayModeBar": False, "displaylogo": False, "scrollZoom": False},
        alt=alt,
    )


@st.cache_resource(max_entries=60, show_spinner=False)
def _matrix(name: str, confusion: object, ink: str, _record: RunRecord) -> dict[str, Any]:
    figure = draw.confusion_to_click(_record)
    figure.update_layout(font={"color": ink, "size": 14})
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(tickfont={"color": ink, "size": 14}, title_font={"color": ink, "size": 14})
    return figure.to_plotly_json()


def _start_at_commonest_mistake(record: RunRecord, name: str) -> None:
    mistakes = [
        (count, -true, -answer)
        for true, counts in enumerate(record.confusion)
        for answer, count in enumerate(counts)
        if true != answer
    ]
    _, true, answer = max(mistakes)
    st.session_state.setdefault(f"{name}-true", -true)
    st.session_state.setdefault(f"{name}-answer", -answer)


def _show_fixed_and_broken(arms: _Arms, key: str) -> None:
    found = arms.insides
    if len(found) < 2:
        _say_empty("Two arms are needed to compare their answers.")
        return
    names = list(found)
    first = "scratch" if "scratch" in found else names[0]
    second = next(name for name in [*_best_first(arms, names), *names] if name != first)
    left, right = st.columns(2)
    a = left.selectbox("Against", names, names.index(first), format_func=views.title_of, key=f"{key}-flips-a")
    b = right.selectbox("Strategy", names, names.index(second), format_func=views.title_of, key=f"{key}-flips-b")
    if a == b:
        st.info("Choose two different strategies.", icon=":material/info:")
        return
    ours, theirs = found[b], found[a]
    if ours.dataset_sha256 != theirs.dataset_sha256:
        _say_empty("These two arms answered different images.")
        return
    flips = draw.fixed_and_broken(theirs, ours, theirs.truth)
    total = sum(map(sum, arms.records[a].confusion))
    st.markdown(
        f"Among {_shown_words(flips.count, total)}, **{views.title_of(b)}** fixes **{len(flips.fixed):,}** that "
        f"**{views.title_of(a)}** gets wrong, and breaks **{len(flips.broken):,}** that it gets right "
        f"(seed {arms.seed})."
    )
    st.caption("Look at both lists: is what was fixed of one kind, and is what was broken of another?")
    table = draw.flips_table(flips, a, b)
    show_figure(
        lambda: draw.flips_figure(flips, a, b),
        (arms.name_of(a), arms.name_of(b)),
        f"{key}-flips-{a}-{b}",
        f"Both right {flips.both_right}, fixed {len(flips.fixed)}, broken {len(flips.broken)}, both wrong "
        f"{flips.both_wrong}.",
    )
    arms.say_if_of_another_run([a, b])
    classes, pictures = arms.classes(a), kept.find_pictures(ours) or kept.find_pictures(theirs)
    for title, rows, wrong in (("▲ Fixed", flips.fixed, theirs), ("▼ Broken", flips.broken, ours)):
        st.markdown(f"**{title}** ({len(rows):,})")
        said = [
            (int(at), f"{classes[int(wrong.truth[at])]}, not {_answer_words(int(wrong.answers[at]), classes)}")
            for at in rows
        ]
        _show_pictures(pictures, said, title[2:].lower())
    show_table(table, f"{key}-flips-table", "How many images both, one or none gets right.", hide_index=False)


def _best_first(arms: _Arms, names: Iterable[str]) -> list[str]:
    """Transfer strategies by their accuracy with this seed."""
    transfers = [name for name in names if name in STRATEGIES and STRATEGIES[name].kind == "transfer"]
    return sorted(transfers, key=lambda name: -arms.records[name].test_accuracy)


def _shown_words(shown: int, total: int) -> str:
    return f"the {total:,} test images" if shown == total else f"{shown:,} test images, drawn once at random"


def _answer_words(answer: int, classes: Sequence[str]) -> str:
    return classes[answer] if answer < len(classes) else "a class that only the source has"


def _show_pictures(pictures: Pictures | None, rows: Sequence[tuple[int, str]], what: str) -> None:
    """Show the first of some pictures.

    Args:
        pictures: Those that are at hand.
        rows: Positions with what to write under each.
        what: What they are, for those who do not see them.
    """
    if not rows:
        return
    if pictures is None:
        _say_empty("The pictures are not on this machine.")
        return
    here = [(at, words) for at, words in rows if at < len(pictures.images)]
    shown = here[:PICTURES]
    if shown:
        st.image(
            draw.pictures_strip(pictures.images[[at for at, _ in shown]]),
            caption=[words for _, words in shown] if any(words for _, words in shown) else None,
            width=PICTURE_PIXELS,
            alt=[words or what for _, words in shown],
            output_format="PNG",  # JPEG would blur what are a few pixels
        )
    if len(shown) < len(rows):
        missing = len(rows) - len(here)
        gone = f"; {missing:,} are not at hand as pictures" if missing else ""
        st.caption(f"The first {len(shown):,} of {len(rows):,}{gone}.")
