"""An engine that trains nothing: for tests of the queue and the worker only.

What an arm does is told by the experiment's numbers, since nothing else reaches a trainer: `batch_size` chooses the
behaviour and `steps` the number of looks, `POINT_SECONDS` apart.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import tlcore
from tlcore.errors import Stopped, UserError
from tlcore.experiment import CurvePoint, Event, Experiment, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable

POINT_SECONDS = 0.02
NORMAL, ABORTS, DEAF, REFUSES, BREAKS, PREPARES, LEAVES = 32, 2, 3, 4, 5, 6, 7


def needs_preparation(experiment: Experiment) -> bool:
    """Whether the experiment asks for a preparation."""
    return experiment.batch_size == PREPARES


def prepare(experiment: Experiment, on_event: Callable[[Event], None], should_stop: Callable[[], bool]) -> None:
    """Tell a few events, if a preparation is asked for."""
    if needs_preparation(experiment):
        for step in range(10):
            _pause(should_stop)
            on_event(Event(kind="pretrain", fraction=step / 10, text="preparing"))


def run_arm(
    experiment: Experiment,
    strategy: str,
    seed: int,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> RunRecord:
    """Tell `steps` looks, or misbehave as `batch_size` says."""
    behaviour = experiment.batch_size
    on_event(Event(kind="arm_started", strategy=strategy, seed=seed, text="started"))
    curve: list[CurvePoint] = []
    for step in range(experiment.steps):
        point = CurvePoint(
            step=step, seconds=step * POINT_SECONDS, train_loss=1.0, train_accuracy=0.5, validation_accuracy=0.5
        )
        curve.append(point)
        fraction = (step + 1) / experiment.steps
        on_event(Event(kind="point", strategy=strategy, seed=seed, fraction=fraction, text="training", point=point))
        if step == 5:
            _misbehave(behaviour)
        _pause((lambda: False) if behaviour == DEAF else should_stop)
    result = record(experiment, strategy, seed, tuple(curve))
    on_event(Event(kind="arm_finished", strategy=strategy, seed=seed, fraction=1.0, record=result))
    return result


def record(experiment: Experiment, strategy: str, seed: int, curve: tuple[CurvePoint, ...] = ()) -> RunRecord:
    """A record with made-up numbers."""
    return RunRecord.model_validate(
        {
            "experiment": experiment,
            "strategy": strategy,
            "seed": seed,
            "test_accuracy": 0.5,
            "validation_accuracy": 0.5,
            "train_accuracy": 0.5,
            "confusion": ((1, 0), (0, 1)),
            "curve": curve,
            "steps": experiment.steps,
            "seconds": 1.0,
            "phase_seconds": {},
            "learning_rate": None,
            "selection": {"setting": "none", "method": "nothing to choose"},
            "trainable_parameters": 0,
            "total_parameters": 0,
            "stages": (),
            "labels": {"training": 2, "validation": 1, "observation": 1, "test": 2, "sha256": ""},
            "datasets": {},
            "source_model": None,
            "environment": {
                "tlcore": tlcore.__version__,
                "python": "3",
                "packages": {},
                "backend": "fake",
                "device": "CPU",
                "machine": "fake",
                "threads": 1,
                "precision": "float32",
            },
            "created": datetime.now(UTC),
        }
    )


def _misbehave(behaviour: int) -> None:
    if behaviour == ABORTS:
        os.abort()
    elif behaviour == LEAVES:
        os._exit(3)
    elif behaviour == REFUSES:
        raise UserError("this cannot be trained: choose something else")
    elif behaviour == BREAKS:
        raise RuntimeError("a bug in the engine\nwith a second line")


def _pause(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Stopped
    time.sleep(POINT_SECONDS)
