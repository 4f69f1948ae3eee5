# ruff: noqa: T201
"""A low rate protects what was learned: forgetting of the source, and how far weights and features move.

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for more rates and seeds (minutes).
"""

# %% Fine-tune a digit model at several learning rates, at once or after training the head alone
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2}

plan = plan_sweep(
    "learning_rate=0.0003,0.001,0.003,0.01" if FULL else "learning_rate=0.0003,0.003",
    {
        "source": "mnist",
        "target": "uci_digits",
        "labels_per_class": 5,
        "strategies": ("scratch", "fine_tune_all", "lp_ft"),
        **SMALL,
    },
)
result = sweep(plan)

# %% Accuracy on the target beside what was lost of the source (its own head put back)
for point in result.points:
    lost = point.quantities.get("forgetting")
    words = (
        "source pictures not here" if lost is None or lost.interval is None else f"{lost.interval.mean:.1%} forgotten"
    )
    moved = point.feature_change.get("dense1")
    distance = "" if moved is None else f", last features moved by {moved.mean:.2f}"
    if point.strategy != "scratch":
        print(f"rate {point.value:g}, {point.strategy}: {point.accuracy.mean:.1%} on the target, {words}{distance}")
