"""The recipe for a real model as it is usually written down, then improved one step at a time, each measured.

As written: a network with ImageNet weights, frozen; Flatten, a dense layer of 128 units, an output layer; Adam at
1e-4; ten epochs. Every later step changes one thing about the step before it, and is compared with that one: on the
same labelled images, from the same first weights of every layer that both have, in the same order of batches.

Importing this module does not import Keras; measuring does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from tlcore.data.external import IMAGENET
from tlcore.errors import UserError
from tlcore.experiment import DatasetUse, Environment, Experiment, SourceModel
from tlcore.metrics.stats import Interval, mean_interval, paired_interval
from tlcore.presets import RECORDS
from tlcore.saved import Saved

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPE = RECORDS / "recipe.json"
HIDDEN = 128
EPOCHS = 10
WRITTEN_RATE, HIGHER_RATE = 1e-4, 1e-3
STAGE_FACTOR = 0.01
GIVEN: dict[str, Any] = {
    "source": IMAGENET,
    "target": "cifar10_vehicles",
    "backbone": "mobilenet_v2_035",
    "image_size": 96,
    "labels_per_class": 25,
    "seeds": 5,
}

Quantity = Literal["accuracy", "train_accuracy", "seconds", "trainable", "steps"]


@dataclass(frozen=True)
class RecipeStep:
    """One way to train, which differs from the one before in one thing.

    Args:
        name: What records and texts call it.
        title: What a page calls it.
        sentence: What was changed, and why one would.
        head: What the head sees: every place of the last maps (``flatten``) or their averages (``average``).
        cached: Whether the frozen stages run once on each image, and not once an epoch.
        rate: Adam's rate for the head.
        epochs: Passes over the labelled images with the whole network frozen.
        further: Further passes, with a fresh optimiser.
        unfrozen: Whether the last stage is trained in those.
        stage_factor: Its rate there, as a factor on the head's.
    """

    name: str
    title: str
    sentence: str
    head: Literal["flatten", "average"] = "average"
    cached: bool = True
    rate: float = HIGHER_RATE
    epochs: int = EPOCHS
    further: int = 0
    unfrozen: bool = False
    stage_factor: float = 1.0


STEPS: dict[str, RecipeStep] = {
    step.name: step
    for step in (
        RecipeStep(
            "as_written",
            "As written",
            f"Frozen network, Flatten, Dense({HIDDEN}), softmax; Adam at {WRITTEN_RATE:g}, {EPOCHS} epochs.",
            head="flatten",
            cached=False,
            rate=WRITTEN_RATE,
        ),
        RecipeStep(
            "pooled",
            "Global pooling",
            "One feature a channel in place of Flatten: the head has a fraction of the weights.",
            cached=False,
            rate=WRITTEN_RATE,
        ),
        RecipeStep(
            "cached",
            "Cached features",
            "What is frozen gives the same every epoch: computed once an image. Nothing else changes.",
            rate=WRITTEN_RATE,
        ),
        RecipeStep(
            "higher_rate",
            "Ten times the rate for the head",
            f"Nothing learned can be lost while all of it is frozen: Adam at {HIGHER_RATE:g}.",
        ),
        RecipeStep(
            "longer",
            "Twice the epochs, still frozen",
            "The control for what follows: as many steps as the two steps below have.",
            further=EPOCHS,
        ),
        RecipeStep(
            "unfrozen",
            "Last stage unfrozen",
            "The second half of the epochs also trains the network's last stage, at the head's rate.",
            further=EPOCHS,
            unfrozen=True,
        ),
        RecipeStep(
            "unfrozen_low",
            "Lower rate for that stage",
            f"The last stage learns at {STAGE_FACTOR:g} of the head's rate.",
            further=EPOCHS,
            unfrozen=True,
            stage_factor=STAGE_FACTOR,
        ),
    )
}


class RecipeRun(BaseModel):
    """One step with one seed.

    Args:
        step: Name of the step.
        seed: Seed of the labelled images, the first weights and the order.
        test_accuracy: In [0, 1], on the whole test set, read once.
        train_accuracy: On the labelled images, at the end.
        seconds: Training, and computing the features that it needs; tracing and the test are not counted.
        steps: Optimiser steps.
        trainable_parameters: Weights that are trained in the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    seed: int
    test_accuracy: float
    train_accuracy: float
    seconds: float
    steps: int
    trainable_parameters: int

    def value(self, of: Quantity) -> float:
        """One of its numbers; accuracies in percent."""
        match of:
            case "accuracy":
                return 100 * self.test_accuracy
            case "train_accuracy":
                return 100 * self.train_accuracy
            case "seconds":
                return self.seconds
            case "trainable":
                return self.trainable_parameters
            case "steps":
                return self.steps


class MeasuredRecipe(Saved):
    """All steps of the recipe on one task.

    Args:
        experiment: The task: target, network, label budget, seeds, batch size and image size; its strategies and steps
            are not used.
        runs: One a step and seed.
        source_model: The weights that the network has.
        dataset: The target.
        environment: Where it was measured.
        created: When it was finished (UTC).
        overlap: Test images over the others where every seed draws its own, as of own pictures; 0 with fixed ones.
    """

    kind: ClassVar[str] = "a measured recipe"

    experiment: Experiment
    runs: tuple[RecipeRun, ...]
    source_model: SourceModel
    dataset: DatasetUse
    environment: Environment
    created: datetime
    overlap: float = 0.0

    @property
    def steps(self) -> tuple[RecipeStep, ...]:
        """The steps that were measured, in order."""
        measured = {run.step for run in self.runs}
        return tuple(step for step in STEPS.values() if step.name in measured)

    def before(self, step: str) -> str | None:
        """The step that a step is compared with: the one before it; None for the first."""
        names = [one.name for one in self.steps]
        at = names.index(step)
        return names[at - 1] if at else None

    def interval(self, step: str, of: Quantity = "accuracy") -> Interval:
        """Mean and 95 % t interval over the seeds.

        Args:
            step: Name of the step.
            of: Which number; accuracies in percent.

        Returns:
            The interval.

        Raises:
            UserError: If the step was not measured.
        """
        return mean_interval(list(self._by_seed(step, of).values()), overlap=self._shared(of))

    def difference(self, step: str, against: str | None = None, of: Quantity = "accuracy") -> Interval:
        """What a step changes, paired by seed.

        Args:
            step: Name of the step.
            against: Name of another; None for the one before.
            of: Which number; accuracies in percentage points.

        Returns:
            The interval of the difference.

        Raises:
            UserError: If one was not measured, or nothing comes before.
        """
        ours, other = self._by_seed(step, of), against or self.before(step)
        if other is None:
            raise UserError(f"{step} is the recipe's first step: name what to compare it with")
        theirs = self._by_seed(other, of)
        return paired_interval(list(ours.values()), [theirs[seed] for seed in ours], overlap=self._shared(of))

    def _shared(self, of: Quantity) -> float:
        return self.overlap if of == "accuracy" else 0.0

    def _by_seed(self, step: str, of: Quantity) -> dict[int, float]:
        found = {run.seed: run.value(of) for run in self.runs if run.step == step}
        if not found:
            raise UserError(
                f"the recipe holds no step {step}: choose one of {', '.join(one.name for one in self.steps)}"
            )
        return found


def plan_recipe(given: dict[str, Any]) -> Experiment:
    """The task that the recipe is measured on.

    Args:
        given: Fields of an experiment in place of `GIVEN`.

    Returns:
        The experiment.

    Raises:
        UserError: If a value is unknown or out of range, or the network has no published weights.
    """
    values = GIVEN | given
    if values["backbone"] != GIVEN["backbone"] and "image_size" not in given:
        values["image_size"] = None
    return Experiment.of(**values, strategies=("feature_extraction",))


def measure_recipe(experiment: Experiment, on_run: Callable[[str, int], None] = lambda _, __: None) -> MeasuredRecipe:
    """Measure every step with every seed, in this process.

    Args:
        experiment: From `plan_recipe`.
        on_run: Told the step and seed that are trained next.

    Returns:
        What was measured.

    Raises:
        UserError: If the images or the weights cannot be had, or the network's head cannot see its maps.
    """
    from tlcore import backend
    from tlcore.recipe_training import Kitchen

    kitchen = Kitchen(experiment)
    runs: list[RecipeRun] = []
    for seed in experiment.seed_values:
        for step in STEPS.values():
            on_run(step.name, seed)
            runs.append(kitchen.run(step, seed))
    return MeasuredRecipe(
        experiment=experiment,
        runs=tuple(sorted(runs, key=lambda run: (list(STEPS).index(run.step), run.seed))),
        source_model=kitchen.checkpoint.info,
        dataset=kitchen.dataset,
        environment=backend.environment("float32"),
        created=datetime.now(UTC).replace(microsecond=0),
        overlap=kitchen.overlap,
    )
