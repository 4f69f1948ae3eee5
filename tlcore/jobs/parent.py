"""Ending with the parent process, however that one ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def end_with_parent() -> None:
    """Ask the system to kill this process as soon as its parent is gone; Linux only, elsewhere nothing happens.

    Trainers also end when the pipe to the worker closes. This is for the trainer that cannot notice, because it is
    deep inside one long computation.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    set_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended in between
        os._exit(1)
