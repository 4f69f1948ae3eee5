"""The worker: takes units from the queue in the fair order and hands each to a trainer process.

It imports neither Keras nor the engine. One worker runs for each machine and folder; `main` is its whole life.
"""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import platform
import signal
import sys
import time
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, assert_never

from tlcore.errors import UserError
from tlcore.home import home
from tlcore.jobs.lock import FileLock
from tlcore.jobs.messages import Done, Progress, Ready, Run, Stop, Unit
from tlcore.jobs.preload import ENGINE_VARIABLE
from tlcore.jobs.queue import Queue
from tlcore.jobs.tables import PREPARATION
from tlcore.jobs.trainer import DEFAULT_ENGINE, run_trainer

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

TICK_SECONDS = 0.05
HEARTBEAT_SECONDS = 2.0
LOOK_FOR_DEAD_SECONDS = 10.0
GRACE_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 30.0
MOST_UNITS = 200
MOST_MEMORY = 2_500_000_000

log = logging.getLogger("tlcore.worker")
