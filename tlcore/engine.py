"""What a process that trains does: prepare an experiment once, then run its arms. Importing this loads Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlcore import backend
from tlcore.arm import run_arm
from tlcore.data import load
from tlcore.data.external import EXTERNAL
from tlcore.data.pairs import check_pair
from tlcore.experiment import Event, Experiment, RunRecord
from tlcore.pretrain import find_checkpoint, source_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.archive import Archive

__all__ = ["find_or_run", "needs_preparation", "prepare", "run_arm"]


def needs_preparation(experiment: Experiment) -> bool:
    """Whether anything has to be trained or measured before the arms can start.

    Args:
        experiment: What to run.

    Returns:
        True if the host's number formats are not measured yet, or a source model is wanted and not there.
    """
    if experiment.precision == "auto" and not backend.precision_is_known():
        return True
    if not _wants_source(experiment) or experiment.source in EXTERNAL:
        return False
    return find_checkpoint(experiment.source, experiment.backbone, experiment.source_images) is None


def prepare(
    experiment: Experiment,
    on_event: Callable[[Event], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Do once what all arms need: read the target, check the pair, measure the formats, train the source model.

    Args:
        experiment: What to run.
        on_event: Told how far it is.
        should_stop: Asked now and then.

    Raises:
        UserError: If data cannot be had, or the two tasks share images.
        Stopped: If `should_stop` said so.
    """
    read(experiment, on_event)
    precision = backend.resolve_precision(experiment.precision)
    if _wants_source(experiment):
        source_checkpoint(experiment, precision, on_event, should_stop)


def read(experiment: Experiment, on_event: Callable[[Event], None] = lambda _: None) -> None:
    """Read the images of both tasks and hold them against each other; afterwards every process finds them on disk.

    Args:
        experiment: What to run.
        on_event: Told that it reads.

    Raises:
        UserError: If data cannot be had, or the two tasks share images.
    """
    on_event(Event(kind="pretrain", fraction=0.0, text="reading the images"))
    load(experiment.target)
    check_pair(experiment.source, experiment.target)


def _wants_source(experiment: Experiment) -> bool:
    return any(experiment.recipe(name).needs_source for name in experiment.strategies)


def find_or_run(
    experiment: Experiment,
    strategy: str,
    seed: int,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
    archive: Archive | None,
) -> RunRecord:
    """Take an arm from the archive, or train it and keep it there.

    Args:
        experiment: What to run.
        strategy: Name of the arm's strategy.
        seed: The arm's seed.
        on_event: Told what happens.
        should_stop: Asked every few steps.
        archive: Finished arms; None to train in any case.

    Returns:
        The record.

    Raises:
        UserError: If data or a source model cannot be had, or the two tasks share images.
        Stopped: If `should_stop` said so.
    """
    if archive is not None and (found := archive.find(experiment, strategy, seed)) is not None:
        on_event(Event(kind="arm_started", strategy=strategy, seed=seed, text="found: trained before"))
        on_event(Event(kind="arm_finished", strategy=strategy, seed=seed, fraction=1.0, record=found))
        return found
    record = run_arm(experiment, strategy, seed, on_event, should_stop)
    if archive is not None:
        archive.keep(record)
    return record
