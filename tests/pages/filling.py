"""Jobs in every state, brought there through the queue as the worker does it, with sample records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.views import samples
from tlcore.jobs.messages import Progress
from tlcore.jobs.queue import Queue
from tlcore.jobs.tables import PREPARATION
from tlcore.store import Store

if TYPE_CHECKING:
    from tlcore.experiment import Experiment


def run(experiment: Experiment, owner: str, *, arms: int | None = None) -> str:
    """Submit an experiment and finish its preparation and some arms.

    Args:
        experiment: What to run.
        owner: Whose it is.
        arms: How many arms to finish; None for all.

    Returns:
        The job's id.
    """
    queue, job_id = Queue(), Store().submit(experiment, owner)
    worker = queue.add_worker("test", 1)
    queue.heartbeat(worker, 2, "CPU")
    left = len(experiment.arms) if arms is None else arms
    while left and (unit := queue.claim_next(worker)) is not None:
        if unit.ordinal == PREPARATION:
            queue.finish_preparation(unit.key, needed=False)
            continue
        record = samples.record(experiment, unit.strategy, unit.seed)
        queue.report([Progress(unit.key, 0.9, "training", record.curve)])
        queue.finish_arm(unit.key, record.model_dump_json())
        left -= 1
    return job_id


def start_next(experiment: Experiment, *, looks: int = 6) -> tuple[str, int]:
    """Let the next arm begin and be looked at some times.

    Args:
        experiment: What the job runs.
        looks: How many looks.

    Returns:
        What names the arm in the queue.
    """
    queue = Queue()
    unit = queue.claim_next(queue.add_worker("test", 2))
    assert unit is not None
    record = samples.record(experiment, unit.strategy, unit.seed)
    queue.report([Progress(unit.key, looks / 13, "training", record.curve[:looks])])
    return unit.key
