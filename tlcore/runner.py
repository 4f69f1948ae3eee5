"""Strategies × seeds: the comparison, in this process or over several."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from tlcore import backend
from tlcore.arm import run_arm
from tlcore.data import load
from tlcore.data.adapt import check_no_overlap
from tlcore.errors import Stopped
from tlcore.experiment import Event, Experiment, RunRecord
from tlcore.models import get_backbone
from tlcore.pretrain import find_checkpoint, source_checkpoint
from tlcore.results import Comparison
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable

    OnEvent = Callable[[Event], None]
    ShouldStop = Callable[[], bool]

__all__ = ["compare", "needs_preparation", "prepare", "run_arm"]


def compare(
    experiment: Experiment,
    on_event: OnEvent = lambda _: None,
    should_stop: ShouldStop = lambda: False,
    processes: int = 1,
) -> Comparison:
    """Run every strategy of an experiment with every seed.

    Args:
        experiment: What to run.
        on_event: Told what happens while it happens.
        should_stop: Asked every few steps; a run that is stopped raises `Stopped`.
        processes: Processes to share the arms, each computing with one thread. With more than one, call this under
            ``if __name__ == "__main__":``, as `multiprocessing` asks.

    Returns:
        The comparison, its records in the experiment's order.

    Raises:
        UserError: If data or a source model cannot be had, or the two tasks share images.
        Stopped: If `should_stop` said so.
    """
    if processes > 1:
        records = _in_processes(experiment, on_event, should_stop, min(processes, len(experiment.arms)))
    else:
        prepare(experiment, on_event, should_stop)
        records = [run_arm(experiment, strategy, seed, on_event, should_stop) for strategy, seed in experiment.arms]
    by_arm = {(record.strategy, record.seed): record for record in records}
    ordered = [by_arm[strategy, seed] for strategy in experiment.strategies for seed in experiment.seed_values]
    return Comparison(experiment, tuple(ordered))


def needs_preparation(experiment: Experiment) -> bool:
    """Whether anything has to be trained or measured before the arms can start.

    Args:
        experiment: What to run.

    Returns:
        True if the host's number formats are not measured yet, or a source model is wanted and not there.
    """
    if experiment.precision == "auto" and not backend.precision_is_known():
        return True
    return _wants_source(experiment) and find_checkpoint(experiment.source, experiment.backbone) is None


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
    check_no_overlap(experiment.source, experiment.target)
    precision = backend.resolve_precision(experiment.precision)
    if _wants_source(experiment):
        source_checkpoint(experiment.source, experiment.backbone, precision, on_event, should_stop)


def _wants_source(experiment: Experiment) -> bool:
    backbone = get_backbone(experiment.backbone)
    return any(STRATEGIES[name].recipe(backbone, experiment.cut).needs_source for name in experiment.strategies)


# --- several processes ------------------------------------------------------------------------------------------------

_events: Any = None
_stop: Any = None


def _start_process(events: Any, stop: Any) -> None:
    global _events, _stop
    _events, _stop = events, stop
    backend.configure(threads=1)


def _prepare_in_process(experiment: Experiment) -> None:
    prepare(experiment, _events.put, _stop.is_set)


def _arm_in_process(experiment: Experiment, strategy: str, seed: int) -> RunRecord:
    return run_arm(experiment, strategy, seed, _events.put, _stop.is_set)


def _in_processes(
    experiment: Experiment, on_event: OnEvent, should_stop: ShouldStop, processes: int
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
        pool.submit(_prepare_in_process, experiment).result()
        futures = [pool.submit(_arm_in_process, experiment, strategy, seed) for strategy, seed in experiment.arms]
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
