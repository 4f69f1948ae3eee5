"""The recipe, step by step: a table and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tlcore.metrics.stats import verdict
from tlcore.views.common import bounds, error_bars, layout, wrapped

if TYPE_CHECKING:
    from tlcore.metrics.stats import Interval
    from tlcore.recipe import MeasuredRecipe

ACCURACY, SECONDS = "#0072B2", "#D55E00"
WORDS = {"helps": "better", "hurts": "worse"}
ROW_HEIGHT = 52


def recipe_table(recipe: MeasuredRecipe) -> pd.DataFrame:
    """One row a step.

    Args:
        recipe: What was measured.

    Returns:
        The step, what it changes, test accuracy, the difference from the step before with its interval and verdict,
        seconds, trained weights and optimiser steps.
    """
    rows: list[dict[str, object]] = []
    for number, step in enumerate(recipe.steps, start=1):
        compared = recipe.difference(step.name) if recipe.before(step.name) else None
        rows.append(
            {
                "Step": f"{number} {step.title}",
                "Test accuracy, %": _with_interval(recipe.interval(step.name)),
                "Against the step before, points": _with_interval(compared, "+") if compared else "",
                "Verdict": recipe_verdict(compared) if compared else "",
                "Seconds": recipe.interval(step.name, "seconds").mean,
                "Trained weights": round(recipe.interval(step.name, "trainable").mean),
                "Optimiser steps": round(recipe.interval(step.name, "steps").mean),
                "What changed": step.sentence,
            }
        )
    return pd.DataFrame(rows)


def recipe_figure(recipe: MeasuredRecipe) -> go.Figure:
    """Accuracy with its interval, and seconds, step under step.

    Args:
        recipe: What was measured.

    Returns:
        The figure.
    """
    figure = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.6, 0.4], horizontal_spacing=0.05)
    names = [wrapped(f"{number} {step.title}", 20) for number, step in enumerate(recipe.steps, start=1)]
    accuracy = [recipe.interval(step.name) for step in recipe.steps]
    seconds = [recipe.interval(step.name, "seconds") for step in recipe.steps]
    changes = [
        _with_interval(recipe.difference(step.name), "+") if recipe.before(step.name) else "–" for step in recipe.steps
    ]
    figure.add_scatter(
        x=[one.mean for one in accuracy],
        y=names,
        error_x=error_bars([(one.mean, *bounds(one.mean, one.low, one.high)) for one in accuracy]),
        mode="markers",
        marker={"color": ACCURACY, "size": 12},
        customdata=changes,
        hovertemplate="<b>%{y}</b><br>%{x:.1f} %<br>against the step before: %{customdata} points<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=[one.mean for one in seconds],
        y=names,
        orientation="h",
        width=0.5,
        marker_color=SECONDS,
        text=[f"{one.mean:.2g} s" for one in seconds],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="<b>%{y}</b><br>%{x:.2f} seconds<extra></extra>",
        row=1,
        col=2,
    )
    figure.update_yaxes(autorange="reversed", automargin=True, row=1, col=1)
    figure.update_yaxes(autorange="reversed", row=1, col=2)
    figure.update_xaxes(title="Test accuracy (%)", zeroline=False, row=1, col=1)
    longest = max(one.mean for one in seconds)
    figure.update_xaxes(title="Seconds", range=[0, 1.35 * longest], nticks=4, row=1, col=2)
    margin = {"l": 8, "r": 8, "t": 12, "b": 44}
    return figure.update_layout(**layout(height=90 + ROW_HEIGHT * len(names), margin=margin, showlegend=False))


def recipe_verdict(difference: Interval) -> str:
    """The word for a step: ``better``, ``worse`` or ``no clear difference``, from the interval and nothing else."""
    word = verdict(difference)
    return WORDS.get(word, word)


def recipe_sentences(recipe: MeasuredRecipe) -> list[str]:
    """What each step did, as sentences: what a figure's alternative text and a screen reader say."""
    said: list[str] = []
    for step in recipe.steps:
        found = f"{step.title}: {_with_interval(recipe.interval(step.name))} %"
        if recipe.before(step.name):
            change = recipe.difference(step.name)
            found += f", {_with_interval(change, '+')} points against the step before ({recipe_verdict(change)})"
        said.append(f"{found}, {recipe.interval(step.name, 'seconds').mean:.2g} s.")
    return said


def _with_interval(interval: Interval, sign: str = "") -> str:
    def text(value: float) -> str:
        # A step that changes nothing has a difference of nothing, without a sign.
        return f"{value:{sign}.1f}".replace("-", "−") if round(value, 1) else "0.0"

    if interval.low is None or interval.high is None:
        return text(interval.mean)
    return f"{text(interval.mean)} [{text(interval.low)}, {text(interval.high)}]"
