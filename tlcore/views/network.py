"""The network of every strategy, stage by stage: where the weights come from, and what is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from tlcore.models.registry import get_backbone
from tlcore.policy import Mode, Origin
from tlcore.strategies import STRATEGIES
from tlcore.views.common import by_strategy, layout, look_of, tinted, title_of, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tlcore.experiment import RunRecord
    from tlcore.models.registry import Backbone

ROW_PIXELS = 84
HEAD = "head"


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


def network_figure(rows: Sequence[NetworkRow]) -> go.Figure:
    """Draw strategies as rows and stages as columns.

    A filled box starts from the source's weights, an empty one from fresh ones; a hatched box is frozen, a plain one is
    trained. Both are written in the box as well.

    Args:
        rows: From `recorded_network` or `planned_network`.

    Returns:
        The figure.
    """
    figure = go.Figure()
    # The longest network gives the order: a smaller one has some of its stages.
    longest_first = sorted(rows, key=lambda row: -len(row.boxes))
    columns = list(dict.fromkeys(box.column for row in longest_first for box in row.boxes))
    columns.sort(key=lambda column: column == HEAD)
    notes: list[dict[str, Any]] = []
    for at, row in enumerate(rows):
        colour = look_of(row.strategy).colour
        if not row.boxes:
            middle = max(len(columns), 1) / 2
            notes.append(_note(middle, at, "no network: logistic regression on the pixels"))
            continue
        places = {box.column: columns.index(box.column) for box in row.boxes}
        bar: dict[str, Any] = {"orientation": "h", "width": 0.8}
        figure.add_bar(
            **bar,
            x=[0.92] * len(row.boxes),
            base=[places[box.column] + 0.04 for box in row.boxes],
            y=[at] * len(row.boxes),
            marker={
                "color": [tinted(colour, 0.3 if box.origin == "transferred" else 0.0) for box in row.boxes],
                "line": {"color": colour, "width": 2},
            },
            customdata=[[box.column, origin_words(box), box.mode, _count(box)] for box in row.boxes],
            hovertemplate=(
                f"<b>{title_of(row.strategy)}</b><br>%{{customdata[0]}}: %{{customdata[1]}}, %{{customdata[2]}}"
                "<br>%{customdata[3]}<extra></extra>"
            ),
        )
        frozen = [box for box in row.boxes if box.mode == "frozen"]
        # The hatch lies on top: a bar of its own, for plotly draws no hatch on a tinted ground.
        figure.add_bar(
            **bar,
            x=[0.92] * len(frozen),
            base=[places[box.column] + 0.04 for box in frozen],
            y=[at] * len(frozen),
            marker={
                "color": colour,
                "line": {"width": 0},
                "pattern": {"shape": "/", "fillmode": "replace", "fgopacity": 0.5, "size": 9, "solidity": 0.16},
            },
            hoverinfo="skip",
        )
        for box in row.boxes:
            lines = [f"<b>{box.mode}</b>", wrapped(origin_words(box), 8)]
            if box.parameters is not None:
                lines.append(f"{box.parameters:,}")
            notes.append(_note(places[box.column] + 0.5, at, "<br>".join(lines)))
    figure.update_xaxes(
        tickvals=[at + 0.5 for at in range(len(columns))],
        ticktext=columns,
        range=[0, max(len(columns), 1)],
        side="top",
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[wrapped(title_of(row.strategy)) for row in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    margin = {"l": 8, "r": 8, "t": 32, "b": 8}
    height = ROW_PIXELS * max(len(rows), 1) + 44
    return figure.update_layout(**layout(height=height, margin=margin, barmode="overlay", annotations=notes))


def _note(x: float, y: float, text: str) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": 12}}


def origin_words(box: Box) -> str:
    """Where a box's first weights come from, in two or three words."""
    return {
        "transferred": "from source",
        "random": "fresh",
        "matched": "fresh, source's scale",
        "own": "from own net",
    }[box.origin]


def _count(box: Box) -> str:
    return "weights counted once it has run" if box.parameters is None else f"{box.parameters:,} weights"
