"""What is loaded, what is frozen and what is trained, as values: no model is touched here.

A `Recipe` says where every stage's weights come from and which `Phase`s follow; a `Phase` says which stages a
`FreezePolicy` holds fixed. `tlcore.train` carries them out, `tlcore.views` draws them, records keep them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["frozen", "trained"]
Origin = Literal["transferred", "random"]


@dataclass(frozen=True)
class FreezePolicy:
    """Which backbone stages are held fixed; the head is always trained.

    Args:
        frozen: Names of the stages whose weights may not change.
        normalization: What normalisation layers of *trained* stages do with their running statistics. Keras 3 moves
            them under `fit` whatever ``training=`` the backbone was called with, so the choice is explicit. Frozen
            stages never move theirs.
    """

    frozen: frozenset[str] = frozenset()
    normalization: Literal["freeze", "train"] = "train"

    def mode(self, stage: str) -> Mode:
        """Say whether a stage is frozen or trained under this policy."""
        return "frozen" if stage in self.frozen else "trained"


@dataclass(frozen=True)
class Phase:
    """A stretch of training under one freeze policy, with a fresh optimiser.

    Args:
        policy: What is frozen.
        share: Share of the arm's step budget that this phase gets, in (0, 1]; the phases of a recipe sum to 1.
        rate: Factor on the arm's learning rate.
    """

    policy: FreezePolicy
    share: float = 1.0
    rate: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """How one strategy trains one arm.

    Args:
        transferred: Names of the backbone stages that start from the source's weights; the others start from the
            arm's seed, the same for every strategy.
        phases: Training phases, in order. Empty when nothing is trained.
        head: ``new`` for a freshly initialised head, ``source`` to keep the source's own output layer.
        learner: ``network``, or ``pixels`` for scikit-learn's logistic regression on the raw pixels.
    """

    transferred: frozenset[str] = frozenset()
    phases: tuple[Phase, ...] = ()
    head: Literal["new", "source"] = "new"
    learner: Literal["network", "pixels"] = "network"

    def __post_init__(self) -> None:
        if self.phases and abs(sum(phase.share for phase in self.phases) - 1.0) > 1e-9:
            raise ValueError("the shares of a recipe's phases must sum to 1")

    @property
    def needs_source(self) -> bool:
        """Whether any weight comes from the source model."""
        return bool(self.transferred) or self.head == "source"

    def origin(self, stage: str) -> Origin:
        """Say where a stage's first weights come from."""
        return "transferred" if stage in self.transferred else "random"
