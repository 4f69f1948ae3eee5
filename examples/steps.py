# ruff: noqa: T201
"""Does transfer gain accuracy, or only time? Few and many optimiser steps, and the steps to the same accuracy.

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for longer training and more seeds (minutes).
"""

# %% The same arms with budgets of steps that lie far apart
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"precision": "float32", "seeds": 2, "learning_rate": 3e-3}

plan = plan_sweep(
    "steps=30,100,300,1000" if FULL else "steps=20,60",
    {
        "source": "mnist",
        "target": "uci_digits",
        "labels_per_class": 10,
        "strategies": ("scratch", "fine_tune_all"),
        **SMALL,
    },
)
result = sweep(plan)

# %% Accuracy at each budget, and how soon each arm was at nine tenths of where scratch ends, with the source's cost too
for point in result.points:
    said = [f"{point.value:>4} steps, {point.strategy:<14} {point.accuracy.mean:.1%}"]
    for name, unit in (
        ("steps_to_threshold", "steps to the threshold"),
        ("seconds_to_threshold_with_pretraining", "s with the source model's training counted"),
    ):
        measured = point.quantities.get(name)
        if measured is not None and measured.interval is not None:
            said.append(f"{measured.interval.mean:.0f} {unit}")
    print(", ".join(said))
