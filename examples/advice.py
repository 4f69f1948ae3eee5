# ruff: noqa: T201
"""Which strategy for this task? Advice from the label budget and measured similarity, and how often it was right.

Run it as it is (seconds, no network needed); with TLCORE_FULL=1 the advised task is measured as well (minutes).
"""

# %% What the estimators say of the task, before any training on it
import os

from tlcore.advise import ATLAS, Atlas, advise
from tlcore.estimate import scores_of
from tlcore.experiment import Experiment

FULL = bool(os.environ.get("TLCORE_FULL"))
TASK = {"source": "mnist", "target": "uci_digits", "labels_per_class": 10, "seeds": 3 if FULL else 2}

task, atlas = Experiment(**TASK), Atlas.read(ATLAS)
advice = advise(task, scores_of(task), atlas)
print(f"advised: {advice.strategy}")

# %% The measured cells that it rests on
for near in advice.neighbours:
    cell = near.cell.experiment
    print(f"  {cell.source} → {cell.target}, {cell.labels_per_class} labels a class: best was {near.cell.best}")
for warning in advice.warnings:
    print(f"  but: {warning}")

# %% How often such advice named the measured best, beside always saying the same
for policy in atlas.report():
    print(f"{policy.name}: as good as the best in {policy.as_good} of {policy.cells} cells")

# %% And here?
if FULL:
    from tlcore.runner import compare

    comparison = compare(Experiment(**TASK, strategies=("scratch", *advice.gains)))
    for item in comparison.comparisons:
        print(f"{item.strategy}: {100 * item.mean_difference:+.1f} points against scratch")
