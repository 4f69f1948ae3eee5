# ruff: noqa: T201
"""Do deeper nets transfer better? The same tasks and budget with networks of different depth.

Run it as it is (seconds, no network needed); with TLCORE_FULL=1 a shallow net's source model is trained too (minutes).
"""

# %% A car model reads digits: every network gets the same images, steps and rates
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3}

plan = plan_sweep(
    "depth=cnn_shallow,cnn_small,cnn_deep" if FULL else "depth=cnn_small,cnn_deep",
    {
        "source": "cifar10_cars",
        "target": "uci_digits",
        "labels_per_class": 5,
        "strategies": ("scratch", "feature_extraction"),
        **SMALL,
    },
)
result = sweep(plan)

# %% The gain of each network over its own training from scratch
for point in result.points:
    gain = "" if point.difference is None else f", {100 * point.difference.mean_difference:+.1f} points"
    print(f"{point.value:<12} {point.strategy:<20} {point.accuracy.mean:.1%}{gain}")
