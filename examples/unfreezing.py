# ruff: noqa: T201
"""When to let the backbone move? The head is trained alone first, for a smaller or larger share of the steps.

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for more shares and seeds (minutes).
"""

# %% Linear probing, then fine-tuning (Kumar et al. 2022), with the change at different moments
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3}

plan = plan_sweep(
    "unfreeze_at=0.1,0.3,0.5,0.7,0.9" if FULL else "unfreeze_at=0.2,0.8",
    {
        "source": "fashion_mnist",
        "target": "uci_digits",
        "labels_per_class": 10,
        "strategies": ("scratch", "fine_tune_all", "lp_ft"),
        **SMALL,
    },
)
result = sweep(plan)

# %% Accuracy, and how far the last features have moved: later unfreezing distorts them less
for point in result.points:
    moved = point.feature_change.get("dense1")
    distance = "" if moved is None or point.strategy == "scratch" else f", last features moved by {moved.mean:.2f}"
    print(f"unfrozen at {point.value:.0%}, {point.strategy:<14} {point.accuracy.mean:.1%}{distance}")
