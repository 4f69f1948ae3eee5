"""How soon a second run with another seed trains, in a process that has run the first."""

from __future__ import annotations

import time
from unittest.mock import patch

THREADS = 1


def measure(source: str = "mnist", target: str = "fashion_mnist", seeds: int = 5) -> dict[str, object]:
    """Run every default strategy once, then with other seeds, up to the first training step each.

    Args:
        source: Source dataset; its model is there.
        target: Target dataset.
        seeds: Seeds after the first.

    Returns:
        Milliseconds from the call to the first step, the slowest strategy and seed, and by strategy.
    """
    from tlcore.arm import run_arm
    from tlcore.engine import prepare
    from tlcore.errors import Stopped
    from tlcore.experiment import Experiment
    from tlcore.train import Program

    experiment = Experiment(source=source, target=target, steps=30)
    prepare(experiment)
    fit = Program.fit
    begun: list[float] = []

    def noted(*arguments: object, **named: object) -> int:
        begun.append(time.perf_counter())
        return fit(*arguments, **named)  # pyright: ignore[reportArgumentType]

    waited: dict[str, list[float]] = {}
    for strategy in experiment.strategies:
        run_arm(experiment, strategy, 0)
        for seed in range(1, seeds + 1):
            begun.clear()
            start = time.perf_counter()
            with patch.object(Program, "fit", noted):
                try:
                    run_arm(experiment, strategy, seed, should_stop=lambda: bool(begun))
                except Stopped:
                    waited.setdefault(strategy, []).append(1000 * (begun[0] - start))
    slowest = {name: max(times) for name, times in waited.items()}
    return {
        "ms before the first step, slowest strategy and seed": round(max(slowest.values())),
        "  slowest seed by strategy": {name: round(value) for name, value in slowest.items()},
        "  all, in order": {name: [round(t) for t in times] for name, times in waited.items()},
        "  fastest seed by strategy": {name: round(min(times)) for name, times in waited.items()},
    }
