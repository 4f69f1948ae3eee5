"""The network of every strategy, stage by stage: where the weights come from, and what is trained."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from tlcore.models.registry import get_backbone
from tlcore.policy import Mode, Origin
from tlcore.strategies import STRATEGIES
from tlcore.views.common import by_strategy, look_of, tinted, title_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tlcore.experiment import RunRecord
    from tlcore.models.registry import Backbone

HEAD = "head"
NETWORK_LABEL = "The network of every strategy"
_STYLE = """
.tl-network { overflow-x: auto }
.tl-network table { border-collapse: separate; border-spacing: 5px; margin: 0 -5px; width: 100%; line-height: 1.3 }
.tl-network th { font-weight: 500; font-size: 0.875rem; padding: 0 3px }
.tl-network th[scope=row] { text-align: right; min-width: 4.7rem; max-width: 8.5rem }
.tl-network td { text-align: center; font-size: 0.8rem; padding: 0 }
.tl-network .tl-box { border: 2px solid var(--tl-line); min-width: 3.5rem; height: 4.2rem; padding: 3px }
.tl-network .tl-filled { background-color: var(--tl-fill) }
.tl-network .tl-frozen {
  background-image: repeating-linear-gradient(-45deg, var(--tl-hatch) 0 2px, transparent 2px 9px)
}
"""


@dataclass(frozen=True)
class Box:
    """One stage of one strategy's network.

    Args:
        column: Name of the stage, or ``head``.
        origin: Where its first weights come from.
        mode: What training does to it.
        parameters: Number of weights, or None before a run.
    """

    column: str
    origin: Origin
    mode: Mode
    parameters: int | None = None


@dataclass(frozen=True)
class NetworkRow:
    """One strategy's network.

    Args:
        strategy: Name of the strategy.
        boxes: From the input to the head; empty where there is no network.
    """

    strategy: str
    boxes: tuple[Box, ...]


def recorded_network(records: Iterable[RunRecord]) -> tuple[NetworkRow, ...]:
    """What happened to each stage, from records.

    Args:
        records: Records of one experiment.

    Returns:
        One row a strategy, from its first seed.
    """
    return tuple(
        NetworkRow(
            strategy,
            ()
            if len(group[0].stages) == 1
            else tuple(Box(use.name, use.origin, use.mode, use.parameters) for use in group[0].stages),
        )
        for strategy, group in by_strategy(records).items()
    )


def planned_network(strategies: Sequence[str], backbone: Backbone, cut: int | None = None) -> tuple[NetworkRow, ...]:
    """What will happen to each stage, from the strategies' recipes.

    Args:
        strategies: Names of strategies that have a recipe for the backbone.
        backbone: The network.
        cut: The cut point, or None.

    Returns:
        One row a strategy, without counts: they depend on the images.
    """
    rows: list[NetworkRow] = []
    for strategy in strategies:
        recipe = STRATEGIES[strategy].recipe(backbone, cut)
        boxes = tuple(
            Box(stage, recipe.origin(stage), recipe.mode(stage))
            for stage in (get_backbone(backbone.student) if recipe.small else backbone).stage_names
        )
        head = Box(
            HEAD, "transferred" if recipe.head == "source" else "random", "trained" if recipe.phases else "frozen"
        )
        rows.append(NetworkRow(strategy, (*boxes, head) if recipe.learner == "network" else ()))
    return tuple(rows)


def network_table(rows: Sequence[NetworkRow]) -> str:
    """Draw strategies as rows and stages as columns.

    A filled box starts from the source's weights, an empty one from fresh ones; a hatched box is frozen, a plain one is
    trained. Both are written in the box as well. A table of the page itself: there with its first words, as wide as the
    screen allows, and read aloud cell by cell.

    Args:
        rows: From `recorded_network` or `planned_network`.

    Returns:
        HTML; an empty string without rows.
    """
    if not rows:
        return ""
    # The longest network gives the order: a smaller one has some of its stages.
    longest_first = sorted(rows, key=lambda row: -len(row.boxes))
    columns = list(dict.fromkeys(box.column for row in longest_first for box in row.boxes))
    columns.sort(key=lambda column: column == HEAD)
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(_row(row, columns) for row in rows)
    return (
        f"<style>{_STYLE}</style>"
        f'<div class="tl-network" tabindex="0" role="region" aria-label="{NETWORK_LABEL}"><table>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: NetworkRow, columns: Sequence[str]) -> str:
    boxes = {box.column: box for box in row.boxes}
    cells = "".join(_cell(boxes[column]) if column in boxes else "<td></td>" for column in columns)
    if not boxes:
        cells = f'<td colspan="{max(len(columns), 1)}">no network: logistic regression on the pixels</td>'
    look = look_of(row.strategy)
    shades = f"--tl-line:{look.colour};--tl-fill:{tinted(look.colour, 0.3)};--tl-hatch:{tinted(look.colour, 0.4)}"
    return f'<tr style="{shades}"><th scope="row">{escape(title_of(row.strategy))}</th>{cells}</tr>'


def _cell(box: Box) -> str:
    kind = " ".join(
        name
        for name, holds in (("tl-filled", box.origin == "transferred"), ("tl-frozen", box.mode == "frozen"))
        if holds
    )
    count = "" if box.parameters is None else f"<br>{box.parameters:,}"
    return f'<td class="tl-box {kind}"><div><b>{box.mode}</b><br>{escape(origin_words(box))}{count}</div></td>'


def origin_words(box: Box) -> str:
    """Where a box's first weights come from, in two or three words."""
    return {
        "transferred": "from source",
        "random": "fresh",
        "matched": "fresh, source's scale",
        "own": "from own net",
    }[box.origin]
