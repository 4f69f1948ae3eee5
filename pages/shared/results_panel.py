"""What came out of a comparison: the words first, then the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared import prediction
from pages.shared.charts import fold, show_figure, show_table
from pages.shared.export_panel import show_export
from pages.shared.inside_answers import show_confusion
from tlcore import views
from tlcore.results import paired_comparisons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tlcore.experiment import CurvePoint, Experiment, PairedComparison, RunRecord

    Looks = Sequence[tuple[str, int, CurvePoint]]


def show_verdicts(comparisons: Sequence[PairedComparison], experiment: Experiment) -> None:
    """Say what the comparison shows: one line in large type, then one sentence a strategy."""
    st.markdown(f"#### {views.summary_sentence(comparisons)}")
    st.markdown("\n".join(f"- {sentence}" for sentence in views.verdict_sentences(comparisons, experiment)))


def show_accuracy(records: Sequence[RunRecord], key: str) -> None:
    """Show the accuracy of every strategy."""
    st.markdown("##### Accuracy on the test images")
    st.caption("Dot: one seed. Diamond and bar: mean and 95 % interval.")
    scores = [(record.strategy, record.seed, record.test_accuracy) for record in records]
    show_figure(lambda: views.accuracy_figure(records), scores, f"{key}-accuracy", views.accuracy_sentence(records))


def show_differences(
    comparisons: Sequence[PairedComparison], experiment: Experiment, key: str, *, recorded: bool = False
) -> None:
    """Show the paired differences."""
    baseline = views.title_of(comparisons[0].baseline) if comparisons else ""
    st.markdown(f"##### Difference from “{baseline}”")
    st.caption(
        "Paired by seed. A bar that crosses the zero line leaves it open which is better. Each 95 % interval stands "
        "for itself: of twenty differences that are nothing but chance, about one misses zero."
    )
    sentences = views.verdict_sentences(comparisons, experiment)
    show_figure(
        lambda: views.differences_figure(comparisons),
        comparisons,
        f"{key}-differences",
        " ".join(sentences),
        recorded=recorded,
    )


def show_results(
    records: Sequence[RunRecord],
    experiment: Experiment,
    key: str,
    *,
    looks: Looks | None = None,
    recorded: bool = False,
) -> None:
    """Show everything that is known about a comparison.

    Args:
        records: Its records; at least one.
        experiment: What was asked for.
        key: Prefix of the widgets' keys; the run's id, so that a prediction made for it is found.
        looks: Every look there is, where that is more than the records hold: unfinished arms.
        recorded: Whether the records come with the project.
    """
    comparisons = paired_comparisons(records)
    if comparisons:
        show_verdicts(comparisons, experiment)
    prediction.show(key, records, comparisons)
    left, right = st.columns(2, gap="large")
    with left:
        show_accuracy(records, key)
    if comparisons:
        with right:
            show_differences(comparisons, experiment, key)
    show_curves(looks or views.points_of(records), experiment, key, levels=views.levels_of(records))
    with st.expander("What was reused, frozen and trained", icon=":material/layers:", expanded=True):
        show_network(views.recorded_network(records))
    st.markdown("##### The numbers")
    table = views.results_table(records)
    show_table(table, f"{key}-table", views.accuracy_sentence(records))
    if comparisons:
        differences = views.differences_table(comparisons)
        show_table(differences, f"{key}-paired", "The paired differences as a table.")
    _show_confusion(records, key)
    st.caption(views.provenance_sentence(records, recorded=recorded))
    show_export(records, experiment, key, recorded=recorded)


def show_network(rows: Sequence[views.NetworkRow]) -> None:
    """Draw the network of every strategy, with its key in words."""
    counted = any(box.parameters is not None for row in rows for box in row.boxes)
    st.caption(
        "Filled: starts from the source's weights. Empty: starts from fresh random weights. Hatched: frozen, training "
        f"cannot change it.{' The numbers count weights.' if counted else ''}"
    )
    if drawn := views.network_table(rows):
        st.html(drawn)


def show_curves(looks: Looks, experiment: Experiment, key: str, *, levels: Mapping[str, float] | None = None) -> None:
    """Show the learning curves, and nothing where there are none.

    Args:
        looks: Strategy, seed and look.
        experiment: What was asked for.
        key: Prefix of the widgets' keys.
        levels: Accuracy of the strategies that have no steps.
    """
    if not looks:
        return
    st.markdown("##### Learning curves")
    st.caption("Line: mean of the seeds. Shade: their range. Read on images that nothing is selected on.")
    table = views.curves_table(looks)
    ends = ", ".join(f"{name} {table[name].dropna().iloc[-1]:.1f} %" for name in table.columns)
    show_figure(
        lambda: views.curves_figure(looks, levels=levels, steps=experiment.steps),
        (looks, levels, experiment.steps),
        f"{key}-curves",
        f"Learning curves; at the end: {ends}.",
        zoom=True,
    )
    fold(
        "The curves as a table",
        f"{key}-curves-more",
        lambda: show_table(table, f"{key}-curves-table", "Mean accuracy in percent by step.", hide_index=False),
    )


def _show_confusion(records: Sequence[RunRecord], key: str) -> None:
    fold(
        "Which classes are taken for which",
        f"{key}-confusion-more",
        lambda: show_confusion(records, key),
        icon=":material/grid_on:",
    )
