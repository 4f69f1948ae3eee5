"""The headline comparison: how long it takes, how the time divides, and whether the facts of the data come out."""

from __future__ import annotations

import os
import time
from collections import defaultdict

from tlcore.experiment import Experiment
from tlcore.metrics.stats import mean_interval
from tlcore.results import Comparison
from tlcore.runner import compare

HEADLINE = Experiment(source="mnist", target="fashion_mnist", labels_per_class=20, seeds=3)
VEHICLES = Experiment(
    source="cifar10_cars",
    target="cifar10_trucks",
    backbone="cnn_deep",
    strategies=("scratch", "feature_extraction"),
    labels_per_class=10,
    seeds=3,
)
SCRATCH_REFERENCE = 0.744


def measure() -> dict[str, object]:
    """Run the two comparisons on the real data.

    Returns:
        The figures by what they are.
    """
    start = time.perf_counter()
    headline = compare(HEADLINE, processes=os.cpu_count() or 1)
    seconds = time.perf_counter() - start
    longer = compare(HEADLINE.model_copy(update={"steps": 2 * HEADLINE.steps}), processes=os.cpu_count() or 1)
    vehicles = compare(VEHICLES, processes=os.cpu_count() or 1)
    scratch, frozen = _mean(headline, "scratch"), _mean(headline, "feature_extraction")
    far, near = _mean(vehicles, "scratch"), _mean(vehicles, "feature_extraction")
    divided: dict[str, float] = defaultdict(float)
    for record in headline.records:
        for phase, spent in record.phase_seconds.items():
            divided[phase] += spent
    return {
        "4 arms × 3 seeds, MNIST → Fashion-MNIST, s (source model there)": round(seconds, 1),
        "  of it, process seconds by phase": {phase: round(spent, 1) for phase, spent in divided.items()},
        f"scratch at 20 labels a class (reference {SCRATCH_REFERENCE})": round(scratch, 4),
        "feature extraction, everything frozen": round(frozen, 4),
        "  difference, points, with its interval": _difference(headline),
        "the same after twice the steps (have the arms converged?)": {
            name: f"{100 * (_mean(longer, name) - _mean(headline, name)):+.1f} points" for name in HEADLINE.strategies
        },
        "cars → trucks at 10 labels a class: scratch": round(far, 4),
        "cars → trucks: frozen backbone": round(near, 4),
        "  difference, points": round(100 * (near - far), 1),
    }


def _mean(comparison: Comparison, strategy: str) -> float:
    return mean_interval([r.test_accuracy for r in comparison.records if r.strategy == strategy]).mean


def _difference(comparison: Comparison) -> str:
    item = next(item for item in comparison.comparisons if item.strategy == "feature_extraction")
    assert item.ci_low is not None
    assert item.ci_high is not None
    low, high = 100 * item.ci_low, 100 * item.ci_high
    return f"{100 * item.mean_difference:+.1f} ({low:+.1f} to {high:+.1f}): {item.verdict}"
