"""What all views share: arms grouped by strategy, numbers as text, the bare layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlcore.strategies import STRATEGIES, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import plotly.graph_objects as go

    from tlcore.experiment import PairedComparison, RunRecord

CLEAR = "rgba(0,0,0,0)"
GREY = "#888888"
"""Between light and dark grounds: for lines that belong to no strategy."""
LABEL_SHARE = 0.105
"""Height of a two-line label as a share of the drawing area."""


def title_of(strategy: str) -> str:
    """A strategy's title; its name if this version no longer knows it."""
    known = STRATEGIES.get(strategy)
    return known.title if known else strategy


def look_of(strategy: str) -> Strategy:
    """The registry entry that gives a strategy its colour and dash; scratch's for one that is no longer known."""
    return STRATEGIES.get(strategy, STRATEGIES["scratch"])


def is_transfer(item: PairedComparison) -> bool:
    """Whether a transfer strategy is compared with training from scratch: only then is a difference one of transfer."""
    kind = STRATEGIES[item.strategy].kind if item.strategy in STRATEGIES else "control"
    return kind == "transfer" and item.baseline == "scratch"


def verdict_word(item: PairedComparison) -> str:
    """The verdict in one or two words; ``higher`` and ``lower`` where the difference is not one of transfer."""
    if is_transfer(item):
        return item.verdict
    return {"helps": "higher", "hurts": "lower"}.get(item.verdict, item.verdict)


def by_strategy(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Group records by strategy, in the order they come, seeds ascending."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(record.strategy, []).append(record)
    return {name: sorted(group, key=lambda record: record.seed) for name, group in groups.items()}


def guessing(records: Sequence[RunRecord]) -> float:
    """Accuracy of always answering the commonest class of the test images, in [0, 1]."""
    sizes = [sum(row) for row in records[0].confusion]
    return max(sizes) / sum(sizes)


def percent(value: float) -> str:
    """An accuracy as text: ``83.4 %``."""
    return f"{100 * value:.1f} %"


def points(value: float, digits: int = 1) -> str:
    """A difference of accuracies in percentage points, always with its sign: ``+3.1``, ``−0.4``."""
    text = f"{100 * value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def interval_text(low: float, high: float) -> str:
    """Both ends of an interval of a difference, in digits enough to see on which side of zero it lies."""
    digits = 1
    while digits < 4 and (low > 0 or high < 0) and (points(low, digits)[0] == "0" or points(high, digits)[0] == "0"):
        digits += 1
    return f"{points(low, digits)} to {points(high, digits)}"


def wrapped(title: str, width: int = 13) -> str:
    """Break a title into lines for a narrow margin.

    Args:
        title: Words separated by spaces.
        width: Characters a line; a longer word keeps its own line.

    Returns:
        The title with ``<br>`` between lines.
    """
    lines: list[str] = []
    for word in title.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "<br>".join(lines)


def bounds(mean: float, low: float | None, high: float | None) -> tuple[float, float]:
    """Both ends of an interval; the mean itself where there is none, as with one seed."""
    return mean if low is None else low, mean if high is None else high


def error_bars(
    ends: Sequence[tuple[float, float, float]], *, colour: str | None = None, thickness: float = 2.5, width: float = 6
) -> dict[str, Any]:
    """Intervals as Plotly draws them about its marks.

    Args:
        ends: Mean, lower and upper end of every interval, in the unit of the axis; no bar is drawn where both ends are
            the mean.
        colour: Of the bars; None for the mark's.
        thickness: Of a bar, in pixels.
        width: Half the length of its caps, in pixels.

    Returns:
        The value of `error_x` or `error_y`.
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - mean for mean, _, high in ends],
        "arrayminus": [mean - low for mean, low, _ in ends],
        "color": colour,
        "thickness": thickness,
        "width": width,
        "visible": any(low != high for _, low, high in ends),
    }


def spread(wanted: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Move labels apart until none overlaps, with the least squared movement, keeping their order.

    Args:
        wanted: Where the labels should be.
        gap: Smallest distance between two of them.
        low: Lowest place there is.
        high: Highest place there is.

    Returns:
        Positions in the order of `wanted`, at least `gap` apart; evenly spaced where they do not fit otherwise.
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    # With the gaps subtracted the places need only ascend: neighbours that do not are pooled at their mean.
    pools: list[tuple[float, int]] = []
    for rank, at in enumerate(order):
        pools.append((wanted[at] - rank * gap, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (upper, many), (lower, more) = pools.pop(), pools.pop()
            pools.append(((upper * many + lower * more) / (many + more), many + more))
    level = [place for place, count in pools for _ in range(count)]
    result = [0.0] * len(wanted)
    for rank, at in enumerate(order):
        result[at] = min(max(level[rank], low), high - (len(order) - 1) * gap) + rank * gap
    return result


def label_ends(
    figure: go.Figure, ends: Mapping[str, float], hovers: Mapping[str, str] | None = None, gap: float = LABEL_SHARE
) -> None:
    """Name every strategy's line at its right end, none over another.

    Args:
        figure: The figure; its right margin has to have room for the names.
        ends: Where each line ends, by strategy, as a share of the drawing area's height.
        hovers: What is said when the pointer is over a name, by strategy.
        gap: Smallest distance between two names, as a share of the height.
    """
    for strategy, place in zip(ends, spread(list(ends.values()), gap), strict=True):
        label = wrapped(title_of(strategy), 14).replace("<br>", "<br>&nbsp;&nbsp;&nbsp;")
        # On the paper, not on the axis: zooming in leaves the names where they are.
        figure.add_annotation(
            x=1,
            xref="paper",
            xshift=8,
            y=place,
            yref="paper",
            xanchor="left",
            align="left",
            showarrow=False,
            text=f"<span style='color:{look_of(strategy).colour}'>■</span> {label}",
            font={"size": 13},
            hovertext=(hovers or {}).get(strategy),
        )


def tinted(colour: str, alpha: float) -> str:
    """A ``#rrggbb`` colour as ``rgba`` with an opacity in [0, 1]."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def layout(**more: Any) -> dict[str, Any]:
    """The layout of every figure: transparent, text colours left to the page's theme, no drag that traps a finger.

    Args:
        **more: What the figure adds or changes.

    Returns:
        Arguments of `Figure.update_layout`.
    """
    base: dict[str, Any] = {
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "margin": {"l": 8, "r": 16, "t": 28, "b": 44},
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {"align": "left"},
    }
    return base | more
