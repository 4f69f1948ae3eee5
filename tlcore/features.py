"""Outputs of frozen stages, computed once for each (weights, images) and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tlcore.loops import Forward, evaluated_at_once, through
from tlcore.models.build import build_model, build_stages, set_weights, weights_sha256
from tlcore.train import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tlcore.models.build import Shape
    from tlcore.models.registry import Backbone

ROOM = 200_000_000  # bytes; the features of 10,000 test images after two convolutions take 63 MB


class FrozenStages:
    """The first stages of a backbone with fixed weights.

    Args:
        backbone: The whole backbone.
        input_shape: Height, width, channels of the images.
        precision: Number format of the stages.
        count: How many of the first stages; 0 gives the images themselves.
        weights: Arrays of at least those stages.
        input_scale: Factor on the pixels, which are in [0, 1].

    Attributes:
        scale: Factor on the features; 1 unless set.
    """

    def __init__(
        self,
        backbone: Backbone,
        input_shape: Shape,
        precision: str,
        count: int,
        weights: Mapping[str, list[NDArray[np.float32]]],
        input_scale: float = 1.0,
    ) -> None:
        self._count, self._input_scale = count, input_scale
        self.scale = 1.0
        if count:
            self._weights = {name: weights[name] for name in backbone.stage_names[:count]}
            self._parts = _parts(backbone, input_shape, precision, count)
            # A host's graph may hold what it has learned as constants, of which there are no weights.
            which = f"{backbone.name}/{backbone.host.sha256 if backbone.host else ''}"
            self._key = f"{which}/{precision}/{count}/{input_scale!r}/{weights_sha256(self._weights)}"

    def __call__(
        self, images: NDArray[np.uint8] | NDArray[np.float32], name: str = ""
    ) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Outputs of the last frozen stage.

        Args:
            images: uint8 images or floats in [0, 1], shape (n, height, width, channels).
            name: What identifies these images; empty for images that will not be seen again, such as augmented ones.

        Returns:
            Features in float32; the images themselves, times the factor, if no stage is frozen.
        """
        if not self._count:
            return in_range(images, self._input_scale)
        key = f"{self._key}/{name}"
        if name and (kept := _cache.get(key)) is not None:
            return self._scaled(kept)
        features = self._features(images)
        if name:
            _cache.put(key, features)
        return self._scaled(features)

    def _features(self, images: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        for part in self._parts:
            set_weights(part.model, self._weights)
        # In blocks: what a stage makes of a whole test set may take gigabytes, and so may large pictures as floats.
        block = evaluated_at_once(images.shape)
        return np.concatenate([self._through(images[at : at + block]) for at in range(0, len(images), block)])

    def _through(self, images: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        return through(self._parts, in_range(images, self._input_scale))

    def _scaled(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return features if self.scale == 1 else features * np.float32(self.scale)


def in_range(images: NDArray[np.uint8] | NDArray[np.float32], scale: float) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Images whose pixels are in [0, scale].

    Args:
        images: uint8 images or floats in [0, 1].
        scale: The factor; 1 gives the images themselves.

    Returns:
        Floats, or the same array.
    """
    return images if scale == 1 else scaled(images) * np.float32(scale)


class _Cache:
    """Least recently used first out, by bytes."""

    def __init__(self, room: int) -> None:
        self._room, self._used = room, 0
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def get(self, key: str) -> NDArray[np.float32] | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: str, array: NDArray[np.float32]) -> None:
        array.flags.writeable = False
        if (replaced := self._kept.pop(key, None)) is not None:
            self._used -= replaced.nbytes
        self._kept[key] = array
        self._used += array.nbytes
        while self._used > self._room:
            _, dropped = self._kept.popitem(last=False)
            self._used -= dropped.nbytes


_cache = _Cache(ROOM)


@lru_cache(maxsize=8)
def _parts(backbone: Backbone, input_shape: Shape, precision: str, count: int) -> tuple[Forward, ...]:
    """The first stages: one graph for a small network; a large one is built and traced once for every cut."""
    if backbone.family == "application":
        return stage_forwards(backbone, input_shape, precision)[:count]
    return (Forward(build_model(backbone, input_shape, None, precision, 0, count)),)


@lru_cache(maxsize=6)
def stage_forwards(backbone: Backbone, input_shape: Shape, precision: str) -> tuple[Forward, ...]:
    """Every stage, to be given weights and asked for its outputs; one each for all who ask.

    Args:
        backbone: The whole backbone.
        input_shape: Height, width, channels of the images.
        precision: Number format of the stages.

    Returns:
        One a stage, in their order.
    """
    return tuple(Forward(model) for model in build_stages(backbone, input_shape, precision))
