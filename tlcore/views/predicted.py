"""What a learner expected, drawn into what was measured."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tlcore.metrics.stats import paired_interval, verdict
from tlcore.results import accuracy_interval, overlap_of
from tlcore.views.accuracy import accuracy_figure
from tlcore.views.common import GREY, by_strategy, percent, title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from tlcore.experiment import RunRecord

Found = Literal["right", "wrong", "open"]
PLACES = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th")


class Guess(NamedTuple):
    """What somebody expected before a run.

    Args:
        order: Strategies, the most accurate first; empty if that was not asked.
        accuracy: Test accuracy of one strategy in percent, or None.
        strategy: That strategy.
    """

    order: tuple[str, ...] = ()
    accuracy: float | None = None
    strategy: str = ""


def predicted_figure(records: Sequence[RunRecord], guess: Guess | None) -> go.Figure:
    """The accuracy of every strategy, with the place or the number that was expected of it.

    Args:
        records: Records of one experiment.
        guess: What was expected, or None for the accuracies alone.

    Returns:
        The figure of `accuracy_figure`, marked.
    """
    figure = accuracy_figure(records)
    if guess is None:
        return figure
    rows = list(by_strategy(records))
    if guess.accuracy is not None and guess.strategy in rows:
        row = rows.index(guess.strategy)
        drawn: dict[str, Any] = figure.to_dict()
        low, high = drawn["layout"]["xaxis"]["range"]
        figure.update_xaxes(range=[min(low, guess.accuracy - 2), max(high, guess.accuracy + 2)])
        figure.add_shape(
            type="line",
            x0=guess.accuracy,
            x1=guess.accuracy,
            y0=row - 0.5,
            y1=row + 0.45,
            line={"color": GREY, "width": 3, "dash": "dash"},
        )
        figure.add_annotation(
            x=guess.accuracy,
            y=row + 0.45,
            yanchor="top",
            showarrow=False,
            text=f"you said {guess.accuracy:g} %",
            font={"size": 14},
        )
    places = measured_order(records, guess.order)
    if places:
        figure.update_layout(margin={"r": 92})
    for place, strategy in enumerate(guess.order):
        if strategy in places:
            figure.add_annotation(
                x=1,
                xref="paper",
                xanchor="left",
                align="left",
                xshift=8,
                y=rows.index(strategy),
                showarrow=False,
                text=f"<b>{PLACES[places.index(strategy)]}</b><br>you said {PLACES[place]}",
                font={"size": 14},
            )
    return figure


def measured_order(records: Sequence[RunRecord], strategies: Sequence[str]) -> list[str]:
    """Some strategies by mean test accuracy, the highest first; those without records are left out."""
    groups = by_strategy(records)
    means = {name: accuracy_interval(groups[name]).mean for name in strategies if name in groups}
    return sorted(means, key=lambda name: -means[name])


def prediction_sentence(records: Sequence[RunRecord], guess: Guess) -> str:
    """What was expected beside what was measured, in words.

    A pair of strategies counts as measured only if the interval of its paired difference says which is higher.

    Args:
        records: Records of one experiment.
        guess: What was expected.

    Returns:
        One or two sentences; empty if nothing was expected of these records.
    """
    groups = by_strategy(records)
    if guess.accuracy is not None and guess.strategy in groups:
        interval = accuracy_interval(groups[guess.strategy])
        off = abs(100 * interval.mean - guess.accuracy)
        low, high = interval.low, interval.high
        inside = low is not None and high is not None and low <= guess.accuracy / 100 <= high
        said = f"You said {guess.accuracy:g} % for {title_of(guess.strategy)}; measured: {percent(interval.mean)}"
        return f"{said}, your number lies within the interval." if inside else f"{said}, {off:.0f} points away."
    order = [name for name in guess.order if name in groups]
    if len(order) < 2:
        return ""
    found: dict[Found, int] = {"right": 0, "wrong": 0, "open": 0}
    for higher, lower in combinations(order, 2):
        found[_pair(groups[higher], groups[lower])] += 1
    pairs = sum(found.values())
    measured = " > ".join(title_of(name) for name in measured_order(records, order))
    parts = [f"You said {' > '.join(title_of(name) for name in order)}. Measured means: {measured}."]
    parts.append(f"Of {pairs} pairs {found['right']} are as you said" if pairs > 1 else "")
    if pairs == 1:
        word = "As you said." if found["right"] else "The other way round." if found["wrong"] else ""
        parts[-1] = word or "The interval leaves open which is higher."
    else:
        parts[-1] += f", {found['wrong']} the other way round" if found["wrong"] else ""
        parts[-1] += f", {found['open']} left open by the interval" if found["open"] else ""
        parts[-1] += "."
    return " ".join(parts)


def _pair(higher: Sequence[RunRecord], lower: Sequence[RunRecord]) -> Found:
    ours = {record.seed: record.test_accuracy for record in higher}
    theirs = {record.seed: record.test_accuracy for record in lower}
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return "open"
    pairs = [ours[seed] for seed in shared], [theirs[seed] for seed in shared]
    word = verdict(paired_interval(*pairs, overlap=overlap_of(higher)))
    return "right" if word == "helps" else "wrong" if word == "hurts" else "open"
