"""Training images a second of one arm, against plain Keras in float32 and PyTorch eager, one thread each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peers import keras_epoch, torch_epoch
from benchmarks.timing import Apart, race
from tlcore import backend

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 1
OURS, KERAS, TORCH = "tlcore", "Keras fit, float32", "PyTorch eager"
FAST_TORCH = "PyTorch eager, channels last"


def measure(images: int = 6400, rounds: int = 7, batch_sizes: tuple[int, ...] = (32, 64)) -> dict[str, object]:
    """Train the same net on the same images with the same batch size.

    Args:
        images: Images of an epoch.
        rounds: Epochs of each, in turns.
        batch_sizes: Batch sizes to measure.

    Returns:
        Images a second, and times faster by the clock and by processor seconds; the first batch size gives the ratios.
    """
    precision = backend.resolve_precision("auto")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (images, 28, 28, 1), dtype=np.uint8)
    y = rng.integers(0, 10, images)
    scaled = x.astype(np.float32) / 255
    figures: dict[str, object] = {"number format here": precision, "threads": THREADS}
    for batch_size in batch_sizes:
        candidates: dict[str, Callable[[], object] | Apart] = {
            OURS: _ours(x, y, batch_size, precision),
            KERAS: keras_epoch(scaled, y, batch_size),
            # Not beside TensorFlow: the two bring one library each of the same name, and the process ends.
            TORCH: Apart(torch_epoch, scaled, y, batch_size, THREADS),
            FAST_TORCH: Apart(torch_epoch, scaled, y, batch_size, THREADS, True),
        }
        best = race(candidates, rounds)
        for name, turn in best.items():
            figures[f"images/s, batch {batch_size}, {name}"] = round(images / turn.seconds)
        for name in (KERAS, TORCH, FAST_TORCH):
            figures[f"times {name}, batch {batch_size}"] = round(best[name].seconds / best[OURS].seconds, 2)
            figures[f"times {name}, batch {batch_size}, by CPU time"] = round(best[name].cpu / best[OURS].cpu, 2)
    return figures


def _ours(x: np.ndarray, y: np.ndarray, batch_size: int, precision: str) -> Callable[[], object]:
    from tlcore.models import get_backbone
    from tlcore.train import Program

    program = Program(get_backbone("cnn_small"), x.shape[1:], 10, precision=precision)
    program.restart(program.fresh_weights(0))
    data, steps = program.hold(x, y), len(x) // batch_size
    rates = np.full(steps, 1e-3, dtype=np.float32)
    rng = np.random.default_rng(0)

    def epoch() -> None:
        program.fit(data, rng.permutation(len(x))[: steps * batch_size].reshape(steps, batch_size), rates)

    return epoch
