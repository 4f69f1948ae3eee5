"""What is kept of a finished arm's weights: found for its record alone, bounded, and never in anyone's way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.views import samples
from tlcore import kept_weights
from tlcore.experiment import Experiment, RunRecord
from tlcore.kept_weights import KeptWeights, find, has, keep

ASKED = Experiment(strategies=("scratch", "fine_tune_all"), seeds=1)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))


def record_of(strategy: str = "scratch", seed: int = 0) -> RunRecord:
    return samples.record(ASKED, strategy, seed)


def weights_of(record: RunRecord, value: float = 0.5) -> KeptWeights:
    arrays = {"conv1": [np.full((3, 3, 1, 4), value, np.float32), np.zeros(4, np.float32)], "head": [np.ones((4, 2))]}
    return KeptWeights(arrays, 0.25, record.datasets["target"].sha256, record.test_accuracy)


def keep_of(record: RunRecord, value: float = 0.5) -> None:
    keep(ASKED, record.strategy, record.seed, weights_of(record, value))


def files(folder: Path) -> list[Path]:
    return sorted((folder / "arm_weights").glob("*"))


def test_what_was_kept_is_found() -> None:
    record = record_of()
    assert find(record) is None
    assert not has(record)
    keep_of(record)
    found = find(record)
    assert found is not None
    assert has(record)
    assert {name: [array.shape for array in arrays] for name, arrays in found.weights.items()} == {
        "conv1": [(3, 3, 1, 4), (4,)],
        "head": [(4, 2)],
    }
    assert all(array.dtype == np.float32 for arrays in found.weights.values() for array in arrays)
    assert found.feature_scale == 0.25


@pytest.mark.parametrize("other", ["test_accuracy", "datasets"])
def test_another_run_of_the_arm_is_not_taken_for_this_one(other: str) -> None:
    record = record_of()
    keep_of(record)
    target = record.datasets["target"].model_copy(update={"sha256": "9" * 64})
    changed = (
        {"test_accuracy": 0.123} if other == "test_accuracy" else {"datasets": {**record.datasets, "target": target}}
    )
    other_run = record.model_copy(update=changed)
    assert find(other_run) is None
    assert not has(other_run)


def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, seed in enumerate((3, 2, 1, 0)):
        keep_of(record_of(seed=seed))
        os.utime(
            files(tmp_path)[0] if age == 0 else max(files(tmp_path), key=lambda path: path.stat().st_mtime), (age, age)
        )
    size = files(tmp_path)[0].stat().st_size
    monkeypatch.setattr(kept_weights, "ROOM", 3 * size)
    keep_of(record_of("fine_tune_all"))
    assert [has(record_of(seed=seed)) for seed in (3, 2, 1, 0)] == [False, False, True, True]
    monkeypatch.setattr(kept_weights, "ROOM", 1)
    keep_of(record_of(seed=7))
    assert len(files(tmp_path)) == 1  # the newest stays, however large
    assert has(record_of(seed=7))


def test_weights_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    keep_of(record_of(), float("nan"))
    assert not (tmp_path / "arm_weights").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half a file", b"nonsense"])
def test_a_damaged_file_is_as_none(tmp_path: Path, damage: bytes) -> None:
    keep_of(record_of())
    files(tmp_path)[0].write_bytes(damage)
    assert find(record_of()) is None
    assert not has(record_of())


def test_a_full_disk_costs_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    keep_of(record_of())
    assert not files(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("TLCORE_HOME", "/proc/nowhere")
    keep_of(record_of())
    assert find(record_of()) is None
