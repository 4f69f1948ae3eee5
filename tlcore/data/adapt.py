"""Fitting images to a network's input, explicitly, and checking that two tasks share none."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from tlcore.data.registry import Dataset, get_dataset, load
from tlcore.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int, int]
BLOCK = 1000  # images adapted at a time
_MIX = np.arange(1, 16, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def describe_adaptation(have: Shape, want: Shape) -> str:
    """Say what `adapt` does to images.

    Args:
        have: Height, width, channels of the images.
        want: Height, width, channels of the network's input.

    Returns:
        A few words, or an empty string if nothing has to be done.
    """
    steps: list[str] = []
    if have[2] != want[2]:
        steps.append("colour turned to grey" if want[2] == 1 else "grey repeated to three channels")
    if have[:2] != want[:2]:
        steps.append(f"resized from {have[0]}×{have[1]} to {want[0]}×{want[1]} pixels")
    return ", ".join(steps)


def adapt(images: NDArray[np.uint8], want: Shape) -> NDArray[np.uint8]:
    """Fit images to an input shape; every arm of a comparison gets the same ones.

    Args:
        images: uint8, shape (n, height, width, channels) with 1 or 3 channels.
        want: Height, width, channels.

    Returns:
        uint8 images of the wanted shape: luminance by ITU-R 601 weights for grey, bilinear resizing with
        antialiasing. The same array if nothing has to be done.
    """
    if images.shape[1:] == want:
        return images
    fitted = np.empty((len(images), *want), dtype=np.uint8)
    # In blocks: the floats and the single pictures of a whole set would take five times its memory.
    for first in range(0, len(images), BLOCK):
        fitted[first : first + BLOCK] = _fit(images[first : first + BLOCK], want)
    return fitted


def _fit(images: NDArray[np.uint8], want: Shape) -> NDArray[np.uint8]:
    if images.shape[3] != want[2]:
        if want[2] == 1:
            grey = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
            images = np.rint(grey).astype(np.uint8)[..., None]
        else:
            images = np.repeat(images, 3, axis=3)
    if images.shape[1:3] != want[:2]:
        from PIL import Image

        size = (want[1], want[0])
        squeezed = images[..., 0] if want[2] == 1 else images
        resized = [np.asarray(Image.fromarray(row).resize(size, Image.Resampling.BILINEAR)) for row in squeezed]
        images = np.stack(resized).reshape(-1, *want)
    return images


@lru_cache(maxsize=32)
def check_no_overlap(source: str, target: str) -> str:
    """Refuse a pair of tasks that share an image.

    Args:
        source: Name of the source dataset.
        target: Name of the target dataset.

    Returns:
        What was checked, in words.

    Raises:
        UserError: If any image of one (training or test) is, byte for byte, in the other.
    """
    if get_dataset(source).looks() is None:
        # Tasks made from one set of images need that set, so both are here or they come from different sets.
        return "source images not on this machine; made from another set than the target"
    if get_dataset(source).shape != get_dataset(target).shape:
        return "no image in both: theirs differ in size"
    shared = _count_shared(load(source), load(target))
    if shared:
        raise UserError(
            f"{source} and {target} share {shared:,} images, so the source would already know the target's: "
            "choose another source"
        )
    return "no image in both, by hash"


def _count_shared(one: Dataset, other: Dataset) -> int:
    """How many different images both have. Only those with equal samples are hashed: hashing all takes a second."""
    ours, theirs = _samples(one), _samples(other)
    return len(_hashes(one, np.isin(ours, theirs)) & _hashes(other, np.isin(theirs, ours)))


def _samples(dataset: Dataset) -> NDArray[np.uint64]:
    """A number made of 64 bytes of each image, training then test: equal for equal images."""
    samples: list[NDArray[np.uint64]] = []
    for images in (dataset.x_train, dataset.x_test):
        rows = images.reshape(len(images), -1)
        spread = np.linspace(0, rows.shape[1] - 1, 64).astype(np.int64)
        samples.append(rows.take(spread, axis=1).view(np.uint64) @ _MIX)
    return np.concatenate(samples)


def _hashes(dataset: Dataset, wanted: NDArray[np.bool_]) -> set[bytes]:
    count = len(dataset.x_train)
    parts = ((dataset.x_train, wanted[:count]), (dataset.x_test, wanted[count:]))
    return {
        blake2b(images[row].data, digest_size=16).digest() for images, keep in parts for row in np.flatnonzero(keep)
    }
