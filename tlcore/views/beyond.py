"""What was measured beyond classification: a figure, a table and a sentence a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from tlcore.beyond.results import ARM_STRATEGIES, ARM_TITLES, TASKS
from tlcore.metrics.stats import verdict
from tlcore.views.common import GREY, bounds, error_bars, layout, look_of, wrapped

if TYPE_CHECKING:
    from tlcore.beyond.results import Beyond
    from tlcore.metrics.stats import Interval

ROW_PIXELS = 62


def beyond_figure(found: Beyond) -> go.Figure:
    """Draw every arm's scores: a dot a seed, the mean with its interval; a dotted line for not looking.

    Args:
        found: The result.

    Returns:
        The figure.
    """
    figure = go.Figure()
    task = TASKS[found.task]
    for row, arm in enumerate(task.arms):
        colour, interval = look_of(ARM_STRATEGIES[arm]).colour, found.interval(arm)
        values = list(found.of(arm).values())
        figure.add_scatter(
            x=values,
            y=[row + 0.22] * len(values),
            mode="markers",
            marker={"color": colour, "size": 7, "opacity": 0.55},
            customdata=list(found.of(arm)),
            hovertemplate=f"<b>{ARM_TITLES[arm]}</b>, seed %{{customdata}}: %{{x:.3f}}<extra></extra>",
        )
        ends = (interval.mean, *bounds(interval.mean, interval.low, interval.high))
        figure.add_scatter(
            x=[interval.mean],
            y=[row],
            mode="markers+text",
            marker={"color": colour, "size": 12, "symbol": "diamond"},
            error_x=error_bars([ends], colour=colour),
            text=[f"{interval.mean:.3f}"],
            textposition="top center",
            hovertemplate=f"<b>{ARM_TITLES[arm]}</b>: {_words(interval)}<extra></extra>",
        )
    figure.add_vline(x=found.floor, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.add_annotation(
        x=found.floor, y=-0.75, text="without looking", showarrow=False, xanchor="left", xshift=4, font={"size": 12}
    )
    figure.update_xaxes(title="Score (1 is perfect)", zeroline=False, fixedrange=True)
    figure.update_yaxes(
        tickvals=list(range(len(task.arms))),
        ticktext=[wrapped(ARM_TITLES[arm], 16) for arm in task.arms],
        range=[len(task.arms) - 0.5, -1],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    return figure.update_layout(**layout(height=ROW_PIXELS * len(task.arms) + 96))


def beyond_table(found: Beyond) -> pd.DataFrame:
    """The same as a table: one row an arm."""
    rows = [
        {
            "Arm": ARM_TITLES[arm],
            "Score": found.interval(arm).mean,
            "from": found.interval(arm).low,
            "to": found.interval(arm).high,
            "Trained weights": max(one.trained for one in found.scores if one.arm == arm),
            "Training (s)": sum(one.seconds for one in found.scores if one.arm == arm) / len(found.of(arm)),
        }
        for arm in TASKS[found.task].arms
    ]
    return pd.DataFrame(rows)


def beyond_sentences(found: Beyond) -> tuple[str, ...]:
    """What it shows: the frozen backbone against each other arm.

    Args:
        found: The result.

    Returns:
        One sentence an arm; the verdict is from the interval alone.
    """
    said: list[str] = []
    for arm in TASKS[found.task].arms[1:]:
        interval = found.difference(arm)
        word = {"helps": "it is better", "hurts": "it is worse"}.get(verdict(interval), verdict(interval))
        title = ARM_TITLES[arm]
        against = f"Frozen backbone against {title[0].lower()}{title[1:]}"
        said.append(f"{against}: {_words(interval, signed=True)}: {word}.")
    return tuple(said)


def _words(interval: Interval, *, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    mean = format(interval.mean, form).replace("-", "−")
    if interval.low is None or interval.high is None:
        return f"{mean} (one seed)"
    low, high = (format(end, form).replace("-", "−") for end in (interval.low, interval.high))
    return f"{mean} (95 % interval {low} to {high}, {interval.n} seeds)"
