"""Strategies × seeds: the comparison, in this process or over several.

With several, this process only hands out arms: it never loads Keras.
"""

from __future__ import annotations

import gc
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from tlcore.errors import Stopped
from tlcore.experiment import Event, Experiment, RunRecord
from tlcore.models import get_backbone
from tlcore.results import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.archive import Archive

    OnEvent = Callable[[Event], None]
    ShouldStop = Callable[[], bool]


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
        processes: Processes to share the arms, each computing with one thread; a source model that has to be trained
            first gets as many threads. With more than one, call this under ``if __name__ == "__main__":``, as
            `multiprocessing` asks.
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
        from tlcore import engine

        engine.prepare(experiment, on_event, should_stop)
        records = [
            engine.find_or_run(experiment, strategy, seed, on_event, should_stop, archive)
            for strategy, seed in experiment.arms
        ]
    by_arm = {(record.strategy, record.seed): record for record in records}
    ordered = [by_arm[strategy, seed] for strategy in experiment.strategies for seed in experiment.seed_values]
    return Comparison(experiment, tuple(ordered))


# --- several processes ------------------------------------------------------------------------------------------------

_events: Any = None
_stop: Any = None


def _start_process(events: Any, stop: Any, threads: int, family: str) -> None:
    global _events, _stop
    _events, _stop = events, stop
    from tlcore import backend

    gc.freeze()  # a collection would write to, and so copy, every page that is shared with the other processes
    backend.configure(threads, family)


def _measure_in_process(experiment: Experiment) -> None:
    from tlcore import backend

    backend.resolve_precision(experiment.precision)


def _read_in_process(experiment: Experiment) -> None:
    from tlcore import engine

    engine.read(experiment, _events.put)


def _prepare_in_process(experiment: Experiment) -> None:
    from tlcore import engine

    engine.prepare(experiment, _events.put, _stop.is_set)


def _arm_in_process(experiment: Experiment, strategy: str, seed: int, archive: Archive | None) -> RunRecord:
    from tlcore import engine

    return engine.find_or_run(experiment, strategy, seed, _events.put, _stop.is_set, archive)


def _in_processes(
    experiment: Experiment, on_event: OnEvent, should_stop: ShouldStop, processes: int, archive: Archive | None
) -> list[RunRecord]:
    """Share the arms over processes forked from one that has Keras loaded."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["tlcore.engine"])
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

    family = get_backbone(experiment.backbone).family

    def pool_of(count: int, threads: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            count, mp_context=context, initializer=_start_process, initargs=(events, stop, threads, family)
        )

    listener = threading.Thread(target=pass_on, daemon=True)
    listener.start()
    # One source model is trained at a time, so it gets every core, in a process that ends when it is there.
    pool, before = pool_of(processes, 1), pool_of(1, processes)
    try:
        pool.submit(_measure_in_process, experiment).result()  # number formats, with nothing beside it
        with pool_of(1, 1) as reader:  # the memory that decoding pictures takes ends with its process
            reader.submit(_read_in_process, experiment).result()
        prepared = before.submit(_prepare_in_process, experiment)
        # Arms that take nothing from the source need not wait until it has been trained.
        free = [arm for arm in experiment.arms if not experiment.recipe(arm[0]).needs_source]
        futures = [pool.submit(_arm_in_process, experiment, *arm, archive) for arm in free]
        prepared.result()
        before.shutdown(wait=False)
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
        for each in (before, pool):
            each.shutdown(wait=True, cancel_futures=True)
        events.put(None)
        listener.join()
