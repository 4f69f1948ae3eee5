# ruff: noqa: T201
"""Should the source know far more than the target? The same source, learned from fewer and fewer pictures.

Run it as it is (half a minute: source models have to be trained), or with TLCORE_FULL=1 (minutes).
"""

# %% A source model is trained for each number of pictures and kept
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3, "labels_per_class": 5}

plan = plan_sweep(
    "source_size=100,300,auto" if FULL else "source_size=100,auto",
    {
        "source": "uci_digits",
        "target": "drawn_digits",
        "backbone": "mlp",  # the quickest to train; cnn_small where there is more time
        "strategies": ("scratch", "feature_extraction", "fine_tune_all"),
        **SMALL,
    },
)
result = sweep(plan)

# %% What the source model knew, and what that was worth
for comparison in result.comparisons:
    model = next(record.source_model for record in comparison.records if record.source_model is not None)
    print(f"source of {model.images} pictures, {model.test_accuracy:.1%} on its own test:")
    for item in comparison.comparisons:
        print(f"  {item.strategy}: {100 * item.mean_difference:+.1f} points against scratch: {item.verdict}")
