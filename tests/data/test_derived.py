"""Tasks made from other datasets, and the controls that hold nothing to learn: noise and shuffled labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from tlcore.data import DATASETS, load, sources
from tlcore.data.registry import CIFAR_A, CIFAR_ANIMALS, CIFAR_B, CIFAR_CLASSES, CIFAR_VEHICLES

HALVES = {
    "cifar10_a": CIFAR_A,
    "cifar10_b": CIFAR_B,
    "cifar10_animals": CIFAR_ANIMALS,
    "cifar10_vehicles": CIFAR_VEHICLES,
}
PARTNERS = [("mnist_low", "mnist_high", "mnist"), ("cifar10_a", "cifar10_b", "cifar10")]
PARTNERS += [("cifar10_vehicles", "cifar10_animals", "cifar10")]
SHUFFLED = ["mnist", "fashion_mnist", "cifar10_cars"]
real_data = pytest.mark.real_data


# --- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("noise_grey", "ba66bcbf891ff8cc8f18f527ce0c8992de9079507ceb38a8b23027e536476a4e"),
        ("noise_colour", "10a0e92c549fc4972a218daa4c410eb83ff47be19469eaff94d6e0111d6d520b"),
    ],
)
def test_noise_is_the_same_on_every_machine(name: str, sha256: str) -> None:
    """The hash is written down here: a checkpoint is found again by it."""
    assert load(name).sha256 == sha256


@pytest.mark.parametrize("name", ["noise_grey", "noise_colour"])
def test_noise_has_no_content(name: str) -> None:
    dataset = load(name)
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert np.bincount(y).tolist() == [len(y) // 10] * 10
        counts = np.bincount(x.reshape(-1), minlength=256)
        # Uniform bytes: the count of each value is binomial, and none of 256 is six deviations off.
        assert np.abs(counts - x.size / 256).max() < 6 * np.sqrt(x.size / 256)
        # The mean picture of a class says nothing about the class.
        means = np.stack([x[y == label].mean(axis=0) for label in range(10)]) - 127.5
        assert np.abs(means).max() < 6 * 73.9 / np.sqrt(len(y) / 10)
    assert len(dataset.x_train) == sources.NOISE_TRAIN
    assert len(dataset.x_test) == sources.NOISE_TEST


@pytest.mark.parametrize("name", ["noise_grey", "noise_colour"])
def test_no_picture_of_noise_comes_twice_and_none_predicts_its_label(name: str) -> None:
    dataset = load(name)
    both = np.concatenate([dataset.x_train, dataset.x_test])
    assert len({image.tobytes() for image in both}) == len(both)
    labels = np.concatenate([dataset.y_train, dataset.y_test])
    assert np.corrcoef(both[:, 0, 0, 0], labels)[0, 1] == pytest.approx(0, abs=0.05)
    assert (labels == np.arange(len(labels)) % 10).mean() == pytest.approx(0.1, abs=0.02)  # dealt out, not in turn


# --- shuffled labels --------------------------------------------------------------------------------------------------


def toy() -> sources.Arrays:
    """A small dataset: 900 pictures of three classes of unequal size, each picture another."""
    x = np.arange(900 * 4, dtype=np.uint16).view(np.uint8).reshape(900, 2, 4)
    y = np.repeat(np.arange(3, dtype=np.uint8), (500, 300, 100))
    return sources.Arrays(x, y, x[:90], y[::10], "a test")


def test_shuffling_keeps_pictures_test_labels_and_class_counts() -> None:
    whole, mixed = toy(), sources.shuffled(toy)
    np.testing.assert_array_equal(mixed.x_train, whole.x_train)
    np.testing.assert_array_equal(mixed.x_test, whole.x_test)
    np.testing.assert_array_equal(mixed.y_test, whole.y_test)
    assert np.bincount(mixed.y_train).tolist() == [500, 300, 100]
    assert mixed.provenance == "a test, training labels shuffled"


def test_shuffling_is_always_the_same_and_goes_through_all_labels() -> None:
    one, other = sources.shuffled(toy), sources.shuffled(toy)
    np.testing.assert_array_equal(one.y_train, other.y_train)
    # By chance two labels agree with probability (5² + 3² + 1²) / 9² = 0.432.
    assert (one.y_train == toy().y_train).mean() == pytest.approx(35 / 81, abs=0.05)


def test_labels_in_a_column_are_shuffled_too() -> None:
    """Keras gives CIFAR-10's labels as a column."""

    def column() -> sources.Arrays:
        flat = toy()
        return sources.Arrays(flat.x_train, flat.y_train[:, None], flat.x_test, flat.y_test, "a test")

    np.testing.assert_array_equal(sources.shuffled(column).y_train, sources.shuffled(toy).y_train)


def test_the_permutation_is_written_down() -> None:
    """No version of NumPy may give another one: the same name would be another dataset."""
    assert sources._mixed(12, sources.SHUFFLE).tolist() == [11, 3, 2, 1, 8, 6, 0, 7, 4, 10, 5, 9]
    assert sorted(sources._mixed(1000, 5)) == list(range(1000))


@real_data
@pytest.mark.parametrize("name", SHUFFLED)
def test_a_shuffled_set_agrees_with_the_true_labels_at_chance(name: str) -> None:
    true, mixed = load(name), load(f"{name}_shuffled")
    np.testing.assert_array_equal(true.x_train, mixed.x_train)
    np.testing.assert_array_equal(true.y_test, mixed.y_test)
    counts = np.bincount(true.y_train)
    assert np.bincount(mixed.y_train).tolist() == counts.tolist()
    chance = float((counts / counts.sum()) @ (counts / counts.sum()))
    assert (true.y_train == mixed.y_train).mean() == pytest.approx(chance, abs=0.02)
    for label in range(len(counts)):  # within each class as well
        dealt = np.bincount(mixed.y_train[true.y_train == label], minlength=len(counts))
        np.testing.assert_allclose(dealt / dealt.sum(), counts / counts.sum(), atol=0.03)
    assert mixed.sha256 != true.sha256
    assert mixed.provenance.endswith("training labels shuffled")


# --- some classes -----------------------------------------------------------------------------------------------------


def test_halves_share_no_class_and_are_all_of_cifar() -> None:
    assert sorted(CIFAR_A + CIFAR_B) == sorted(CIFAR_ANIMALS + CIFAR_VEHICLES) == list(range(10))
    for half in (CIFAR_A, CIFAR_B):
        assert len(set(half) & set(CIFAR_ANIMALS)) == 3
        assert len(set(half) & set(CIFAR_VEHICLES)) == 2
    for name, labels in HALVES.items():
        assert DATASETS[name].classes == tuple(CIFAR_CLASSES[label] for label in labels)
    assert DATASETS["mnist_low"].classes + DATASETS["mnist_high"].classes == DATASETS["mnist"].classes


@pytest.mark.parametrize("name", HALVES)
def test_the_sentence_names_the_classes(name: str) -> None:
    sentence = DATASETS[name].sentence.lower()
    for label in DATASETS[name].classes:
        assert {"automobile": "car"}.get(label, label) in sentence


def test_some_classes_are_renumbered_in_order() -> None:
    def whole(choose: sources.Choose) -> sources.Arrays:
        y = np.array([5, 2, 9, 2, 0, 5, 9], dtype=np.uint8)
        rows = choose(y)
        x = np.arange(7, dtype=np.uint8).reshape(7, 1, 1)
        return sources.Arrays(x[rows], y[rows], x[rows], y[rows], "a test")

    part = sources.some_classes(whole, (2, 9))
    assert part.x_train.reshape(-1).tolist() == [1, 2, 3, 6]
    assert part.y_train.tolist() == part.y_test.tolist() == [0, 1, 0, 1]


@real_data
@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("mnist_low", [5923, 6742, 5958, 6131, 5842], [980, 1135, 1032, 1010, 982]),
        ("mnist_high", [5421, 5918, 6265, 5851, 5949], [892, 958, 1028, 974, 1009]),
        ("cifar10_a", [5000] * 5, [1000] * 5),
        ("cifar10_b", [5000] * 5, [1000] * 5),
        ("cifar10_animals", [5000] * 6, [1000] * 6),
        ("cifar10_vehicles", [5000] * 4, [1000] * 4),
    ],
)
def test_the_class_counts(name: str, train: list[int], test: list[int]) -> None:
    dataset = load(name)
    assert np.bincount(dataset.y_train).tolist() == train
    assert np.bincount(dataset.y_test).tolist() == test


@real_data
@pytest.mark.parametrize(("one", "other", "whole"), PARTNERS)
def test_partners_are_the_whole_without_overlap(one: str, other: str, whole: str) -> None:
    """By picture and class name: none in both, none lost, none under another class."""

    def pictures(name: str) -> Counter[tuple[bytes, str]]:
        dataset, classes = load(name), DATASETS[name].classes
        return Counter(
            (hash_of(image), classes[label])
            for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test))
            for image, label in zip(x, y, strict=True)
        )

    ours, theirs = pictures(one), pictures(other)
    assert not {image for image, _ in ours} & {image for image, _ in theirs}
    assert ours + theirs == pictures(whole)


def hash_of(image: np.ndarray) -> bytes:
    """Equal for equal pictures."""
    from hashlib import blake2b

    return blake2b(image.tobytes(), digest_size=16).digest()


# --- memory -----------------------------------------------------------------------------------------------------------


@real_data
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read in Linux's units")
@pytest.mark.parametrize(
    ("name", "most"), [("cifar10", 1.15), ("cifar10_a", 1.15), ("cifar10_cars", 1.6), ("mnist_shuffled", 1.3)]
)
def test_reading_takes_little_more_memory_than_what_is_read(name: str, most: float) -> None:
    """In a process of its own; the pictures once, and not the whole of a set of which a part is wanted."""
    load(name)  # the zip of JPEG copies is unpacked once, by whoever comes first
    code = (
        "import resource, sys; import PIL.Image; from tlcore.data import load\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        f"before = peak(); d = load({name!r})\n"
        "print((peak() - before) / (d.x_train.nbytes + d.x_test.nbytes))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=os.environ
    )
    assert float(done.stdout) < most
