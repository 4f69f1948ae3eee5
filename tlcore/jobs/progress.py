"""How far jobs are: the values that pages show, the fair order, and what is left to wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tlcore.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

JobState = Literal["queued", "running", "stopping", "stopped", "finished", "failed", "interrupted"]
ArmState = Literal["waiting", "running", "finished", "failed", "stopped", "interrupted"]

UNFINISHED: tuple[JobState, ...] = ("queued", "running", "stopping")
ENDED: tuple[JobState, ...] = ("stopped", "finished", "failed", "interrupted")


@dataclass(frozen=True)
class ArmProgress:
    """How far one unit of a job is: an arm with one seed, or the preparation of the source model.

    Args:
        strategy: The arm's strategy; empty for the preparation.
        seed: The arm's seed; 0 for the preparation.
        state: ``waiting``, ``running``, or how it ended.
        text: What it does, or why it ended, in one short sentence.
        fraction: How much of it is done, in [0, 1].
    """

    strategy: str
    seed: int
    state: ArmState
    text: str
    fraction: float


@dataclass(frozen=True)
class Job:
    """One experiment that somebody asked to run.

    Args:
        id: What the address bar and the store call it; cannot be guessed.
        owner: Whose it is. Who knows an owner's name may stop and delete their jobs: show it to nobody.
        experiment: What to run.
        state: ``queued``, ``running``, ``stopping`` (asked to stop and not yet stopped), or how it ended.
        message: Why it ended, for a person; empty when there is nothing to say.
        created: When it was asked for (UTC).
        started: When its first unit began, or None.
        finished: When it ended, or None.
        arms: Its arms, in the experiment's order.
        preparation: The source model's training, or None if it turned out not to be needed.
        fraction: How much of all units is done, in [0, 1].
        seconds_left: Seconds until it ends, from what such arms took before; None while nothing is known.
        position: 0 while it runs, its place in the queue (from 1) while it waits, None when it has ended.
    """

    id: str
    owner: str
    experiment: Experiment
    state: JobState
    message: str
    created: datetime
    started: datetime | None
    finished: datetime | None
    arms: tuple[ArmProgress, ...]
    preparation: ArmProgress | None
    fraction: float
    seconds_left: float | None
    position: int | None

    @property
    def active(self) -> bool:
        """Whether it can still change."""
        return self.state in UNFINISHED


@dataclass(frozen=True)
class JobSummary:
    """A job in a list; the fields mean what they mean in `Job`."""

    id: str
    owner: str
    experiment: Experiment
    state: JobState
    message: str
    created: datetime
    started: datetime | None
    finished: datetime | None

    @property
    def active(self) -> bool:
        """Whether it can still change."""
        return self.state in UNFINISHED


@dataclass(frozen=True)
class WorkerInfo:
    """A worker process as the store knows it.

    Args:
        id: Its name in the store.
        host: Which machine and folder it serves.
        pid: Its process number there.
        started: When it started (UTC).
        heartbeat_age: Seconds since it last said that it is there.
        slots: Units it can run at once; 0 until its trainers are warm.
        device: What it trains on, in words.
    """

    id: str
    host: str
    pid: int
    started: datetime
    heartbeat_age: float
    slots: int
    device: str


@dataclass(frozen=True)
class Waiting:
    """What the fair order needs to know of an unfinished job.

    Args:
        id: The job.
        running: Whether any of it has begun.
        turn: Its turn; see `next_turn`.
        created: When it was asked for, in seconds since 1970.
    """

    id: str
    running: bool
    turn: int
    created: float


def next_turn(current: int | None, own: int | None) -> int:
    """Give a new job its turn, so that turns go round between learners.

    Args:
        current: The highest turn of which any job has begun, or None if none ever has.
        own: The highest turn that this learner has had or waits for, or None.

    Returns:
        The turn: the current one, or the learner's next. A learner's second job so comes after everybody's first,
        also when that first job has long begun, and nobody gains by having been away.
    """
    return max(current or 0, 0 if own is None else own + 1)


def fair_order(jobs: Iterable[Waiting]) -> list[Waiting]:
    """Order unfinished jobs: what runs goes on first, then turn by turn, and within a turn who came first.

    Args:
        jobs: Every unfinished job, in any order.

    Returns:
        The same jobs, next first.
    """
    return sorted(jobs, key=lambda job: (not job.running, job.turn, job.created, job.id))


@dataclass(frozen=True)
class Remainder:
    """Unfinished units of one job that cost alike.

    Args:
        cost: What tells their kind: units of one cost take about as long as each other.
        units: How many there are.
        amount: How much is left of them, in units.
    """

    cost: str
    units: int
    amount: float


def seconds_left(
    order: Sequence[str],
    remainders: Mapping[str, Sequence[Remainder]],
    seconds_of: Mapping[str, Mapping[str, float]],
    slots: int,
) -> dict[str, float]:
    """Estimate when each job ends, from how long such units took.

    Args:
        order: The unfinished jobs, next first.
        remainders: What is left of each.
        seconds_of: For each job, the seconds that a unit of each cost takes, as far as it is known.
        slots: Units that run at once.

    Returns:
        Seconds by job. A job is missing when something of it, or of a job before it, was never measured: then nothing
        honest can be said.
    """
    left: dict[str, float] = {}
    before = 0.0
    for job in order:
        known = seconds_of.get(job, {})
        parts = remainders.get(job, ())
        if slots < 1 or any(part.cost not in known for part in parts):
            break
        own = sum(part.amount * known[part.cost] for part in parts)
        units = sum(part.units for part in parts)
        before += own
        left[job] = max(before / slots, own / max(1, min(slots, units)))
    return left
