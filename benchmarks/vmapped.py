"""``KERAS_BACKEND=jax python -m benchmarks.vmapped``: a hundred networks as one program, against one after another."""

from __future__ import annotations

import sys
import time

import numpy as np

from tlcore import backend, vmapped
from tlcore.models import get_backbone
from tlcore.models.build import HEAD, initial_weights
from tlcore.policy import FreezePolicy
from tlcore.train import Program, Setup

SHAPE, CLASSES, IMAGES, BATCH = (28, 28, 1), 10, 200, 32


def measure_vmapped(arms: int = 100, steps: int = 300, alone: int = 3, name: str = "cnn_small") -> dict[str, str]:
    """Time both ways on this process's device; compiling is left out of both.

    Args:
        arms: Networks in one program.
        steps: Optimiser steps of each.
        alone: Networks trained one after another; their time is scaled to `arms`.
        name: Backbone.

    Returns:
        Figures by what they say.
    """
    backbone, rng = get_backbone(name), np.random.default_rng(0)
    x, y = rng.integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8), rng.integers(0, CLASSES, IMAGES)
    orders = rng.integers(0, IMAGES, (arms, steps, BATCH))
    starts = [initial_weights(backbone, SHAPE, CLASSES, seed) for seed in range(arms)]
    policies = [frozenset(backbone.stage_names[: arm % len(backbone.stages)]) for arm in range(arms)]
    rates = np.resize(np.array([3e-4, 1e-3, 3e-3], np.float32), arms)

    programs = {
        frozen: Program(backbone, SHAPE, CLASSES, precision="float32", setup=Setup(policy=FreezePolicy(frozen=frozen)))
        for frozen in set(policies[:alone])
    }

    def one_after_another() -> list[dict[str, list[np.ndarray]]]:
        done: list[dict[str, list[np.ndarray]]] = []
        for arm in range(alone):
            program = programs[policies[arm]]
            program.restart(starts[arm])
            program.fit(program.hold(x, y), orders[arm], np.full(steps, rates[arm], np.float32))
            done.append(program.weights())
        return done

    def together() -> list[dict[str, list[np.ndarray]]]:
        return vmapped.train_arms(backbone, SHAPE, CLASSES, starts, policies, rates, x, y, orders)

    def timed(run) -> tuple[float, list[dict[str, list[np.ndarray]]]]:
        run()  # compiles
        begin = time.perf_counter()
        result = run()
        return time.perf_counter() - begin, result

    figures: dict[str, str] = {"device": backend.device(), "network": f"{name}, {steps} steps, batch {BATCH}"}
    seconds, expected = timed(one_after_another)
    sequential = seconds * arms / alone
    figures[f"{arms} arms one after another"] = f"{sequential:.2f} s (scaled from {alone})"
    usual = vmapped._convolutions
    # The second way leaves convolutions to XLA, as groups: the one to take instead should it ever be the faster.
    for way, convolutions in (("as products", usual), ("convolutions by XLA", lambda _: iter(()))):
        vmapped._convolutions = convolutions
        vmapped._program.cache_clear()
        seconds, found = timed(together)
        gap = max(float(np.abs(a[HEAD][0] - b[HEAD][0]).max()) for a, b in zip(expected, found, strict=False))
        figures[f"{arms} arms at once, {way}"] = (
            f"{seconds:.2f} s ({sequential / seconds:.1f} x), heads differ by {gap:.0e}"
        )
    vmapped._convolutions = usual
    return figures


if __name__ == "__main__":
    for what, figure in measure_vmapped(*map(int, sys.argv[1:])).items():
        print(f"{what}: {figure}")
