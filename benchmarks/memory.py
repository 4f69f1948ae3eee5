"""Peak memory of a comparison on CIFAR-10: all of its processes together."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from benchmarks.watch import fresh_home, run


def measure(
    source: str = "cifar10_animals",
    target: str = "cifar10_vehicles",
    backbone: str = "cnn_deep",
    labels_per_class: int = 100,
    steps: int = 100,
    seeds: int = 3,
) -> dict[str, object]:
    """Run the default strategies in a process of their own and watch it.

    Args:
        source: Source dataset; its model is trained first, so that its memory counts.
        target: Target dataset.
        backbone: Network.
        labels_per_class: Labels a class.
        steps: Optimiser steps; memory does not depend on them.
        seeds: Repetitions.

    Returns:
        Largest sums of resident memory, with shared pages counted for each process and once.
    """
    with fresh_home() as variables:
        watched = run(
            "benchmarks.memory",
            *(source, target, backbone, labels_per_class, steps, seeds),
            environment=variables,
            memory=True,
        )
    return {
        "processes": watched.answer["processes"],
        "peak, GB, shared pages counted for every process": round(watched.rss / 1e9, 2),
        "peak, GB, shared pages counted once": None if watched.pss is None else round(watched.pss / 1e9, 2),
        "seconds": round(watched.seconds, 1),
    }


def _compare(source: str, target: str, backbone: str, labels: str, steps: str, seeds: str) -> dict[str, Any]:
    from tlcore.experiment import Experiment
    from tlcore.runner import compare

    processes = os.cpu_count() or 1
    experiment = Experiment(
        source=source,
        target=target,
        backbone=backbone,
        labels_per_class=int(labels),
        seeds=int(seeds),
        steps=int(steps),
        learning_rate=1e-3,
    )
    compare(experiment, processes=processes)
    return {"processes": processes}


if __name__ == "__main__":
    print(json.dumps(_compare(*sys.argv[1:])))
