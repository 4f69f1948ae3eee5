"""Jobs, their results and learners' progress in a database: what pages and the command line do with them.

Every method is one short transaction and returns plain frozen values. `Store` is cheap to make: the connections are
kept once a process and address. The worker's side of the same tables is `tlcore.jobs.queue`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from typing_extensions import TypedDict, Unpack

import tlcore
from tlcore.data import own
from tlcore.errors import UserError, explain
from tlcore.experiment import CurvePoint, Experiment, RunRecord
from tlcore.jobs.database import Database, open_database
from tlcore.jobs.progress import UNFINISHED, ArmProgress, Job, JobState, JobSummary, WorkerInfo, next_turn
from tlcore.jobs.queue import NOT_NEEDED, QueueView, end_waiting, read_view, settle
from tlcore.jobs.tables import ARMS, JOBS, POINTS, PREPARATION, PROGRESS, PROGRESS_CODES, RECORDS, WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Table

MOST_PER_OWNER = 4
MOST_QUEUED = 200
_VIEW_SECONDS = 0.5
"""Pages that poll within this time share one look at the queue."""
CODE_SECONDS = 30 * 24 * 3600
"""How long a code carries progress to another browser."""
_CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike on a board

_views: dict[Database, QueueView] = {}

Short = Annotated[str, Field(min_length=1, max_length=80)]
RunId = Annotated[str, Field(min_length=1, max_length=32)]


def _checked_json(text: str) -> str:
    json.loads(text)  # raises ValueError, which pydantic reports
    return text


class Steps(TypedDict, total=False):
    """What a learner has done in a lesson; what is not named stays as it was."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    prediction: Annotated[str, Field(max_length=2000), AfterValidator(_checked_json)] | None
    """JSON; what it says is between the page that writes it and the page that reads it."""
    run: RunId | None
    change: RunId | None
    why: Short | None
    answers: Annotated[dict[Short, Short], Field(max_length=500)]
    done: bool


@dataclass(frozen=True)
class LessonProgress:
    """How far a learner is in a lesson.

    Args:
        prediction: What they expected, as JSON; None if they did not say.
        run: Id of the run, or None.
        change: Id of the run with one thing changed, or None.
        why: Name of the answer chosen, or None.
        done: Whether the lesson was finished.
        updated: When the last of these happened.
        answers: In the quiz, the answer given to each question.
    """

    prediction: str | None
    run: str | None
    change: str | None
    why: str | None
    done: bool
    updated: datetime
    answers: dict[str, str] = field(default_factory=dict)


class Store:
    """Jobs, their curves and records.

    Args:
        url: SQLAlchemy's address of the database; None for `TLCORE_DATABASE_URL`, else a file in `tlcore.home.home`.

    Raises:
        UserError: If the database cannot be opened; also from any method, if it cannot be read or written.
    """

    def __init__(self, url: str | None = None) -> None:
        self._database = open_database(url)

    def close(self) -> None:
        """Close the connections, also for other stores of this process with the same address."""
        _views.pop(self._database, None)
        self._database.close()

    def submit(self, experiment: Experiment, owner: str) -> str:
        """Put an experiment into the queue.

        Args:
            experiment: What to run.
            owner: Whose it is.

        Returns:
            The job's id.

        Raises:
            UserError: If the owner has too many unfinished jobs, the queue is full, or the target is pictures of
                somebody else.
        """
        pictures = own.find(experiment.target)
        if pictures is not None and pictures.owner != owner:
            raise UserError("these pictures belong to another browser: add your own on the page “Your pictures”")
        job_id = secrets.token_hex(8)
        now = time.time()
        with self._database.writing() as connection:
            unfinished = select(func.count()).select_from(JOBS).where(JOBS.c.state.in_(UNFINISHED))
            if connection.execute(unfinished.where(JOBS.c.owner == owner)).scalar_one() >= MOST_PER_OWNER:
                raise UserError(
                    f"you have {MOST_PER_OWNER} runs that have not finished: wait for one, or stop one, then run again"
                )
            if connection.execute(unfinished.where(JOBS.c.state == "queued")).scalar_one() >= MOST_QUEUED:
                raise UserError(f"{MOST_QUEUED} runs are waiting and no more fit: try again in a few minutes")
            # A job that was withdrawn before it began does not count as a turn.
            turn = select(func.max(JOBS.c.turn)).where(JOBS.c.started.is_not(None) | JOBS.c.state.in_(UNFINISHED))
            connection.execute(
                insert(JOBS).values(
                    id=job_id,
                    owner=owner,
                    turn=next_turn(
                        connection.execute(turn.where(JOBS.c.started.is_not(None))).scalar_one_or_none(),
                        connection.execute(turn.where(JOBS.c.owner == owner)).scalar_one_or_none(),
                    ),
                    experiment=experiment.model_dump_json(),
                    content_hash=experiment.content_hash(),
                    source_key=_source_key(experiment),
                    state="queued",
                    message="",
                    created=now,
                )
            )
            arms = [(PREPARATION, "", 0, _preparation_cost(experiment))]
            arms += [
                (ordinal, strategy, seed, experiment.arm_hash(strategy, 0))
                for ordinal, (strategy, seed) in enumerate(experiment.arms)
            ]
            connection.execute(
                insert(ARMS),
                [
                    {
                        "job_id": job_id,
                        "ordinal": ordinal,
                        "strategy": strategy,
                        "seed": seed,
                        "state": "waiting",
                        "text": "",
                        "fraction": 0.0,
                        "cost": cost,
                    }
                    for ordinal, strategy, seed, cost in arms
                ],
            )
            _take_over(connection, job_id, experiment, owner)
        _views.pop(self._database, None)
        return job_id

    def job(self, job_id: str) -> Job | None:
        """Read how far a job is.

        Args:
            job_id: The job.

        Returns:
            The job, or None if there is none of that id.

        Raises:
            UserError: If another version of the program made it and this one cannot read it.
        """
        with self._database.reading() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
            if row is None:
                return None
            arms = connection.execute(_SELECT_ARMS.where(ARMS.c.job_id == job_id)).all()
        summary = _summary(row)
        if summary is None:
            raise UserError("this run was made by another version of tlcore and cannot be read: run it again")
        units = [ArmProgress(arm.strategy, arm.seed, arm.state, arm.text, arm.fraction) for arm in arms]
        # In order of the ordinal, so the preparation is first; once it turned out to be unnecessary it is not shown.
        preparation = None if units[0].text == NOT_NEEDED else units[0]
        counted = units[1:] if preparation is None else units
        view = self._view(job_id) if summary.active else QueueView(0.0)
        return Job(
            **vars(summary),
            arms=tuple(units[1:]),
            preparation=preparation,
            fraction=sum(unit.fraction for unit in counted) / len(counted),
            seconds_left=view.seconds.get(job_id),
            position=view.position.get(job_id, 0) if summary.active else None,
        )

    def jobs(
        self, owner: str | None = None, limit: int = 200, states: Iterable[JobState] | None = None
    ) -> list[JobSummary]:
        """List jobs, newest first.

        Args:
            owner: Only this owner's.
            limit: At most so many.
            states: Only those in one of these states.

        Returns:
            The jobs; those that another version of the program made and this one cannot read are left out.
        """
        query = select(JOBS).order_by(JOBS.c.created.desc(), JOBS.c.id).limit(limit)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        if states is not None:
            query = query.where(JOBS.c.state.in_(list(states)))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [summary for row in rows if (summary := _summary(row)) is not None]

    def points(self, job_id: str) -> list[tuple[str, int, CurvePoint]]:
        """Read a job's curves, unfinished ones included.

        Args:
            job_id: The job.

        Returns:
            Strategy, seed and look, in the experiment's order and then by step.
        """
        with self._database.reading() as connection:
            names = {
                row.ordinal: (row.strategy, row.seed)
                for row in connection.execute(_SELECT_NAMES.where(ARMS.c.job_id == job_id))
            }
            rows = connection.execute(_SELECT_POINTS.where(POINTS.c.job_id == job_id)).all()
        # All at once: validating one by one takes three times as long, and pages ask every second.
        looks = _LOOKS.validate_python([dict(zip(_POINT_FIELDS, row[1:], strict=True)) for row in rows])
        return [(*names[row[0]], look) for row, look in zip(rows, looks, strict=True)]

    def records(self, job_id: str) -> list[RunRecord]:
        """Read the results of a job's finished arms.

        Args:
            job_id: The job.

        Returns:
            The records, in the experiment's order.

        Raises:
            UserError: If another version of the program made them and this one cannot read them.
        """
        query = select(RECORDS.c.record).where(RECORDS.c.job_id == job_id).order_by(RECORDS.c.ordinal)
        with self._database.reading() as connection:
            texts = connection.execute(query).scalars().all()
        try:
            return [_record(text) for text in texts]
        except ValidationError:
            raise UserError(
                "these results were made by another version of tlcore and cannot be read: run it again"
            ) from None

    def find_finished(self, experiment: Experiment) -> str | None:
        """Find an earlier run of exactly this experiment.

        Args:
            experiment: What was asked for.

        Returns:
            Id of the newest finished job of it, whoever ran it, or None.
        """
        query = (
            select(JOBS.c.id)
            .where(JOBS.c.content_hash == experiment.content_hash(), JOBS.c.state == "finished")
            .order_by(JOBS.c.finished.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def request_stop(self, job_id: str, owner: str) -> None:
        """Ask for a job to stop; finished arms keep their records. Nothing happens if it has ended already.

        Args:
            job_id: The job.
            owner: Who asks.

        Raises:
            UserError: If there is no such job, or it is somebody else's.
        """
        with self._database.writing() as connection:
            if _state_for(connection, job_id, owner) not in ("queued", "running"):
                return
            end_waiting(connection, job_id, "stopped")
            connection.execute(update(JOBS).where(JOBS.c.id == job_id).values(state="stopping"))
            settle(connection, job_id)
        _views.pop(self._database, None)

    def delete(self, job_id: str, owner: str) -> None:
        """Remove a job with its curves and records; the worker stops what still runs of it.

        Args:
            job_id: The job.
            owner: Who asks.

        Raises:
            UserError: If there is no such job, or it is somebody else's.
        """
        with self._database.writing() as connection:
            _state_for(connection, job_id, owner)
            connection.execute(delete(JOBS).where(JOBS.c.id == job_id))
        _views.pop(self._database, None)

    def forget_target(self, target: str) -> None:
        """Remove every job that was run on a dataset, whoever ran it; the worker stops what still runs.

        Args:
            target: Name of the dataset; it need not be there any more.
        """
        chosen = JOBS.c.experiment.contains(f'"target":"{target}"', autoescape=True)
        with self._database.writing() as connection:
            connection.execute(delete(JOBS).where(chosen))
        _views.pop(self._database, None)

    def workers(self) -> list[WorkerInfo]:
        """List the workers that have said they are there, the last heard of first.

        Returns:
            The workers; one that was killed stays in the list, with an old heartbeat, until the next one starts.
        """
        with self._database.reading() as connection:
            rows = connection.execute(select(WORKERS).order_by(WORKERS.c.heartbeat.desc())).all()
        now = time.time()
        return [
            WorkerInfo(row.id, row.host, row.pid, _moment(row.started), now - row.heartbeat, row.slots, row.device)
            for row in rows
        ]

    def progress(self, owner: str) -> dict[str, LessonProgress]:
        """Read how far a learner is.

        Args:
            owner: The learner.

        Returns:
            Their progress by name of the lesson, the last touched first; the quiz is among the lessons.
        """
        query = select(PROGRESS).where(PROGRESS.c.owner == owner).order_by(PROGRESS.c.updated.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return {row.lesson: _lesson_progress(row) for row in rows}

    def note_progress(self, owner: str, lesson: str, **steps: Unpack[Steps]) -> None:
        """Keep what a learner has done in a lesson; what is not named stays as it was.

        Args:
            owner: The learner.
            lesson: Name of the lesson.
            **steps: See `Steps`.

        Raises:
            UserError: If a value is too long or of another kind.
        """
        try:
            _OWNER.validate_python(owner)
            _LESSON.validate_python(lesson)
            values: dict[str, Any] = dict(_STEPS.validate_python(steps))
        except ValidationError as error:
            raise UserError(f"this progress cannot be kept: {explain(error)}") from None
        if "answers" in values:
            values["answers"] = json.dumps(values["answers"])
        values["updated"] = time.time()
        with self._database.writing() as connection:
            first = {"owner": owner, "lesson": lesson, "done": False} | values
            connection.execute(_upsert(connection, PROGRESS, first, values))

    def progress_code(self, owner: str) -> str:
        """Give a learner a code that carries their progress to another browser.

        Args:
            owner: The learner.

        Returns:
            The code: the same for 30 days, then another.
        """
        now = time.time()
        valid = (PROGRESS_CODES.c.owner == owner) & (PROGRESS_CODES.c.created > now - CODE_SECONDS)
        with self._database.writing() as connection:
            kept = connection.execute(select(PROGRESS_CODES.c.code).where(valid)).scalar_one_or_none()
            if kept is not None:
                return kept
            code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(10))
            values = {"code": code, "created": now}
            connection.execute(_upsert(connection, PROGRESS_CODES, {"owner": owner} | values, values))
        return code

    def take_progress(self, code: str, owner: str) -> int:
        """Copy progress that another browser has made; the runs stay with that browser.

        In a lesson that both have, what is done wins over what is not, then the later.

        Args:
            code: What `progress_code` gave there.
            owner: Who takes it.

        Returns:
            How many lessons were copied.

        Raises:
            UserError: If there is no such code.
        """
        asked = "".join(letter for letter in code.lower() if letter.isalnum())
        valid = (PROGRESS_CODES.c.code == asked) & (PROGRESS_CODES.c.created > time.time() - CODE_SECONDS)
        with self._database.writing() as connection:
            theirs = connection.execute(select(PROGRESS_CODES.c.owner).where(valid)).scalar_one_or_none()
            if theirs is None:
                raise UserError("no progress is kept under this code: make a new one in the browser that has it")
            rows = connection.execute(select(PROGRESS).where(PROGRESS.c.owner.in_([theirs, owner]))).mappings().all()
            mine = {row["lesson"]: (row["done"], row["updated"]) for row in rows if row["owner"] == owner}
            better = [
                {**row, "owner": owner}
                for row in rows
                if row["lesson"] not in mine or (row["done"], row["updated"]) > mine[row["lesson"]]
            ]
            for values in better:
                connection.execute(_upsert(connection, PROGRESS, values, values))
        return len(better)

    def count(self, *states: JobState) -> int:
        """Count the jobs that are in one of some states."""
        query = select(func.count()).select_from(JOBS).where(JOBS.c.state.in_(states))
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def _view(self, job_id: str) -> QueueView:
        view = _views.get(self._database)
        if view is None or time.monotonic() - view.read > _VIEW_SECONDS or job_id not in view.position:
            with self._database.reading() as connection:
                view = read_view(connection)
            _views[self._database] = view
        return view


_SELECT_ARMS = select(ARMS.c.strategy, ARMS.c.seed, ARMS.c.state, ARMS.c.text, ARMS.c.fraction).order_by(ARMS.c.ordinal)
_SELECT_NAMES = select(ARMS.c.ordinal, ARMS.c.strategy, ARMS.c.seed)
_POINT_FIELDS = tuple(CurvePoint.model_fields)
_LOOKS = TypeAdapter(tuple[CurvePoint, ...])
_SELECT_POINTS = select(POINTS.c.ordinal, *(POINTS.c[name] for name in _POINT_FIELDS)).order_by(
    POINTS.c.ordinal, POINTS.c.step
)


@lru_cache(maxsize=2048)
def _experiment(text: str) -> Experiment | None:
    try:
        return Experiment.model_validate_json(text)
    except ValidationError:
        return None


@lru_cache(maxsize=2048)
def _record(text: str) -> RunRecord:
    return RunRecord.model_validate_json(text)


def _take_over(connection: Connection, job_id: str, experiment: Experiment, owner: str) -> None:
    """Give a new job the arms that the same person has finished before: of a run that was stopped, or had fewer seeds.

    If that were all of them nothing is taken over: who asks for the whole again wants to see it run.
    """
    hashes = {ordinal: experiment.arm_hash(*arm) for ordinal, arm in enumerate(experiment.arms)}
    query = (
        select(RECORDS.c.arm_hash, RECORDS.c.job_id, RECORDS.c.ordinal, RECORDS.c.record)
        .join(JOBS, JOBS.c.id == RECORDS.c.job_id)
        .where(JOBS.c.owner == owner, RECORDS.c.arm_hash.in_(set(hashes.values())))
        .order_by(JOBS.c.created)
    )
    found = {row.arm_hash: row for row in connection.execute(query) if _is_of_this_version(row.record)}
    if len(found) == len(hashes):
        return
    now = time.time()
    for ordinal, arm_hash in hashes.items():
        if arm_hash not in found:
            continue
        row = found[arm_hash]
        record = _record(row.record).model_copy(update={"experiment": experiment}).model_dump_json()
        this = (ARMS.c.job_id == job_id) & (ARMS.c.ordinal == ordinal)
        values = {"state": "finished", "text": "trained before", "fraction": 1.0, "finished": now}
        connection.execute(update(ARMS).where(this).values(**values))
        connection.execute(insert(RECORDS).values(job_id=job_id, ordinal=ordinal, arm_hash=arm_hash, record=record))
        there = (POINTS.c.job_id == row.job_id) & (POINTS.c.ordinal == row.ordinal)
        copied = select(literal(job_id), literal(ordinal), *(POINTS.c[name] for name in _POINT_FIELDS)).where(there)
        connection.execute(insert(POINTS).from_select(["job_id", "ordinal", *_POINT_FIELDS], copied))


def _is_of_this_version(record: str) -> bool:
    try:
        return _record(record).environment.tlcore == tlcore.__version__
    except ValidationError:
        return False


_OWNER = TypeAdapter(Annotated[str, Field(min_length=1, max_length=200)])
_LESSON = TypeAdapter(Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,79}$")])
_STEPS = TypeAdapter(Steps)


def _upsert(connection: Connection, table: Table, values: dict[str, Any], changes: dict[str, Any]) -> Any:
    """Insert a row, or change the one that has its key: one statement, so that no other writer comes between."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).values(values).on_conflict_do_update(index_elements=table.primary_key, set_=changes)


def _lesson_progress(row: Row[Any]) -> LessonProgress:
    return LessonProgress(
        prediction=row.prediction,
        run=row.run,
        change=row.change,
        why=row.why,
        done=row.done,
        updated=_moment(row.updated),
        answers=json.loads(row.answers or "{}"),
    )


def _source_key(experiment: Experiment) -> str:
    parts = (experiment.source, experiment.backbone, experiment.precision, experiment.source_images or "all")
    return "/".join(map(str, parts))


def _preparation_cost(experiment: Experiment) -> str:
    # Not an arm's hash, whatever the source is called.
    return hashlib.sha256(f"preparation {_source_key(experiment)}".encode()).hexdigest()[:16]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)


def _summary(row: Row[Any]) -> JobSummary | None:
    experiment = _experiment(row.experiment)
    if experiment is None:
        return None
    return JobSummary(
        id=row.id,
        owner=row.owner,
        experiment=experiment,
        state=row.state,
        message=row.message,
        created=_moment(row.created),
        started=_moment_or_none(row.started),
        finished=_moment_or_none(row.finished),
    )


def _state_for(connection: Connection, job_id: str, owner: str) -> JobState:
    row = connection.execute(select(JOBS.c.owner, JOBS.c.state).where(JOBS.c.id == job_id)).one_or_none()
    if row is None:
        raise UserError("there is no such run: it may have been deleted")
    if row.owner != owner:
        raise UserError("this run belongs to somebody else: only the browser that started it can stop or delete it")
    return row.state
