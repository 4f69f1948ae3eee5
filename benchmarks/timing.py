"""Measuring seconds where other processes may run too: candidates take turns, and the best turn of each counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Turn:
    """The best of several turns, each figure its own: what disturbs a measurement only ever slows it.

    Args:
        seconds: By the clock.
        cpu: Processor seconds of this process, all threads together.
    """

    seconds: float
    cpu: float


def race(candidates: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, Turn]:
    """Let candidates take turns.

    Args:
        candidates: What to time, by name. Each is called once before, untimed: what is compiled once is not measured.
        rounds: Turns of each.

    Returns:
        The best turn of each, by name.
    """
    for candidate in candidates.values():
        candidate()
    best: dict[str, Turn] = {}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            seconds, cpu = time.perf_counter(), time.process_time()
            candidate()
            turn = Turn(time.perf_counter() - seconds, time.process_time() - cpu)
            held = best.get(name, turn)
            best[name] = Turn(min(held.seconds, turn.seconds), min(held.cpu, turn.cpu))
    return best
