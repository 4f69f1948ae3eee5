# ruff: noqa: T201
"""Compare ways of using a source model: does knowing MNIST help to read other people's digits?

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for the budget that lessons use (minutes).
"""

# %% What to run: two tasks, a network, the strategies, and one budget for all of them
import os

from tlcore import Experiment, compare
from tlcore.archive import Archive

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3}

experiment = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=("scratch", "feature_extraction", "fine_tune_all", "pixel_baseline"),
    labels_per_class=5,
    **SMALL,
)

# %% Run it; arms that were trained before are found again
comparison = compare(experiment, archive=Archive())

# %% What came out: accuracy with its interval, then the differences from scratch, paired by seed
print(comparison.table().to_string(index=False))
for item in comparison.comparisons:
    print(f"{item.strategy}: {100 * item.mean_difference:+.1f} points against {item.baseline}: {item.verdict}")

# %% A figure, to show in a notebook or to save with .write_html("compare.html")
figure = comparison.figure()
