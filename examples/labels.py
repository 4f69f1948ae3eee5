# ruff: noqa: T201
"""How much transfer gains with few labels, and what is left of it with many (He et al. 2019).

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for the budget that lessons use (minutes).
"""

# %% Vary one thing and hold the rest; every value is checked before anything runs
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3}
VALUES = "5,10,20,40,80" if FULL else "5,40"

plan = plan_sweep(
    f"labels_per_class={VALUES}",
    {
        "source": "mnist",
        "target": "uci_digits",
        "strategies": ("scratch", "feature_extraction", "fine_tune_all"),
        **SMALL,
    },
)

# %% Run it
result = sweep(plan)

# %% The gain over scratch at each budget, and how many times the labels scratch would need
for point in result.points:
    if point.difference is None or point.label_efficiency is None:
        continue
    saved = point.label_efficiency
    print(
        f"{point.value:>3} labels a class, {point.strategy}: {100 * point.difference.mean_difference:+.1f} points, "
        f"worth {saved.censored} {saved.bound:.1f} times the labels"
    )

# %% All quantities as a table, and accuracy against labels as a figure
table, figure = result.table(), result.figure()
