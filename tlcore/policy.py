"""What is loaded, what is frozen and what is trained, as values: no model is touched here.

A `Recipe` says where every stage's weights come from and which `Phase`s follow; a `Phase` says which stages a
`FreezePolicy` holds fixed and at what rates the others learn. `tlcore.train` carries them out, `tlcore.views` draws
them, records keep them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Mode = Literal["frozen", "trained", "low-rank"]
Origin = Literal["transferred", "random", "matched", "own"]
Normalization = Literal["freeze", "train", "drift", "always"]
INSTEAD = 2_000_003  # first weights of the arm whose seed is that of the source models
PRETRAINING_PARTS = 20  # the rate of pre-training falls in so many steps


@dataclass(frozen=True)
class PretrainingRecipe:
    """How every source model is trained: Adam, the rate falling linearly to a tenth; pictures whose class survives it
    are shifted and mirrored at random.

    Args:
        steps: Optimiser steps.
        batch_size: Images a step.
        rate: First learning rate.
        seed: Seed of weights and order.
        version: Raised when the same values would give other weights.
    """

    steps: int = 3000
    batch_size: int = 64
    rate: float = 2e-3
    seed: int = 0
    version: int = 1


def stream_of(seed: int) -> int:
    """Seed that an arm's first weights are drawn with: its own, except the one that source models start from.

    With that one a "new" head would be the head that the source was trained from: 79 % on another handwriting before
    any training (uci_digits), where every other seed's is at chance.

    Args:
        seed: Seed of the arm.

    Returns:
        The seed for `initial_weights`.
    """
    return INSTEAD if seed == PretrainingRecipe().seed else seed


@dataclass(frozen=True)
class FreezePolicy:
    """Which backbone stages are held fixed; the head is always trained.

    Args:
        frozen: Names of the stages whose weights may not change.
        normalization: What batch normalisation does. Keras 3 moves its running statistics under `fit` whatever
            ``training=`` the backbone was called with, so the choice is explicit. ``train``: layers of trained stages
            learn and move their statistics, those of frozen stages do neither. ``freeze``: no layer does either.
            ``drift``: the statistics of frozen stages move too, their weights do not: the usual accident.
            ``always``: layers of frozen stages learn and move, as fastai does by default.
    """

    frozen: frozenset[str] = frozenset()
    normalization: Normalization = "train"

    def mode(self, stage: str) -> Mode:
        """Say whether a stage is frozen or trained under this policy."""
        return "frozen" if stage in self.frozen else "trained"

    @property
    def fixed(self) -> frozenset[str]:
        """Stages of which nothing may change, running statistics included."""
        return self.frozen if self.normalization in ("freeze", "train") else frozenset()


@dataclass(frozen=True)
class OneCycle:
    """A rate that rises and falls along two half cosines (Smith 2018, in fastai's form).

    Args:
        rise: Share of the steps during which the rate rises, in (0, 1).
        start: The first rate is the highest one divided by this.
        end: The last rate is the highest one divided by this.
    """

    rise: float = 0.25
    start: float = 25.0
    end: float = 1e5

    def factors(self, steps: int) -> NDArray[np.float32]:
        """Factors on the highest rate, one a step, shape (steps,).

        Example:
            >>> [f"{factor:.3f}" for factor in OneCycle(rise=0.5, start=4.0, end=100.0).factors(4)]
            ['0.250', '0.625', '1.000', '0.505']
        """
        position = np.arange(steps) / max(1, steps)
        up = 1 / self.start + (1 - 1 / self.start) * (1 - np.cos(np.pi * position / self.rise)) / 2
        fallen = (position - self.rise) / (1 - self.rise)
        down = 1 / self.end + (1 - 1 / self.end) * (1 + np.cos(np.pi * fallen)) / 2
        return np.where(position < self.rise, up, down).astype(np.float32)


@dataclass(frozen=True)
class Phase:
    """A stretch of training under one freeze policy, with a fresh optimiser.

    Args:
        policy: What is frozen.
        share: Share of the arm's step budget that this phase gets, in (0, 1]; the phases of a recipe sum to 1.
        rate: Factor on the arm's learning rate.
        stage_rates: Further factors by stage, for stages that learn at another rate than the head.
        cycle: How the rate moves within the phase; None for a constant one.
    """

    policy: FreezePolicy
    share: float = 1.0
    rate: float = 1.0
    stage_rates: tuple[tuple[str, float], ...] = ()
    cycle: OneCycle | None = None

    def rates(self, rate: float, steps: int) -> NDArray[np.float32]:
        """The head's learning rate at every step.

        Args:
            rate: The arm's learning rate.
            steps: Steps of this phase.

        Returns:
            Shape (steps,).
        """
        factors = np.ones(steps, dtype=np.float32) if self.cycle is None else self.cycle.factors(steps)
        return np.float32(rate * self.rate) * factors


@dataclass(frozen=True)
class Distillation:
    """Learning from a teacher's outputs as well as from the labels (Hinton et al. 2015).

    The loss is ``(1 - w) · CE(labels) + w · T² · KL(softmax(teacher / T) ‖ softmax(student / T))``.

    Args:
        teacher: How the teacher is trained, on the same labelled images.
        temperature: T, above 0.
        weight: w, in [0, 1].
    """

    teacher: Recipe
    temperature: float = 3.0
    weight: float = 0.5


@dataclass(frozen=True)
class Pull:
    """A penalty that pulls weights back: L2-SP (Li et al. 2018), ``a/2 · ‖w - w₀‖² + b/2 · ‖w_head‖²``.

    Args:
        start: a, for the trained stages, towards the weights they started from.
        zero: b, for the head, towards zero.
    """

    start: float = 0.1
    zero: float = 0.01


@dataclass(frozen=True)
class Recipe:
    """How one strategy trains one arm.

    Args:
        transferred: Names of the backbone stages that start from the source's weights (or, with `own`, from those of
            the network that `own` trained); the others start from the arm's seed, the same for every strategy.
        phases: Training phases, in order. Empty when nothing is trained.
        head: ``new`` for a freshly initialised head, ``source`` to keep the source's own output layer.
        learner: ``network``, or ``pixels`` for scikit-learn's logistic regression on the raw pixels.
        matched: Stages that start from random weights with the mean and the spread of the source's, tensor by tensor.
        own: How a network is trained on the arm's own labelled images, from other first weights, to take the
            `transferred` stages from: the control for what cutting a network in two costs by itself.
        pull: Penalty on leaving the start, or None.
        distillation: What else the arm learns from, or None.
        low_rank: Rank of the low-rank updates that replace training the frozen stages' kernels; 0 for none.
        small: Whether the arm trains the backbone's `student` instead of the backbone.
        recalibrate: Whether running statistics are measured anew on the labelled images when training has ended.
        stale: Whether later phases run what was compiled for the first, as Keras on TensorFlow does when `trainable` is
            changed between two calls of `fit` without `compile`: with its policy, its rates and its optimiser's memory.
        input_scale: Factor on the pixels, which are in [0, 1], wherever the arm's network sees its images.
    """

    transferred: frozenset[str] = frozenset()
    phases: tuple[Phase, ...] = ()
    head: Literal["new", "source"] = "new"
    learner: Literal["network", "pixels"] = "network"
    matched: frozenset[str] = frozenset()
    own: Recipe | None = None
    pull: Pull | None = None
    distillation: Distillation | None = None
    low_rank: int = 0
    small: bool = False
    recalibrate: bool = False
    stale: bool = False
    input_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.phases and abs(sum(phase.share for phase in self.phases) - 1.0) > 1e-9:
            raise ValueError("the shares of a recipe's phases must sum to 1")
        if self.low_rank and any(phase.policy.frozen for phase in self.phases):
            raise ValueError("low-rank updates leave every kernel as it is: the phases need freeze no stage")
        if self.input_scale != 1 and not self.phases:
            raise ValueError("pictures in another range are for a network that is trained")

    @property
    def compiled(self) -> tuple[Phase, ...]:
        """The phases as they are carried out: all of them, or the first one to the end where it is never left."""
        return (replace(self.phases[0], share=1.0),) if self.stale else self.phases

    @property
    def needs_source(self) -> bool:
        """Whether any weight comes from the source model."""
        taken = bool(self.transferred) and self.own is None
        taught = self.distillation is not None and self.distillation.teacher.needs_source
        return taken or bool(self.matched) or self.head == "source" or taught

    def keeps(self, stages: Iterable[str]) -> bool:
        """Say whether it uses stages only as the source has them, statistics included, or no network at all."""
        if self.learner == "pixels":
            return True
        taken = self.own is None and not self.small and not self.low_rank and self.distillation is None
        return taken and all(
            stage in self.transferred and all(stage in phase.policy.fixed for phase in self.compiled)
            for stage in stages
        )

    def origin(self, stage: str) -> Origin:
        """Say where a stage's first weights come from."""
        if stage in self.transferred:
            return "transferred" if self.own is None else "own"
        return "matched" if stage in self.matched else "random"

    def mode(self, stage: str) -> Mode:
        """Say whether any phase trains a stage, or trains low-rank updates to it."""
        if self.low_rank:
            return "low-rank"
        return "trained" if any(phase.policy.mode(stage) == "trained" for phase in self.compiled) else "frozen"
