"""Every registered dataset: what the registry promises before reading is what is read."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tlcore.data import DATASETS, get_dataset, load
from tlcore.errors import UserError

ALWAYS_HERE = ("uci_digits", "drawn_digits", "drawn_garments", "noise_grey", "noise_colour")
SOURCES_ONLY = ("mnist_shuffled", "fashion_mnist_shuffled", "cifar10_cars_shuffled", "noise_grey", "noise_colour")


def marked(name: str) -> object:
    """A dataset with the reason why its tests may be skipped."""
    if name in ALWAYS_HERE:
        return name
    absent = DATASETS[name].looks() is None
    return pytest.param(name, marks=[pytest.mark.real_data, pytest.mark.skipif(absent, reason=f"{name} is not here")])


EVERY = [marked(name) for name in DATASETS]
every_dataset = pytest.mark.parametrize("name", EVERY)


@every_dataset
def test_the_arrays_are_what_the_registry_says(name: str) -> None:
    spec, dataset = DATASETS[name], load(name)
    assert dataset.spec is spec
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert x.dtype == np.uint8
        assert x.shape == (len(y), *spec.shape)
        assert y.dtype == np.int64
        assert set(np.unique(y)) == set(range(len(spec.classes)))
        assert x.max() > 200  # bytes in 0 … 255, not floats in 0 … 1 that were rounded
        assert x.min() == 0
    assert dataset.provenance


@every_dataset
def test_the_smallest_class_is_true(name: str) -> None:
    assert np.bincount(load(name).y_train).min() == DATASETS[name].smallest_class


@every_dataset
def test_the_largest_budget_leaves_the_observation_set(name: str) -> None:
    spec = DATASETS[name]
    assert spec.observation_per_class >= 1
    assert 2 <= spec.labels_per_class_limit <= spec.smallest_class - spec.observation_per_class


@every_dataset
def test_nobody_can_change_a_dataset(name: str) -> None:
    dataset = load(name)
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@every_dataset
def test_the_hash_is_the_arrays_and_reading_again_gives_it(name: str) -> None:
    dataset = load(name)
    digest = hashlib.sha256()
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        digest.update(str(array.shape).encode() + array.tobytes())
    assert dataset.sha256 == digest.hexdigest()
    again = load.__wrapped__(name)  # past the cache
    assert again is not dataset
    assert again.sha256 == dataset.sha256


@every_dataset
def test_what_is_here_says_where(name: str) -> None:
    assert DATASETS[name].looks()


def test_what_is_always_here_is_generated_or_comes_with_a_dependency() -> None:
    assert {name for name, spec in DATASETS.items() if spec.kind == "generated"} < set(ALWAYS_HERE)
    assert all(DATASETS[name].looks() for name in ALWAYS_HERE)


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_can_be_shown(name: str) -> None:
    spec = DATASETS[name]
    assert spec.name == name
    assert spec.title
    assert spec.sentence.endswith(".")
    assert len(set(spec.classes)) == len(spec.classes) >= 2


def test_what_is_a_source_only_is_said_to_be_one_and_comes_last() -> None:
    assert tuple(name for name, spec in DATASETS.items() if spec.source_only) == SOURCES_ONLY
    assert tuple(DATASETS)[-len(SOURCES_ONLY) :] == SOURCES_ONLY
    for spec in DATASETS.values():
        assert spec.sentence.startswith("Control, a source only:") == spec.source_only


def test_titles_tell_datasets_apart() -> None:
    assert len({spec.title for spec in DATASETS.values()}) == len(DATASETS)


@pytest.mark.parametrize("name", ["noise", "mnist_mixed", "cifar10_c"])
def test_no_name_is_guessed(name: str) -> None:
    with pytest.raises(UserError, match=f"unknown dataset '{name}'"):
        load(name)


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("fashion-mnist", "fashion_mnist"), ("cifar", "cifar10")]
)
def test_an_unknown_name_gives_the_near_ones(name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"did you mean .*{near}"):
        get_dataset(name)
    with pytest.raises(UserError, match=f"did you mean .*{near}"):
        load(name)


def test_a_source_and_a_target_are_kept_and_no_more() -> None:
    """Each takes up to 184 MB in every process that trains."""
    load.cache_clear()
    source, target = load("uci_digits"), load("drawn_digits")
    assert load("uci_digits") is source
    assert load("drawn_digits") is target
    load("noise_grey")
    assert load.cache_info().currsize == 2
    load.cache_clear()


@pytest.mark.parametrize(("one", "other"), [("drawn_digits", "drawn_garments"), ("uci_digits", "drawn_digits")])
def test_different_sets_have_different_hashes(one: str, other: str) -> None:
    assert load(one).sha256 != load(other).sha256
