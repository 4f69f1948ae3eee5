"""Running a command as a fresh process and watching it with all of its children: seconds, processor time, memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
EVERY = 0.1  # seconds between two looks


@dataclass(frozen=True)
class Watched:
    """What a command said and used.

    Args:
        answer: The JSON on the last line of its output.
        seconds: From start to end by the clock, interpreter and imports included.
        cpu: Processor seconds of all of its processes, up to the last look at each.
        rss: Largest sum of the resident memory of all of its processes, bytes; shared pages count once for each.
        pss: The same with shared pages divided among those that share them; None where the system does not say.
    """

    answer: Any
    seconds: float
    cpu: float
    rss: int
    pss: int | None


def run(module: str, *values: object, environment: Mapping[str, str] | None = None, memory: bool = False) -> Watched:
    """Run ``python -m module values…`` to its end.

    Args:
        module: A module whose last line of output is JSON.
        *values: Its arguments.
        environment: Variables to set besides this process's own.
        memory: Whether memory is watched, which takes some of the time that is measured.

    Returns:
        What it said and used.

    Raises:
        RuntimeError: If it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, values)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        stdout=subprocess.PIPE,
    )
    cpu: dict[tuple[int, float], float] = {}
    rss, pss = 0, 0
    while process.poll() is None:
        tree = list(_tree(process.pid, memory))
        cpu |= {key: used for key, used, _, _ in tree}
        rss = max(rss, sum(resident for _, _, resident, _ in tree))
        pss = max(pss, sum(shared for _, _, _, shared in tree))
        time.sleep(EVERY)
    seconds = time.perf_counter() - start
    assert process.stdout is not None
    said = process.stdout.read().decode()
    process.stdout.close()
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    return Watched(json.loads(said.splitlines()[-1]), seconds, sum(cpu.values()), rss, pss or None)


@contextmanager
def fresh_home() -> Generator[dict[str, str]]:
    """A home without source models and results, as environment variables; which number format is faster is known."""
    from tlcore.backend import precision_speeds
    from tlcore.home import home

    precision_speeds()
    with tempfile.TemporaryDirectory(prefix="tlcore-bench-") as folder:
        for path in home().glob("precision-*.json"):
            shutil.copy(path, folder)
        yield {"TLCORE_HOME": folder}


def _tree(pid: int, with_memory: bool) -> Iterator[tuple[tuple[int, float], float, int, int]]:
    """Key, processor seconds, RSS and PSS of a process and all under it that still live."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return
    for process in processes:
        try:
            times, key = process.cpu_times(), (process.pid, process.create_time())
            memory = process.memory_full_info() if with_memory else None
        except psutil.Error:
            continue  # it has ended in between
        yield key, times.user + times.system, getattr(memory, "rss", 0), getattr(memory, "pss", 0)
