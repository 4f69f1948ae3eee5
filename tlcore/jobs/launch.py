"""Keeping a worker alive beside the app: started once a machine, started again when it is gone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

import tlcore
from tlcore.home import home
from tlcore.jobs.progress import WorkerInfo
from tlcore.jobs.queue import STALE_SECONDS
from tlcore.lock import FileLock
from tlcore.store import Store

COMMAND = (sys.executable, "-m", "tlcore", "worker")
WARM_UP_SECONDS = 90.0
STALE_LOOKS = 3
LONGEST_PAUSE_SECONDS = 60.0
END_SECONDS = 8.0


class WorkerKeeper:
    """Sees to it that one worker runs for this machine and folder.

    A worker that somebody else started, by hand or from another app, is as good as its own; only its own one does it
    stop. Call `look` every few seconds.

    Args:
        command: What starts a worker.
    """

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at = 0.0
        self._pause = 1.0
        self._stale_looks = 0

    def look(self) -> None:
        """Start a worker if none runs, and replace one that has stopped answering.

        Raises:
            UserError: If the database cannot be used.
        """
        holder = FileLock(home() / "worker.lock").holder()
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if holder is None and self._process is None:
            self._start()
            return
        worker = self.worker()
        # Several looks in a row: after the machine slept, the first look may come before the first heartbeat.
        self._stale_looks = self._stale_looks + 1 if worker is not None and _is_stale(worker) else 0
        if worker is not None and self._stale_looks >= STALE_LOOKS:
            self._stale_looks = 0
            _kill(worker.pid)
        elif worker is not None and worker.slots:
            self._pause = 1.0  # it came up well

    def worker(self) -> WorkerInfo | None:
        """The worker that holds this folder's lock, as far as it has told the store."""
        holder = FileLock(home() / "worker.lock").holder()
        return next((worker for worker in Store().workers() if worker.pid == holder), None)

    def stop(self) -> None:
        """End the worker if this keeper started it; what it runs is marked interrupted, what waits goes on waiting."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        now = time.monotonic()
        if now < self._start_at:
            return
        # One that ends at once is started again, but ever more slowly.
        self._start_at, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        logs = home() / "logs"
        logs.mkdir(exist_ok=True)
        root = str(Path(tlcore.__file__).parent.parent)
        path = os.environ.get("PYTHONPATH")
        environment = os.environ | {
            "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root,
            "TLCORE_HOME": str(home().resolve()),
        }
        with (logs / "worker-output.log").open("wb") as output:
            # A session of its own: Ctrl-C in the app's terminal ends the app, and the app then ends the worker in
            # order. Never `multiprocessing` from here: it would run the app's script again in the child.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )


def _is_stale(worker: WorkerInfo) -> bool:
    # Loading Keras the first time takes a while, and the worker says nothing meanwhile.
    return worker.heartbeat_age > (STALE_SECONDS if worker.slots else WARM_UP_SECONDS)


def _kill(pid: int) -> None:
    with contextlib.suppress(psutil.Error):  # it has ended by itself, or is not ours to kill
        psutil.Process(pid).kill()
