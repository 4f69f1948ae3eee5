"""What the engine adds to bare Keras: an arm's training against `fit` and `train_on_batch` of the same compiled net."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks.timing import Turn, turn_of
from tlcore import backend

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

THREADS = 1


def measure(steps: int = 600, rounds: int = 5) -> dict[str, object]:
    """Train `scratch` on uci_digits → the same net, images, batch size and number format, bare and as an arm.

    Args:
        steps: Optimiser steps.
        rounds: Turns of each; the best counts.

    Returns:
        Seconds, and what the arm adds to the faster of the two bare ways (negative: the arm is faster).
    """
    from tlcore.arm import run_arm
    from tlcore.experiment import Experiment

    precision = backend.resolve_precision("auto")
    experiment = Experiment(
        source="drawn_digits",
        target="uci_digits",
        strategies=("scratch",),
        steps=steps,
        learning_rate=1e-3,
        precision=precision,
    )
    bare = _bare(experiment.batch_size, steps, precision)
    best: dict[str, Turn] = {}
    beside: list[float] = []
    for turn in range(rounds + 1):
        taken = {name: turn_of(run) for name, run in bare.items()}
        start = time.perf_counter()
        with _training_timed() as parts:
            run_arm(experiment, "scratch", 0)
        taken["arm"] = Turn(sum(part.seconds for part in parts), sum(part.cpu for part in parts))
        if turn:  # what is compiled once is not measured
            beside.append(time.perf_counter() - start - taken["arm"].seconds)
            best = {name: one.best(best.get(name, one)) for name, one in taken.items()}
    return {
        "number format here": precision,
        **{f"{name}, ms a step": round(1000 * one.seconds / steps, 3) for name, one in best.items()},
        "overhead, %": round(100 * (best["arm"].seconds / min(best[name].seconds for name in bare) - 1), 1),
        "overhead by CPU time, %": round(100 * (best["arm"].cpu / min(best[name].cpu for name in bare) - 1), 1),
        "a whole arm besides its training (images, looks, test, inspection), s": round(min(beside), 2),
    }


@contextmanager
def _training_timed() -> Generator[list[Turn]]:
    """Time every call of `Program.fit`: the engine's own clock says nothing of processor seconds."""
    from tlcore.train import Program

    parts: list[Turn] = []
    fit = Program.fit

    def timed(*arguments: Any, **named: Any) -> int:
        done: list[int] = []
        parts.append(turn_of(lambda: done.append(fit(*arguments, **named))))
        return done[0]

    with patch.object(Program, "fit", timed):
        yield parts


def _bare(batch_size: int, steps: int, precision: str) -> dict[str, Callable[[], object]]:
    from tlcore.models import get_backbone
    from tlcore.models.build import build_model

    def compiled() -> Any:
        import keras

        model = build_model(get_backbone("cnn_small"), (28, 28, 1), 10, precision)
        model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    rng = np.random.default_rng(0)
    x = rng.random((steps * batch_size, 28, 28, 1), dtype=np.float32)
    y = rng.integers(0, 10, len(x))
    fitted, stepped = compiled(), compiled()

    def by_batch() -> None:
        for start in range(0, len(x), batch_size):
            stepped.train_on_batch(x[start : start + batch_size], y[start : start + batch_size])

    return {"bare fit": lambda: fitted.fit(x, y, batch_size=batch_size, verbose=0), "bare train_on_batch": by_batch}
