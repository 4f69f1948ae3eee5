"""A trainer: a process that runs one unit after another, because the engine keeps compiled programs warm.

It writes nothing to the database. It tells the worker over a pipe, the worker writes: one writer, and a trainer that
is killed leaves no half-written row.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Protocol

import psutil

from tlcore.errors import Stopped, UserError
from tlcore.experiment import Event, Experiment
from tlcore.jobs.messages import Done, Progress, Ready, Run, Stop, Unit
from tlcore.jobs.parent import end_with_parent
from tlcore.jobs.tables import PREPARATION

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from tlcore.experiment import CurvePoint, RunRecord

DEFAULT_ENGINE = "tlcore.engine"
ENGINE_VARIABLE = "TLCORE_PRELOAD_ENGINE"
"""Tells the forkserver which engine to load; the worker sets it for its own children."""
NICENESS = 10
POINT_SECONDS = 0.1
FREE_POINTS = 40
TEXT_SECONDS = 0.2


class Engine(Protocol):
    """What a trainer needs of the module that trains."""

    def needs_preparation(self, experiment: Experiment) -> bool:
        """Whether a source model has to be trained, or something measured, before the arms can start."""
        ...

    def prepare(
        self, experiment: Experiment, on_event: Callable[[Event], None], should_stop: Callable[[], bool]
    ) -> None:
        """Do once what all arms need."""
        ...

    def run_arm(
        self,
        experiment: Experiment,
        strategy: str,
        seed: int,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> RunRecord:
        """Train one arm with one seed."""
        ...


def run_trainer(pipe: Connection, engine_name: str) -> None:
    """Run units until the worker closes the pipe; the body of a trainer process.

    Args:
        pipe: To the worker.
        engine_name: Module that trains.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the worker decides what to do
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(NICENESS)  # pages come first
    inbox = Inbox(pipe)
    try:
        engine, ready = _load(engine_name)
    except Exception as error:
        ready = Ready("", _cannot_load(error), traceback.format_exc())
        engine = None
    with contextlib.suppress(BrokenPipeError):  # the worker has gone; the inbox is about to end this process
        pipe.send(ready)
        while True:
            unit = inbox.next_unit()
            if engine is None:
                pipe.send(Done(unit.key, "failed", message=ready.problem))
            else:
                done = _run(engine, unit, pipe, inbox)
                pipe.send(done._replace(memory=psutil.Process().memory_info().rss))


class Inbox:
    """Listens to the worker while the engine works, and ends the process when the worker has gone.

    Args:
        pipe: From the worker.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._units: queue.SimpleQueue[Unit] = queue.SimpleQueue()
        self._stopped: tuple[str, int] | None = None
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def next_unit(self) -> Unit:
        """Wait for work."""
        return self._units.get()

    def stops(self, key: tuple[str, int]) -> bool:
        """Whether a unit was asked to stop; quick enough to ask before every batch."""
        return self._stopped == key

    def _listen(self) -> None:
        try:
            while True:
                message = self._pipe.recv()
                if isinstance(message, Run):
                    self._units.put(message.unit)
                elif isinstance(message, Stop):
                    self._stopped = message.key
        except (EOFError, OSError):
            # Not sys.exit: the main thread may be inside a computation that ends in minutes.
            os._exit(0)


class Reporter:
    """Passes a unit's events on to the worker, not more of them than pages can show.

    An arm's first `FREE_POINTS` looks are all told; after that the newest, `POINT_SECONDS` apart. The last look is
    never lost.

    Args:
        key: The unit.
        send: Passes one report on.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, key: tuple[str, int], send: Callable[[Progress], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._key = key
        self._send = send
        self._clock = clock
        self._fraction = 0.0
        self._text = ""
        self._points = 0
        self._last_step = -1
        self._held: list[CurvePoint] = []
        self._told: tuple[float, str] = (0.0, "")
        self._told_at = self._point_at = float("-inf")

    def __call__(self, event: Event) -> None:
        """Take an event, and tell it now or with one of the next."""
        if event.kind == "arm_finished":
            return  # the record says it all, and `run_arm` returns it
        self._fraction = max(self._fraction, event.fraction)  # a bar that goes back confuses
        self._text = event.text
        if event.point is not None and event.point.step > self._last_step:
            self._hold(event.point)
        now = self._clock()
        if self._held and now - self._point_at >= POINT_SECONDS:
            self.flush()
        elif now - self._told_at >= TEXT_SECONDS and (self._fraction, self._text) != self._told:
            self._tell(now)

    def flush(self) -> None:
        """Tell the looks that are held, if any."""
        if self._held:
            self._point_at = self._clock()
            self._tell(self._point_at)

    def _hold(self, point: CurvePoint) -> None:
        self._last_step = point.step
        self._points += 1
        if self._held and self._points > FREE_POINTS + 1:  # what is held last is one too many already
            self._held[-1] = point
        else:
            self._held.append(point)

    def _tell(self, now: float) -> None:
        points, self._held = tuple(self._held), []
        self._told, self._told_at = (self._fraction, self._text), now
        self._send(Progress(self._key, self._fraction, self._text, points))


def _load(name: str) -> tuple[Engine, Ready]:
    engine: Engine = importlib.import_module(name)  # type: ignore[assignment]  # a module fits the protocol
    if "keras" not in sys.modules:
        return engine, Ready("CPU")
    from tlcore import backend

    # One thread each: for nets this small, several processes of one thread get more done than one of several.
    backend.configure(threads=1)
    if not backend.precision_is_known():
        backend.precision_speeds()  # once a host; else the first run ever would wait for it
    return engine, Ready(backend.device())


def _cannot_load(error: Exception) -> str:
    return (
        f"the training engine cannot be loaded on this machine ({_first_line(error)}): install Keras and TensorFlow "
        "as the requirements file says, then run again"
    )


def _run(engine: Engine, unit: Unit, pipe: Connection, inbox: Inbox) -> Done:
    reporter = Reporter(unit.key, pipe.send)

    def should_stop() -> bool:
        return inbox.stops(unit.key)

    try:
        experiment = Experiment.model_validate_json(unit.experiment)
        if unit.ordinal == PREPARATION:
            needed = engine.needs_preparation(experiment)
            # Also when nothing has to be trained: it checks that the two tasks fit together.
            engine.prepare(experiment, reporter, should_stop)
            return Done(unit.key, "finished" if needed else "skipped")
        record = engine.run_arm(experiment, unit.strategy, unit.seed, reporter, should_stop)
        reporter.flush()
        return Done(unit.key, "finished", record=record.model_dump_json())
    except Stopped:
        reporter.flush()
        return Done(unit.key, "stopped")
    except UserError as error:
        return Done(unit.key, "failed", message=str(error))
    except BrokenPipeError:
        raise
    except Exception as error:
        message = f"this run met an unexpected error ({_first_line(error)}): the details are in logs/worker.log"
        return Done(unit.key, "failed", message=message, trace=traceback.format_exc())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
