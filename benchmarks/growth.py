"""How the cost of a comparison grows: with labels, seeds, arms and the size of the network; exponents and a figure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

THREADS = 1
STRATEGIES = ("scratch", "fine_tune_all", "discriminative_lr", "l2_sp")
BACKBONES = ("cnn_shallow", "cnn_small", "cnn_deep", "mini_resnet")
LABELS, SEEDS, ARMS, STEPS = "labels a class", "seeds", "arms", 60


def measure(
    labels: tuple[int, ...] = (10, 20, 40, 80),
    seeds: tuple[int, ...] = (1, 2, 4),
    arms: tuple[int, ...] = (1, 2, 4),
    backbones: tuple[str, ...] = BACKBONES,
    steps: int = STEPS,
    backbone: str = "cnn_small",
    figure: Path | None = None,
) -> dict[str, object]:
    """Run comparisons on uci_digits in this process, one thread, compiled before, and fit ``seconds ∝ sizeᵏ``.

    With more labels the epochs stay the same, so that steps grow with them; with larger networks the steps stay.

    Args:
        labels: Labels a class.
        seeds: Numbers of seeds.
        arms: Numbers of strategies, up to four.
        backbones: Networks, compared by multiplications of a forward pass.
        steps: Steps of an arm at 20 labels a class.
        backbone: Network where it is not what grows.
        figure: Where a Plotly page is written; None for nowhere.

    Returns:
        Points, and the exponent k of each factor: 1 is linear.
    """
    points: dict[str, list[tuple[float, float]]] = {
        LABELS: [(value, _seconds(backbone, max(1, steps * value // 20), labels_per_class=value)) for value in labels],
        SEEDS: [(value, _seconds(backbone, steps, seeds=value)) for value in seeds],
        ARMS: [(value, _seconds(backbone, steps, strategies=STRATEGIES[:value])) for value in arms],
        "multiplications of a forward pass": [(_multiplications(name), _seconds(name, steps)) for name in backbones],
    }
    figures: dict[str, object] = {}
    for factor, measured in points.items():
        figures[f"{factor}: exponent"] = round(exponent(measured), 2)
        figures[f"{factor}: points, s"] = {f"{size:,.0f}": round(seconds, 3) for size, seconds in measured}
    figures["largest exponent"] = round(max(exponent(measured) for measured in points.values()), 2)
    if figure is not None:
        _draw(points, figure)
    return figures


def exponent(points: Iterable[tuple[float, float]]) -> float:
    """Slope of log seconds over log size by least squares."""
    sizes, seconds = np.log(np.array(list(points), dtype=np.float64)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def _seconds(backbone: str, steps: int, **values: Any) -> float:
    """Best of two comparisons after one that compiles."""
    from tlcore.experiment import Experiment
    from tlcore.runner import compare

    values = {"seeds": 1, "labels_per_class": 20, "strategies": STRATEGIES[:1]} | values
    experiment = Experiment(
        source="drawn_digits", target="uci_digits", backbone=backbone, steps=steps, learning_rate=1e-3, **values
    )
    taken: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        compare(experiment)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def _multiplications(backbone: str) -> float:
    from tlcore.models import get_backbone
    from tlcore.models.build import build_model

    return float(_of_model(build_model(get_backbone(backbone), (28, 28, 1), 10, "float32")))


def _of_model(model: Any) -> int:
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += _of_model(layer)
        elif layer.weights and hasattr(layer, "kernel"):
            positions = layer.output.shape[1:-1]
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(positions))
    return total


def _draw(points: dict[str, list[tuple[float, float]]], path: Path) -> None:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(1, len(points), subplot_titles=list(points), horizontal_spacing=0.06)
    for column, measured in enumerate(points.values(), start=1):
        sizes, seconds = zip(*measured, strict=True)
        name = f"k = {exponent(measured):.2f}"
        figure.add_trace(go.Scatter(x=sizes, y=seconds, mode="lines+markers", name=name), 1, column)
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log", title_text="seconds", col=1)
    figure.update_layout(title="Cost of a comparison, seconds ∝ sizeᵏ (one process, one thread)", height=420)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs="cdn")
