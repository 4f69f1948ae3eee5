"""Label budgets are nested, stratified and seeded; orders are passes; augmentation does not depend on how it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcore.data import Dataset, load
from tlcore.data.labels import augment, batch_order, split_labels
from tlcore.errors import UserError

# The UCI digits: ten classes of 116 to 122 images, so the limits are near.
LIMIT = 93
budgets = st.integers(2, LIMIT)
seeds = st.integers(0, 1_000_000)
quick = settings(deadline=None, max_examples=50)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("uci_digits")


def draw(per_class: int, seed: int, validation: int = 1):
    return split_labels(load("uci_digits"), per_class, validation, seed)


@quick
@given(budgets, seeds, st.data())
def test_budgets_are_stratified_and_without_repetition(per_class: int, seed: int, data: st.DataObject) -> None:
    validation = data.draw(st.integers(1, per_class - 1))
    split, labels = draw(per_class, seed, validation), load("uci_digits").y_train
    assert np.bincount(labels[split.labelled]).tolist() == [per_class] * 10
    assert np.bincount(labels[split.validation]).tolist() == [validation] * 10
    assert np.bincount(labels[split.training]).tolist() == [per_class - validation] * 10
    assert len(set(split.labelled)) == len(split.labelled)
    assert sorted([*split.training, *split.validation]) == sorted(split.labelled)
    # The arm finds its validation part by position (`tlcore.arm`).
    assert split.labelled[: len(split.validation)].tolist() == split.validation.tolist()


@quick
@given(budgets, budgets, seeds)
def test_budgets_are_nested(one: int, other: int, seed: int) -> None:
    small, large = sorted((one, other))
    assert set(draw(small, seed).labelled) <= set(draw(large, seed).labelled)


@quick
@given(budgets, seeds)
def test_a_seed_draws_the_same_every_time(per_class: int, seed: int) -> None:
    one, other = draw(per_class, seed), draw(per_class, seed)
    assert one.labelled.tolist() == other.labelled.tolist()
    assert one.sha256 == other.sha256


@quick
@given(budgets, seeds, seeds)
def test_the_observation_set_is_outside_every_budget_and_the_same_for_every_seed(
    per_class: int, seed: int, another: int
) -> None:
    split, labels = draw(per_class, seed), load("uci_digits")
    assert not set(split.observation) & set(split.labelled)
    assert split.observation.tolist() == draw(2, another).observation.tolist()
    assert np.bincount(labels.y_train[split.observation]).tolist() == [labels.spec.observation_per_class] * 10


def test_another_seed_draws_others() -> None:
    assert draw(10, 0).sha256 != draw(10, 1).sha256


def test_the_whole_limit_can_be_had_and_not_one_more(digits: Dataset) -> None:
    assert digits.spec.labels_per_class_limit == LIMIT
    assert len(draw(LIMIT, 0).labelled) == 10 * LIMIT
    with pytest.raises(UserError, match=r"class '\d' has \d+ images to label, 500 were asked for") as caught:
        draw(500, 0)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("per_class", "validation"), [(2, 0), (2, 2), (1, 1), (5, 6)])
def test_something_must_be_left_to_train_on(per_class: int, validation: int) -> None:
    with pytest.raises(ValueError, match="none to train on"):
        draw(per_class, 0, validation)


# --- order ------------------------------------------------------------------------------------------------------------


@quick
@given(st.integers(1, 200), st.integers(1, 64), st.integers(1, 60), seeds)
def test_the_order_is_one_permutation_after_another(count: int, batch: int, steps: int, seed: int) -> None:
    order = batch_order(count, batch, steps, seed)
    assert order.shape == (steps, batch)
    flat = order.reshape(-1)
    for start in range(0, len(flat) - count + 1, count):
        assert sorted(flat[start : start + count]) == list(range(count))
    rest = flat[len(flat) // count * count :]
    assert len(set(rest)) == len(rest)


@quick
@given(st.integers(1, 200), st.integers(1, 64), st.integers(1, 60), seeds)
def test_a_longer_run_starts_with_the_shorter_ones_batches(count: int, batch: int, steps: int, seed: int) -> None:
    assert (
        batch_order(count, batch, steps, seed).tolist() == batch_order(count, batch, steps + 7, seed)[:steps].tolist()
    )


# --- augmentation -----------------------------------------------------------------------------------------------------

HOWS = ("none", "shift", "shift_flip")


def pictures(count: int, size: int = 8) -> np.ndarray:
    """Random pictures in which no two pixels are alike, with a margin that a shift cannot push out."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, size, size, 1), dtype=np.float32)
    images[:, 2:-2, 2:-2] = rng.random((count, size - 4, size - 4, 1)) + 0.1
    return images


@quick
@given(st.sampled_from(HOWS), st.integers(1, 40), st.data(), seeds)
def test_changes_do_not_depend_on_how_the_order_is_cut(how: str, count: int, data: st.DataObject, seed: int) -> None:
    cut, first = data.draw(st.integers(0, count)), data.draw(st.integers(0, 100_000))
    images = pictures(count)
    whole = augment(images, how, seed, first)
    parts = [augment(images[:cut], how, seed, first), augment(images[cut:], how, seed, first + cut)]
    assert whole.shape == images.shape
    assert whole.dtype == images.dtype
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_none_changes_nothing() -> None:
    images = pictures(5)
    assert augment(images, "none", 0, 0) is images


def test_a_shift_moves_at_most_two_pixels_and_every_way() -> None:
    images = pictures(400)
    moved = augment(images, "shift", 0, 0)
    seen = set()
    for before, after in zip(images[..., 0], moved[..., 0], strict=True):
        offsets = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(np.roll(before, (down, right), (0, 1)), after)
        ]
        assert len(offsets) == 1
        seen.add(offsets[0])
    assert len(seen) == 25


def test_zeros_are_moved_in() -> None:
    moved = augment(np.ones((200, 6, 6, 1), dtype=np.float32), "shift", 0, 0)
    assert set(np.unique(moved)) == {0.0, 1.0}
    assert moved.mean(axis=(0, 3))[2:4, 2:4].min() == 1.0  # two pixels from every edge nothing is lost


def test_flips_come_every_other_time() -> None:
    images = pictures(2000)
    shifted, flipped = augment(images, "shift", 0, 0), augment(images, "shift_flip", 0, 0)
    mirrored = sum(
        not any(np.array_equal(np.roll(b, (d, r), (0, 1)), a) for d in range(-2, 3) for r in range(-2, 3))
        for b, a in zip(images[:300, ..., 0], flipped[:300, ..., 0], strict=True)
    )
    assert 0.4 < mirrored / 300 < 0.6
    # Mirroring is the only other change: the same pixels are there.
    assert flipped.sum() == pytest.approx(shifted.sum(), rel=1e-6)


def test_another_seed_moves_otherwise() -> None:
    images = pictures(20)
    assert not np.array_equal(augment(images, "shift", 0, 0), augment(images, "shift", 1, 0))
    assert not np.array_equal(augment(images, "shift", 0, 0), augment(images, "shift", 0, 20))


def test_the_images_given_are_not_changed() -> None:
    images = pictures(5)
    kept = images.copy()
    augment(images, "shift_flip", 0, 0)
    np.testing.assert_array_equal(images, kept)
