"""What the worker and its trainers say to each other over a pipe: plain values that pickle quickly."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tlcore.experiment import CurvePoint


class Unit(NamedTuple):
    """A piece of work that one trainer takes: one arm with one seed, or the preparation of a job's source model.

    Args:
        job_id: The job.
        ordinal: Which unit of it; `tlcore.jobs.tables.PREPARATION` for the preparation.
        strategy: The arm's strategy.
        seed: The arm's seed.
        experiment: The experiment as JSON text.
    """

    job_id: str
    ordinal: int
    strategy: str
    seed: int
    experiment: str

    @property
    def key(self) -> tuple[str, int]:
        """What names it in the store."""
        return self.job_id, self.ordinal


class Run(NamedTuple):
    """Worker to trainer: run this."""

    unit: Unit


class Stop(NamedTuple):
    """Worker to trainer: stop that unit at the next safe place, if it is still running."""

    key: tuple[str, int]


class Ready(NamedTuple):
    """Trainer to worker: warm and waiting for work.

    Args:
        device: What it trains on, in words; ``CPU`` when it is no accelerator.
        problem: Why it can run nothing, or an empty string.
        trace: The traceback of that problem.
    """

    device: str
    problem: str = ""
    trace: str = ""


class Progress(NamedTuple):
    """Trainer to worker: how far a unit is.

    Args:
        key: The unit.
        fraction: How much of it is done.
        text: What it does.
        points: Looks at the training that were not told yet.
    """

    key: tuple[str, int]
    fraction: float
    text: str
    points: tuple[CurvePoint, ...]


class Done(NamedTuple):
    """Trainer to worker: a unit has ended.

    Args:
        key: The unit.
        outcome: ``finished``, ``skipped`` (a preparation that was not needed), ``stopped`` or ``failed``.
        record: The result as JSON text, for a finished arm.
        message: Why it failed, for a person.
        trace: The traceback, when the failure is the program's own.
        memory: Bytes of memory that the trainer holds now.
    """

    key: tuple[str, int]
    outcome: Literal["finished", "skipped", "stopped", "failed"]
    record: str = ""
    message: str = ""
    trace: str = ""
    memory: int = 0
