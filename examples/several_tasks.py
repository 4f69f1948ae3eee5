# ruff: noqa: T201
"""Several tasks at once: interquartile means and the probability of improvement (Agarwal et al. 2021).

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for the budget that lessons use (minutes).
"""

# %% Three pairs of tasks, three seeds each
import os

from tlcore import Experiment
from tlcore.saved import run_each, run_here
from tlcore.summary import summarise

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "learning_rate": 3e-3}
PAIRS = (("mnist", "uci_digits"), ("fashion_mnist", "uci_digits"), ("cifar10_cars", "uci_digits"))

experiments = [
    Experiment(source=source, target=target, labels_per_class=5, strategies=("scratch", "feature_extraction"), **SMALL)
    for source, target in PAIRS
]
comparisons = run_each(experiments, run_here)

# %% What other seeds of these very tasks would give
summary = summarise(record for comparison in comparisons for record in comparison.records)
for row in summary.rows:
    print(f"{row.strategy}: interquartile mean {row.accuracy.mean:.1%}")
    if row.difference is not None and row.improvement is not None:
        print(f"  against scratch {100 * row.difference.mean:+.1f} points, better with P = {row.improvement.mean:.2f}")
