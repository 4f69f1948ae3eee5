"""The four scenarios: a similar or a different source × few or many labels, each cell run, each advice checked.

The textbook's advice is Yosinski's and the CS231n notes': few labels and a similar task, train a head; many and
similar, fine-tune everything; few and different, keep the early stages only; many and different, start from the
weights all the same or train from scratch. Which source is the similar one is measured before, not asserted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tlcore.errors import UserError
from tlcore.estimate import SourceScores, scores_of
from tlcore.experiment import Experiment, PairedComparison, RunRecord
from tlcore.metrics.stats import Interval
from tlcore.results import Comparison, accuracy_interval, paired_comparisons
from tlcore.saved import Saved, run_each, run_here
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from tlcore.saved import Run

STRATEGIES_COMPARED = (
    "scratch",
    "feature_extraction",
    "fine_tune_last",
    "fine_tune_all",
    "random_features",
    "pixel_baseline",
)
NEAR, FAR, TARGET = "cifar10_cars", "mnist", "cifar10_trucks"
FEW, MANY = 5, 200


@dataclass(frozen=True)
class Advice:
    """What textbooks say for one scenario.

    Args:
        similar: Whether the source is similar to the target.
        abundant: Whether there are many labels.
        strategies: What they advise, the first one first.
        sentence: Why.
    """

    similar: bool
    abundant: bool
    strategies: tuple[str, ...]
    sentence: str


TEXTBOOK: tuple[Advice, ...] = (
    Advice(True, False, ("feature_extraction",), "The features fit already and few labels would overfit a whole net."),
    Advice(True, True, ("fine_tune_all",), "The start is good and there are labels enough to train every stage."),
    Advice(False, False, ("fine_tune_last",), "Only the early, general stages are worth keeping; train what follows."),
    Advice(
        False,
        True,
        ("fine_tune_all", "scratch"),
        "There are labels enough to train everything; the source's weights are at least a start.",
    ),
)


@dataclass(frozen=True)
class ScenarioPlan:
    """What a 2 × 2 map runs.

    Args:
        near: Experiments with the similar source: few labels, many labels.
        far: The same with the different source.
    """

    near: tuple[Experiment, Experiment]
    far: tuple[Experiment, Experiment]

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """All four, in the order of `TEXTBOOK`."""
        return (*self.near, *self.far)


def plan_scenario(
    near: str = NEAR, far: str = FAR, few: Any = FEW, many: Any = MANY, given: Mapping[str, Any] | None = None
) -> ScenarioPlan:
    """Check all four cells before anything runs.

    Args:
        near: Source that should be similar to the target.
        far: Source that should be different.
        few: Labels a class where they are few.
        many: Labels a class where they are many.
        given: The other fields of the experiment.

    Returns:
        The plan.

    Raises:
        UserError: If a cell cannot be run, the sources are the same, or few is not less than many.
    """
    values: dict[str, Any] = {"target": TARGET, "strategies": STRATEGIES_COMPARED} | dict(given or {})
    for name in ("source", "labels_per_class"):
        if values.pop(name, None) is not None:
            raise UserError(f"a scenario sets {name} itself: use near and far, few and many")
    if near == far:
        raise UserError("near and far are the same source: name two")

    def cells(source: str) -> tuple[Experiment, Experiment]:
        scarce, plenty = (Experiment.of(**values, source=source, labels_per_class=labels) for labels in (few, many))
        if scarce.labels_per_class >= plenty.labels_per_class:
            raise UserError(f"few ({few}) must be less than many ({many})")
        return scarce, plenty

    return ScenarioPlan(cells(near), cells(far))


class Cell(Saved):
    """One measured scenario.

    Args:
        similar: Whether the source is the one that was measured to be more similar.
        abundant: Whether there are many labels.
        comparison: What was measured.
    """

    similar: bool
    abundant: bool
    comparison: Comparison

    @property
    def candidates(self) -> tuple[str, ...]:
        """The strategies that advice can name: all but the controls."""
        return tuple(name for name in self.comparison.experiment.strategies if STRATEGIES[name].kind != "control")

    @property
    def best(self) -> str:
        """The candidate with the highest mean test accuracy."""
        return measured_best(self.comparison.records, self.candidates)

    @property
    def best_interval(self) -> Interval:
        """Its mean test accuracy with the t interval over seeds."""
        best = self.best
        return accuracy_interval([record for record in self.comparison.records if record.strategy == best])

    @property
    def as_good(self) -> tuple[str, ...]:
        """The best and every candidate whose paired difference from it has an interval that contains zero."""
        return not_distinguishable(self.comparison.records, self.candidates)

    @property
    def advice(self) -> Advice:
        """What textbooks say."""
        return next(item for item in TEXTBOOK if (item.similar, item.abundant) == (self.similar, self.abundant))

    @property
    def verdict(
        self,
    ) -> Literal["is the measured best", "as good as the best", "does not hold", "one seed: no verdict"]:
        """Whether the textbook's advice holds here, by the paired interval of its difference from the best."""
        if self.best in self.advice.strategies:
            return "is the measured best"
        if self.comparison.experiment.seeds == 1:
            return "one seed: no verdict"
        return "as good as the best" if set(self.advice.strategies) & set(self.as_good) else "does not hold"

    @property
    def shortfall(self) -> PairedComparison | None:
        """Difference of what is advised (the better of two) from the best, paired by seed; None if it is the best."""
        if self.best in self.advice.strategies:
            return None
        found = paired_comparisons(self.comparison.records, self.best)
        advised = [item for item in found if item.strategy in self.advice.strategies]
        return max(advised, key=lambda item: item.mean_difference, default=None)

    def sentence(self) -> str:
        """The cell in one sentence, from its records."""
        source = "similar" if self.similar else "different"
        labels = "many" if self.abundant else "few"
        said = " or ".join(STRATEGIES[name].title for name in self.advice.strategies)
        text = (
            f"{source.capitalize()} source, {labels} labels: {STRATEGIES[self.best].title} is best "
            f"({self.best_interval.mean:.1%}); the textbook says {said}: {self.verdict}"
        )
        short = self.shortfall
        if short is None:
            return f"{text}."
        ends = "" if short.ci_low is None else f" ({100 * short.ci_low:+.1f} to {100 * (short.ci_high or 0):+.1f})"
        return f"{text}, {100 * short.mean_difference:+.1f} points{ends}."


class Scenario(Saved):
    """A measured 2 × 2 map.

    Args:
        near: What the estimators say of the similar source, on the few labels.
        far: What they say of the different source.
        cells: Similar few, similar many, different few, different many.
    """

    kind: ClassVar[str] = "a scenario map"
    near: SourceScores
    far: SourceScores
    cells: tuple[Cell, Cell, Cell, Cell]

    @property
    def distances(self) -> tuple[float | None, float | None]:
        """Mean proxy A-distance of the similar and of the different source; None where it could not be measured."""
        ends = (scores.interval("proxy_a_distance") for scores in (self.near, self.far))
        near, far = (None if end is None else end.mean for end in ends)
        return near, far

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """Every record, cell by cell."""
        return tuple(record for cell in self.cells for record in cell.comparison.records)

    def table(self) -> pd.DataFrame:
        """One row a cell: the measured best, what is as good, the textbook's advice, whether it holds."""
        from tlcore.views.sweeps import scenario_table

        return scenario_table(self)


def scenario(
    plan: ScenarioPlan, run: Run = run_here, scores: Callable[[Experiment], SourceScores] = scores_of
) -> Scenario:
    """Measure which source is nearer, then run the four cells.

    Args:
        plan: What to run.
        run: Runs one comparison; in this process unless given.
        scores: Measures a source's similarity.

    Returns:
        The map.

    Raises:
        UserError: If the source that was named near is measured to be the farther one, or data cannot be had.
        Stopped: If `run` was asked to stop.
    """
    near, far = scores(plan.near[0]), scores(plan.far[0])
    ends = near.interval("proxy_a_distance"), far.interval("proxy_a_distance")
    if ends[0] is not None and ends[1] is not None and ends[0].mean >= ends[1].mean:
        raise UserError(
            f"{near.source} is no nearer to {plan.near[0].target} than {far.source} (proxy A-distance "
            f"{ends[0].mean:.2f} and {ends[1].mean:.2f}): exchange them or name other sources"
        )
    measured = run_each(plan.experiments, run)
    places = ((item.similar, item.abundant) for item in TEXTBOOK)
    first, second, third, fourth = (
        Cell(similar=similar, abundant=abundant, comparison=comparison)
        for (similar, abundant), comparison in zip(places, measured, strict=True)
    )
    return Scenario(near=near, far=far, cells=(first, second, third, fourth))


def measured_best(records: Sequence[RunRecord], candidates: Sequence[str]) -> str:
    """The candidate with the highest mean test accuracy, the first of equals.

    Args:
        records: Records of one experiment.
        candidates: Strategies among them.

    Returns:
        Its name.
    """
    means = {
        name: accuracy_interval([record for record in records if record.strategy == name]).mean for name in candidates
    }
    return max(candidates, key=lambda name: means[name])


def not_distinguishable(records: Sequence[RunRecord], candidates: Sequence[str]) -> tuple[str, ...]:
    """The best candidate and all that cannot be told from it.

    Args:
        records: Records of one experiment.
        candidates: Strategies among them.

    Returns:
        In the order of the candidates: the best, and those whose difference from it, paired by seed, has a 95 % t
        interval that contains zero. With one seed only the best.
    """
    best = measured_best(records, candidates)
    against = {item.strategy: item for item in paired_comparisons(records, best)}
    return tuple(
        name
        for name in candidates
        if name == best or (name in against and against[name].verdict == "no clear difference")
    )
