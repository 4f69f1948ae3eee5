"""What is kept of an arm from inside: what the arm did, small, and nothing breaks where it is missing."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tlcore import inside
from tlcore.arm import _Arm, run_arm
from tlcore.data import load
from tlcore.experiment import Experiment, RunRecord
from tlcore.home import home
from tlcore.inside import Inside, Pictures
from tlcore.models import get_backbone

if TYPE_CHECKING:
    from pathlib import Path

ARMS = ("scratch", "feature_extraction", "distillation", "lora", "self_copy_frozen", "direct_reuse", "pixel_baseline")
TINY = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=ARMS,
    labels_per_class=4,
    seeds=2,
    steps=4,
    learning_rate=3e-3,
    precision="float32",
)


@cache
def run(strategy: str, seed: int = 0, **changes: object) -> RunRecord:
    return run_arm(TINY.model_copy(update=changes), strategy, seed)


def path_of(record: RunRecord) -> Path:
    return home() / "inside" / f"{record.arm_hash}.npz"


def opened(record: RunRecord) -> Inside:
    found = inside.find(record.experiment, record.strategy, record.seed)
    assert found is not None
    return found


def sample(count: int = 40, seed: int = 0) -> Inside:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 10, count)
    made = inside.answers_only("ab" * 32, (28, 28, 1), 0.5, truth, rng.integers(0, 10, count))
    kernel = [rng.normal(size=(3, 3, 1, 8))]
    made = inside.with_kernels(made, kernel, [kernel[0] + 0.1])
    maps = {"conv1": rng.random((3, 14, 14, 12), dtype=np.float32), "dense1": rng.random((3, 24), dtype=np.float32)}
    made = inside.with_activations(made, np.arange(3), maps)
    return inside.with_features(made, rng.normal(size=(30, 24)), rng.normal(size=(30, 24)), rng.integers(0, 10, 30))


# --- what the engine keeps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ARMS)
def test_an_arm_can_be_opened(strategy: str) -> None:
    record = run(strategy)
    found = opened(record)
    test = load("uci_digits")
    shown = inside.shown_images(len(test.y_test))
    assert inside.is_of(found, record)
    assert found.truth.tolist() == test.y_test[shown].tolist()
    # All test images are shown, so the answers are those that the record counts.
    answers = np.minimum(found.answers, len(record.confusion[0]) - 1)
    counts = np.zeros_like(np.array(record.confusion))
    np.add.at(counts, (found.truth, answers), 1)
    assert counts.tolist() == [list(row) for row in record.confusion]
    assert path_of(record).stat().st_size < 300_000
    assert record.phase_seconds["inspection"] > 0
    network = strategy != "pixel_baseline"
    assert found.has_kernels == found.has_features == bool(found.activations) == network
    if network:
        stages = get_backbone(record.network or "cnn_small").stage_names
        assert tuple(found.activations) == stages
        assert found.features_before.shape[1] == get_backbone(record.network or "cnn_small").feature_width
        assert len(set(found.truth[found.pictured].tolist())) == inside.PICTURED


def test_filters_before_and_after_are_the_networks() -> None:
    found = opened(run("scratch"))
    arm = _Arm(TINY, "scratch", 0, lambda _: None, lambda: False)
    first = arm.first_weights(arm.recipe)["conv1"][0]
    np.testing.assert_array_equal(found.kernels_before, first.astype(np.float16))
    assert not np.array_equal(found.kernels_before, found.kernels_after)
    frozen = opened(run("feature_extraction"))
    np.testing.assert_array_equal(frozen.kernels_before, frozen.kernels_after)
    np.testing.assert_array_equal(frozen.features_before, frozen.features_after)


def test_only_the_first_seed_is_kept() -> None:
    record = run("scratch", 1)
    assert inside.find(record.experiment, "scratch", 1) is None
    later = run("scratch", 1, first_seed=1)
    assert inside.is_of(opened(later), later)


def test_the_pictures_are_those_that_were_answered() -> None:
    found = opened(run("scratch"))
    pictures = inside.find_pictures(found)
    assert pictures is not None
    np.testing.assert_array_equal(pictures.labels, found.truth)
    test = load("uci_digits")
    np.testing.assert_array_equal(pictures.images, test.x_test[inside.shown_images(len(test.x_test))])


@pytest.mark.parametrize("changes", [{"augmentation": "shift"}, {"backbone": "mini_resnet_bn", "learning_rate": 1.0}])
def test_other_ways_of_training_can_be_opened(changes: dict[str, object]) -> None:
    record = run("scratch", **changes)
    found = opened(record)
    assert inside.is_of(found, record)
    for array in (found.kernels_after, found.features_after):
        assert np.isfinite(array).all()


def test_a_diverged_arm_leaves_out_what_is_no_number() -> None:
    bad = np.full((3, 3, 1, 8), np.nan)
    made = inside.with_kernels(inside.answers_only("0", (28, 28, 1), 0.1, np.zeros(4), np.zeros(4)), [bad], [bad])
    assert not made.has_kernels
    assert not inside.with_features(made, np.full((5, 2), np.inf), np.zeros((5, 2)), np.zeros(5)).has_features
    maps = {"conv1": np.ones((3, 2, 2, 1), dtype=np.float32), "dense1": np.full((3, 2), np.nan, dtype=np.float32)}
    assert list(inside.with_activations(made, np.arange(3), maps).activations) == ["conv1"]


def test_a_folder_that_cannot_be_written_fails_no_arm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = run("feature_extraction")
    (tmp_path / "inside").write_text("a file where the folder should be")
    monkeypatch.setattr(inside, "home", lambda: tmp_path)
    record = run_arm(TINY, "feature_extraction", 0)
    assert record.test_accuracy == expected.test_accuracy
    assert inside.find_of(record) is None

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "inside").unlink()
    monkeypatch.setattr(np, "savez_compressed", full)
    inside.keep(TINY, "scratch", 0, sample())
    assert list((tmp_path / "inside").iterdir()) == []


def test_what_is_watched_holds_every_class_of_a_sorted_set() -> None:
    arm = _Arm(TINY, "scratch", 0, lambda _: None, lambda: False)
    np.testing.assert_array_equal(arm._watched, np.arange(230))
    arm.observed_labels = np.repeat(np.arange(10), 50)
    assert len(set(arm.observed_labels[arm._watched].tolist())) == 10


# --- files ------------------------------------------------------------------------------------------------------------


def test_what_is_kept_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "home", lambda: tmp_path)
    made = sample()
    inside.keep(TINY, "scratch", 5, made)
    back = inside.find(TINY, "scratch", 5)
    assert back is not None
    for name in (
        "truth",
        "answers",
        "kernels_before",
        "kernels_after",
        "pictured",
        "features_before",
        "feature_labels",
    ):
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    assert back.ranges == dict(made.ranges)
    assert back.activations["conv1"].shape == (3, 14, 14, inside.CHANNELS)
    np.testing.assert_array_equal(back.activations["conv1"], made.activations["conv1"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", None])
def test_a_damaged_file_is_none(content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "home", lambda: tmp_path)
    inside.keep(TINY, "scratch", 5, sample())
    (path,) = (tmp_path / "inside").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert inside.find(TINY, "scratch", 5) is None
    path.write_bytes(whole)
    os.utime(path, ns=(1, 1))
    assert inside.find(TINY, "scratch", 5) is not None
    np.savez_compressed(path, about=np.frombuffer(b"{}", dtype=np.uint8))
    assert inside.find(TINY, "scratch", 5) is None


def test_the_oldest_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "home", lambda: tmp_path)
    monkeypatch.setattr(inside, "MOST_ARMS", 3)
    inside.keep_pictures(
        "fashion_mnist", "c" * 64, Pictures(np.zeros((4, 8, 8, 1), dtype=np.uint8), np.zeros(4, dtype=np.int16))
    )
    for seed in range(5):
        inside.keep(TINY, "scratch", seed, sample())
        os.utime(tmp_path / "inside" / f"{TINY.arm_hash('scratch', seed)}.npz", ns=(seed, seed))
    assert [inside.find(TINY, "scratch", seed) is not None for seed in range(5)] == [False, False, True, True, True]
    assert inside.has_pictures("c" * 64, (8, 8, 1), 4)


def test_the_run_itself_is_preferred_and_other_images_are_refused() -> None:
    record = run("scratch")
    assert inside.find_of(record.model_copy(update={"test_accuracy": 0.123})) is not None
    target = record.datasets["target"].model_copy(update={"sha256": "0" * 64})
    changed = record.model_copy(update={"datasets": record.datasets | {"target": target}})
    assert inside.find_of(changed) is None


def test_wide_features_keep_their_distances() -> None:
    rng = np.random.default_rng(1)
    wide = rng.normal(size=(200, 1280)) * np.geomspace(10, 0.01, 1280)
    assert inside.picture_shape((96, 96, 3), 18) == (96, 96, 3)
    blank = inside.answers_only("0", (96, 96, 3), 0.5, np.zeros(1000), np.zeros(1000))
    assert blank.picture_shape == (32, 32, 3)
    made = inside.with_features(blank, wide, wide * 1e6, np.zeros(200))
    assert made.features_before.shape == (200, inside.UNITS)

    def distances(rows: np.ndarray) -> np.ndarray:
        exact = rows.astype(np.float64)
        return np.linalg.norm(exact[:, None] - exact[None], axis=-1)

    assert np.corrcoef(distances(wide[:50]).ravel(), distances(made.features_before[:50]).ravel())[0, 1] > 0.999
    assert np.isfinite(made.features_after).all()
    few = inside.with_features(blank, wide[:20], wide[:20], np.zeros(20))
    assert few.features_before.shape == (20, inside.UNITS)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        inside.answers_only("0", (8, 8, 1), 0.5, np.zeros(4), np.zeros(5))
