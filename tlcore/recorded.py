"""Recorded results that ship with the project, and single numbers read from them: no text holds a typed one."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tlcore.errors import UserError, unknown_name
from tlcore.estimate import Estimate
from tlcore.metrics.curves import quantities
from tlcore.metrics.stats import Interval, mean_interval, paired_interval, verdict
from tlcore.presets import RECORDS
from tlcore.recipe import RECIPE, MeasuredRecipe
from tlcore.results import Comparison
from tlcore.saved import read_text
from tlcore.scenario import Scenario
from tlcore.sweep import Sweep

if TYPE_CHECKING:
    from tlcore.experiment import RunRecord

Recorded = Comparison | Sweep | Scenario | Estimate
Quantity = Literal[
    "accuracy",
    "difference",
    "gap",
    "gap_difference",
    "source_before",
    "source_after",
    "forgotten",
    "weight_change",
    "feature_change",
    "steps_to_threshold",
    "seconds",
    "source_seconds",
    "trainable",
    "total",
    "tau",
    "score",
    "diverged",
]
UNITS: dict[str, str] = {
    "accuracy": "%",
    "source_before": "%",
    "source_after": "%",
    "difference": "points",
    "gap": "points",
    "gap_difference": "points",
    "forgotten": "points",
    "steps_to_threshold": "steps",
    "seconds": "s",
    "source_seconds": "s",
    "trainable": "weights",
    "total": "weights",
}
"""What a quantity is counted in; the others are plain numbers."""


class Number(BaseModel, frozen=True, extra="forbid"):
    """One number in a recorded result.

    Args:
        record: Name of the recorded result: a file in ``data/records``.
        strategy: The arm it is about; in the recipe, the step.
        value: What of it. ``gap`` is training less test accuracy, ``gap_difference`` its difference from the baseline;
            ``forgotten`` what the source's test accuracy lost; the changes are relative, over all stages or of one;
            ``steps_to_threshold`` asks for nine tenths of where scratch ends; ``seconds`` are of one arm's training,
            ``source_seconds`` of the source model's; ``trainable`` and ``total`` count weights; ``tau`` and ``score``
            are an estimate's; ``diverged`` is the share of seeds.
        at: In a sweep the factor's value, in a scenario map ``near few``, ``near many``, ``far few`` or ``far many``,
            in an estimate the source that ``score`` is about.
        against: Baseline of a difference; in the recipe, the step before unless another is named.
        stage: Stage of a change; None for the mean over the stages.
        score: Name of an estimate's score.
    """

    record: str
    value: Quantity
    strategy: str = ""
    at: str | int | float | None = None
    against: str = "scratch"
    stage: str | None = None
    score: str = ""

    def read(self) -> Interval:
        """Read it.

        Returns:
            Mean and 95 % t interval over seeds; accuracies and differences in percent and percentage points.

        Raises:
            UserError: If the record is not here, or does not hold it.
        """
        return _measured(self, _path(self.record).stat().st_mtime_ns)

    def measure(self) -> Interval:
        """Work it out: what `read` keeps until the recorded result changes."""
        if self.record == RECIPE.stem:
            return self._of_recipe()
        found = read_recorded(self.record)
        if isinstance(found, Estimate):
            return self._of_estimate(found)
        records = comparison_at(found, self.at).records
        if self.value == "steps_to_threshold":
            for row in quantities(records):
                if (row.strategy, row.quantity) == (self.strategy, self.value):
                    if row.interval is None:
                        break
                    return row.interval
            raise UserError(f"{self.record}: {self.strategy} does not reach the threshold with every seed")
        if self.value in ("difference", "gap_difference"):
            ours, theirs = self._by_seed(records, self.strategy), self._by_seed(records, self.against)
            shared = sorted(ours.keys() & theirs.keys())
            if not shared:
                raise UserError(f"{self.record}: {self.against} has no seed in common with {self.strategy}")
            return paired_interval([ours[seed] for seed in shared], [theirs[seed] for seed in shared])
        return mean_interval(list(self._by_seed(records, self.strategy).values()))

    def _by_seed(self, records: tuple[RunRecord, ...], strategy: str) -> dict[int, float]:
        values = {
            record.seed: value
            for record in records
            if record.strategy == strategy and (value := self._of(record)) is not None
        }
        if not values:
            raise UserError(f"{self.record} holds no {self.value} of {strategy or 'no strategy'} at {self.at}")
        return values

    def _of(self, record: RunRecord) -> float | None:
        match self.value:
            case "accuracy" | "difference":
                return 100 * record.test_accuracy
            case "gap" | "gap_difference":
                return 100 * (record.train_accuracy - record.test_accuracy)
            case "source_before" | "source_after":
                kept = getattr(record, f"source_accuracy_{self.value.removeprefix('source_')}")
                return None if kept is None else 100 * kept
            case "forgotten":
                before, after = record.source_accuracy_before, record.source_accuracy_after
                return None if before is None or after is None else 100 * (before - after)
            case "weight_change" | "feature_change":
                changes: dict[str, float] = getattr(record, self.value)
                if self.stage:
                    return changes.get(self.stage)
                stages = [change for name, change in changes.items() if name != "head"]
                return mean(stages) if stages else None
            case "seconds":
                return record.seconds
            case "source_seconds":
                return record.source_model.seconds if record.source_model else None
            case "trainable":
                return record.trainable_parameters
            case "total":
                return record.total_parameters
            case "diverged":
                return float(record.status == "diverged")
            case _:
                return None

    def _of_recipe(self) -> Interval:
        recipe = MeasuredRecipe.read(_path(self.record))
        match self.value:
            case "accuracy" | "seconds" | "trainable":
                return recipe.interval(self.strategy, self.value)
            case "difference":
                given = "against" in self.model_fields_set
                return recipe.difference(self.strategy, self.against if given else None)
            case _:
                raise UserError(f"{self.record} holds no {self.value}")

    def _of_estimate(self, found: Estimate) -> Interval:
        if self.value == "tau":
            for item in found.agreements:
                if (item.score, item.strategy) == (self.score, self.strategy):
                    return Interval(item.weighted_tau, None, None, len(item.sources))
        elif self.value == "score":
            for source in found.sources:
                if source.source == self.at and (interval := source.interval(self.score)) is not None:
                    return interval
        raise UserError(f"{self.record} holds no {self.value} of {self.score} for {self.strategy or self.at}")


class Check(BaseModel):
    """Something that a text says and its recorded result has to bear out.

    Args:
        number: The number it is about.
        verdict: What the interval of a difference has to say.
        above: What its mean has to exceed: a plain bound or another number.
        below: What its mean has to stay under.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: Number
    verdict: Literal["helps", "hurts", "no clear difference"] | None = None
    above: Annotated[float | Number | None, Field(union_mode="left_to_right")] = None
    below: Annotated[float | Number | None, Field(union_mode="left_to_right")] = None

    def problem(self) -> str:
        """What contradicts it, in words; empty if the recorded result bears it out."""
        found = self.number.read()
        said = f"{self.number.record}, {self.number.strategy or self.number.score} at {self.number.at}"
        if self.verdict is not None and (measured := verdict(found)) != self.verdict:
            return f"{said}: the text says “{self.verdict}”, measured is “{measured}” ({found})"
        for bound, wrong in ((self.above, lambda b: found.mean <= b), (self.below, lambda b: found.mean >= b)):
            if bound is None:
                continue
            value = bound.read().mean if isinstance(bound, Number) else bound
            if wrong(value):
                return f"{said}: {found.mean:g} is on the wrong side of {value:g}"
        return ""


def read_recorded(name: str) -> Recorded:
    """Read a recorded result; a file that has changed is read again.

    Args:
        name: Name of its file in ``data/records`` without the ending.

    Returns:
        The comparison, sweep, scenario map or estimate.

    Raises:
        UserError: If it is not here or damaged.
    """
    path = _path(name)
    return _read(path, path.stat().st_mtime_ns)


def _path(name: str) -> Path:
    path = RECORDS / f"{name}.json"
    if not path.is_file():
        raise UserError(f"the recorded result “{name}” is not here: make it with `python -m tlcore record {name}`")
    return path


@lru_cache(maxsize=2048)
def _measured(number: Number, changed: int) -> Interval:
    # A page asks for the same numbers at every rerun, and steps to a threshold take 30 ms.
    return number.measure()


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Recorded:
    text = read_text(path)
    try:
        keys: set[str] = set(json.loads(text))
    except (ValueError, TypeError):
        raise UserError(f"{path.name} is damaged: make it with `python -m tlcore record {path.stem}`") from None
    kinds: dict[str, Any] = {"factor": Sweep, "cells": Scenario, "agreements": Estimate}
    kind: Any = next((kind for key, kind in kinds.items() if key in keys), Comparison)
    return kind.from_json(text)


CELLS = ("near few", "near many", "far few", "far many")


def comparison_at(found: Recorded, at: str | float | None) -> Comparison:
    """One comparison of a recorded result.

    Args:
        found: The result.
        at: Which: the factor's value in a sweep, one of `CELLS` in a scenario map; None for a comparison's own.

    Returns:
        The comparison.

    Raises:
        UserError: If there is none.
    """
    if isinstance(found, Comparison):
        return found
    by_value: dict[str, Comparison] = {}
    if isinstance(found, Sweep):
        by_value = {str(value): item for value, item in zip(found.values, found.comparisons, strict=True)}
    elif isinstance(found, Scenario):
        by_value = {name: cell.comparison for name, cell in zip(CELLS, found.cells, strict=True)}
    if str(at) not in by_value:
        raise UserError(unknown_name("value", str(at), by_value))
    return by_value[str(at)]
