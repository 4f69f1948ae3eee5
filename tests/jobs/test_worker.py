"""The worker with real processes: the queue's logic with an engine that trains nothing, and one real comparison."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil
import pytest

from tlcore.experiment import CurvePoint, Event, Experiment
from tlcore.jobs.launch import WorkerKeeper
from tlcore.jobs.messages import Progress
from tlcore.jobs.trainer import FREE_POINTS, POINT_SECONDS, Reporter
from tlcore.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tlcore.jobs.progress import Job, WorkerInfo

T = TypeVar("T")
ROOT = Path(__file__).parent.parent.parent
FAKE = "tests.jobs.fake_engine"
# What the fake engine does, by batch size; it explains them.
ABORTS, DEAF, REFUSES, BREAKS, PREPARES, LEAVES = 2, 3, 4, 5, 6, 7


def wait_until(what: Callable[[], T | None], seconds: float = 60.0) -> T:
    """Ask again and again until the answer is true; fail if it never is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"it did not happen within {seconds} seconds")


def experiment(**values: object) -> Experiment:
    usual = {"source": "drawn_digits", "target": "uci_digits", "strategies": ("scratch", "pixel_baseline")}
    return Experiment.model_validate(usual | {"seeds": 1, "steps": 8} | values)


def command(engine: str, slots: int) -> tuple[str, ...]:
    return (
        sys.executable,
        "-c",
        f"from tlcore.jobs.worker import main; raise SystemExit(main({slots}, {engine!r}))",
    )


class Workplace:
    """A folder with a store and workers in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store()
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, engine: str = FAKE, slots: int = 2) -> subprocess.Popen[bytes]:
        with (self.folder / "output.txt").open("ab") as output:
            process = subprocess.Popen(command(engine, slots), cwd=ROOT, stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def start_and_wait(self, engine: str = FAKE, slots: int = 2) -> subprocess.Popen[bytes]:
        process = self.start(engine, slots)
        wait_until(lambda: (worker := self.worker(process.pid)) and worker.slots >= slots, 60)
        return process

    def worker(self, pid: int) -> WorkerInfo | None:
        return next((worker for worker in self.store.workers() if worker.pid == pid), None)

    def job(self, job_id: str) -> Job:
        job = self.store.job(job_id)
        assert job is not None
        return job

    def ended(self, job_id: str, seconds: float = 60.0) -> Job:
        return wait_until(lambda: job if not (job := self.job(job_id)).active else None, seconds)

    def log(self) -> str:
        return (self.folder / "logs" / "worker.log").read_text(encoding="utf-8")

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.store.close()


def at_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    monkeypatch.setenv("TLCORE_HOME", str(folder))
    for name in ("TLCORE_DATABASE_URL", "TLCORE_SLOTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    workplace = Workplace(folder)
    yield workplace
    workplace.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A workplace where nobody works yet."""
    yield from at_work(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A workplace with a worker of two slots, the same for every test that leaves it in order."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for workplace in at_work(tmp_path_factory.mktemp("staffed"), monkeypatch):
            workplace.start_and_wait()
            yield workplace


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


# --- running ----------------------------------------------------------------------------------------------------------


def test_jobs_run_to_the_end(staffed: Workplace) -> None:
    asked, prepared = experiment(seeds=2), experiment(batch_size=PREPARES)
    first, second = staffed.store.submit(asked, "ada"), staffed.store.submit(prepared, "bob")
    job = staffed.ended(first)
    assert (job.state, job.message, job.fraction) == ("finished", "", 1.0)
    assert job.preparation is None
    assert [(record.strategy, record.seed) for record in staffed.store.records(first)] == list(asked.arms)
    told = [(strategy, seed, point.step) for strategy, seed, point in staffed.store.points(first)]
    assert told == [(*arm, step) for arm in asked.arms for step in range(8)]
    job = staffed.ended(second)
    assert job.state == "finished"
    assert job.preparation is not None
    assert job.preparation.state == "finished"


def test_arms_of_one_job_run_side_by_side(staffed: Workplace) -> None:
    job_id = staffed.store.submit(experiment(steps=30), "ada")
    wait_until(lambda: [arm.state for arm in staffed.job(job_id).arms] == ["running", "running"])
    assert staffed.ended(job_id).state == "finished"


def test_a_first_row_comes_at_once(staffed: Workplace) -> None:
    start = time.monotonic()
    job_id = staffed.store.submit(experiment(), "ada")
    wait_until(lambda: staffed.store.points(job_id))
    assert time.monotonic() - start < 1.0


def test_learners_take_turns(staffed: Workplace) -> None:
    greedy = [staffed.store.submit(experiment(steps=steps), "eve") for steps in (5, 6, 7)]
    fay = staffed.store.submit(experiment(), "fay")
    starts = {job_id: staffed.ended(job_id).started for job_id in (*greedy, fay)}
    assert sorted(starts, key=lambda job_id: str(starts[job_id])) == [greedy[0], fay, greedy[1], greedy[2]]


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_job_stops_when_asked(staffed: Workplace) -> None:
    job_id = staffed.store.submit(experiment(steps=3000, seeds=2), "ada")
    wait_until(lambda: len(staffed.store.points(job_id)) > 2)
    start = time.monotonic()
    staffed.store.request_stop(job_id, "ada")
    job = staffed.ended(job_id)
    assert job.state == "stopped"
    assert time.monotonic() - start < 2.0
    assert {arm.state for arm in job.arms} == {"stopped"}
    assert staffed.store.points(job_id), "the partial curve is kept"
    assert staffed.ended(staffed.store.submit(experiment(), "ada")).state == "finished"


def test_a_trainer_that_does_not_listen_is_killed(staffed: Workplace) -> None:
    deaf = staffed.store.submit(experiment(steps=3000, batch_size=DEAF, strategies=("scratch",)), "ada")
    wait_until(lambda: staffed.store.points(deaf))
    start = time.monotonic()
    staffed.store.request_stop(deaf, "ada")
    assert staffed.job(deaf).state == "stopping"
    assert staffed.ended(deaf).state == "stopped"
    assert 4.0 < time.monotonic() - start < 8.0
    assert staffed.ended(staffed.store.submit(experiment(), "ada")).state == "finished"


def test_deleting_a_running_job_frees_its_trainers(staffed: Workplace) -> None:
    job_id = staffed.store.submit(experiment(steps=3000), "ada")
    wait_until(lambda: staffed.store.points(job_id))
    staffed.store.delete(job_id, "ada")
    assert staffed.store.job(job_id) is None
    assert staffed.ended(staffed.store.submit(experiment(), "bob")).state == "finished"


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_crash_ends_only_its_own_job(staffed: Workplace) -> None:
    healthy = staffed.store.submit(experiment(steps=100, strategies=("scratch",)), "bob")
    wait_until(lambda: staffed.store.points(healthy))
    crashing = staffed.store.submit(experiment(batch_size=ABORTS, strategies=("scratch",)), "ada")
    job = staffed.ended(crashing)
    assert job.state == "interrupted"
    assert "crashed (SIGABRT)" in job.message
    assert "run it again" in job.message
    assert staffed.store.points(crashing), "the partial curve is kept"
    leaving = staffed.ended(staffed.store.submit(experiment(batch_size=LEAVES), "ada"))
    assert "exit code 3" in leaving.message
    assert staffed.ended(healthy).state == "finished"
    assert staffed.ended(staffed.store.submit(experiment(seeds=2), "ada")).state == "finished"


def test_a_killed_trainer_is_told_as_lack_of_memory(staffed: Workplace) -> None:
    job_id = staffed.store.submit(experiment(steps=3000), "ada")
    wait_until(lambda: staffed.store.points(job_id))
    trainers = [child for child in family(staffed.processes[0].pid) if child.nice() == 10]
    assert len(trainers) == 2
    for trainer in trainers:
        trainer.kill()
    job = staffed.ended(job_id)
    assert job.state == "interrupted"
    assert "memory ran out" in job.message


def test_an_arm_that_fails_stops_the_arms_behind_it(place: Workplace) -> None:
    place.start_and_wait(slots=1)  # with two, both arms would train at once and either might fail first
    refused = place.ended(place.store.submit(experiment(batch_size=REFUSES), "ada"))
    assert (refused.state, refused.message) == ("failed", "this cannot be trained: choose something else")
    assert [arm.state for arm in refused.arms] == ["failed", "stopped"]


def test_the_engines_errors_reach_the_learner(staffed: Workplace) -> None:
    refused = staffed.ended(staffed.store.submit(experiment(batch_size=REFUSES), "ada"))
    assert (refused.state, refused.message) == ("failed", "this cannot be trained: choose something else")
    broken = staffed.ended(staffed.store.submit(experiment(batch_size=BREAKS), "ada"))
    assert broken.state == "failed"
    assert "RuntimeError: a bug in the engine)" in broken.message
    assert "with a second line" not in broken.message
    assert "in _misbehave" in staffed.log()
    assert "a bug in the engine" in staffed.log()


def test_an_engine_that_cannot_be_loaded_fails_the_job(place: Workplace) -> None:
    place.start("no_such_engine")
    job = place.ended(place.store.submit(experiment(), "ada"))
    assert job.state == "failed"
    assert "cannot be loaded" in job.message
    assert "no_such_engine" in job.message


def test_a_killed_worker_takes_its_trainers_along_and_the_next_one_goes_on(place: Workplace) -> None:
    process = place.start_and_wait()
    running = place.store.submit(experiment(steps=3000, batch_size=DEAF), "ada")
    waiting = place.store.submit(experiment(), "bob")
    wait_until(lambda: place.store.points(running))
    children = family(process.pid)
    assert len(children) >= 3, "two trainers and the forkserver"
    process.kill()
    process.wait()
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children), 2.0)
    place.start_and_wait()
    job = place.ended(running)
    assert job.state == "interrupted"
    assert "run it again" in job.message
    assert place.store.points(running)
    assert place.ended(waiting).state == "finished"


def test_a_worker_that_is_asked_to_end_leaves_order_behind(place: Workplace) -> None:
    process = place.start_and_wait(slots=1)
    running = place.store.submit(experiment(steps=3000), "ada")
    waiting = place.store.submit(experiment(), "bob")
    wait_until(lambda: place.store.points(running))
    children = family(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children), 2.0)
    assert (place.job(running).state, place.job(waiting).state) == ("interrupted", "queued")
    assert place.store.workers() == []


def test_a_second_worker_refuses(staffed: Workplace) -> None:
    environment = os.environ | {"TLCORE_HOME": str(staffed.folder)}
    second = subprocess.run(
        command(FAKE, 1), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode != 0
    assert f"a worker already runs for {staffed.folder} (process {staffed.processes[0].pid})" in second.stderr


# --- the keeper -------------------------------------------------------------------------------------------------------


def test_the_keeper_keeps_one_worker(place: Workplace) -> None:
    keeper, other = WorkerKeeper(command(FAKE, 1)), WorkerKeeper(command(FAKE, 1))
    try:
        keeper.look()
        worker = wait_until(keeper.worker)
        keeper.look()
        other.look()
        assert [worker.pid] == [info.pid for info in place.store.workers()]
        other.stop()
        assert psutil.pid_exists(worker.pid), "it was not the other's to stop"
        psutil.Process(worker.pid).kill()

        def another() -> WorkerInfo | None:
            keeper.look()
            now = keeper.worker()
            return now if now is not None and now.pid != worker.pid else None

        replacement = wait_until(another)
        keeper.stop()
        assert not psutil.pid_exists(replacement.pid)
        assert keeper.worker() is None
    finally:
        keeper.stop()


def test_the_keeper_replaces_a_worker_that_hangs(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    process = place.start_and_wait(slots=1)
    monkeypatch.setattr("tlcore.jobs.launch.STALE_SECONDS", 0.2)
    process.send_signal(signal.SIGSTOP)
    keeper = WorkerKeeper(command(FAKE, 1))
    wait_until(lambda: keeper.look() or process.poll() is not None)
    keeper.stop()


# --- reporting --------------------------------------------------------------------------------------------------------


def look(step: int) -> Event:
    point = CurvePoint(step=step, seconds=0.0, train_loss=1.0, train_accuracy=0.5, validation_accuracy=0.5)
    return Event(kind="point", fraction=0.5, text="training", point=point)


def test_an_ordinary_curve_is_told_whole_in_few_messages() -> None:
    sent: list[Progress] = []
    now = 0.0
    report = Reporter(("job", 0), sent.append, lambda: now)
    for step in range(13):
        now += 0.01
        report(look(step))
    report.flush()
    report.flush()
    assert [point.step for one in sent for point in one.points] == list(range(13))
    assert len(sent) <= 3


def test_a_flood_of_looks_is_thinned_and_the_last_is_kept() -> None:
    sent: list[Progress] = []
    now = 0.0
    report = Reporter(("job", 0), sent.append, lambda: now)
    for step in range(1000):
        now += 0.01
        report(look(step))
        report(look(step))
    report.flush()
    steps = [point.step for one in sent for point in one.points]
    assert steps[:FREE_POINTS] == list(range(FREE_POINTS))
    assert steps[-1] == 999
    assert steps == sorted(set(steps))
    assert len(steps) <= FREE_POINTS + 10.0 / POINT_SECONDS + 1


def test_words_are_told_at_most_five_times_a_second_and_never_go_back() -> None:
    sent: list[Progress] = []
    now = 0.0
    report = Reporter(("job", 0), sent.append, lambda: now)
    for number in range(100):
        now += 0.01
        report(Event(kind="select", fraction=(number % 10) / 10, text=f"rate {number}"))
    assert len(sent) <= 6
    fractions = [one.fraction for one in sent]
    assert fractions == sorted(fractions)


# --- the real engine --------------------------------------------------------------------------------------------------


def test_a_real_comparison_runs_through_the_worker(place: Workplace, share_datasets: Callable[[Path], Path]) -> None:
    share_datasets(place.folder)
    asked = experiment(steps=20, precision="float32", learning_rate=0.003)
    place.start("tlcore.engine", slots=1)
    job_id = place.store.submit(asked, "ada")
    job = place.ended(job_id, 80)
    assert (job.state, job.message) == ("finished", "")
    records = place.store.records(job_id)
    assert [(record.strategy, record.seed) for record in records] == list(asked.arms)
    assert all(record.experiment == asked for record in records)
    assert all(0 <= record.test_accuracy <= 1 for record in records)
    assert [point.step for strategy, _, point in place.store.points(job_id) if strategy == "scratch"][-1] == 20
    assert records[0].environment.threads == 1
