"""Near-copies among pictures: the same one saved again, scaled, a little brighter or cropped, or mirrored.

If one of them is learned from and another tested on, the test measures memory. So they form a group, and a group is
never split. A hash of 64 bits finds the few pairs that may be alike; small versions of the pictures then decide, for on
plain backgrounds the hashes of different things agree as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SMALL = 16
"""Side of the small versions."""
MOST_BITS = 14
"""Bits of 64 in which the hashes of a pair that is looked at may differ; of unrelated pictures 32 do on average."""
LEAST_CORRELATION = 0.95
MOST_DIFFERENCE = 26.0
"""Mean difference of the small versions' bytes: near-copies may be a little brighter."""
FLAT = 3.0
"""Standard deviation of a small version below which its pixels are one colour, and correlation means nothing."""


@dataclass(frozen=True, eq=False)
class Print:
    """What is remembered of a picture to find its near-copies; about 800 bytes.

    Args:
        hash: 64 bits: which of the lowest frequencies are stronger than the middle one.
        mirrored: The same of the mirrored picture.
        small: The small version, uint8, shape (SMALL, SMALL, 3).
    """

    hash: int
    mirrored: int
    small: NDArray[np.uint8]


def print_of(picture: NDArray[np.uint8]) -> Print:
    """Take a picture's print.

    Args:
        picture: Shape (side, side, 3).

    Returns:
        It.
    """
    image = Image.fromarray(picture)
    small = np.asarray(image.resize((SMALL, SMALL), Image.Resampling.BOX))
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64)
    frequencies = _COSINES @ grey @ _COSINES.T
    return Print(_bits(frequencies), _bits(frequencies * _MIRROR), small)


def groups_of(prints: Sequence[Print]) -> NDArray[np.int64]:
    """Number the groups of near-copies: whoever is a near-copy of one picture of a group belongs to it.

    One row of distances at a time, so memory grows with the pictures and not with their pairs.

    Args:
        prints: One a picture.

    Returns:
        The group of each, from 0 in the order of their first pictures.
    """
    hashes = np.array([one.hash for one in prints], dtype=np.uint64)
    mirrored = np.array([one.mirrored for one in prints], dtype=np.uint64)
    small = np.array([one.small for one in prints], dtype=np.uint8)
    groups = np.full(len(prints), -1, dtype=np.int64)
    # Those without a group yet, and their hashes: kept side by side, for picking them out anew takes most of the time.
    left, left_hashes = np.arange(len(prints)), hashes
    group = 0
    while len(left):
        waiting, left, left_hashes = [int(left[0])], left[1:], left_hashes[1:]
        while waiting:
            this = waiting.pop()
            groups[this] = group
            near = _near(hashes[this], small[this], left_hashes, left, small)
            near = np.union1d(near, _near(mirrored[this], small[this, :, ::-1], left_hashes, left, small))
            if len(near):
                waiting += left[near].tolist()
                left, left_hashes = np.delete(left, near), np.delete(left_hashes, near)
        group += 1
    return groups


def _near(
    hash: np.uint64,  # noqa: A002 - what it is
    picture: NDArray[np.uint8],
    left_hashes: NDArray[np.uint64],
    left: NDArray[np.int64],
    small: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Places, among the pictures that are left, of the near-copies of one picture: of its hash and small version."""
    near = np.flatnonzero(np.bitwise_count(left_hashes ^ hash) <= MOST_BITS)
    if not len(near):
        return near
    others = small[left[near]].reshape(len(near), -1).astype(np.float32)
    own = picture.reshape(-1).astype(np.float32)
    difference, spread, own_spread = np.abs(others - own).mean(axis=1), others.std(axis=1), float(own.std())
    product = (others - others.mean(axis=1, keepdims=True)) @ (own - own.mean()) / len(own)
    flat = np.maximum(spread, own_spread) < FLAT
    alike = np.where(flat, difference <= FLAT, product >= LEAST_CORRELATION * spread * own_spread)
    return near[alike & (difference <= MOST_DIFFERENCE)]


# --- the hash: pHash (Zauner 2010), of 8 × 8 frequencies of a picture of 32 × 32 -------------------------------------

_SIDE, _LOW = 32, 8


def _cosines() -> NDArray[np.float64]:
    """The lowest rows of the discrete cosine transform, without the mean."""
    places = np.arange(_SIDE) + 0.5
    return np.array([np.cos(math.pi / _SIDE * frequency * places) for frequency in range(_LOW)])


_COSINES = _cosines()
# Mirrored, odd frequencies across change their sign.
_MIRROR = np.where(np.arange(_LOW) % 2, -1.0, 1.0)


def _bits(frequencies: NDArray[np.float64]) -> int:
    # Without the first, which is the brightness; where there is one colour only, rounding leaves nothing of the others.
    values = np.round(frequencies.reshape(-1)[1:], 3)
    bits = np.concatenate([values > np.median(values), [False]])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
