"""The app under a class: click to first live point, page reruns, twenty learners watching runs, memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np
import psutil

from benchmarks.learner import Learner
from tlcore.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Generator

    from tlcore.store import Store

ROOT = Path(__file__).resolve().parent.parent
LEARNERS, SECONDS = 20, 30
# What a learner runs, and the same for long enough to be watched.
WORK = Experiment(source="mnist", target="fashion_mnist")
LONG = WORK.model_copy(update={"steps": 2000})


def measure() -> dict[str, object]:
    """Start the app on an empty home and measure it.

    Returns:
        The figures by what they are.
    """
    with tempfile.TemporaryDirectory(prefix="tlcore-bench-") as folder:
        os.environ["TLCORE_HOME"] = folder
        from tlcore.store import Store  # after the home is named

        with _app(folder) as (port, process):
            store = Store()
            warm = store.submit(WORK, "warm-up")
            _wait(lambda: _state(store, warm) == "finished")
            first, trained = zip(*(_first_points(store, number) for number in range(5)), strict=True)
            running = store.submit(LONG, "teacher")
            _wait(lambda: bool(store.points(running)))
            figures = asyncio.run(_class(port, running))
            server = psutil.Process(process.pid)
            figures["app process, MB"] = round(server.memory_info().rss / 1e6)
            store.request_stop(running, "teacher")
    return {
        "click to first live point, s, median / slowest of 5 (warm worker)": _median_and_slowest(first),
        "click to first point after training steps, s, median / slowest of 5": _median_and_slowest(trained),
        **figures,
    }


def _median_and_slowest(seconds: tuple[float, ...]) -> str:
    return f"{float(np.median(seconds)):.2f} / {max(seconds):.2f}"


def _first_points(store: Store, number: int) -> tuple[float, float]:
    """Submit as the Run button does; seconds to the first row of a curve, and to the first one after training steps."""
    start = time.perf_counter()
    run = store.submit(WORK.model_copy(update={"seeds": 1, "first_seed": 100 + number}), f"learner {number}")
    _wait(lambda: bool(store.points(run)), every=0.01)
    first = time.perf_counter() - start
    _wait(lambda: any(point.step for _, _, point in store.points(run)), every=0.01)
    trained = time.perf_counter() - start
    _wait(lambda: _state(store, run) == "finished")
    return first, trained


async def _class(port: int, run: str) -> dict[str, object]:
    """Twenty learners open a run's page at once and watch it; one more reloads the page all the while."""
    query = urlencode(LONG.to_query() | {"run": run})
    learners = [Learner(port, "compare", query) for _ in range(LEARNERS)]
    opened = await asyncio.gather(*(learner.open() for learner in learners))
    visitor = Learner(port, "compare", query)
    await visitor.open()
    ends = time.perf_counter() + SECONDS
    polls: list[float] = []
    reruns: list[float] = []

    async def watch(learner: Learner, offset: float) -> None:
        await asyncio.sleep(offset)
        while time.perf_counter() < ends:
            begin = time.perf_counter()
            polls.extend([await learner.run(fragment) for fragment in tuple(learner.fragments)])
            await asyncio.sleep(max(0.0, 1.0 - (time.perf_counter() - begin)))

    async def reload() -> None:
        while time.perf_counter() < ends:
            reruns.append(await visitor.run())
            await asyncio.sleep(0.5)

    await asyncio.gather(reload(), *(watch(learner, index / LEARNERS) for index, learner in enumerate(learners)))
    errors = [error for learner in (*learners, visitor) for error in learner.errors]
    received = sum(learner.received for learner in learners) / LEARNERS / SECONDS
    for learner in (*learners, visitor):
        await learner.close()
    return {
        "page rerun p50 / p95, ms (20 learners watching, a run training)": _quantiles(reruns),
        "poll p50 / p95, ms (20 learners, one a second each)": _quantiles(polls),
        "polls": len(polls),
        "errors": errors or 0,
        "20 opening at once: slowest, s": round(max(opened), 2),
        "kB a second to a learner": round(received / 1000, 1),
    }


def _quantiles(seconds: list[float]) -> str:
    low, high = np.quantile(seconds, (0.5, 0.95)) * 1000
    return f"{low:.0f} / {high:.0f}"


def _state(store: Store, run: str) -> str:
    job = store.job(run)
    if job is None or job.state in ("failed", "interrupted"):
        raise RuntimeError(f"the run did not get through: {job}")
    return job.state


@contextlib.contextmanager
def _app(home: str) -> Generator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    process = subprocess.Popen(
        [*command, "--server.address", "127.0.0.1", "--server.port", str(port)],
        cwd=ROOT,
        env=os.environ | {"TLCORE_HOME": home},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: _healthy(port), every=0.2)
        yield port, process
    finally:
        process.terminate()
        process.wait(20)


def _healthy(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer,
    ):
        return b'"ok"' in answer.read()
    return False


def _wait(done: object, every: float = 0.05, limit: float = 120) -> None:
    assert callable(done)
    ends = time.perf_counter() + limit
    while not done():
        if time.perf_counter() > ends:
            raise TimeoutError("waited too long")
        time.sleep(every)
