"""The worker: takes units from the queue in the fair order and hands each to a trainer process.

It imports neither Keras nor the engine. One worker runs for each machine and folder; `main` is its whole life.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import multiprocessing
import os
import platform
import signal
import time
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlcore.errors import UserError
from tlcore.home import home
from tlcore.jobs.messages import Done, Progress, Ready, Run, Stop, Unit
from tlcore.jobs.queue import Queue
from tlcore.jobs.tables import PREPARATION
from tlcore.jobs.trainer import DEFAULT_ENGINE, ENGINE_VARIABLE, NICENESS, run_trainer
from tlcore.lock import FileLock

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

TICK_SECONDS = 0.05
STOP_LOOK_SECONDS = 0.1
HEARTBEAT_SECONDS = 2.0
DEAD_LOOK_SECONDS = 10.0
GRACE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 30.0
MOST_UNITS = 200
MOST_MEMORY = 2_500_000_000
TRIES = 3

log = logging.getLogger("tlcore.worker")


def main(slots: int | None = None, engine: str = DEFAULT_ENGINE) -> int:
    """Run a worker until it is asked to end (SIGTERM or Ctrl-C).

    Args:
        slots: Units to run at once; None for `TLCORE_SLOTS`, else one a processor core, or one on an accelerator.
        engine: Module that trains.

    Returns:
        The exit code, 0.

    Raises:
        UserError: If another worker runs for the same folder, or the database cannot be used.
    """
    folder = home()
    lock = FileLock(folder / "worker.lock")
    if not lock.acquire(wait=False):
        raise UserError(
            f"a worker already runs for {folder} (process {lock.holder()}): one is enough, it uses every core; "
            "to run another, set TLCORE_HOME to another folder"
        )
    handler = _log_to_file()
    _step_back()
    try:
        worker = Worker(Queue(), slots if slots is not None else _slots_from_environment(), engine)

        def end(_signal: int, _frame: object) -> None:
            worker.end()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        worker.run()
    except Exception:
        log.exception("the worker ends because of an error")
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
        lock.release()
    return 0


def _step_back() -> None:
    """Let pages come first, where Linux weighs sessions against each other and not processes.

    With autogroups a process's niceness counts only within its session; the session itself, which the app starts for
    the worker, has a niceness of its own. A worker started by hand shares its terminal's session and leaves it alone.
    """
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")


class _EndedWhileStarting(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The worker was asked to end while it waited for a trainer to start."""


@dataclass(eq=False)
class _Trainer:
    """The worker's end of a trainer process.

    Args:
        process: The process.
        pipe: To and from it.
        ready: Whether its engine is loaded.
        problem: Why it can run nothing, if so.
        unit: What it runs.
        kill_at: When to kill it, once it was asked to stop.
        units: How many units it has run.
    """

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    problem: str = ""
    unit: Unit | None = None
    kill_at: float | None = None
    units: int = 0


class Worker:
    """Takes units from a queue and has them run.

    Args:
        queue: The queue.
        slots: Units to run at once; None for one a processor core, or one on an accelerator.
        engine: Module that trains; only the trainers import it.
    """

    def __init__(self, queue: Queue, slots: int | None = None, engine: str = DEFAULT_ENGINE) -> None:
        self._queue = queue
        self._asked_slots = slots
        self._engine = engine
        self._host = f"{platform.node()}:{home().resolve()}"
        self._id = ""
        self._device = ""
        self._trainers: list[_Trainer] = []
        self._ending = self._starting = False
        self._progress: list[Progress] = []
        self._failed_starts = 0
        self._why_no_start = ""
        self._start_at = self._beat_at = self._stop_look_at = self._dead_look_at = 0.0
        methods = multiprocessing.get_all_start_methods()
        # A forkserver has Keras loaded already: a new trainer takes 0.02 s instead of 4 s, and shares its memory.
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            os.environ[ENGINE_VARIABLE] = engine
            self._context.set_forkserver_preload(["tlcore.jobs.preload"])

    def end(self) -> None:
        """End `run` soon; to be called from a signal handler.

        Raises:
            _EndedWhileStarting: If `run` would not look again before the engine is loaded; `run` catches it.
        """
        self._ending = True
        if self._starting:
            raise _EndedWhileStarting

    def run(self) -> None:
        """Work until `end` is called."""
        self._id = self._queue.add_worker(self._host, os.getpid())
        log.info("worker %s starts, process %d", self._id, os.getpid())
        try:
            while not self._ending:
                self._look_after_the_store()
                self._start_trainers()
                self._listen()
                self._stop_unwanted()
                self._hand_out()
        except _EndedWhileStarting:
            pass
        finally:
            self._shut_down()

    @property
    def _slots(self) -> int:
        if not self._device:
            return 1  # the first trainer tells what there is, and measures once what the others then know
        return self._asked_slots or (_cores() if self._device == "CPU" else 1)

    def _look_after_the_store(self) -> None:
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + HEARTBEAT_SECONDS
            self._queue.heartbeat(self._id, sum(trainer.ready for trainer in self._trainers), self._device)
        if now >= self._dead_look_at:
            self._dead_look_at = now + DEAD_LOOK_SECONDS
            message = "the worker that ran this was killed or the machine was restarted: run it again"
            ended = self._queue.mark_interrupted(self._id, self._host, message)
            if ended:
                log.warning("%d jobs were left running by a worker that is gone", ended)

    def _start_trainers(self) -> None:
        if time.monotonic() < self._start_at:
            return
        while len(self._trainers) < self._slots and not self._ending:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=run_trainer, args=(theirs, self._engine), name="trainer")
            try:
                self._starting = True  # the first time, this waits until the forkserver has loaded the engine
                process.start()
            except (EOFError, OSError) as error:
                ours.close()
                self._start_failed(f"the forkserver ended ({type(error).__name__})")
                return
            finally:
                self._starting = False
                theirs.close()
            self._trainers.append(_Trainer(process, ours))

    def _start_failed(self, why: str) -> None:
        self._failed_starts += 1
        self._start_at = time.monotonic() + min(0.5 * 2**self._failed_starts, LONGEST_PAUSE_SECONDS)
        log.error("a trainer could not start: %s", why)
        if self._failed_starts >= TRIES:
            self._why_no_start = (
                f"the training process cannot start on this machine ({why}): see logs/worker.log and "
                "logs/worker-output.log, then run again"
            )

    def _listen(self) -> None:
        """Wait a moment for what the trainers say, and write it down in one transaction."""
        handles: dict[Any, _Trainer] = {trainer.pipe: trainer for trainer in self._trainers}
        handles |= {trainer.process.sentinel: trainer for trainer in self._trainers}
        if not handles:
            time.sleep(TICK_SECONDS)
        spoke = {handles[handle] for handle in connection.wait(list(handles), TICK_SECONDS)}
        gone = [trainer for trainer in spoke if not self._read(trainer)]
        self._write_progress()
        for trainer in gone:
            self._bury(trainer)

    def _read(self, trainer: _Trainer) -> bool:
        """Take every message that waits; False if the trainer is gone."""
        try:
            while trainer.pipe.poll():
                message: Ready | Progress | Done = trainer.pipe.recv()
                if isinstance(message, Progress):
                    self._progress.append(message)
                elif isinstance(message, Ready):
                    self._is_ready(trainer, message)
                else:
                    self._write_progress()  # a unit's last look comes before its end
                    self._is_done(trainer, message)
                    if trainer not in self._trainers:
                        return True
        except (EOFError, OSError):
            return False
        return trainer.process.is_alive()

    def _write_progress(self) -> None:
        if self._progress:
            self._queue.report(self._progress)
            self._progress = []

    def _is_ready(self, trainer: _Trainer, message: Ready) -> None:
        trainer.ready = True
        trainer.problem = message.problem
        self._failed_starts, self._why_no_start = 0, ""
        self._beat_at = 0.0  # pages see the new slot at once
        if message.problem:
            log.error("the engine cannot be loaded\n%s", message.trace)
        else:
            self._device = message.device

    def _is_done(self, trainer: _Trainer, done: Done) -> None:
        trainer.unit, trainer.kill_at = None, None
        trainer.units += 1
        if done.outcome == "stopped":
            self._queue.stopped(done.key)
        elif done.outcome == "failed":
            self._queue.fail(done.key, done.message)
        elif done.key[1] == PREPARATION:
            self._queue.finish_preparation(done.key, needed=done.outcome == "finished")
        else:
            self._queue.finish_arm(done.key, done.record)
        if done.trace:
            log.error("job %s, unit %d failed\n%s", *done.key, done.trace)
        # A fresh trainer costs little; one that has met an error or grown large may carry it on.
        if done.trace or trainer.problem or trainer.units >= MOST_UNITS or done.memory > MOST_MEMORY:
            self._remove(trainer)

    def _bury(self, trainer: _Trainer) -> None:
        """A trainer has died: say so to whom it concerns; `_start_trainers` makes another."""
        self._remove(trainer)
        how = _how_it_ended(trainer.process.exitcode)
        if trainer.unit is None:
            if not trainer.ready:
                self._start_failed(how)
        elif trainer.kill_at is not None:
            self._queue.stopped(trainer.unit.key)
        else:
            log.error("the trainer of job %s, unit %d %s", *trainer.unit.key, how)
            self._queue.interrupt(
                trainer.unit.key,
                f"the training process {how}; what was finished is kept: run it again, "
                "with a smaller network or batch if it happens twice",
            )

    def _remove(self, trainer: _Trainer) -> None:
        self._trainers.remove(trainer)
        trainer.pipe.close()  # it ends itself when it sees this
        trainer.process.join(1)
        if trainer.process.is_alive():
            trainer.process.kill()
            trainer.process.join(1)

    def _stop_unwanted(self) -> None:
        """Stop what was stopped, deleted or ended elsewhere: first by asking, then by force."""
        now = time.monotonic()
        busy = [trainer for trainer in self._trainers if trainer.unit is not None]
        if not busy or now < self._stop_look_at:
            return
        self._stop_look_at = now + STOP_LOOK_SECONDS
        wanted = self._queue.wanted(self._id)
        for trainer in busy:
            if trainer.unit is None or trainer.unit.key in wanted:
                continue
            if trainer.kill_at is None:
                trainer.kill_at = now + GRACE_SECONDS
                _send(trainer, Stop(trainer.unit.key))
            elif now >= trainer.kill_at:
                log.warning("the trainer of job %s, unit %d did not stop and is killed", *trainer.unit.key)
                trainer.process.kill()

    def _hand_out(self) -> None:
        """Give every free trainer the next unit."""
        free = [trainer for trainer in self._trainers if trainer.ready and trainer.unit is None]
        while (free or self._why_no_start) and self._queue.has_waiting():
            unit = self._queue.claim_next(self._id)
            if unit is None:
                return
            if not free:
                self._queue.fail(unit.key, self._why_no_start)
                continue
            trainer = free.pop()
            trainer.unit = unit
            _send(trainer, Run(unit))

    def _shut_down(self) -> None:
        for trainer in self._trainers:
            trainer.process.kill()
        for trainer in self._trainers:
            if trainer.unit is not None:
                self._queue.interrupt(trainer.unit.key, "the worker was shut down: run it again")
            trainer.process.join(1)
            trainer.pipe.close()
        self._trainers = []
        self._queue.remove_worker(self._id)
        log.info("worker %s ends", self._id)


def _send(trainer: _Trainer, message: Run | Stop) -> None:
    with contextlib.suppress(OSError):  # if it has died, `_listen` notices and says so
        trainer.pipe.send(message)


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code == -9:
        return "was killed by the system, most likely because memory ran out"
    if exit_code is not None and exit_code < 0:
        try:
            return f"crashed ({signal.Signals(-exit_code).name})"
        except ValueError:
            return f"crashed (signal {-exit_code})"
    return f"ended unexpectedly (exit code {exit_code})"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _slots_from_environment() -> int | None:
    text = os.environ.get("TLCORE_SLOTS", "")
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"TLCORE_SLOTS is '{text}': set it to a number of units to run at once, 1 or more")
    return int(text)


def _log_to_file() -> logging.Handler:
    folder = home() / "logs"
    folder.mkdir(exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / "worker.log", maxBytes=1_000_000, backupCount=3, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    return handler
