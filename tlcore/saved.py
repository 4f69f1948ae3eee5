"""What experiments of several comparisons share: results with one JSON form, and arms that are trained once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tlcore.data.external import SOURCES
from tlcore.errors import UserError
from tlcore.experiment import DatasetUse, Experiment, RunRecord
from tlcore.results import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    Run = Callable[[Experiment], Comparison]


class Saved(BaseModel):
    """A frozen result that comes back from its JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str] = "result"

    def to_json(self) -> str:
        """The result as JSON text; `from_json` reads it back."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON text.

        Returns:
            The result.

        Raises:
            UserError: If the text is something else.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "text"
            raise UserError(f"this file is not {cls.kind} written by tlcore: {where}: {first['msg'][:120]}") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a result from a file.

        Args:
            path: The file.

        Returns:
            The result.

        Raises:
            UserError: If the file cannot be read or is something else.
        """
        return cls.from_json(read_text(path))


def read_text(path: Path) -> str:
    """Read a text file.

    Args:
        path: The file.

    Returns:
        Its text.

    Raises:
        UserError: If it cannot be read or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a file written by tlcore: it is not text") from None


def records_in(path: Path) -> tuple[RunRecord, ...]:
    """Every record in a file, whichever result it holds.

    Args:
        path: A file that any command wrote with ``--json``.

    Returns:
        The records, each arm once.

    Raises:
        UserError: If the file cannot be read or holds no record.
    """
    try:
        values = json.loads(read_text(path))
        records = [RunRecord.model_validate(value) for value in _record_values(values)]
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is not a file written by tlcore: {str(error).splitlines()[0]}") from None
    if not records:
        raise UserError(f"{path} holds no record: name a file that a command wrote with --json")
    arms = {(record.experiment.arm_hash(record.strategy, record.seed)): record for record in records}
    return tuple(arms.values())


def _record_values(values: Any) -> Iterator[dict[str, Any]]:
    if isinstance(values, dict):
        if {"experiment", "strategy", "seed", "confusion"} <= set(values):
            yield values
            return
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _record_values(value)


def run_here(experiment: Experiment) -> Comparison:
    """Run a comparison in this process, finding the arms that were trained before.

    Args:
        experiment: What to run.

    Returns:
        The comparison.
    """
    from tlcore.archive import Archive
    from tlcore.runner import compare  # loads Keras, which a process that only plans may not

    return compare(experiment, archive=Archive())


def run_each(experiments: Sequence[Experiment], run: Run) -> tuple[Comparison, ...]:
    """Run several experiments, training once what is the same arm in two of them.

    A sweep over the cut changes nothing about training from scratch, and another source nothing about an arm that
    takes no weights from it (as long as the images are fitted to the same input).

    Args:
        experiments: What to run.
        run: Runs one comparison.

    Returns:
        One comparison an experiment, its records in the experiment's order.
    """
    comparisons: list[Comparison] = []
    for experiment in experiments:
        before = (record for comparison in comparisons for record in comparison.records)
        found = {(record.strategy, record.seed): record for record in shared_arms(before, experiment)}
        missing = tuple(
            name for name in experiment.strategies if any((name, seed) not in found for seed in experiment.seed_values)
        )
        if missing:
            for record in run(experiment.model_copy(update={"strategies": missing})).records:
                found[record.strategy, record.seed] = record.model_copy(update={"experiment": experiment})
        records = [found[strategy, seed] for strategy in experiment.strategies for seed in experiment.seed_values]
        comparisons.append(Comparison(experiment, tuple(records)))
    return tuple(comparisons)


def shared_arms(records: Iterable[RunRecord], experiment: Experiment) -> list[RunRecord]:
    """Find the records that are arms of another experiment too.

    Args:
        records: Records of any experiments.
        experiment: The experiment that might have the same arms.

    Returns:
        Copies that name the experiment.
    """
    return [
        _renamed(record, experiment)
        for record in records
        if record.strategy in experiment.strategies
        and record.seed in experiment.seed_values
        and _essence(record.experiment, record.strategy) == _essence(experiment, record.strategy)
    ]


def _essence(experiment: Experiment, strategy: str) -> tuple[Any, ...]:
    """Everything about an experiment that bears on one of its arms."""
    recipe = experiment.recipe(strategy)
    # What the recipe already says, and what is not about one arm.
    without = {"strategies", "seeds", "first_seed", "cut", "unfreeze_at", "normalization"}
    if not recipe.needs_source:
        without |= {"source", "source_images", "weights", "image_size"}
    if recipe.learner == "pixels":
        without |= {"backbone", "steps", "seconds", "batch_size", "learning_rate", "learning_rates", "precision"}
        without |= {"augmentation"}
    return recipe, experiment.shape, experiment.model_dump(exclude=without)


def _renamed(record: RunRecord, experiment: Experiment) -> RunRecord:
    update: dict[str, Any] = {"experiment": experiment}
    if record.experiment.source != experiment.source:
        known = SOURCES[experiment.source]
        unused = DatasetUse(
            name=known.name,
            title=known.title,
            provenance="not used by this arm",
            sha256="",
            classes=known.classes if isinstance(known.classes, tuple) else (),
        )
        update["datasets"] = {**record.datasets, "source": unused}
    return record.model_copy(update=update)
