# ruff: noqa: T201
"""Similar or different source, few or many labels: is the textbook's advice right, and what do measured cells advise?

Run it as it is (seconds, no network needed), or with TLCORE_FULL=1 for more labels, steps and seeds (minutes).
"""

# %% Four comparisons; which source is nearer is measured first, where its pictures are on this machine
import os

from tlcore import Experiment, UserError
from tlcore.scenario import plan_scenario, scenario

FULL = bool(os.environ.get("TLCORE_FULL"))
STRATEGIES = ("scratch", "feature_extraction", "fine_tune_last", "fine_tune_all")
SMALL = {} if FULL else {"steps": 30, "precision": "float32", "seeds": 2, "learning_rate": 3e-3}

plan = plan_scenario(
    "mnist", "fashion_mnist", 5, 80 if FULL else 40, {"target": "uci_digits", "strategies": STRATEGIES, **SMALL}
)
result = scenario(plan)

# %% Each cell in a sentence that follows from its records
near, far = result.distances
print(
    "distance not measured: the sources' pictures are not here" if near is None else f"distances {near:.2f}, {far:.2f}"
)
for cell in result.cells:
    print(cell.sentence())

# %% The same question to the atlas of measured cells
from tlcore.advise import ATLAS, Atlas, advise  # noqa: E402
from tlcore.estimate import scores_of  # noqa: E402

question = Experiment(source="mnist", target="uci_digits", labels_per_class=10)
try:
    advice = advise(question, scores_of(question), Atlas.read(ATLAS))
    print(f"advised: {advice.strategy}, from")
    for neighbour in advice.neighbours:
        cell = neighbour.cell
        gain = cell.difference(advice.strategy)
        print(
            f"  {cell.experiment.source} → {cell.experiment.target}, {cell.experiment.labels_per_class} labels a class "
            f"(distance {neighbour.distance:.2f}): {100 * gain.mean_difference:+.1f} points, {gain.n} seeds"
        )
except UserError as error:  # the source's pictures are not here, so its distance cannot be measured
    print(error)
