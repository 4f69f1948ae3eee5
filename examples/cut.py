# ruff: noqa: T201
"""Which stages are general, which are specific: copies of the first n stages (Yosinski et al. 2014).

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for every cut and three seeds (minutes).
"""

# %% A digit model's stages, frozen (AnB) or trained on (AnB+), beside the target's own (BnB) as control
import os

from tlcore.sweep import plan_sweep, sweep

FULL = bool(os.environ.get("TLCORE_FULL"))
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3, "labels_per_class": 5}

plan = plan_sweep(
    "cut=1,2,3" if FULL else "cut=1,3",
    {
        "source": "fashion_mnist",
        "target": "uci_digits",
        "strategies": ("scratch", "copy_frozen", "copy_fine_tuned", "self_copy_frozen"),
        **SMALL,
    },
)
result = sweep(plan)

# %% Accuracy by the number of stages copied; scratch does not depend on it and was trained once
for strategy in result.strategies:
    values = ", ".join(f"{interval.mean:.1%}" for interval in result.accuracy(strategy))
    print(f"{strategy:<18} {values}")

# %% The figure of the paper
figure = result.figure()
