"""The store without a worker: the queue's order, its limits, what becomes of units, the schema, broken files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from tests.jobs import fake_engine
from tlcore import migrations, store
from tlcore.errors import UserError
from tlcore.experiment import CurvePoint, Experiment
from tlcore.jobs import queue as queue_module
from tlcore.jobs.database import open_database
from tlcore.jobs.messages import Progress, Unit
from tlcore.jobs.progress import Remainder, Waiting, fair_order, next_turn, seconds_left
from tlcore.jobs.queue import Queue
from tlcore.jobs.tables import METADATA, PREPARATION
from tlcore.lock import FileLock
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    monkeypatch.delenv("TLCORE_DATABASE_URL", raising=False)
    return tmp_path


@pytest.fixture
def kept(home: Path) -> Iterator[Store]:
    opened = Store()
    yield opened
    opened.close()


@pytest.fixture
def queue(kept: Store) -> Queue:
    return Queue()


@pytest.fixture
def worker(queue: Queue) -> str:
    return queue.add_worker("here", 1)


def experiment(**values: object) -> Experiment:
    usual = {"source": "drawn_digits", "target": "uci_digits", "strategies": ("scratch", "pixel_baseline"), "seeds": 1}
    return Experiment.model_validate(usual | values)


def record(unit: Unit) -> str:
    asked = Experiment.model_validate_json(unit.experiment)
    return fake_engine.record(asked, unit.strategy, unit.seed).model_dump_json()


def point(step: int) -> CurvePoint:
    return CurvePoint(step=step, seconds=step / 10, train_loss=None, train_accuracy=0.5, validation_accuracy=0.25)


def claim(queue: Queue, worker: str) -> Unit:
    unit = queue.claim_next(worker)
    assert unit is not None
    return unit


def begin(queue: Queue, worker: str) -> Unit:
    """Claim the next job's preparation, end it as not needed, and claim its first arm."""
    preparation = claim(queue, worker)
    assert preparation.ordinal == PREPARATION
    queue.finish_preparation(preparation.key, needed=False)
    return claim(queue, worker)


def run_to_the_end(queue: Queue, worker: str) -> None:
    while (unit := queue.claim_next(worker)) is not None:
        if unit.ordinal == PREPARATION:
            queue.finish_preparation(unit.key, needed=True)
        else:
            queue.finish_arm(unit.key, record(unit))


# --- arms that were trained before ------------------------------------------------------------------------------------


def test_a_run_with_more_seeds_takes_over_the_arms_that_its_owner_has(kept: Store, queue: Queue, worker: str) -> None:
    first = kept.submit(experiment(), "ada")
    key = begin(queue, worker).key
    queue.report([Progress(key, 0.5, "", (point(0), point(10)))])
    queue.finish_arm(key, record(Unit(key[0], key[1], "scratch", 0, experiment().model_dump_json())))
    run_to_the_end(queue, worker)
    more = experiment(seeds=2)
    second = kept.submit(more, "ada")
    job = kept.job(second)
    assert job is not None
    assert [(arm.seed, arm.state, arm.text) for arm in job.arms] == [
        (0, "finished", "trained before"),
        (0, "finished", "trained before"),
        (1, "waiting", ""),
        (1, "waiting", ""),
    ]
    assert [look for *_, look in kept.points(second)] == [point(0), point(10)]
    assert {found.experiment for found in kept.records(second)} == {more}
    run_to_the_end(queue, worker)
    done = kept.job(second)
    assert done is not None
    assert done.state == "finished"
    assert [(found.strategy, found.seed) for found in kept.records(second)] == list(more.arms)
    assert len(kept.records(first)) == 2


def test_a_stopped_run_goes_on_where_it_stopped(kept: Store, queue: Queue, worker: str) -> None:
    stopped = kept.submit(experiment(), "ada")
    unit = begin(queue, worker)
    queue.finish_arm(unit.key, record(unit))
    kept.request_stop(stopped, "ada")
    again = kept.job(kept.submit(experiment(), "ada"))
    assert again is not None
    assert [arm.state for arm in again.arms] == ["finished", "waiting"]


def test_nothing_is_taken_over_from_others_or_for_the_whole_again(kept: Store, queue: Queue, worker: str) -> None:
    kept.submit(experiment(), "ada")
    run_to_the_end(queue, worker)
    for owner, asked in (("bob", experiment(seeds=2)), ("ada", experiment()), ("ada", experiment(steps=7, seeds=2))):
        job = kept.job(kept.submit(asked, owner))
        assert job is not None
        assert {arm.state for arm in job.arms} == {"waiting"}


# --- one job ----------------------------------------------------------------------------------------------------------


def test_a_new_job_waits_with_all_its_arms(kept: Store) -> None:
    asked = experiment(seeds=2)
    job_id = kept.submit(asked, "ada")
    job = kept.job(job_id)
    assert job is not None
    assert len(job_id) >= 12
    assert (job.owner, job.experiment, job.state, job.position) == ("ada", asked, "queued", 1)
    assert [(arm.strategy, arm.seed) for arm in job.arms] == list(asked.arms)
    assert {arm.state for arm in job.arms} == {"waiting"}
    assert job.fraction == 0
    assert job.seconds_left is None, "nothing was ever timed"
    assert job.created.tzinfo is not None
    assert job.started is None
    assert job.active


def test_an_unknown_job_is_none(kept: Store) -> None:
    assert kept.job("nothing") is None
    assert kept.points("nothing") == []
    assert kept.records("nothing") == []


def test_a_job_runs_and_finishes(kept: Store, queue: Queue, worker: str) -> None:
    asked = experiment()
    job_id = kept.submit(asked, "ada")
    first = begin(queue, worker)
    queue.report([Progress(first.key, 0.5, "half way", (point(0), point(10)))])
    job = kept.job(job_id)
    assert job is not None
    assert (job.state, job.position) == ("running", 0)
    assert job.preparation is None, "it turned out not to be needed"
    assert (job.arms[0].state, job.arms[0].text, job.arms[0].fraction) == ("running", "half way", 0.5)
    assert job.fraction == 0.25
    assert kept.points(job_id) == [("scratch", 0, point(0)), ("scratch", 0, point(10))]
    queue.finish_arm(first.key, record(first))
    assert [kept_record.strategy for kept_record in kept.records(job_id)] == ["scratch"]
    second = claim(queue, worker)
    queue.finish_arm(second.key, record(second))
    job = kept.job(job_id)
    assert job is not None
    assert (job.state, job.fraction, job.position, job.active) == ("finished", 1.0, None, False)
    assert job.finished is not None
    assert [(kept_record.strategy, kept_record.seed) for kept_record in kept.records(job_id)] == list(asked.arms)
    assert kept.find_finished(asked) == job_id
    assert kept.find_finished(experiment(steps=7)) is None


def test_records_come_in_the_experiments_order(kept: Store, queue: Queue, worker: str) -> None:
    job_id = kept.submit(experiment(seeds=2), "ada")
    units = [begin(queue, worker), *(claim(queue, worker) for _ in range(3))]
    for unit in reversed(units):
        queue.finish_arm(unit.key, record(unit))
    assert [(one.strategy, one.seed) for one in kept.records(job_id)] == list(experiment(seeds=2).arms)


def test_arms_wait_for_the_preparation(kept: Store, queue: Queue, worker: str) -> None:
    job_id = kept.submit(experiment(), "ada")
    preparation = claim(queue, worker)
    assert queue.claim_next(worker) is None
    queue.report([Progress(preparation.key, 0.4, "training the source model", ())])
    job = kept.job(job_id)
    assert job is not None
    assert job.preparation is not None
    assert job.preparation.fraction == 0.4
    queue.finish_preparation(preparation.key, needed=True)
    assert claim(queue, worker).ordinal == 0
    job = kept.job(job_id)
    assert job is not None
    assert job.preparation is not None
    assert job.preparation.state == "finished"


def test_the_same_source_model_is_not_trained_twice_at_once(kept: Store, queue: Queue, worker: str) -> None:
    kept.submit(experiment(), "ada")
    kept.submit(experiment(steps=7), "bob")
    other = kept.submit(experiment(backbone="mlp"), "cyd")
    first = claim(queue, worker)
    assert claim(queue, worker).job_id == other
    assert queue.claim_next(worker) is None
    queue.finish_preparation(first.key, needed=True)
    assert {claim(queue, worker).ordinal for _ in range(3)} == {PREPARATION, 0, 1}


def test_a_failed_arm_fails_the_job(kept: Store, queue: Queue, worker: str) -> None:
    job_id = kept.submit(experiment(seeds=2), "ada")
    done, failing = begin(queue, worker), claim(queue, worker)
    queue.finish_arm(done.key, record(done))
    other = claim(queue, worker)
    queue.fail(failing.key, "no data: fetch it")
    job = kept.job(job_id)
    assert job is not None
    assert (job.state, job.message) == ("failed", "no data: fetch it")
    assert [arm.state for arm in job.arms] == ["finished", "failed", "stopped", "stopped"]
    assert queue.wanted(worker) == set(), "the other arm's trainer is told to stop"
    queue.finish_arm(other.key, record(other))
    assert len(kept.records(job_id)) == 1, "what comes in after the end is not kept"
    assert queue.claim_next(worker) is None


# --- stopping and deleting --------------------------------------------------------------------------------------------


def test_stopping_a_queued_job_ends_it_at_once(kept: Store, queue: Queue, worker: str) -> None:
    job_id = kept.submit(experiment(), "ada")
    kept.request_stop(job_id, "ada")
    job = kept.job(job_id)
    assert job is not None
    assert job.state == "stopped"
    assert queue.claim_next(worker) is None
    kept.request_stop(job_id, "ada")


def test_stopping_a_running_job_waits_for_its_trainers(kept: Store, queue: Queue, worker: str) -> None:
    job_id = kept.submit(experiment(seeds=2), "ada")
    first, second = begin(queue, worker), claim(queue, worker)
    assert queue.wanted(worker) == {first.key, second.key}
    kept.request_stop(job_id, "ada")
    assert queue.wanted(worker) == set()
    assert queue.claim_next(worker) is None
    queue.finish_arm(first.key, record(first))
    job = kept.job(job_id)
    assert job is not None
    assert job.state == "stopping"
    queue.stopped(second.key)
    job = kept.job(job_id)
    assert job is not None
    assert job.state == "stopped"
    assert len(kept.records(job_id)) == 1, "an arm that finished meanwhile is kept"


def test_deleting_removes_everything(kept: Store, queue: Queue, worker: str, home: Path) -> None:
    job_id = kept.submit(experiment(), "ada")
    unit = begin(queue, worker)
    queue.report([Progress(unit.key, 0.1, "", (point(0),))])
    kept.delete(job_id, "ada")
    assert kept.job(job_id) is None
    assert queue.wanted(worker) == set()
    queue.report([Progress(unit.key, 0.2, "", (point(1),))])
    queue.finish_arm(unit.key, record(unit))
    with sqlite3.connect(home / "tlcore.sqlite") as connection:
        for table in ("jobs", "arms", "points", "records"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    connection.close()


@pytest.mark.parametrize("action", ["request_stop", "delete"])
def test_only_the_owner_may(kept: Store, action: str) -> None:
    job_id = kept.submit(experiment(), "ada")
    with pytest.raises(UserError, match="somebody else"):
        getattr(kept, action)(job_id, "bob")
    with pytest.raises(UserError, match="no such run"):
        getattr(kept, action)("nothing", "ada")
    assert kept.job(job_id) is not None


# --- limits, lists, order ---------------------------------------------------------------------------------------------


def test_an_owner_has_at_most_four_unfinished(kept: Store) -> None:
    ids = [kept.submit(experiment(), "ada") for _ in range(4)]
    with pytest.raises(UserError, match="wait for one"):
        kept.submit(experiment(), "ada")
    kept.submit(experiment(), "bob")
    kept.request_stop(ids[0], "ada")
    kept.submit(experiment(), "ada")


def test_the_queue_has_an_end(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_QUEUED", 2)
    kept.submit(experiment(), "ada")
    kept.submit(experiment(), "bob")
    with pytest.raises(UserError, match="try again"):
        kept.submit(experiment(), "cyd")


def test_jobs_are_listed_newest_first(kept: Store) -> None:
    ids = [kept.submit(experiment(steps=steps), owner) for steps, owner in ((1, "ada"), (2, "bob"), (3, "ada"))]
    kept.request_stop(ids[0], "ada")
    assert [job.id for job in kept.jobs()] == ids[::-1]
    assert [job.id for job in kept.jobs(owner="ada")] == [ids[2], ids[0]]
    assert [job.id for job in kept.jobs(limit=1)] == [ids[2]]
    assert [job.id for job in kept.jobs(states=("stopped",))] == [ids[0]]
    assert kept.count("queued") == 2


def test_turns_go_round_between_learners(kept: Store, queue: Queue, worker: str) -> None:
    greedy = [kept.submit(experiment(steps=steps), "ada") for steps in (1, 2, 3)]
    bob = kept.submit(experiment(steps=4), "bob")
    positions = [job.position for job_id in (*greedy, bob) if (job := kept.job(job_id)) is not None]
    assert positions == [1, 3, 4, 2]
    seen: list[str] = []
    while (unit := queue.claim_next(worker)) is not None:
        seen.append(unit.job_id)
        if unit.ordinal == PREPARATION:
            queue.finish_preparation(unit.key, needed=False)
        else:
            queue.finish_arm(unit.key, record(unit))
    assert list(dict.fromkeys(seen)) == [greedy[0], bob, greedy[1], greedy[2]]


def test_a_running_job_spreads_before_the_next_begins(kept: Store, queue: Queue, worker: str) -> None:
    first, second = kept.submit(experiment(seeds=2), "ada"), kept.submit(experiment(backbone="mlp"), "bob")
    begin(queue, worker)
    assert [claim(queue, worker).job_id for _ in range(4)] == [first, first, first, second]


def test_who_has_been_served_waits_for_who_has_not(kept: Store, queue: Queue, worker: str) -> None:
    kept.submit(experiment(steps=1), "ada")
    run_to_the_end(queue, worker)
    running = kept.submit(experiment(steps=2), "cyd")
    begin(queue, worker)
    again, bob = kept.submit(experiment(steps=3), "ada"), kept.submit(experiment(steps=4), "bob")
    positions = {job_id: job.position for job_id in (running, again, bob) if (job := kept.job(job_id)) is not None}
    assert positions == {running: 0, bob: 1, again: 2}


def test_a_withdrawn_job_costs_no_turn(kept: Store) -> None:
    for steps in (1, 2, 3):
        kept.request_stop(kept.submit(experiment(steps=steps), "ada"), "ada")
    ada = kept.submit(experiment(), "ada")
    kept.submit(experiment(), "bob")
    job = kept.job(ada)
    assert job is not None
    assert job.position == 1


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.integers(0, 9))
def test_everybodys_first_job_comes_before_anybodys_second(owners: list[str], current: int) -> None:
    waiting: list[Waiting] = []
    last: dict[str, int] = {}
    rank: dict[str, int] = {}
    for moment, owner in enumerate(owners):
        turn = last[owner] = next_turn(current, last.get(owner))
        rank[str(moment)] = sum(earlier == owner for earlier in owners[:moment])
        waiting.append(Waiting(str(moment), running=False, turn=turn, created=float(moment)))
    order = [job.id for job in fair_order(reversed(waiting))]
    assert order == sorted(rank, key=lambda job: (rank[job], int(job)))


def test_what_runs_goes_on_first() -> None:
    late = Waiting("late", running=True, turn=5, created=9.0)
    early = Waiting("early", running=False, turn=0, created=1.0)
    assert fair_order([early, late]) == [late, early]


def test_the_time_left_counts_what_is_ahead() -> None:
    left = {"a": [Remainder("x", 2, 1.5)], "b": [Remainder("x", 1, 1.0)], "c": [Remainder("y", 1, 1.0)]}
    known = {job: {"x": 10.0} for job in left}
    assert seconds_left(["a", "b", "c"], left, known, 1) == {"a": 15.0, "b": 25.0}
    assert seconds_left(["a", "b"], left, known, 2) == {"a": 7.5, "b": 12.5}
    assert seconds_left(["b"], left, known, 8) == {"b": 10.0}, "one arm cannot be shared"
    assert seconds_left(["a"], left, known, 0) == {}, "no worker, no end"


def test_the_time_left_follows_from_arms_that_ran(kept: Store, queue: Queue, worker: str) -> None:
    queue.heartbeat(worker, 2, "CPU")
    kept.submit(experiment(), "ada")
    run_to_the_end(queue, worker)
    again = kept.job(kept.submit(experiment(first_seed=5), "ada"))
    assert again is not None
    assert again.seconds_left is not None
    assert 0 <= again.seconds_left < 5
    other = kept.job(kept.submit(experiment(steps=7), "ada"))
    assert other is not None
    assert other.seconds_left is None, "arms of so many steps were never timed"


# --- workers ----------------------------------------------------------------------------------------------------------


def test_arms_that_were_trained_before_tell_no_time(kept: Store, queue: Queue, worker: str) -> None:
    queue.heartbeat(worker, 2, "CPU")
    kept.submit(experiment(), "ada")
    run_to_the_end(queue, worker)
    more = kept.submit(experiment(strategies=("scratch", "pixel_baseline", "feature_extraction")), "ada")
    begin(queue, worker)
    job = kept.job(more)
    assert job is not None
    assert job.seconds_left is None, "all of its finished arms were taken over, and the new kind was never timed"


def test_what_a_dead_worker_ran_is_interrupted(kept: Store, queue: Queue, worker: str) -> None:
    job_id, waiting = kept.submit(experiment(seeds=2), "ada"), kept.submit(experiment(backbone="mlp"), "bob")
    done, running = begin(queue, worker), claim(queue, worker)
    queue.finish_arm(done.key, record(done))
    queue.report([Progress(running.key, 0.5, "", (point(0),))])
    stopping = kept.submit(experiment(steps=9), "cyd")
    while (unit := claim(queue, worker)).job_id != stopping:
        if unit.ordinal == PREPARATION and unit.job_id == waiting:
            queue.finish_preparation(unit.key, needed=False)
    kept.request_stop(stopping, "cyd")
    successor = queue.add_worker("here", 2)
    queue.mark_interrupted(successor, "here", "killed: run it again")
    job, ended = kept.job(job_id), kept.job(stopping)
    assert job is not None
    assert ended is not None
    assert (job.state, job.message) == ("interrupted", "killed: run it again")
    assert len(kept.records(job_id)) == 1
    assert len(kept.points(job_id)) == 1
    assert ended.state == "stopped", "it was to stop anyway"
    assert [info.id for info in kept.workers()] == [successor]


def test_a_worker_elsewhere_counts_as_alive_while_it_is_heard_of(
    kept: Store, queue: Queue, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.submit(experiment(), "ada")
    begin(queue, worker)
    elsewhere = queue.add_worker("there", 1)
    assert queue.mark_interrupted(elsewhere, "there", "") == 0
    monkeypatch.setattr(queue_module, "STALE_SECONDS", 0.0)
    assert queue.mark_interrupted(elsewhere, "there", "") == 1


def test_only_what_ran_there_is_interrupted(kept: Store, queue: Queue, worker: str) -> None:
    waiting = kept.submit(experiment(), "ada")
    assert queue.mark_interrupted(queue.add_worker("here", 2), "here", "") == 0
    job = kept.job(waiting)
    assert job is not None
    assert job.state == "queued"


# --- the database -----------------------------------------------------------------------------------------------------


def test_the_migrations_make_the_tables_that_the_code_uses(kept: Store) -> None:
    with open_database().reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    heads = ScriptDirectory.from_config(migrations.configuration()).get_heads()
    assert heads == [migrations.REVISIONS[-1]]


def test_an_empty_file_becomes_a_database(home: Path) -> None:
    (home / "tlcore.sqlite").touch()
    opened = Store()
    assert opened.jobs() == []
    opened.close()


def test_it_keeps_what_it_holds_when_opened_again(home: Path) -> None:
    first = Store()
    job_id = first.submit(experiment(), "ada")
    first.close()
    again = Store()
    assert [job.id for job in again.jobs()] == [job_id]
    again.close()


def test_a_newer_database_is_refused(home: Path, kept: Store) -> None:
    kept.close()
    with sqlite3.connect(home / "tlcore.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(UserError, match="newer version"):
        Store()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to look like one" * 30])
def test_a_damaged_file_is_named(home: Path, content: bytes) -> None:
    (home / "tlcore.sqlite").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged.*move it away"):
        Store()


def test_a_place_that_cannot_be_written_is_named(home: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        Store(f"sqlite:///{home}")
    with pytest.raises(UserError, match="cannot write"):
        Store(f"sqlite:///{home}/missing/folder/file.sqlite")


@pytest.mark.parametrize("url", ["nonsense", "nodatabase://x/y"])
def test_an_address_that_is_none_is_named(home: Path, url: str) -> None:
    with pytest.raises(UserError, match="TLCORE_DATABASE_URL"):
        Store(url)


def test_several_processes_open_it_at_once(home: Path) -> None:
    script = (
        "from tlcore.store import Store; from tlcore.experiment import Experiment; import sys\n"
        "print('ready', flush=True); sys.stdin.readline(); Store().submit(Experiment(), sys.argv[1])\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, f"owner {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n", timeout=30)
    assert [process.returncode for process in processes] == [0] * 4
    opened = Store()
    assert len({job.owner for job in opened.jobs()}) == 4
    opened.close()


def test_the_lock_is_exclusive_and_names_its_holder(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert second.holder() is None
    assert first.acquire(wait=False)
    assert not second.acquire(wait=False)
    assert second.holder() == first.holder() is not None
    first.release()
    with second:
        assert not first.acquire(wait=False)


def test_asking_who_holds_a_lock_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            FileLock(tmp_path / "lock").holder()

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(20):
            lock = FileLock(tmp_path / "lock")
            assert lock.acquire(wait=False)
            lock.release()
    finally:
        stop.set()
        for asker in askers:
            asker.join()


def test_a_poll_is_quick(kept: Store, queue: Queue, worker: str) -> None:
    job_id = kept.submit(experiment(seeds=6), "ada")
    for number in range(12):
        unit = begin(queue, worker) if number == 0 else claim(queue, worker)
        queue.report([Progress(unit.key, 0.5, "", tuple(point(step) for step in range(13)))])
    best = float("inf")
    for _ in range(30):  # the best of many: what else the machine does only ever slows it
        start = time.perf_counter()
        kept.job(job_id)
        assert len(kept.points(job_id)) == 12 * 13
        best = min(best, time.perf_counter() - start)
    assert best < 0.01
