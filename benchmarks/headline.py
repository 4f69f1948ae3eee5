"""The headline comparison with its source model, against the same work as a learner writes it in plain Keras.

The clock of both sides starts when Keras is imported, as on a warm worker and in a notebook whose first cell has run;
reading data, building, compiling, training and testing count. Whole processes, imports included, are given as well.
What this project measures once a host (which number format is faster) is known before. The peer inherits the oneDNN
convolutions that importing tlcore switches on; TensorFlow by itself would leave them off on many processors.
"""

from __future__ import annotations

import json
import os
import sys
import time
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.watch import fresh_home, run

STRATEGIES = ("scratch", "feature_extraction", "fine_tune_last", "fine_tune_all")
RATE = 1e-3


def measure(
    source_images: int = 60_000,
    epochs: int = 3,
    steps: int = 600,
    seeds: int = 3,
    test_images: int = 10_000,
    backbone: str = "cnn_small",
) -> dict[str, object]:
    """Pre-train on MNIST, then four strategies on 20 labels a class of Fashion-MNIST, each with every seed.

    Args:
        source_images: Digits that the source model learns from.
        epochs: Passes of the peer over them; ours does its own recipe's steps.
        steps: Optimiser steps of an arm.
        seeds: Repetitions.
        test_images: Test images that the peer evaluates on, ten times an arm.
        backbone: Our network; the peer's is always the small CNN, so that another one is no comparison, only quick.

    Returns:
        Seconds of both sides, their ratio, and the test accuracies by strategy.
    """
    with fresh_home() as fresh:
        ours = run("benchmarks.headline", "ours", source_images, steps, seeds, backbone, environment=fresh)
        peer = run("benchmarks.headline", "peer", source_images, epochs, steps, seeds, test_images, environment=fresh)
    test, others = ours.answer["test"], peer.answer["test"]
    gaps = {name: 100 * (mean(test[name]) - mean(others[name])) for name in STRATEGIES}
    return {
        "tlcore, s": ours.answer["seconds"],
        "  of it, by its own clock": ours.answer["parts"],
        "plain Keras, s": peer.answer["seconds"],
        "  of it, by its own clock, plain Keras": peer.answer["parts"],
        "times faster": round(peer.answer["seconds"] / ours.answer["seconds"], 2),
        "whole processes, imports included, tlcore / plain Keras, s": f"{ours.seconds:.0f} / {peer.seconds:.0f}",
        "times less processor time": round(peer.cpu / ours.cpu, 2),
        "  processor seconds, tlcore / plain Keras": f"{ours.cpu:.0f} / {peer.cpu:.0f}",
        "test accuracy, tlcore / plain Keras": {
            name: f"{mean(test[name]):.4f} / {mean(others[name]):.4f}" for name in STRATEGIES
        },
        "difference in points": {name: round(gap, 2) for name, gap in gaps.items()},
        "largest difference, points": round(max(abs(gap) for gap in gaps.values()), 2),
    }


def _ours(source_images: str, steps: str, seeds: str, backbone: str) -> dict[str, Any]:
    from tlcore.experiment import Experiment
    from tlcore.runner import compare

    processes = os.cpu_count() or 1
    # The smallest comparison there is: it has the forkserver import Keras, once for all later processes.
    compare(Experiment(target="uci_digits", strategies=("pixel_baseline",), seeds=1), processes=processes)
    start = time.perf_counter()
    first: list[float] = []

    def note(event: Any) -> None:
        if event.kind == "pretrain" and event.fraction == 1.0:
            first.append(time.perf_counter() - start)

    # Naming the number of images asks for a source model of this host's own: the one that ships is not taken.
    experiment = Experiment(
        source="mnist",
        target="fashion_mnist",
        backbone=backbone,
        strategies=STRATEGIES,
        labels_per_class=20,
        seeds=int(seeds),
        steps=int(steps),
        learning_rate=RATE,
        source_images=int(source_images),
    )
    comparison = compare(experiment, on_event=note, processes=processes)
    test: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    phases: dict[str, float] = {}
    for record in comparison.records:
        test[record.strategy].append(record.test_accuracy)
        for phase, spent in record.phase_seconds.items():
            phases[phase] = round(phases.get(phase, 0.0) + spent, 2)
    parts = {"until the source model is there": round(max(first, default=0.0), 1)}
    seconds = round(time.perf_counter() - start, 1)
    return {
        "test": test,
        "seconds": seconds,
        "parts": parts | {f"{name}, process seconds": spent for name, spent in phases.items()},
    }


def _peer(*numbers: str) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    from benchmarks.peers import compiled, keras_arm, keras_cnn
    from tlcore.data import load
    from tlcore.data.labels import split_labels

    source_images, epochs, steps, seeds, test_images = map(int, numbers)
    tf.zeros(())  # TensorFlow is ready
    start = time.perf_counter()
    digits, garments = load("mnist"), load("fashion_mnist")
    keras.utils.set_random_seed(0)
    source = compiled(keras_cnn((28, 28, 1), 10))
    x_source = digits.x_train[:source_images].astype(np.float32) / 255
    source.fit(x_source, digits.y_train[:source_images], batch_size=64, epochs=epochs, verbose=0)
    pretrained = time.perf_counter() - start
    x_test = garments.x_test[:test_images].astype(np.float32) / 255
    test: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for seed in range(seeds):
        # The same labelled images as ours, so that the accuracies can be compared.
        rows = split_labels(garments, 20, 4, seed).labelled
        x, y = garments.x_train[rows].astype(np.float32) / 255, garments.y_train[rows]
        for name in STRATEGIES:
            accuracy = keras_arm(
                name,
                source,
                x,
                y,
                (x_test, garments.y_test[:test_images]),
                steps=steps,
                looks=min(10, steps),
                seed=seed,
            )
            test[name].append(accuracy)
    whole = time.perf_counter() - start
    parts = {"source model": round(pretrained, 1), "arms": round(whole - pretrained, 1)}
    return {"test": test, "seconds": round(whole, 1), "parts": parts}


if __name__ == "__main__":
    sides = {"ours": _ours, "peer": _peer}
    print(json.dumps(sides[sys.argv[1]](*sys.argv[2:])))
