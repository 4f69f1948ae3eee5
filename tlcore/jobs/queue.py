"""The worker's side of the store: taking units in the fair order, and writing down what becomes of them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, delete, func, insert, select, update

from tlcore.experiment import RunRecord
from tlcore.jobs.database import open_database
from tlcore.jobs.messages import Progress, Unit
from tlcore.jobs.progress import ENDED, UNFINISHED, ArmState, JobState, Remainder, Waiting, fair_order, seconds_left
from tlcore.jobs.tables import ARMS, JOBS, POINTS, PREPARATION, RECORDS, WORKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

STALE_SECONDS = 30.0
"""A worker that has not been heard of for so long is taken for dead."""
NOT_NEEDED = "not needed"
"""Text of a preparation that turned out to be unnecessary."""


class Queue:
    """Jobs as a worker sees them.

    Args:
        url: SQLAlchemy's address of the database; None for the usual one.

    Raises:
        UserError: If the database cannot be opened; also from any method, if it cannot be read or written.
    """

    def __init__(self, url: str | None = None) -> None:
        self._database = open_database(url)

    def add_worker(self, host: str, pid: int) -> str:
        """Make a new worker known.

        Args:
            host: Which machine and folder it serves.
            pid: Its process number.

        Returns:
            Its name in the store.
        """
        worker, now = secrets.token_hex(8), time.time()
        row = {"host": host, "pid": pid, "started": now, "heartbeat": now, "slots": 0, "device": ""}
        with self._database.writing() as connection:
            connection.execute(insert(WORKERS).values(id=worker, **row))
        return worker

    def heartbeat(self, worker: str, slots: int, device: str) -> None:
        """Say that a worker is there, how much it can run at once, and on what."""
        values = {"heartbeat": time.time(), "slots": slots, "device": device}
        with self._database.writing() as connection:
            connection.execute(update(WORKERS).where(WORKERS.c.id == worker).values(**values))

    def remove_worker(self, worker: str) -> None:
        """Forget a worker that has ended."""
        with self._database.writing() as connection:
            connection.execute(delete(WORKERS).where(WORKERS.c.id == worker))

    def mark_interrupted(self, worker: str, host: str, message: str) -> int:
        """End the jobs that a dead worker left running, and forget that worker.

        Args:
            worker: The worker that asks; it holds the lock of its host, so every other one there is dead. Workers
                of other hosts are taken for dead when they were not heard of for `STALE_SECONDS`.
            host: Its host.
            message: What the jobs' owners shall read.

        Returns:
            Number of jobs that were ended.
        """
        alive = (WORKERS.c.id == worker) | (
            (WORKERS.c.host != host) & (WORKERS.c.heartbeat > time.time() - STALE_SECONDS)
        )
        with self._database.writing() as connection:
            dead = ARMS.c.worker.not_in(select(WORKERS.c.id).where(alive))
            left = select(ARMS.c.job_id).where(ARMS.c.state == "running", dead).distinct()
            jobs = connection.execute(left).scalars().all()
            for job_id in jobs:
                _interrupt(connection, job_id, message, dead)
            connection.execute(delete(WORKERS).where(~alive))
        return len(jobs)

    def has_waiting(self) -> bool:
        """Whether any unit waits for a trainer; quick, for a worker that asks many times a second."""
        with self._database.reading() as connection:
            return connection.execute(_SELECT_WAITING).first() is not None

    def claim_next(self, worker: str) -> Unit | None:
        """Take the unit that is next in the fair order.

        Args:
            worker: Who takes it.

        Returns:
            The unit, now running; None if nothing can be run.
        """
        with self._database.writing() as connection:
            entries = _entries(connection)
            # The lowest waiting ordinal of each job: its preparation, if that has not begun.
            first = {
                row.job_id: row.ordinal
                for row in connection.execute(
                    select(ARMS.c.job_id, func.min(ARMS.c.ordinal).label("ordinal"))
                    .where(ARMS.c.state == "waiting")
                    .group_by(ARMS.c.job_id)
                )
            }
            preparing = {
                row.job_id: row.source_key
                for row in connection.execute(
                    select(ARMS.c.job_id, JOBS.c.source_key)
                    .join(JOBS, JOBS.c.id == ARMS.c.job_id)
                    .where(ARMS.c.state == "running", ARMS.c.ordinal == PREPARATION)
                )
            }
            for entry, row in entries:
                ordinal = first.get(entry.id)
                if ordinal is None or entry.id in preparing or row.state == "stopping":
                    continue
                # Two jobs that need the same source model: the second waits and then finds the first one's.
                if ordinal == PREPARATION and row.source_key in preparing.values():
                    continue
                return _claim(connection, entry.id, ordinal, worker)
        return None

    def wanted(self, worker: str) -> set[tuple[str, int]]:
        """List the units of a worker that shall go on; what it runs besides these has to stop."""
        query = (
            select(ARMS.c.job_id, ARMS.c.ordinal)
            .join(JOBS, JOBS.c.id == ARMS.c.job_id)
            .where(ARMS.c.state == "running", ARMS.c.worker == worker, JOBS.c.state == "running")
        )
        with self._database.reading() as connection:
            return {(row.job_id, row.ordinal) for row in connection.execute(query)}

    def report(self, progress: Sequence[Progress]) -> None:
        """Write down how far running units are; those that are not running any more are passed over.

        Args:
            progress: Any number of reports; the steps of one unit's points ascend from report to report.
        """
        with self._database.writing() as connection:
            for key, fraction, text, points in progress:
                values = {"fraction": fraction, "text": text}
                if not _update_running(connection, key, values) or not points:
                    continue
                connection.execute(
                    insert(POINTS),
                    [{"job_id": key[0], "ordinal": key[1], **point.model_dump()} for point in points],
                )

    def finish_arm(self, key: tuple[str, int], record: str) -> None:
        """Keep the result of an arm that ran to its end.

        Args:
            key: The arm.
            record: Its `RunRecord` as JSON text.
        """
        values = {"state": "finished", "fraction": 1.0, "text": "", "finished": time.time()}
        arm_hash = RunRecord.model_validate_json(record).arm_hash
        with self._database.writing() as connection:
            if _update_running(connection, key, values):
                row = {"job_id": key[0], "ordinal": key[1], "arm_hash": arm_hash, "record": record}
                connection.execute(insert(RECORDS).values(**row))
                settle(connection, key[0])

    def finish_preparation(self, key: tuple[str, int], *, needed: bool) -> None:
        """Let a job's arms begin: its source model is there, or was never needed."""
        text = "" if needed else NOT_NEEDED
        values = {"state": "finished", "fraction": 1.0, "text": text, "finished": time.time()}
        with self._database.writing() as connection:
            if _update_running(connection, key, values):
                settle(connection, key[0])

    def stopped(self, key: tuple[str, int]) -> None:
        """Note that a unit stopped because it was asked to."""
        with self._database.writing() as connection:
            if _update_running(connection, key, {"state": "stopped", "finished": time.time()}):
                settle(connection, key[0])

    def fail(self, key: tuple[str, int], message: str) -> None:
        """End a job because one of its units failed.

        Args:
            key: The unit.
            message: What went wrong and what to do, for a person.
        """
        values = {"state": "failed", "text": message, "finished": time.time()}
        with self._database.writing() as connection:
            if _update_running(connection, key, values):
                _end_job(connection, key[0], "failed", message, "stopped")

    def interrupt(self, key: tuple[str, int], message: str) -> None:
        """End a job because the process that ran one of its units is gone.

        Args:
            key: The unit.
            message: What happened and what to do, for a person.
        """
        with self._database.writing() as connection:
            this_one = (ARMS.c.job_id == key[0]) & (ARMS.c.ordinal == key[1])
            _interrupt(connection, key[0], message, this_one)


_SELECT_WAITING = select(ARMS.c.ordinal).where(ARMS.c.state == "waiting").limit(1)


@dataclass(frozen=True)
class QueueView:
    """The whole queue at one moment.

    Args:
        read: When it was read, on the monotonic clock.
        position: Place of each unfinished job; 0 for those that run.
        seconds: Seconds until each ends, where that is known.
    """

    read: float
    position: dict[str, int] = field(default_factory=dict[str, int])
    seconds: dict[str, float] = field(default_factory=dict[str, float])


def _update_running(connection: Connection, key: tuple[str, int], values: dict[str, Any]) -> bool:
    """Change a unit if it is still running: a stop, a delete or a failure elsewhere may have ended it meanwhile."""
    running = (ARMS.c.job_id == key[0]) & (ARMS.c.ordinal == key[1]) & (ARMS.c.state == "running")
    return connection.execute(update(ARMS).where(running).values(**values)).rowcount == 1


def end_waiting(connection: Connection, job_id: str, state: ArmState) -> None:
    """End the units of a job that have not begun."""
    waiting = (ARMS.c.job_id == job_id) & (ARMS.c.state == "waiting")
    connection.execute(update(ARMS).where(waiting).values(state=state))


def _end_job(connection: Connection, job_id: str, state: JobState, message: str, arms: ArmState) -> None:
    """End a job now; the units that still ran or waited end with it, and the worker stops the trainers."""
    now = time.time()
    unfinished = (ARMS.c.job_id == job_id) & ARMS.c.state.in_(("waiting", "running"))
    connection.execute(update(ARMS).where(unfinished).values(state=arms, finished=now))
    connection.execute(update(JOBS).where(JOBS.c.id == job_id).values(state=state, message=message, finished=now))


def _interrupt(connection: Connection, job_id: str, message: str, lost: Any) -> None:
    job_state = connection.execute(select(JOBS.c.state).where(JOBS.c.id == job_id)).scalar_one_or_none()
    running = (ARMS.c.job_id == job_id) & (ARMS.c.state == "running")
    if job_state == "stopping":
        # It was to end anyway: the person who stopped it need not be told how.
        connection.execute(update(ARMS).where(running & lost).values(state="stopped", finished=time.time()))
        settle(connection, job_id)
    elif connection.execute(update(ARMS).where(running & lost).values(state="interrupted", text=message)).rowcount:
        _end_job(connection, job_id, "interrupted", message, "interrupted")


def settle(connection: Connection, job_id: str) -> None:
    """End a job if nothing of it waits or runs any more."""
    left = connection.execute(
        select(func.count()).select_from(ARMS).where(ARMS.c.job_id == job_id, ARMS.c.state.in_(("waiting", "running")))
    ).scalar_one()
    if left == 0:
        # A job that was asked to stop and yet finished all of its arms is a finished job.
        short = select(ARMS.c.ordinal).where(ARMS.c.job_id == job_id, ARMS.c.state != "finished").exists()
        connection.execute(
            update(JOBS)
            .where(JOBS.c.id == job_id, JOBS.c.state.not_in(ENDED))
            .values(state=case((short, "stopped"), else_="finished"), finished=time.time())
        )


def _entries(connection: Connection) -> list[tuple[Waiting, Any]]:
    """Read the unfinished jobs in the fair order."""
    columns = (JOBS.c.id, JOBS.c.state, JOBS.c.turn, JOBS.c.created, JOBS.c.source_key)
    rows = {row.id: row for row in connection.execute(select(*columns).where(JOBS.c.state.in_(UNFINISHED)))}
    waiting = [Waiting(row.id, row.state != "queued", row.turn, row.created) for row in rows.values()]
    return [(entry, rows[entry.id]) for entry in fair_order(waiting)]


def _claim(connection: Connection, job_id: str, ordinal: int, worker: str) -> Unit | None:
    now = time.time()
    this_one = (ARMS.c.job_id == job_id) & (ARMS.c.ordinal == ordinal) & (ARMS.c.state == "waiting")
    taken = connection.execute(update(ARMS).where(this_one).values(state="running", worker=worker, started=now))
    if taken.rowcount == 0:
        return None  # a worker on another host was quicker
    connection.execute(
        update(JOBS).where(JOBS.c.id == job_id, JOBS.c.state == "queued").values(state="running", started=now)
    )
    arm = connection.execute(
        select(ARMS.c.strategy, ARMS.c.seed, JOBS.c.experiment)
        .join(JOBS, JOBS.c.id == ARMS.c.job_id)
        .where(ARMS.c.job_id == job_id, ARMS.c.ordinal == ordinal)
    ).one()
    return Unit(job_id, ordinal, arm.strategy, arm.seed, arm.experiment)


def read_view(connection: Connection) -> QueueView:
    """Read the queue: who is where in it, and how long each has to wait, as far as such units were timed before."""
    entries = _entries(connection)
    order = [entry.id for entry, _ in entries]
    queued = [entry.id for entry, _ in entries if not entry.running]
    position = dict.fromkeys(order, 0) | {job_id: place for place, job_id in enumerate(queued, start=1)}

    remainders: dict[str, list[Remainder]] = {}
    left = (
        select(ARMS.c.job_id, ARMS.c.cost, func.count().label("units"), func.sum(1 - ARMS.c.fraction).label("amount"))
        .where(ARMS.c.state.in_(("waiting", "running")))
        .group_by(ARMS.c.job_id, ARMS.c.cost)
    )
    for row in connection.execute(left):
        remainders.setdefault(row.job_id, []).append(Remainder(row.cost, row.units, row.amount))
    costs = {part.cost for parts in remainders.values() for part in parts}
    # An arm that was taken over from an earlier run never started here, and tells nothing about how long one takes.
    timed_here = (ARMS.c.state == "finished") & ARMS.c.started.is_not(None)
    took = (
        select(ARMS.c.cost, func.avg(ARMS.c.finished - ARMS.c.started).label("seconds"))
        .where(timed_here, ARMS.c.cost.in_(costs))
        .group_by(ARMS.c.cost)
    )
    timed: dict[str, float] = {row.cost: row.seconds for row in connection.execute(took)}
    # Other arms of the same job stand in for a kind of arm that has never run.
    alike = (
        select(ARMS.c.job_id, func.avg(ARMS.c.finished - ARMS.c.started).label("seconds"))
        .where(timed_here, ARMS.c.ordinal != PREPARATION, ARMS.c.job_id.in_(order))
        .group_by(ARMS.c.job_id)
    )
    in_job: dict[str, float] = {row.job_id: row.seconds for row in connection.execute(alike)}
    seconds_of = {
        job_id: dict.fromkeys((part.cost for part in parts), in_job[job_id]) | timed if job_id in in_job else timed
        for job_id, parts in remainders.items()
    }
    slots = connection.execute(
        select(func.sum(WORKERS.c.slots)).where(WORKERS.c.heartbeat > time.time() - STALE_SECONDS)
    ).scalar_one_or_none()
    return QueueView(time.monotonic(), position, seconds_left(order, remainders, seconds_of, slots or 0))
