"""Advice that rests on measurements: the strategy that gained most in the measured cells nearest to what is asked.

The cells are an atlas of small comparisons (`data/records/atlas/atlas.json`, made by ``python -m tlcore atlas``). How
often the advice was right is measured too, every cell advised upon without itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tlcore.data import get_dataset
from tlcore.errors import UserError
from tlcore.estimate import SourceScores, scores_of
from tlcore.experiment import Experiment, PairedComparison
from tlcore.metrics.stats import Interval, mean_interval
from tlcore.presets import RECORDS
from tlcore.results import paired_comparison
from tlcore.saved import Saved, run_each, run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from tlcore.results import Comparison
    from tlcore.saved import Run

ATLAS = RECORDS / "atlas" / "atlas.json"
NEIGHBOURS = 3
STRATEGIES_MEASURED = ("scratch", "feature_extraction", "fine_tune_last", "fine_tune_all", "lp_ft")
BUDGETS = (5, 20, 80)
PAIRS = (
    ("drawn_digits", "mnist"),
    ("fashion_mnist", "mnist"),
    ("drawn_garments", "fashion_mnist"),
    ("mnist", "fashion_mnist"),
    ("mnist", "uci_digits"),
    ("fashion_mnist", "uci_digits"),
    ("cifar10_cars", "cifar10_trucks"),
    ("mnist", "cifar10_trucks"),
    ("noise_grey", "fashion_mnist"),
)
COORDINATES = ("labels a class, log2", "proxy A-distance", "LEEP, share of ln(classes)", "CKA with labels")
"""Where a cell lies; every one means the same for any number of classes."""


def plan_atlas() -> tuple[Experiment, ...]:
    """The experiments of the atlas.

    Returns:
        One a pair of tasks and label budget, all with the same small budget of steps and rates.
    """
    return tuple(
        Experiment.of(
            source=source,
            target=target,
            backbone="cnn_small",
            strategies=STRATEGIES_MEASURED,
            labels_per_class=labels,
            seeds=3,
            steps=200,
            learning_rates=(1e-3, 3e-3),
            precision="float32",
        )
        for source, target in PAIRS
        for labels in BUDGETS
    )


class AtlasArm(Saved):
    """One arm of a measured cell.

    Args:
        strategy: Its strategy.
        seed: Its seed.
        test_accuracy: Accuracy on the test images, in [0, 1].
        arm_hash: Its hash, under which an `Archive` finds it.
        created: When it was finished (UTC).
    """

    strategy: str
    seed: int
    test_accuracy: float
    arm_hash: str
    created: datetime


class AtlasCell(Saved):
    """One measured comparison, without its curves.

    Args:
        experiment: What was run, so that it can be run again.
        content_hash: Hash of the experiment.
        scores: What the estimators said before.
        arms: What was measured.
        machine: Where.
    """

    experiment: Experiment
    content_hash: str
    scores: SourceScores
    arms: tuple[AtlasArm, ...]
    machine: str

    @classmethod
    def of(cls, comparison: Comparison, scores: SourceScores) -> AtlasCell:
        """Keep what advice needs of a comparison.

        Args:
            comparison: What was measured.
            scores: What the estimators said of the same images.

        Returns:
            The cell.
        """
        experiment = comparison.experiment
        arms = tuple(
            AtlasArm(
                strategy=record.strategy,
                seed=record.seed,
                test_accuracy=record.test_accuracy,
                arm_hash=experiment.arm_hash(record.strategy, record.seed),
                created=record.created,
            )
            for record in comparison.records
        )
        machine = comparison.records[0].environment.machine
        return cls(
            experiment=experiment, content_hash=experiment.content_hash(), scores=scores, arms=arms, machine=machine
        )

    @property
    def pair(self) -> tuple[str, str]:
        """Source and target."""
        return self.experiment.source, self.experiment.target

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies measured."""
        return self.experiment.strategies

    @property
    def measured(self) -> datetime:
        """When its last arm was finished (UTC)."""
        return max(arm.created for arm in self.arms)

    def accuracies(self, strategy: str) -> list[float]:
        """Test accuracies of a strategy, seeds ascending."""
        arms = sorted((arm for arm in self.arms if arm.strategy == strategy), key=lambda arm: arm.seed)
        return [arm.test_accuracy for arm in arms]

    def difference(self, strategy: str, baseline: str = "scratch") -> PairedComparison:
        """Difference of a strategy from a baseline, paired by seed."""
        return paired_comparison(strategy, baseline, self.accuracies(strategy), self.accuracies(baseline))

    @property
    def best(self) -> str:
        """The strategy with the highest mean test accuracy, the first of equals."""
        return max(self.strategies, key=lambda name: float(np.mean(self.accuracies(name))))

    def regret(self, strategy: str) -> float:
        """How far the mean accuracy of a strategy lies below the best one's, in accuracy; 0 for the best."""
        return float(np.mean(self.accuracies(self.best)) - np.mean(self.accuracies(strategy)))

    def as_good(self, strategy: str) -> bool:
        """Whether a strategy is the best, or its difference from it has an interval that contains zero."""
        return strategy == self.best or self.difference(strategy, self.best).verdict == "no clear difference"


class Neighbour(Saved):
    """A measured cell that advice rests on.

    Args:
        cell: The cell.
        distance: How far it is: root mean square over `COORDINATES`, each in standard deviations of the atlas.
    """

    cell: AtlasCell
    distance: float


class Recommendation(Saved):
    """A strategy named for a task, and what the naming rests on.

    Args:
        experiment: What was asked about.
        scores: What the estimators say of it.
        strategy: The advised strategy.
        gains: Mean gain over training from scratch in the neighbours, by strategy; the advised one's is the highest.
        neighbours: The cells it rests on, the nearest first.
        reach: Largest distance of any cell of the atlas from its nearest: beyond it nothing is known.
        warnings: What to know before following the advice.
    """

    kind: ClassVar[str] = "advice"
    experiment: Experiment
    scores: SourceScores
    strategy: str
    gains: dict[str, float]
    neighbours: tuple[Neighbour, ...]
    reach: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """How a way of choosing a strategy did over the cells of the atlas.

    Args:
        name: What it does.
        best: Cells in which its choice was the measured best.
        as_good: Cells in which it was the best or not distinguishable from it.
        cells: Cells in all.
        regret: Mean accuracy lost against the measured best, with its t interval over the pairs of tasks (cells of one
            pair share their images, so the pairs are what repeats).
        worst: Largest loss in one cell.
    """

    name: str
    best: int
    as_good: int
    cells: int
    regret: Interval
    worst: float


class Atlas(Saved):
    """Measured cells.

    Args:
        cells: The cells.
    """

    kind: ClassVar[str] = "an atlas"
    cells: tuple[AtlasCell, ...]

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        return np.array([position(cell.experiment, cell.scores) for cell in self.cells])

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        deviations = self.positions.std(axis=0)
        return np.where(deviations > 0, deviations, 1.0)

    @cached_property
    def reach(self) -> float:
        """Largest distance of a cell from the nearest other one."""
        return max(float(np.delete(self._distances(place), at).min()) for at, place in enumerate(self.positions))

    def _distances(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(np.square((self.positions - place) / self.scale).mean(axis=1))

    def nearest(
        self, place: Sequence[float], count: int = NEIGHBOURS, without: Callable[[AtlasCell], bool] = lambda _: False
    ) -> tuple[Neighbour, ...]:
        """The nearest cells.

        Args:
            place: A position, as `position` gives it.
            count: How many.
            without: Says which cells may not be used.

        Returns:
            Cells with their distances, the nearest first.
        """
        distances = self._distances(np.asarray(place, dtype=np.float64))
        usable = [at for at in np.argsort(distances, kind="stable") if not without(self.cells[at])]
        return tuple(Neighbour(cell=self.cells[at], distance=float(distances[at])) for at in usable[:count])

    def report(self) -> tuple[Policy, ...]:
        """How good the advice is, beside policies that always say the same.

        Returns:
            The advice with the cell itself left out; with all cells of its pair of tasks left out, which is the honest
            figure for a new pair; each constant policy.
        """
        places = dict(zip((cell.content_hash for cell in self.cells), self.positions.tolist(), strict=True))

        def advised(without: Callable[[AtlasCell, AtlasCell], bool]) -> dict[str, str]:
            return {
                cell.content_hash: _choose(
                    self.nearest(places[cell.content_hash], without=lambda other, cell=cell: without(cell, other))
                )[0]
                for cell in self.cells
            }

        chosen = {
            "advice, the cell left out": advised(lambda cell, other: cell.content_hash == other.content_hash),
            "advice, its pair of tasks left out": advised(lambda cell, other: cell.pair == other.pair),
        }
        for strategy in self.cells[0].strategies:
            chosen[f"always {strategy}"] = {cell.content_hash: strategy for cell in self.cells}
        return tuple(self._policy(name, choice) for name, choice in chosen.items())

    def _policy(self, name: str, choice: Mapping[str, str]) -> Policy:
        regrets: dict[tuple[str, str], list[float]] = {}
        for cell in self.cells:
            regrets.setdefault(cell.pair, []).append(cell.regret(choice[cell.content_hash]))
        return Policy(
            name=name,
            best=sum(choice[cell.content_hash] == cell.best for cell in self.cells),
            as_good=sum(cell.as_good(choice[cell.content_hash]) for cell in self.cells),
            cells=len(self.cells),
            regret=mean_interval([float(np.mean(values)) for values in regrets.values()]),
            worst=max(max(values) for values in regrets.values()),
        )

    def table(self) -> pd.DataFrame:
        """One row a policy: how often it was right, and what it lost."""
        from tlcore.views.sweeps import policies_table

        return policies_table(self.report())


def position(experiment: Experiment, scores: SourceScores) -> tuple[float, ...]:
    """Where a question lies among the measured cells.

    Args:
        experiment: What is asked about.
        scores: What the estimators say of it.

    Returns:
        The `COORDINATES`.

    Raises:
        UserError: If a score is missing: similarity that was not measured cannot be compared.
    """
    classes = len(get_dataset(experiment.target).classes)
    means: dict[str, float] = {}
    for name in ("proxy_a_distance", "leep", "cka_labels"):
        interval = scores.interval(name)
        if interval is None:
            reason = scores.missing.get(name, "it was not measured")
            raise UserError(f"advice needs {name} of {scores.source} for {experiment.target}: {reason}")
        means[name] = interval.mean
    return (
        math.log2(experiment.labels_per_class),
        means["proxy_a_distance"],
        1 + means["leep"] / math.log(classes),
        means["cka_labels"],
    )


def advise(experiment: Experiment, scores: SourceScores, atlas: Atlas) -> Recommendation:
    """Name a strategy for a task.

    Args:
        experiment: Source, target, backbone and label budget.
        scores: What the estimators say of them, as `tlcore.estimate.scores_of` gives it.
        atlas: The measured cells.

    Returns:
        The advice and what it rests on.

    Raises:
        UserError: If nothing measured is near: the nearest cell is more than twice as far as any cell of the atlas is
            from its own nearest.
    """
    near = atlas.nearest(position(experiment, scores))
    first = near[0]
    if first.distance > 2 * atlas.reach:
        raise UserError(
            f"no measured cell is near: the nearest ({_named(first.cell)}) is at distance {first.distance:.2f}, and "
            f"cells of the atlas lie at most {atlas.reach:.2f} apart: measure it with `tlcore compare`"
        )
    warnings: list[str] = []
    if first.distance > atlas.reach:
        warnings.append(
            f"the nearest measured cell ({_named(first.cell)}) is at distance {first.distance:.2f}, farther than any "
            f"cell of the atlas from its own nearest ({atlas.reach:.2f}): the advice is a guess"
        )
    if experiment.backbone != first.cell.experiment.backbone:
        warnings.append(f"the cells were measured with {first.cell.experiment.backbone}, not {experiment.backbone}")
    strategy, gains = _choose(near)
    return Recommendation(
        experiment=experiment,
        scores=scores,
        strategy=strategy,
        gains=gains,
        neighbours=near,
        reach=atlas.reach,
        warnings=tuple(warnings),
    )


def measure_atlas(
    run: Run = run_here,
    scores: Callable[[Experiment], SourceScores] = scores_of,
    experiments: Sequence[Experiment] | None = None,
) -> Atlas:
    """Measure the cells of the atlas.

    Args:
        run: Runs one comparison; in this process unless given.
        scores: Measures a source's similarity.
        experiments: What to measure; `plan_atlas` unless given.

    Returns:
        The atlas.

    Raises:
        UserError: If data or a source model cannot be had.
        Stopped: If `run` was asked to stop.
    """
    asked = plan_atlas() if experiments is None else tuple(experiments)
    comparisons = run_each(asked, run)
    return Atlas(cells=tuple(AtlasCell.of(item, scores(item.experiment)) for item in comparisons))


def _choose(neighbours: Sequence[Neighbour]) -> tuple[str, dict[str, float]]:
    """The strategy with the highest mean gain over the cells, and all gains, highest first."""
    gains: dict[str, Any] = {
        name: float(np.mean([n.cell.difference(name).mean_difference for n in neighbours]))
        for name in neighbours[0].cell.strategies
    }
    ordered = dict(sorted(gains.items(), key=lambda item: -item[1]))
    return next(iter(ordered)), ordered


def _named(cell: AtlasCell) -> str:
    return f"{cell.experiment.source} → {cell.experiment.target}, {cell.experiment.labels_per_class} labels a class"
