"""How far two tasks' pictures lie apart, measured before anything is trained and without Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from tlcore.data.adapt import adapt
from tlcore.data.registry import Dataset, get_dataset, load, shared_classes
from tlcore.errors import UserError
from tlcore.metrics.ranking import proxy_a_distance
from tlcore.metrics.similarity import principal_components
from tlcore.metrics.stats import Interval, mean_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGES = 400
"""Images of each side, or all where there are fewer."""
COMPONENTS = 50
SEEDS = 5


@dataclass(frozen=True)
class PixelDistance:
    """How well a linear classifier tells two tasks' pictures apart by their pixels.

    Args:
        source: Name of one dataset.
        target: Name of the other.
        images: Images of each side that every draw took.
        interval: Proxy A-distance over the draws, in [0, 2]: 0 if they cannot be told apart, 2 if always.
    """

    source: str
    target: str
    images: int
    interval: Interval


def pixel_distance(source: str, target: str, seeds: int = SEEDS) -> PixelDistance:
    """Measure the proxy A-distance of two tasks in pixel space.

    The target's pictures are fitted to the source's size and colours, as in a run; both are described by their first
    `COMPONENTS` principal components together. Ben-David et al. 2007, "Analysis of Representations for Domain
    Adaptation".

    Args:
        source: Name of a dataset.
        target: Name of another; no class of both may be the same.
        seeds: Number of draws of images; at least 2.

    Returns:
        The distance with its t interval over the draws.

    Raises:
        UserError: If data cannot be had, or the two share classes.
    """
    if shared := shared_classes(source, target):
        raise UserError(f"{source} and {target} share {', '.join(shared)}: choose classes that only one of them has")
    shape = get_dataset(source).shape
    ours, theirs = load(source), load(target)
    values: list[float] = []
    with threadpool_limits(1):  # so little at a time that several threads wait for each other
        for seed in range(seeds):
            sides = [_drawn(dataset, shape, seed) for dataset in (ours, theirs)]
            rows = principal_components(np.concatenate(sides), COMPONENTS)
            values.append(proxy_a_distance(rows[: len(sides[0])], rows[len(sides[0]) :], seed=seed).distance)
    count = min(IMAGES, len(ours.y_train), len(theirs.y_train))
    return PixelDistance(source, target, count, mean_interval(values))


def _drawn(dataset: Dataset, shape: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    """Some training images as rows of pixels in [0, 1]."""
    rng = np.random.default_rng([seed, 8])
    rows = np.sort(rng.permutation(len(dataset.y_train))[:IMAGES])
    images = adapt(dataset.x_train[rows], shape)
    return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)
