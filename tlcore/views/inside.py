"""Looking inside finished arms: filters, activations, embeddings, stages, and the pictures behind a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from tlcore.inside import is_of
from tlcore.views.common import (
    GREY,
    by_strategy,
    error_bars,
    label_ends,
    layout,
    look_of,
    spread,
    tinted,
    title_of,
)
from tlcore.views.confusion import confusion_figure, confusion_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tlcore.experiment import RunRecord
    from tlcore.inside import Inside

Method = Literal["pca", "tsne"]
What = Literal["weight_change", "feature_change", "feature_cka"]

WHAT_TITLES: dict[What, str] = {
    "weight_change": "Change of the weights, ‖w − w₀‖ / ‖w₀‖",
    "feature_change": "Change of the features, relative to their size",
    "feature_cka": "CKA of the features before and after",
}
METHOD_TITLES: dict[Method, str] = {"pca": "Principal components", "tsne": "t-SNE"}
CLASS_COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"),
    *("#56B4E9", "#999933", "#AA4499", "#888888", "#A0652D"),
)
CLASS_SYMBOLS = (
    *("circle", "square", "diamond", "triangle-up", "cross"),
    *("x", "triangle-down", "star", "pentagon", "hourglass"),
)
"""Colour is never the only difference: ten symbols, each with a colour of Okabe and Ito's or Tol's palette."""
ACROSS = 8  # filters, and maps, in a row
UNITS_ACROSS = 32
LABELLED_CLASSES = 12  # more names than that would cover the points
ROW_PIXELS = 132


# --- filters ----------------------------------------------------------------------------------------------------------


def filters_figure(insides: Mapping[str, Inside]) -> go.Figure:
    """First-stage filters of every arm that has some, before and after training, all on one scale.

    Args:
        insides: Arms from inside, by strategy.

    Returns:
        The figure, a row a strategy: middle grey is zero, bright is positive, dark is negative; filters on colour
        pictures are shown in colour. Empty where no arm has filters.
    """
    shown = {strategy: inside for strategy, inside in insides.items() if inside.has_kernels}
    if not shown:
        return go.Figure().update_layout(**layout(height=ROW_PIXELS))
    figure = make_subplots(
        rows=len(shown),
        cols=2,
        column_titles=["Before training", "After training"],
        horizontal_spacing=0.04,
        vertical_spacing=min(0.1, 0.34 / len(shown)),
    )
    figure.update_annotations(yshift=24)  # above the first row's name
    kernels = [(inside.kernels_before, inside.kernels_after) for inside in shown.values()]
    # One filter far larger than all others would leave them grey.
    scale = float(np.quantile(np.concatenate([np.abs(one).ravel() for pair in kernels for one in pair]), 0.995)) or 1.0
    for row, (strategy, pair) in enumerate(zip(shown, kernels, strict=True), start=1):
        for column, kernel in enumerate(pair, start=1):
            figure.add_trace(
                go.Image(z=_filter_picture(kernel, scale), colormodel="rgba256", hoverinfo="skip"), row=row, col=column
            )
        _name_row(figure, row, 2, f"<span style='color:{look_of(strategy).colour}'>■</span> {title_of(strategy)}")
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, constrain="domain", fixedrange=True)
    rows = sum(-(-inside.kernels_after.shape[3] // ACROSS) for inside in shown.values())
    height = 84 + 34 * len(shown) + 62 * rows
    return figure.update_layout(**layout(height=height, margin={"l": 4, "r": 4, "t": 62, "b": 4}))


def filters_table(insides: Mapping[str, Inside]) -> pd.DataFrame:
    """How many filters the first stages have and how far training moved them.

    Args:
        insides: Arms from inside, by strategy.

    Returns:
        One row a strategy that has filters.
    """
    rows: list[dict[str, Any]] = []
    for strategy, inside in insides.items():
        if inside.has_kernels:
            before, after = (one.astype(np.float64) for one in (inside.kernels_before, inside.kernels_after))
            size = float(np.linalg.norm(before))
            moved = float(np.linalg.norm(after - before)) / size if size else float("nan")
            rows.append(
                {"Strategy": title_of(strategy), "Filters": before.shape[3], "Moved by (% of their size)": moved}
            )
            rows[-1]["Moved by (% of their size)"] *= 100
    return pd.DataFrame(rows, columns=["Strategy", "Filters", "Moved by (% of their size)"])


def _filter_picture(kernel: NDArray[np.float16], scale: float) -> NDArray[np.uint8]:
    height, width, channels, count = kernel.shape
    rows = -(-count // ACROSS)
    across = min(count, ACROSS)
    picture = np.zeros((rows * (height + 1) - 1, across * (width + 1) - 1, 4), dtype=np.uint8)  # gaps stay transparent
    values = kernel.astype(np.float64)
    if channels != 3:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    bytes_ = np.rint(127.5 + 127.5 * np.clip(values / scale, -1, 1)).astype(np.uint8)
    for at in range(count):
        top, left = at // ACROSS * (height + 1), at % ACROSS * (width + 1)
        place = picture[top : top + height, left : left + width]
        place[..., :3], place[..., 3] = bytes_[..., at], 255
    return picture


def _name_row(figure: go.Figure, row: int, columns: int, text: str) -> None:
    """Write a name above a row of subplots."""
    number = (row - 1) * columns + 1
    axis: Any = figure.layout[f"yaxis{number if number > 1 else ''}"]
    figure.add_annotation(
        text=text,
        x=0,
        xref="paper",
        xanchor="left",
        y=axis.domain[1],
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        font={"size": 14},
    )


# --- activations ------------------------------------------------------------------------------------------------------


def activations_figure(inside: Inside, picture: int = 0) -> go.Figure:
    """What each stage makes of one picture after training: the first maps of a convolution, the first units else.

    Args:
        inside: The arm from inside.
        picture: Which of the pictures that were followed.

    Returns:
        The figure, a row a stage, each with colours of its own from its lowest output (or zero) to its highest.
    """
    stages = list(inside.activations)
    if not stages or not 0 <= picture < len(inside.pictured):
        return go.Figure().update_layout(**layout(height=ROW_PIXELS))
    figure = make_subplots(rows=len(stages), cols=1, vertical_spacing=min(0.12, 0.4 / len(stages)))
    for row, stage in enumerate(stages, start=1):
        low, high = inside.ranges[stage]
        stored = inside.activations[stage][picture]
        values = low + stored.astype(np.float64) / 255 * (high - low)
        z, words = _maps_in_a_row(values) if stored.ndim == 3 else _units_in_rows(values)
        figure.add_trace(
            go.Heatmap(
                z=np.round(z, 4),
                zmin=low,
                zmax=high if high > low else low + 1,
                colorscale="Cividis",
                showscale=False,
                customdata=words,
                hovertemplate=f"{stage}, %{{customdata}}: %{{z:.3g}}<extra></extra>",
            ),
            row=row,
            col=1,
        )
        _name_row(figure, row, 1, f"{stage_words(inside, stage)}, from {low:.2g} (dark) to {high:.2g} (bright)")
        figure.update_yaxes(scaleanchor=f"x{row if row > 1 else ''}", row=row, col=1)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", constrain="domain", fixedrange=True)
    height = 40 + ROW_PIXELS * len(stages)
    return figure.update_layout(**layout(height=height, margin={"l": 4, "r": 4, "t": 30, "b": 4}))


def stage_words(inside: Inside, stage: str) -> str:
    """What is shown of a stage's outputs: ``conv1: first 8 channels``."""
    stored = inside.activations[stage]
    return f"{stage}: first {stored.shape[-1]} {'channels' if stored.ndim == 4 else 'units'}"


def activation_pictures(inside: Inside, picture: int = 0) -> dict[str, NDArray[np.uint8]]:
    """What `activations_figure` draws as plain pictures, for a page that shows many arms at once.

    Args:
        inside: The arm from inside.
        picture: Which of the pictures that were followed.

    Returns:
        By stage, colours of shape (height, width, 4), one pixel a value; clear between two maps.
    """
    scale = np.array(sample_colorscale("Cividis", np.linspace(0, 1, 256), colortype="tuple"))
    colours = np.zeros((257, 4), dtype=np.uint8)  # the last one, which nothing was written to, is clear
    colours[:256] = np.column_stack([np.rint(255 * scale), np.full(256, 255)])
    made: dict[str, NDArray[np.uint8]] = {}
    for stage, stored in inside.activations.items():
        values = stored[picture].astype(np.float64)
        z, _ = _maps_in_a_row(values) if values.ndim == 3 else _units_in_rows(values)
        made[stage] = colours[np.nan_to_num(z, nan=256).astype(np.int64)]
    return made


def silent_share(inside: Inside, picture: int = 0) -> dict[str, float]:
    """Share of what is kept of each stage's outputs for a picture that is zero, in [0, 1]."""
    shares: dict[str, float] = {}
    for stage, stored in inside.activations.items():
        low, high = inside.ranges[stage]
        values = low + stored[picture].astype(np.float64) / 255 * (high - low)
        shares[stage] = float((np.abs(values) <= max(high - low, 1e-12) / 510).mean())
    return shares


def _maps_in_a_row(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[list[str]]]:
    height, width, channels = values.shape
    gap = max(1, width // 12)
    z = np.full((height, channels * (width + gap) - gap), np.nan)
    words = [""] * z.shape[1]
    for channel in range(channels):
        left = channel * (width + gap)
        z[:, left : left + width] = values[:, :, channel]
        words[left : left + width] = [f"channel {channel + 1}"] * width
    return z, [words] * height


def _units_in_rows(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[list[str]]]:
    rows = -(-len(values) // UNITS_ACROSS)
    across = min(UNITS_ACROSS, len(values))
    z = np.full(rows * across, np.nan)
    z[: len(values)] = values
    words = [[f"unit {row * across + column + 1}" for column in range(across)] for row in range(rows)]
    return z.reshape(rows, across), words


# --- embeddings -------------------------------------------------------------------------------------------------------


def embed(features: NDArray[Any], method: Method) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Place features in the plane.

    Args:
        features: Shape (n, features), n at least 3.
        method: ``pca``, or ``tsne``, which takes seconds.

    Returns:
        Places, shape (n, 2), and for ``pca`` the share of the variance along each axis.
    """
    exact = features.astype(np.float64)
    exact = exact - exact.mean(axis=0)
    if exact.shape[1] < 2:
        exact = np.pad(exact, ((0, 0), (0, 2 - exact.shape[1])))
    spread_out = float(np.sqrt(np.square(exact).mean()))
    if not spread_out > 1e-9:  # all in one place
        return np.zeros((len(exact), 2)), (0.0, 0.0) if method == "pca" else ()
    if method == "tsne":
        from sklearn.manifold import TSNE  # half a second, for those who ask for it
        from threadpoolctl import threadpool_limits

        perplexity = min(30.0, (len(exact) - 1) / 3)
        # So few points need one thread; several wait for each other on a machine that also trains.
        with threadpool_limits(1):
            drawn = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(exact / spread_out)
        return np.asarray(drawn, dtype=np.float64), ()
    left, singular, _ = np.linalg.svd(exact, full_matrices=False)
    places = left[:, :2] * singular[:2]
    # A component has no sign; this one makes the same features give the same picture everywhere.
    strongest = places[np.abs(places).argmax(axis=0), [0, 1]]
    shares = np.square(singular) / np.square(singular).sum()
    return places * np.where(strongest < 0, -1, 1), (float(shares[0]), float(shares[1]))


def embedding_figure(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: NDArray[Any],
    classes: Sequence[str],
    method: Method,
    shares: Sequence[Sequence[float]] = ((), ()),
) -> go.Figure:
    """Where observation images lie among the features, before and after training.

    Args:
        before: Places before training, shape (n, 2), from `embed`.
        after: The same after training.
        labels: The images' labels.
        classes: Names of the classes.
        method: How they were placed.
        shares: For ``pca``, the shares of the variance along the axes, before and after.

    Returns:
        The figure: one mark an image, colour and symbol by class, the class's name in its middle.
    """
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["Before training", "After training"], horizontal_spacing=0.06
    )
    for column, places in enumerate((before, after), start=1):
        for label, name in enumerate(classes):
            rows = np.flatnonzero(labels == label)
            if not len(rows):
                continue
            figure.add_trace(
                go.Scatter(
                    x=np.round(places[rows, 0], 4),
                    y=np.round(places[rows, 1], 4),
                    mode="markers",
                    marker={
                        "color": CLASS_COLOURS[label % len(CLASS_COLOURS)],
                        "symbol": CLASS_SYMBOLS[label % len(CLASS_SYMBOLS)],
                        "size": 7,
                        "opacity": 0.8,
                    },
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    hovertemplate=f"{name}<extra></extra>",
                ),
                row=1,
                col=column,
            )
        if len(classes) <= LABELLED_CLASSES:
            _name_classes(figure, column, places, labels, classes)
        along = shares[column - 1]
        names = [f"{share:.0%} of the variance" for share in along] if along else ["", ""]
        figure.update_xaxes(title=names[0], row=1, col=column)
        figure.update_yaxes(title=names[1], row=1, col=column)
    figure.update_xaxes(showticklabels=False, zeroline=False, showgrid=False)
    figure.update_yaxes(showticklabels=False, zeroline=False, showgrid=False)
    legend = {"orientation": "h", "y": -0.12, "yanchor": "top", "x": 0, "font": {"size": 13}}
    return figure.update_layout(
        **layout(
            height=500, showlegend=True, legend=legend, hovermode="closest", margin={"l": 8, "r": 8, "t": 36, "b": 8}
        )
    )


def neighbours_agree(features: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of images whose nearest neighbour among the features has the same label, in [0, 1]."""
    exact = features.astype(np.float64)
    squares = np.square(exact).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * exact @ exact.T
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def neighbours_table(insides: Mapping[str, Inside]) -> pd.DataFrame:
    """How well the features keep classes together, before and after training.

    Args:
        insides: Arms from inside, by strategy.

    Returns:
        One row a strategy that has features: the share of images whose nearest neighbour, in all features, has the
        same class.
    """
    columns = ["Strategy", "Same class nearest, before (%)", "Same class nearest, after (%)", "Images"]
    rows: list[tuple[Any, ...]] = []
    for strategy, inside in insides.items():
        if inside.has_features:
            labels = inside.feature_labels
            shares = [100 * neighbours_agree(one, labels) for one in (inside.features_before, inside.features_after)]
            rows.append((title_of(strategy), *shares, len(labels)))
    return pd.DataFrame(rows, columns=columns)


def _name_classes(
    figure: go.Figure, column: int, places: NDArray[np.float64], labels: NDArray[Any], classes: Sequence[str]
) -> None:
    present = [label for label in range(len(classes)) if (labels == label).any()]
    middles = np.stack([np.median(places[labels == label], axis=0) for label in present])
    size = np.maximum(np.ptp(places, axis=0), 1e-12)
    for label, (x, y) in zip(present, _apart(middles / size) * size, strict=True):
        figure.add_annotation(
            x=float(x),
            y=float(y),
            text=classes[label],
            showarrow=False,
            font={"size": 12},
            bgcolor=tinted(CLASS_COLOURS[label % len(CLASS_COLOURS)], 0.4),
            row=1,
            col=column,
        )


def _apart(places: NDArray[np.float64], wide: float = 0.16, high: float = 0.055) -> NDArray[np.float64]:
    """Push labels up and down until none covers another; places and sizes are shares of the figure."""
    moved = places.copy()
    for _ in range(60):
        still = True
        for one in range(len(moved)):
            for other in range(one):
                across, up = moved[one] - moved[other]
                if abs(across) < wide and abs(up) < high:
                    push = (high - abs(up)) / 2 + 1e-6
                    sign = 1 if up >= 0 else -1
                    moved[one, 1] += sign * push
                    moved[other, 1] -= sign * push
                    still = False
        if still:
            break
    return moved


# --- stages -----------------------------------------------------------------------------------------------------------


def stages_table(records: Sequence[RunRecord], what: What) -> pd.DataFrame:
    """What training changed, by strategy (row) and stage (column): means over the seeds.

    Args:
        records: Records of one experiment.
        what: Which measure.

    Returns:
        The table; strategies without the measure are left out.
    """
    rows: dict[str, dict[str, float]] = {}
    for strategy, group in by_strategy(records).items():
        values = _by_stage(group, what)
        if values:
            rows[title_of(strategy)] = {stage: float(np.mean(seeds)) for stage, seeds in values.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis("Strategy")


def stages_figure(records: Sequence[RunRecord], what: What) -> go.Figure:
    """What training changed by stage: a line a strategy through the means over the seeds, bars for their range.

    Args:
        records: Records of one experiment.
        what: Which measure. The head is left out: it starts from noise in every arm.

    Returns:
        The figure, from the input (left) to the features (right).
    """
    figure = go.Figure()
    ends: dict[str, float] = {}
    top, lowest = (1.0 if what == "feature_cka" else 0.0), 0.0
    stages: list[str] = []
    drawn = {strategy: _by_stage(group, what) for strategy, group in by_strategy(records).items()}
    for values in drawn.values():
        stages += [stage for stage in values if stage not in stages and stage != "head"]
    for strategy, values in drawn.items():
        shown = [stage for stage in stages if stage in values]
        if not shown:
            continue
        look, title = look_of(strategy), title_of(strategy)
        means = [float(np.mean(values[stage])) for stage in shown]
        figure.add_scatter(
            x=shown,
            y=means,
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 3},
            marker={"size": 9},
            error_y=error_bars(
                [(mean, min(values[stage]), max(values[stage])) for stage, mean in zip(shown, means, strict=True)],
                thickness=1.5,
                width=5,
            ),
            name=title,
            hovertemplate=f"<b>{title}</b><br>%{{x}}: %{{y:.3f}}<extra></extra>",
        )
        ends[strategy] = means[-1]
        top = max(top, *(max(values[stage]) for stage in shown))
        lowest = min(lowest, *(min(values[stage]) for stage in shown))  # a debiased CKA can fall below zero
    top = 1.06 * top or 1.0
    label_ends(figure, {strategy: max(end, 0.0) / top for strategy, end in ends.items()}, gap=0.15)
    figure.update_xaxes(title="Stage, from the input to the features", type="category")
    figure.update_yaxes(title=WHAT_TITLES[what], range=[min(0.0, lowest), top], zeroline=False, automargin=True)
    height = max(360, 46 * len(ends) + 80)
    return figure.update_layout(**layout(height=height, margin={"l": 8, "r": 132, "t": 20, "b": 44}))


def _by_stage(group: Sequence[RunRecord], what: What) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for record in group:
        for stage, value in cast("Mapping[str, float]", getattr(record, what)).items():
            values.setdefault(stage, []).append(value)
    return values


# --- answers ----------------------------------------------------------------------------------------------------------


def confusion_cell(inside: Inside, true: int, predicted: int, classes: int) -> NDArray[np.int64]:
    """Which shown test images are in a cell of the confusion matrix.

    Args:
        inside: The arm from inside.
        true: Label.
        predicted: Answer; `classes` means any class that only the source has.
        classes: Number of the target's classes.

    Returns:
        Positions among the shown images, ascending.
    """
    answered = inside.answers >= classes if predicted == classes else inside.answers == predicted
    return np.flatnonzero((inside.truth == true) & answered)


def confusion_to_click(record: RunRecord) -> go.Figure:
    """The confusion matrix with an unseen mark in every cell: heatmap cells cannot be selected, marks can.

    Args:
        record: One arm with one seed.

    Returns:
        The figure; a mark's custom data is its row and its column.
    """
    figure = confusion_figure(record)
    rows, columns = confusion_labels(record)
    cells = [(row, column) for row in range(len(rows)) for column in range(len(columns))]
    shares = [record.confusion[row][column] / max(sum(record.confusion[row]), 1) for row, column in cells]
    figure.add_scatter(
        x=[columns[column] for _, column in cells],
        y=[rows[row] for row, _ in cells],
        mode="markers",
        marker={"size": 30, "symbol": "square", "opacity": 0, "color": GREY},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=[[row, column] for row, column in cells],
        text=[
            f"true {rows[row]}, answered {columns[column]}<br>{record.confusion[row][column]} images, "
            f"{share:.1%} of the row"
            for (row, column), share in zip(cells, shares, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    return figure.update_layout(hovermode="closest", clickmode="event+select")


@dataclass(frozen=True, eq=False)
class Flips:
    """Where two arms differ on the shown test images.

    Args:
        fixed: Positions of those that the first gets wrong and the second right.
        broken: Positions of those that the first gets right and the second wrong.
        both_right: How many both get right.
        both_wrong: How many both get wrong.
    """

    fixed: NDArray[np.int64]
    broken: NDArray[np.int64]
    both_right: int
    both_wrong: int

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.fixed) + len(self.broken) + self.both_right + self.both_wrong


def fixed_and_broken(a: Inside, b: Inside, labels: NDArray[Any]) -> Flips:
    """Which shown test images arm B gets right where A did not, and the other way round.

    Args:
        a: The arm that is compared with.
        b: The arm that is compared.
        labels: Labels of the images.

    Returns:
        The images.
    """
    right_a, right_b = a.answers == labels, b.answers == labels
    return Flips(
        fixed=np.flatnonzero(~right_a & right_b),
        broken=np.flatnonzero(right_a & ~right_b),
        both_right=int((right_a & right_b).sum()),
        both_wrong=int((~right_a & ~right_b).sum()),
    )


def flips_table(flips: Flips, a: str, b: str) -> pd.DataFrame:
    """The four counts.

    Args:
        flips: From `fixed_and_broken`.
        a: Strategy of the first arm.
        b: Strategy of the second.

    Returns:
        Two rows (A right, A wrong) and two columns (B right, B wrong).
    """
    return pd.DataFrame(
        [[flips.both_right, len(flips.broken)], [len(flips.fixed), flips.both_wrong]],
        index=[f"{title_of(a)}: right", f"{title_of(a)}: wrong"],
        columns=[f"{title_of(b)}: right", f"{title_of(b)}: wrong"],
    )


def flips_figure(flips: Flips, a: str, b: str) -> go.Figure:
    """The four counts as one bar: both right, fixed by B, broken by B, both wrong.

    Args:
        flips: From `fixed_and_broken`.
        a: Strategy of the first arm.
        b: Strategy of the second.

    Returns:
        The figure.
    """
    figure = go.Figure()
    left = 0
    parts = (
        ("both right", flips.both_right, tinted(GREY, 0.25)),
        ("▲ fixed", len(flips.fixed), tinted(look_of(b).colour, 0.75)),
        ("▼ broken", len(flips.broken), tinted(look_of(a).colour, 0.75)),
        ("both wrong", flips.both_wrong, tinted(GREY, 0.5)),
    )
    places = spread([(start + size / 2) / max(flips.count, 1) for start, size in _starts(parts)], 0.13)
    for (name, size, colour), place in zip(parts, places, strict=True):
        figure.add_bar(
            x=[size],
            y=[""],
            base=left,
            orientation="h",
            marker={"color": colour},
            name=name,
            hovertemplate=f"{name}: {size}<extra></extra>",
        )
        left += size
        figure.add_annotation(
            x=place, xref="paper", y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"{name}<br><b>{size}</b>"
        )
    figure.update_xaxes(visible=False, range=[0, max(flips.count, 1)])
    figure.update_yaxes(visible=False, fixedrange=True)
    return figure.update_layout(
        **layout(height=120, barmode="overlay", bargap=0, margin={"l": 8, "r": 8, "t": 52, "b": 8})
    )


def _starts(parts: Sequence[tuple[str, int, str]]) -> list[tuple[int, int]]:
    starts: list[tuple[int, int]] = []
    left = 0
    for _, size, _ in parts:
        starts.append((left, size))
        left += size
    return starts


def pictures_strip(images: NDArray[np.uint8], side: int = 96) -> list[NDArray[np.uint8]]:
    """Pictures enlarged so that every pixel stays a sharp square.

    Args:
        images: Shape (n, height, width, channels).
        side: They are enlarged to at least this many pixels a side.

    Returns:
        One array a picture, (height, width) for grey ones: what `st.image` takes, captions and all, as a list.
    """
    times = max(1, -(-side // max(images.shape[1:3], default=1)))
    large = images.repeat(times, axis=1).repeat(times, axis=2)
    return list(large[..., 0] if large.shape[-1] == 1 else large)


def answer_words(answer: int, classes: Sequence[str]) -> str:
    """The class that an arm answered, in words."""
    return classes[answer] if answer < len(classes) else "a class that only the source has"


def another_run_sentence(inside: Inside, record: RunRecord) -> str:
    """Where another run of the same arm is shown, that and where it ended; an empty string for the record's own run.

    Args:
        inside: What is shown.
        record: The arm's record.

    Returns:
        Two sentences, or none.
    """
    if is_of(inside, record):
        return ""
    return (
        f"{title_of(record.strategy)}: what is shown here is of another run of the same arm, on the same images. It "
        f"ended at {100 * inside.test_accuracy:.1f} % on the test images, this one at "
        f"{100 * record.test_accuracy:.1f} %."
    )
