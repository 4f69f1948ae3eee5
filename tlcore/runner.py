"""Strategies × seeds: the comparison, in this process or over several."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from tlcore import backend
from tlcore.arm import run_arm
from tlcore.data import load
from tlcore.data.external import EXTERNAL
from tlcore.data.pairs import check_pair
from tlcore.errors import Stopped
from tlcore.experiment import Event, Experiment, RunRecord
from tlcore.pretrain import find_checkpoint, source_checkpoint
from tlcore.results import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.archive import Archive

    OnEvent = Callable[[Event], None]
    ShouldStop = Callable[[], bool]

__all__ = ["compare", "needs_preparation", "prepare", "run_arm"]


def compare(
    experiment: Experiment,
    on_event: OnEvent = lambda _: None,
    should_stop: ShouldStop = lambda: False,
    processes: int = 1,
    archive: Archive | None = None,
) -> Comparison:
    """Run every strategy of an experiment with every seed.

    Args:
        experiment: What to run.
        on_event: Told what happens while it happens.
        should_stop: Asked every few steps; a run that is stopped raises `Stopped`.
        processes: Processes to share the arms, each computing with one thread. With more than one, call this under
            ``if __name__ == "__main__":``, as `multiprocessing` asks.
        archive: Where finished arms are kept and found again, so that an interrupted comparison goes on; None to train
            every arm.

    Returns:
        The comparison, its records in the experiment's order.

    Raises:
        UserError: If data or a source model cannot be had, or the two tasks share images.
        Stopped: If `should_stop` said so.

    Example:
        >>> experiment = Experiment(
        ...     source="mnist", target="uci_digits", strategies=("scratch", "feature_extraction"),
        ...     labels_per_class=5, seeds=2, steps=40, learning_rate=3e-3,
        ... )
        >>> comparison = compare(experiment)
        >>> [(record.strategy, record.seed) for record in comparison.records]
        [('scratch', 0), ('scratch', 1), ('feature_extraction', 0), ('feature_extraction', 1)]
        >>> comparison.comparisons[0].baseline
        'scratch'
    """
    if processes > 1:
        records = _in_processes(experiment, on_event, should_stop, min(processes, len(experiment.arms)), archive)
    else:
        prepare(experiment, on_event, should_stop)
        records = [
            _found_or_run(experiment, strategy, seed, on_event, should_stop, archive)
            for strategy, seed in experiment.arms
        ]
    by_arm = {(record.strategy, record.seed): record for record in records}
    ordered = [by_arm[strategy, seed] for strategy in experiment.strategies for seed in experiment.seed_values]
    return Comparison(experiment, tuple(ordered))


def _found_or_run(
    experiment: Experiment,
    strategy: str,
    seed: int,
    on_event: OnEvent,
    should_stop: ShouldStop,
    archive: Archive | None,
) -> RunRecord:
    if archive is not None and (found := archive.find(experiment, strategy, seed)) is not None:
        on_event(Event(kind="arm_started", strategy=strategy, seed=seed, text="found: trained before"))
        on_event(Event(kind="arm_finished", strategy=strategy, seed=seed, fraction=1.0, record=found))
        return found
    record = run_arm(experiment, strategy, seed, on_event, should_stop)
    if archive is not None:
        archive.keep(record)
    return record


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
    experiment: Experiment, on_event: OnEvent = lambda _: None, should_stop: ShouldStop = lambda: False
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
    on_event(Event(kind="pretrain", fraction=0.0, text="reading the images"))
    load(experiment.target)
    check_pair(experiment.source, experiment.target)
    precision = backend.resolve_precision(experiment.precision)
    if _wants_source(experiment):
        source_checkpoint(experiment, precision, on_event, should_stop)


def _wants_source(experiment: Experiment) -> bool:
    return any(experiment.recipe(name).needs_source for name in experiment.strategies)


# --- several processes ------------------------------------------------------------------------------------------------

_events: Any = None
_stop: Any = None


def _start_process(events: Any, stop: Any) -> None:
    global _events, _stop
    _events, _stop = events, stop
    backend.configure(threads=1)


def _prepare_in_process(experiment: Experiment) -> None:
    prepare(experiment, _events.put, _stop.is_set)


def _arm_in_process(experiment: Experiment, strategy: str, seed: int, archive: Archive | None) -> RunRecord:
    return _found_or_run(experiment, strategy, seed, _events.put, _stop.is_set, archive)


def _in_processes(
    experiment: Experiment, on_event: OnEvent, should_stop: ShouldStop, processes: int, archive: Archive | None
) -> list[RunRecord]:
    """Share the arms over processes forked from one that has Keras loaded."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["tlcore.runner"])
    events, stop = context.Queue(), context.Event()
    failed: list[BaseException] = []

    def pass_on() -> None:
        while (event := events.get()) is not None:
            try:
                if should_stop():
                    stop.set()
                on_event(event)
            except BaseException as error:  # what the caller's function raises ends the run, as it would in one process
                failed.append(error)
                stop.set()

    listener = threading.Thread(target=pass_on, daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_process, initargs=(events, stop))
    try:
        prepared = pool.submit(_prepare_in_process, experiment)
        if experiment.precision == "auto" and not backend.precision_is_known():
            prepared.result()  # measured with nothing beside it
        # Arms that take nothing from the source need not wait until it has been trained.
        free = [arm for arm in experiment.arms if not experiment.recipe(arm[0]).needs_source]
        futures = [pool.submit(_arm_in_process, experiment, *arm, archive) for arm in free]
        prepared.result()
        futures += [
            pool.submit(_arm_in_process, experiment, *arm, archive) for arm in experiment.arms if arm not in free
        ]
        return [future.result() for future in futures]
    except Stopped:
        if failed:
            raise failed[0] from None
        raise
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        events.put(None)
        listener.join()
