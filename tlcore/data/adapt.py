"""Fitting images to a network's input, explicitly, and checking that two tasks share none."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from tlcore.data.registry import get_dataset, load
from tlcore.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int, int]


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
    shared = len(_fingerprints(source) & _fingerprints(target))
    if shared:
        raise UserError(
            f"{source} and {target} share {shared:,} images, so the source would already know the target's: "
            "choose another source"
        )
    return "no image in both, by hash"


def _fingerprints(name: str) -> frozenset[bytes]:
    dataset = load(name)
    images = (image for part in (dataset.x_train, dataset.x_test) for image in part)
    return frozenset(blake2b(image.tobytes(), digest_size=16).digest() for image in images)
