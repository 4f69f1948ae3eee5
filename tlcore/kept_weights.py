"""The final weights of finished arms as files, so that a model can be taken along after its process has ended.

One file an arm, the first seed of every strategy. Reading them needs no Keras.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcore.data import own
from tlcore.errors import UserError
from tlcore.home import home, make_room, written_whole
from tlcore.npz import UNREADABLE, by_stage, flat, opened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tlcore.experiment import Experiment, RunRecord

ROOM = 500_000_000  # bytes in `home`: 500 arms of the small networks, or five of ResNet50
PIXELS = "pixels"  # what the weights of a logistic regression stand under
_VERSION = 1


@dataclass(frozen=True, eq=False)
class KeptWeights:
    """What one arm ended with.

    Args:
        weights: Arrays by stage, the head's under ``head``; a pixel baseline's coefficients under `PIXELS`.
        feature_scale: Factor on what the head sees, which the arrays do not hold.
        dataset_sha256: Hash of the target's images.
        test_accuracy: The arm's accuracy on the whole test set, in [0, 1]: names the run among others of this arm.
    """

    weights: Mapping[str, list[NDArray[np.float32]]]
    feature_scale: float
    dataset_sha256: str
    test_accuracy: float


def keep(experiment: Experiment, strategy: str, seed: int, kept: KeptWeights) -> None:
    """Keep an arm's weights, and let go of the oldest where there are too many.

    A disk that is full costs no one a result: then nothing is kept. Nor are weights that are no longer numbers.

    Args:
        experiment: What was asked for.
        strategy: The arm's strategy.
        seed: The arm's seed.
        kept: What to keep.
    """
    if not all(bool(np.isfinite(array).all()) for arrays in kept.weights.values() for array in arrays):
        return
    with suppress(OSError, UserError):
        path = _path(experiment, strategy, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, kept)
        make_room(path, ROOM)


def find(record: RunRecord) -> KeptWeights | None:
    """Find the weights that a record was measured with.

    Args:
        record: The record.

    Returns:
        They, or None where this machine does not keep them, or keeps those of another run of the same arm.
    """
    with suppress(*UNREADABLE, UserError):
        return _read(_path(record.experiment, record.strategy, record.seed), record)
    return None


def has(record: RunRecord) -> bool:
    """Whether `find` would find something, without reading the weights themselves."""
    try:
        path = _path(record.experiment, record.strategy, record.seed)
        with opened(path) as arrays:
            return _is_of(json.loads(bytes(arrays["about"])), record)
    except (*UNREADABLE, UserError):
        return False


def _is_of(about: Mapping[str, Any], record: RunRecord) -> bool:
    return (
        about["version"] == _VERSION
        and about["dataset_sha256"] == record.datasets["target"].sha256
        and about["test_accuracy"] == record.test_accuracy
    )


def _path(experiment: Experiment, strategy: str, seed: int) -> Path:
    return home() / "arm_weights" / f"{experiment.arm_hash(strategy, seed)}{own.mark(experiment.target)}.npz"


def _write(path: Path, kept: KeptWeights) -> None:
    about = {
        "version": _VERSION,
        "feature_scale": kept.feature_scale,
        "dataset_sha256": kept.dataset_sha256,
        "test_accuracy": kept.test_accuracy,
    }
    arrays = {name: array.astype(np.float32, copy=False) for name, array in flat(kept.weights).items()}
    described = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    with written_whole(path) as file:
        np.savez(file, allow_pickle=False, about=described, **arrays)


def _read(path: Path, record: RunRecord) -> KeptWeights | None:
    with opened(path) as arrays:
        about = json.loads(bytes(arrays["about"]))
        if not _is_of(about, record):
            return None
        return KeptWeights(
            weights=by_stage(arrays),
            feature_scale=float(about["feature_scale"]),
            dataset_sha256=str(about["dataset_sha256"]),
            test_accuracy=float(about["test_accuracy"]),
        )
