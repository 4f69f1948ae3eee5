# ruff: noqa: T201
"""Judge sources before training anything on the target: LEEP, LogME, H-score, CKA and others.

Run it as it is (seconds, no network needed). Judging the judges takes three sources and measured gains: TLCORE_FULL=1.
"""

# %% One forward pass of each source model over the labelled target images
import os

from tlcore.estimate import SCORES, estimate, plan_estimate

FULL = bool(os.environ.get("TLCORE_FULL"))
SOURCES = ("mnist", "fashion_mnist", "drawn_digits", "drawn_garments") if FULL else ("mnist", "fashion_mnist")
GIVEN = {"target": "uci_digits", "labels_per_class": 5, "seeds": 3 if FULL else 2}

experiments = plan_estimate(SOURCES, GIVEN)
found = estimate(experiments)

# %% Each score for each source, with the seconds it took
for score in SCORES.values():
    means = {scores.source: scores.interval(score.name) for scores in found.sources}
    shown = ", ".join(f"{name} {value.mean:.3g}" for name, value in means.items() if value is not None)
    print(f"{score.title:<22} {shown or 'needs source pictures that are not on this machine'}")

# %% Do the scores put the sources in the order of what transfer really gains?
if FULL:
    from tlcore.saved import run_each, run_here

    records = [record for comparison in run_each(experiments, run_here) for record in comparison.records]
    for item in found.against(records).agreements:
        print(f"{item.score} and {item.strategy}: weighted τ {item.weighted_tau:+.2f}, r {item.pearson:+.2f}")
