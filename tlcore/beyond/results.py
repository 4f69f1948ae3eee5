"""What was measured beyond classification, as values with one JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from tlcore.experiment import Environment
from tlcore.metrics.stats import Interval, mean_interval, paired_interval
from tlcore.saved import Saved

if TYPE_CHECKING:
    from collections.abc import Mapping

TaskName = Literal["segmentation", "localisation", "verification"]
ArmName = Literal["frozen", "random", "scratch", "pixels"]


@dataclass(frozen=True)
class Task:
    """Something else than naming a picture's class.

    Args:
        name: What the command line calls it.
        title: What a page calls it.
        question: What the network is asked, in a sentence.
        score: What is measured, in words.
        arms: What is compared, the strategy of transfer first.
        floor: Score of a guess that does not look at the picture, in words; it is measured as well.
    """

    name: TaskName
    title: str
    question: str
    score: str
    arms: tuple[ArmName, ...]


TASKS: Mapping[TaskName, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task(
                "segmentation",
                "Segmentation",
                "Which pixels belong to the digit?",
                "Intersection over union of the pixels, mean of the test scenes",
                ("frozen", "random", "scratch"),
            ),
            Task(
                "localisation",
                "Localisation",
                "Where is the digit: which box just holds it?",
                "Intersection over union of the boxes, mean of the test scenes",
                ("frozen", "random", "scratch"),
            ),
            Task(
                "verification",
                "Verification",
                "Same or different? Two pictures of kinds that the network has never learned.",
                "Share of pairs in the right order (area under the ROC curve)",
                ("frozen", "random", "pixels"),
            ),
        )
    }
)
ARM_TITLES: Mapping[ArmName, str] = MappingProxyType(
    {
        "frozen": "Frozen backbone",
        "random": "Random frozen backbone",
        "scratch": "Everything from scratch",
        "pixels": "Pixels themselves",
    }
)
ARM_STRATEGIES: Mapping[ArmName, str] = MappingProxyType(
    {
        "frozen": "feature_extraction",
        "random": "random_features",
        "scratch": "scratch",
        "pixels": "pixel_baseline",
    }
)
"""The strategy of the comparisons that each arm is in another task: it has the same colour."""


class ArmScore(BaseModel):
    """One arm with one seed.

    Args:
        arm: Which arm.
        seed: Which repetition.
        score: What the task measures, in [0, 1], on the test pictures.
        learning_rate: The rate that the validation part chose; None where nothing is trained.
        seconds: Seconds of the final training.
        trained: Weights that training could change.
        examples: Answers to the first test scenes, of the first seed only: the pixels of a mask as hexadecimal bits, or
            the edges of a box.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: ArmName
    seed: int
    score: float
    learning_rate: float | None
    seconds: float
    trained: int
    examples: tuple[str, ...] = ()


class Beyond(Saved):
    """A task measured with every arm and several seeds.

    Args:
        task: Name of the task.
        source: What the backbone has learned.
        target: What the pictures are made of.
        backbone: The backbone.
        labelled: Pictures (pairs, for verification's threshold) that every arm learned from.
        test: Test pictures or pairs.
        steps: Optimiser steps.
        floor: Score of the best answer that does not look at the picture.
        scores: One an arm and seed.
        environment: Where it was measured.
        overlap: Test pictures over the others where every seed draws its own, as of own pictures; 0 with fixed ones.
    """

    kind: ClassVar[str] = "a task beyond classification"
    task: TaskName
    source: str
    target: str
    backbone: str
    labelled: int
    test: int
    steps: int
    floor: float
    scores: tuple[ArmScore, ...]
    environment: Environment
    overlap: float = 0.0

    def of(self, arm: ArmName) -> dict[int, float]:
        """Scores of an arm by seed."""
        return {one.seed: one.score for one in self.scores if one.arm == arm}

    def interval(self, arm: ArmName) -> Interval:
        """Mean score of an arm with its t interval over seeds."""
        return mean_interval(list(self.of(arm).values()), overlap=self.overlap)

    def difference(self, baseline: ArmName) -> Interval:
        """Frozen backbone less a baseline, paired by seed."""
        ours, theirs = self.of("frozen"), self.of(baseline)
        seeds = sorted(ours.keys() & theirs.keys())
        return paired_interval([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds], overlap=self.overlap)
