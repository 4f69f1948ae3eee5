"""Measuring seconds where other processes may run too: candidates take turns, and the best turn of each counts."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Turn:
    """The best of several turns, each figure its own: what disturbs a measurement only ever slows it.

    Args:
        seconds: By the clock.
        cpu: Processor seconds of the process, all threads together.
    """

    seconds: float
    cpu: float

    def best(self, other: Turn) -> Turn:
        """The better of two in each figure."""
        return Turn(min(self.seconds, other.seconds), min(self.cpu, other.cpu))


class Apart:
    """A candidate in a process of its own, for libraries that cannot be loaded into one.

    Args:
        make: A function of a module, called there once; what it returns is the candidate.
        *values: Its arguments.
    """

    def __init__(self, make: Callable[..., Callable[[], object]], *values: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, context, initializer=_hold, initargs=(make, *values))

    def turn(self) -> Turn:
        """One turn, timed in that process."""
        return self._process.submit(_turn_of_held).result()


def turn_of(candidate: Callable[[], object] | Apart) -> Turn:
    """Call a candidate once.

    Args:
        candidate: What to time.

    Returns:
        What it took.
    """
    if isinstance(candidate, Apart):
        return candidate.turn()
    seconds, cpu = time.perf_counter(), time.process_time()
    candidate()
    return Turn(time.perf_counter() - seconds, time.process_time() - cpu)


def race(candidates: Mapping[str, Callable[[], object] | Apart], rounds: int = 7) -> dict[str, Turn]:
    """Let candidates take turns.

    Args:
        candidates: What to time, by name. Each is called once before, untimed: what is compiled once is not measured.
        rounds: Turns of each.

    Returns:
        The best turn of each, by name.
    """
    for candidate in candidates.values():
        turn_of(candidate)
    best: dict[str, Turn] = {}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            turn = turn_of(candidate)
            best[name] = turn.best(best.get(name, turn))
    return best


_held: list[Callable[[], object]] = []


def _hold(make: Callable[..., Callable[[], object]], *values: object) -> None:
    _held.append(make(*values))


def _turn_of_held() -> Turn:
    return turn_of(_held[0])
