"""What all views share: arms grouped by strategy, numbers as text, the bare layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlcore.strategies import STRATEGIES, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tlcore.experiment import PairedComparison, RunRecord

CLEAR = "rgba(0,0,0,0)"
GREY = "#888888"
"""Between light and dark grounds: for lines that belong to no strategy."""


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
