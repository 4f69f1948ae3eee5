"""Fitting images to a network's input, and refusing pairs of tasks that share images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcore.data import DATASETS, load
from tlcore.data.adapt import BLOCK, adapt, check_no_overlap, describe_adaptation
from tlcore.errors import UserError

GREY, COLOUR = (28, 28, 1), (32, 32, 3)


def images(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.sampled_from([1, 3]), st.integers(2, 40), st.sampled_from([1, 3]))
def test_any_shape_becomes_any_other(height: int, width: int, channels: int, size: int, want: int) -> None:
    fitted = adapt(images(3, (height, width, channels)), (size, size + 1, want))
    assert fitted.shape == (3, size, size + 1, want)
    assert fitted.dtype == np.uint8


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_nothing_to_do_gives_the_same_array(shape: tuple[int, int, int]) -> None:
    given_images = images(2, shape)
    assert adapt(given_images, shape) is given_images
    assert describe_adaptation(shape, shape) == ""


def test_grey_is_repeated() -> None:
    grey = images(4, (32, 32, 1))
    colour = adapt(grey, COLOUR)
    for channel in range(3):
        np.testing.assert_array_equal(colour[..., channel], grey[..., 0])


@pytest.mark.parametrize(
    ("rgb", "grey"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((255, 255, 255), 255)]
)
def test_colour_becomes_luminance(rgb: tuple[int, int, int], grey: int) -> None:
    flat = np.full((1, 28, 28, 3), rgb, dtype=np.uint8)
    assert set(np.unique(adapt(flat, GREY))) == {grey}


@pytest.mark.parametrize("shape", [(16, 16, 1), (56, 56, 3), (20, 40, 3)])
def test_resizing_keeps_a_flat_picture_flat_and_the_mean_of_any(shape: tuple[int, int, int]) -> None:
    assert set(np.unique(adapt(np.full((1, *shape), 77, dtype=np.uint8), (*GREY[:2], shape[2])))) == {77}
    some = images(5, shape)
    assert adapt(some, (*GREY[:2], shape[2])).mean() == pytest.approx(some.mean(), abs=4)


def test_pictures_are_not_mixed_up() -> None:
    some = images(6, COLOUR)
    whole = adapt(some, GREY)
    for position in range(6):
        np.testing.assert_array_equal(whole[position], adapt(some[position : position + 1], GREY)[0])


def test_what_is_done_is_said() -> None:
    assert describe_adaptation(COLOUR, GREY) == "colour turned to grey, resized from 32×32 to 28×28 pixels"
    assert describe_adaptation(GREY, COLOUR) == "grey repeated to three channels, resized from 28×28 to 32×32 pixels"


def test_a_large_set_is_adapted_like_its_parts() -> None:
    some = images(2 * BLOCK + 7, (6, 5, 3))
    whole = adapt(some, (4, 4, 1))
    parts = [adapt(some[first : first + 300], (4, 4, 1)) for first in range(0, len(some), 300)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize(("source", "target"), [("drawn_digits", "uci_digits"), ("drawn_garments", "drawn_digits")])
def test_sets_that_share_nothing_pass(source: str, target: str) -> None:
    assert check_no_overlap(source, target) == "no image in both, by hash"


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("mnist", "fashion_mnist"),
        ("cifar10_cars", "cifar10_trucks"),
        ("cifar10_a", "cifar10_b"),
        ("cifar10_vehicles", "cifar10_animals"),
        ("mnist_low", "mnist_high"),
        ("mnist_shuffled", "fashion_mnist"),
        ("cifar10_cars_shuffled", "cifar10_trucks"),
        ("noise_colour", "cifar10_b"),
    ],
)
def test_partners_pass(source: str, target: str) -> None:
    assert check_no_overlap(source, target) == "no image in both, by hash"


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("cifar10", "cifar10_trucks"),
        ("cifar10_cars", "cifar10"),
        ("cifar10_vehicles", "cifar10_cars"),
        ("cifar10_a", "cifar10_animals"),
        ("mnist", "mnist_low"),
        ("mnist_shuffled", "mnist_high"),
    ],
)
def test_a_part_of_the_source_is_refused_as_its_target(source: str, target: str) -> None:
    with pytest.raises(UserError, match=r"share [\d,]+ images.*choose another source") as caught:
        check_no_overlap(source, target)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.real_data
def test_every_shared_image_is_counted() -> None:
    # Shuffling labels changes no picture, and no two digits of MNIST are alike.
    with pytest.raises(UserError, match="share 70,000 images"):
        check_no_overlap("mnist_shuffled", "mnist")


def test_images_that_differ_in_one_pixel_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most pixels are looked at only where the others agree: wherever the one is, it has to count."""
    grey = load("noise_grey")
    change = np.zeros_like(grey.x_test)
    for position in range(28 * 28):
        change[position].reshape(-1)[position] = 1
    changed = replace(grey, x_train=grey.x_test ^ change, y_train=grey.y_test, x_test=grey.x_test[:5])
    monkeypatch.setattr("tlcore.data.adapt.load", lambda name: changed if name == "uci_digits" else grey)
    check_no_overlap.cache_clear()
    # Beyond the 784 that were changed the pictures are as they were, and five more come back as test pictures.
    with pytest.raises(UserError, match=f"share {len(change) - 28 * 28 + 5:,} images"):
        check_no_overlap("noise_grey", "uci_digits")
    check_no_overlap.cache_clear()


def test_sizes_that_differ_need_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.data.adapt.load", None)
    check_no_overlap.cache_clear()
    assert check_no_overlap("noise_colour", "uci_digits") == "no image in both: theirs differ in size"
    check_no_overlap.cache_clear()


def test_a_set_shares_all_of_its_images_with_itself() -> None:
    with pytest.raises(UserError, match="share"):
        check_no_overlap("uci_digits", "uci_digits")


def test_a_source_that_is_not_here_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for variable in ("TLCORE_DATA_DIR", "TLCORE_HOME", "KERAS_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    check_no_overlap.cache_clear()
    assert DATASETS["mnist"].looks() is None
    assert "not on this machine" in check_no_overlap("mnist", "uci_digits")
    check_no_overlap.cache_clear()
