"""Sixteen heads (four rates, four seeds) on one feature set: as one program against one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.timing import race

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 1
RATES, SEEDS, BATCH = (3e-4, 1e-3, 3e-3, 1e-2), 4, 32


def measure(
    rows: int = 500, width: int = 128, classes: int = 10, steps: int = 300, rounds: int = 5
) -> dict[str, object]:
    """Train the heads three ways on the same features, first weights and batch orders.

    Args:
        rows: Labelled images.
        width: Features of each.
        classes: Classes.
        steps: Optimiser steps.
        rounds: Turns of each; the best counts.

    Returns:
        Seconds and ratios.
    """
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(rows, width))).astype(np.float32)
    y = rng.integers(0, classes, rows)
    sides = _sides(x, y, classes, steps)
    best = race(sides, rounds)
    together = best["one program"]
    return {
        **{f"{name}, s": round(turn.seconds, 3) for name, turn in best.items()},
        **{
            f"times {name}": round(turn.seconds / together.seconds, 1)
            for name, turn in best.items()
            if turn is not together
        },
        **{
            f"times {name}, by CPU time": round(turn.cpu / together.cpu, 1)
            for name, turn in best.items()
            if turn is not together
        },
    }


def _sides(x: np.ndarray, y: np.ndarray, classes: int, steps: int) -> dict[str, Callable[[], object]]:
    import keras

    from benchmarks.peers import compiled
    from tlcore.data.labels import batch_order
    from tlcore.heads import Heads, train_heads

    width = x.shape[1]
    rng = np.random.default_rng(1)
    limit = np.sqrt(6 / (width + classes))
    first = rng.uniform(-limit, limit, (SEEDS, width, classes)).astype(np.float32)
    by_seed = np.stack([batch_order(len(x), BATCH, steps, seed) for seed in range(SEEDS)])
    pairs = [(rate, seed) for rate in RATES for seed in range(SEEDS)]
    rates, seeds = np.array([rate for rate, _ in pairs], dtype=np.float32), [seed for _, seed in pairs]
    heads, orders = Heads(first[seeds], np.zeros((len(pairs), classes), dtype=np.float32)), by_seed[seeds]

    def alone() -> None:
        for i in range(len(pairs)):
            one = Heads(heads.kernels[i : i + 1], heads.biases[i : i + 1])
            train_heads(x, y, one, rates[i : i + 1], orders[i : i + 1])

    head = compiled(keras.Sequential([keras.Input((width,)), keras.layers.Dense(classes)]))

    def by_fit() -> None:
        for i in range(len(pairs)):
            head.layers[-1].set_weights([heads.kernels[i], heads.biases[i]])
            for variable in head.optimizer.variables:
                variable.assign(np.zeros(variable.shape))
            head.optimizer.learning_rate.assign(rates[i])
            rows = orders[i].reshape(-1)
            head.fit(x[rows], y[rows], batch_size=BATCH, shuffle=False, verbose=0)

    return {
        "one program": lambda: train_heads(x, y, heads, rates, orders),
        "the same one after another": alone,
        "Keras fit one after another": by_fit,
    }
