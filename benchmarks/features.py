"""Feature extraction on cached features against a frozen `fit` through the backbone, MobileNetV2(0.35) at 96 pixels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.timing import Turn, turn_of
from tlcore import backend

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.models.build import Weights

THREADS, FAMILY = os.cpu_count() or 1, "application"
BACKBONE, SIDE, CLASSES, BATCH = "mobilenet_v2_035", 96, 10, 32


def measure(images: int = 500, epochs: int = 20, rounds: int = 3) -> dict[str, object]:
    """Train a head on a frozen backbone, both ways, on the same random pictures.

    The first time counts building and compiling; after that both sides are compiled, and ours still passes every image
    through the backbone once. Speed does not depend on the weights, so they are random.

    Args:
        images: Training images.
        epochs: Passes over them.
        rounds: Compiled repetitions of each, in turns; the best counts.

    Returns:
        Seconds and their ratios.
    """
    precision = backend.resolve_precision("auto")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (images, SIDE, SIDE, 3), dtype=np.uint8), rng.integers(0, CLASSES, images)
    sides = {"ours": _ours(x, y, epochs, precision), "fit": _peer(x, y, epochs)}
    first = {name: turn_of(side) for name, side in sides.items()}
    best: dict[str, Turn] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            turn = turn_of(side)
            best[name] = turn.best(best.get(name, turn))
    ours, fit = best["ours"], best["fit"]
    return {
        "number format here": precision,
        "tlcore, s": round(ours.seconds, 3),
        "frozen fit, s": round(fit.seconds, 2),
        "times faster": round(fit.seconds / ours.seconds, 1),
        "times less processor time": round(fit.cpu / ours.cpu, 1),
        "the first time, building and compiling included, tlcore / fit, s": (
            f"{first['ours'].seconds:.1f} / {first['fit'].seconds:.1f}"
        ),
        "times faster the first time": round(first["fit"].seconds / first["ours"].seconds, 1),
    }


def _ours(x: np.ndarray, y: np.ndarray, epochs: int, precision: str) -> Callable[[], object]:
    from tlcore.data.labels import batch_order
    from tlcore.features import FrozenStages
    from tlcore.models import get_backbone
    from tlcore.models.build import initial_weights
    from tlcore.policy import FreezePolicy
    from tlcore.train import Program, Setup

    backbone, shape = get_backbone(BACKBONE), (SIDE, SIDE, 3)
    depth = len(backbone.stages)
    weights: Weights = initial_weights(backbone, shape, CLASSES, 0)
    steps = epochs * -(-len(x) // BATCH)
    made: list[Program] = []

    def run() -> None:
        if not made:
            made.append(
                Program(backbone, shape, CLASSES, precision=precision, first=depth, setup=Setup(FreezePolicy()))
            )
        program = made[0]
        # Without a name nothing is kept: each turn computes the features anew, once.
        features = FrozenStages(backbone, shape, precision, depth, weights)(x)
        program.restart(weights)
        order, rates = batch_order(len(x), BATCH, steps, 0), np.full(steps, 1e-3, dtype=np.float32)
        program.fit(program.hold(features, y), order, rates)

    return run


def _peer(x: np.ndarray, y: np.ndarray, epochs: int) -> Callable[[], object]:
    import keras

    from benchmarks.peers import compiled

    pictures = x.astype(np.float32)
    made: list[Any] = []

    def run() -> None:
        if not made:
            backbone = keras.applications.MobileNetV2(
                (SIDE, SIDE, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
            )
            backbone.trainable = False
            image = keras.Input((SIDE, SIDE, 3))
            scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
            made.append(compiled(keras.Model(image, keras.layers.Dense(CLASSES)(backbone(scaled, training=False)))))
        made[0].fit(pictures, y, batch_size=BATCH, epochs=epochs, verbose=0)

    return run
