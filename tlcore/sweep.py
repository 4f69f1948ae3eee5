"""Sweeps: the same comparison at several values of one factor, everything else held.

Nothing here imports Keras until an arm is trained: a page plans a sweep, and draws one, with these functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from tlcore.errors import UserError, unknown_name
from tlcore.experiment import DEFAULT_STRATEGIES, Experiment, PairedComparison, RunRecord
from tlcore.metrics.curves import LabelEfficiency, Measurement, label_efficiencies, quantities
from tlcore.metrics.stats import Interval, mean_interval
from tlcore.results import Comparison, accuracy_interval, paired_comparisons
from tlcore.saved import Saved, run_each, run_here

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import plotly.graph_objects as go

    from tlcore.saved import Run

Value = str | int | float | None


@dataclass(frozen=True)
class Factor:
    """A field of `Experiment` that can be swept.

    Args:
        field: Name of the field.
        title: What an axis calls it.
        sentence: What sweeping it finds out.
        strategies: What is compared unless something else is asked for.
        log: Whether equal steps of it are equal ratios.
    """

    field: str
    title: str
    sentence: str
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    log: bool = False


CUT_STRATEGIES = (
    "scratch",
    "copy_frozen",
    "copy_fine_tuned",
    "self_copy_frozen",
    "self_copy_fine_tuned",
    "random_copy_frozen",
)
FACTORS: dict[str, Factor] = {
    factor.field: factor
    for factor in (
        Factor(
            "labels_per_class",
            "Labels a class",
            "How much transfer gains with few labels and how little is left of it with many (He et al. 2019).",
            log=True,
        ),
        Factor(
            "cut",
            "Stages copied",
            "How general each stage is: copies of the first n, frozen or trained on (Yosinski et al. 2014).",
            CUT_STRATEGIES,
        ),
        Factor(
            "source", "Source", "What it matters where the knowledge comes from: near, far, noise, shuffled labels."
        ),
        Factor(
            "source_images",
            "Source images",
            "How much the source has to know: the same source learned from fewer pictures.",
            log=True,
        ),
        Factor("backbone", "Backbone", "What the architecture adds: shallow and deep nets at the same budget."),
        Factor(
            "learning_rate",
            "Learning rate",
            "How a low rate protects what was learned, and what a high one forgets.",
            ("scratch", "fine_tune_last", "fine_tune_all", "lp_ft"),
            log=True,
        ),
        Factor("steps", "Optimiser steps", "Whether transfer gains accuracy or only time.", log=True),
        Factor(
            "unfreeze_at",
            "Share of the steps before unfreezing",
            "When to stop training the head alone and let the backbone move.",
            ("scratch", "fine_tune_all", "lp_ft", "fastai_fine_tune"),
        ),
        Factor("target", "Target", "The same source for several tasks."),
        Factor("batch_size", "Images a step", "Whether what is found depends on the batch size.", log=True),
        Factor("augmentation", "Augmentation", "Whether changed pictures stand in for knowledge of other ones."),
        Factor(
            "normalization",
            "Batch normalisation",
            "What running statistics do to fine-tuning; for networks that have them.",
        ),
        Factor(
            "image_size",
            "Input side in pixels",
            "How small pictures may be for a network with ImageNet weights.",
            ("feature_extraction", "fine_tune_last", "pixel_baseline"),
            log=True,
        ),
    )
}
ALIASES = {"depth": "backbone", "source_size": "source_images"}


@dataclass(frozen=True)
class Point:
    """One strategy at one value of the factor.

    Args:
        value: The value.
        strategy: The strategy.
        accuracy: Test accuracy over seeds.
        difference: Its difference from training from scratch, paired by seed; None for scratch itself, or without it.
        quantities: What `tlcore.metrics.curves` measures of it, by name. The threshold of the times to threshold is
            nine tenths of where scratch ends at this value.
        weight_change: ``‖w - w₀‖ / ‖w₀‖`` over seeds, by stage.
        feature_change: ``mean ‖f - f₀‖² / mean ‖f₀‖²`` over seeds, by stage.
        label_efficiency: How many times the labels scratch needs for this accuracy; in sweeps over labels only.
    """

    value: Value
    strategy: str
    accuracy: Interval
    difference: PairedComparison | None
    quantities: dict[str, Measurement]
    weight_change: dict[str, Interval]
    feature_change: dict[str, Interval]
    label_efficiency: LabelEfficiency | None


@dataclass(frozen=True)
class Plan:
    """What a sweep runs: one experiment a value, equal in everything else.

    Args:
        factor: Name of the factor.
        experiments: One a value, in the order given.
    """

    factor: str
    experiments: tuple[Experiment, ...]


def plan_sweep(vary: str, given: Mapping[str, Any] | None = None) -> Plan:
    """Read what is to be varied and check every value before anything runs.

    Args:
        vary: ``FACTOR=VALUE,VALUE,…``, for instance ``labels_per_class=5,10,20``.
        given: The other fields of the experiment; strategies that are not given are the factor's own.

    Returns:
        The plan.

    Raises:
        UserError: If the factor is unknown, the values are fewer than two or repeated, or one of them cannot be run.
    """
    name, equals, text = vary.partition("=")
    name = name.strip().replace("-", "_")
    name = ALIASES.get(name, name)
    if name not in FACTORS:
        raise UserError(unknown_name("factor", name, [*FACTORS, *ALIASES]))
    texts = [part.strip() for part in text.split(",") if part.strip()]
    if not equals or len(texts) < 2:
        raise UserError(f"--vary needs two values or more: {name}=VALUE,VALUE,…")
    fixed = dict(given or {})
    if fixed.pop(name, None) is not None:
        raise UserError(f"{name} is varied, so it cannot be fixed too: leave --{name.replace('_', '-')} out")
    fixed.setdefault("strategies", FACTORS[name].strategies)
    experiments: list[Experiment] = []
    for part in texts:
        automatic = part == "auto" and Experiment.model_fields[name].default is None
        try:
            experiments.append(Experiment.of(**fixed, **{name: None if automatic else part}))
        except UserError as error:
            raise UserError(f"{name}={part}: {error}") from None
    values = [getattr(experiment, name) for experiment in experiments]
    if len(set(values)) != len(values):
        raise UserError(f"{name}: a value is named twice: name each once")
    return Plan(name, tuple(experiments))


def sweep(plan: Plan, run: Run = run_here) -> Sweep:
    """Run a plan.

    Args:
        plan: What to run.
        run: Runs one comparison; in this process unless given. What is the same arm at two values is trained once.

    Returns:
        The sweep.

    Raises:
        UserError: If data or a source model cannot be had.
        Stopped: If `run` was asked to stop.
    """
    return Sweep(factor=plan.factor, comparisons=run_each(plan.experiments, run))


class Sweep(Saved):
    """A finished sweep.

    Args:
        factor: Name of the factor.
        comparisons: One comparison a value, in the order given.
    """

    kind: ClassVar[str] = "a sweep"
    factor: str
    comparisons: tuple[Comparison, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """The factor's values, in the order given."""
        return tuple(getattr(comparison.experiment, self.factor) for comparison in self.comparisons)

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """Every record, value by value."""
        return tuple(record for comparison in self.comparisons for record in comparison.records)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies compared, in order."""
        return self.comparisons[0].experiment.strategies

    def accuracy(self, strategy: str) -> tuple[Interval, ...]:
        """Mean test accuracy of a strategy with its t interval over seeds, value by value."""
        return tuple(
            accuracy_interval([record for record in comparison.records if record.strategy == strategy])
            for comparison in self.comparisons
        )

    def differences(self, strategy: str, baseline: str = "scratch") -> tuple[PairedComparison | None, ...]:
        """Difference of a strategy from a baseline, paired by seed, value by value; None where either was not run."""
        return tuple(
            next((item for item in paired_comparisons(comparison.records, baseline) if item.strategy == strategy), None)
            for comparison in self.comparisons
        )

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every strategy at every value, value by value."""
        efficiencies = (
            label_efficiencies(self.records)
            if self.factor == "labels_per_class" and "scratch" in self.strategies and len(self.comparisons) > 1
            else {}
        )
        return tuple(
            self._point(at, strategy, measured, efficiencies)
            for at, comparison in enumerate(self.comparisons)
            for measured in (quantities(comparison.records),)
            for strategy in self.strategies
        )

    def _point(
        self,
        at: int,
        strategy: str,
        measured: Sequence[Measurement],
        efficiencies: Mapping[tuple[str, int], LabelEfficiency],
    ) -> Point:
        records = [record for record in self.comparisons[at].records if record.strategy == strategy]
        return Point(
            value=self.values[at],
            strategy=strategy,
            accuracy=self.accuracy(strategy)[at],
            difference=self.differences(strategy)[at],
            quantities={row.quantity: row for row in measured if row.strategy == strategy},
            weight_change=_by_stage([record.weight_change for record in records]),
            feature_change=_by_stage([record.feature_change for record in records]),
            label_efficiency=efficiencies.get((strategy, self.comparisons[at].experiment.labels_per_class)),
        )

    def table(self) -> pd.DataFrame:
        """One row a value and strategy: accuracy, difference from scratch, every quantity with its interval."""
        from tlcore.views.sweeps import sweep_table

        return sweep_table(self)

    def figure(self) -> go.Figure:
        """Accuracy against the factor, one line a strategy, with t intervals."""
        from tlcore.views.sweeps import sweep_figure

        return sweep_figure(self)


def _by_stage(changes: Sequence[dict[str, float]]) -> dict[str, Interval]:
    """Mean and interval of every stage that all seeds have (one that diverged may have none)."""
    stages = [name for name in changes[0] if all(name in change for change in changes)] if changes else []
    return {name: mean_interval([change[name] for change in changes]) for name in stages}
