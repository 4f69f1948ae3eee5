# ruff: noqa: T201
"""Does it matter where the knowledge comes from? Sources near and far, and ones that teach nothing, for one target.

Run it as it is (seconds, no network needed). With TLCORE_FULL=1 noise and shuffled labels are learned from as well, as
controls: their source models have to be trained, and the real digits be here (minutes).
"""

# %% Only the source changes: images, steps, rates and first head weights are the same for every one of them
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3}

plan = plan_sweep(
    "source=mnist,fashion_mnist,mnist_shuffled,noise_grey" if FULL else "source=mnist,fashion_mnist",
    {
        "target": "uci_digits",
        "labels_per_class": 5,
        "strategies": ("scratch", "feature_extraction", "fine_tune_all", "random_features"),
        **SMALL,
    },
)
result = sweep(plan)

# %% The gain of each source over training from scratch, which is trained once for all of them
for point in result.points:
    if point.difference is not None:
        gap = point.quantities["negative_transfer_gap"].interval
        hurts = "" if gap is None or gap.low is None or gap.low <= 0 else ": transfer hurts"
        print(f"{point.value}, {point.strategy}: {100 * point.difference.mean_difference:+.1f} points{hurts}")
