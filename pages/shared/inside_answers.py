"""Looking at the answers: the confusion matrix whose cells open, and the pictures that one arm fixed and broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.charts import ink_of_page, inked, show_figure, show_table
from pages.shared.host import may_see_pictures
from pages.shared.inside_arms import Arms, say_empty, say_if_of_another_run, say_withheld
from tlcore import inside as kept
from tlcore import views
from tlcore.strategies import STRATEGIES
from tlcore.views import inside as draw
from tlcore.views.confusion import confusion_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import plotly.graph_objects as go

    from tlcore.experiment import RunRecord
    from tlcore.inside import Inside, Pictures

PICTURES = 24  # shown of a cell or of a list
PICTURE_PIXELS = 84


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
        say_empty("The pictures of this arm were not kept.")
    else:
        found = draw.confusion_cell(inside, true, answer, len(rows))
        st.markdown(
            f"{what}: {count:,} of {sum(record.confusion[true]):,} test images of this class. Here: the "
            f"{len(found):,} among {_shown_words(len(inside.truth), sum(map(sum, record.confusion)))}."
        )
        say_if_of_another_run(inside, record)
        if may_see_pictures(record.experiment.target):
            _show_pictures(kept.find_pictures(inside), [(int(at), "") for at in found], what)
        else:
            say_withheld()
    show_table(views.confusion_table(record), f"{name}-table", "The counts as a table.", hide_index=False)


def _show_clickable(record: RunRecord, name: str, alt: str) -> None:
    """The matrix, listening: `show_figure` draws what only has to be seen."""

    def open_cell() -> None:
        points = st.session_state[f"{name}-chart"].selection.points
        if points:
            true, answer = points[0]["customdata"][:2]
            st.session_state[f"{name}-true"], st.session_state[f"{name}-answer"] = int(true), int(answer)

    st.plotly_chart(
        _matrix(name, record.confusion, ink_of_page(), record),
        key=f"{name}-chart",
        on_select=open_cell,
        selection_mode="points",
        config={"displayModeBar": False, "displaylogo": False, "scrollZoom": False},
        alt=alt,
    )


@st.cache_resource(max_entries=60, show_spinner=False)
def _matrix(name: str, confusion: object, ink: str, _record: RunRecord) -> go.Figure:
    return inked(draw.confusion_to_click(_record), ink)


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


def show_fixed_and_broken(arms: Arms, key: str) -> None:
    """Which pictures one arm gets right where another did not, and the other way round."""
    found = arms.insides
    if len(found) < 2:
        say_empty("Two arms are needed to compare their answers.")
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
        say_empty("These two arms answered different images.")
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
    if arms.pictures:
        _show_lists(flips, theirs, ours, arms.classes(a))
    else:
        say_withheld()
    show_table(table, f"{key}-flips-table", "How many images both, one or none gets right.", hide_index=False)


def _show_lists(flips: draw.Flips, theirs: Inside, ours: Inside, classes: Sequence[str]) -> None:
    pictures = kept.find_pictures(ours) or kept.find_pictures(theirs)
    for title, rows, wrong in (("▲ Fixed", flips.fixed, theirs), ("▼ Broken", flips.broken, ours)):
        st.markdown(f"**{title}** ({len(rows):,})")
        said = [
            (int(at), f"{classes[int(wrong.truth[at])]}, not {draw.answer_words(int(wrong.answers[at]), classes)}")
            for at in rows
        ]
        _show_pictures(pictures, said, title[2:].lower())


def _best_first(arms: Arms, names: Iterable[str]) -> list[str]:
    """Transfer strategies by their accuracy with this seed."""
    transfers = [name for name in names if name in STRATEGIES and STRATEGIES[name].kind == "transfer"]
    return sorted(transfers, key=lambda name: -arms.records[name].test_accuracy)


def _shown_words(shown: int, total: int) -> str:
    return f"the {total:,} test images" if shown == total else f"{shown:,} test images, drawn once at random"


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
        say_empty("The pictures are not on this machine.")
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
