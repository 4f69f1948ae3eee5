"""What training changed: weights and features by stage, and what is left of the source's task."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tlcore.data import get_dataset, load
from tlcore.data.external import IMAGENET
from tlcore.features import stage_forwards
from tlcore.loops import Forward
from tlcore.metrics.similarity import debiased_cka, relative_change, weight_change
from tlcore.models.build import HEAD, build_model, set_weights, weights_sha256
from tlcore.train import accuracy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tlcore.models.build import Shape, Weights
    from tlcore.models.registry import Backbone
    from tlcore.pretrain import Checkpoint

WATCHED = 256  # observation images whose features are compared
SOURCE_TEST = 2000  # source test images that forgetting is measured on


def weight_changes(before: Weights, after: Weights, stages: Sequence[str]) -> dict[str, float]:
    """How far each stage's weights moved, ``‖w - w₀‖ / ‖w₀‖`` over all of its arrays.

    Args:
        before: Arrays by stage.
        after: The same after training.
        stages: Names of the stages to compare.

    Returns:
        The change by stage; stages whose weights are no longer finite, or started at zero, are left out.
    """
    return weight_change({name: before[name] for name in stages}, {name: after[name] for name in stages})


def feature_changes(
    network: Backbone,
    shape: Shape,
    before: Weights,
    after: Weights,
    images: NDArray[np.uint8] | NDArray[np.float32],
    on_features: Callable[[NDArray[np.float64], NDArray[np.float64]], None] | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """How far the outputs of each stage moved on the same images.

    Args:
        network: The network that both sets of weights belong to.
        shape: Height, width, channels of the images.
        before: Arrays by stage.
        after: The same after training.
        images: uint8, or floats as the network sees them; shape (n, height, width, channels), n at least 4.
        on_features: Told what the head sees of the first `WATCHED` images, before and after, for it is computed here.
            Not called where that is not finite.

    Returns:
        ``mean ‖f - f₀‖² / mean ‖f₀‖²`` by stage, and the debiased linear CKA of the two by stage. Stages whose outputs
        are constant or not finite are left out.
    """
    change: dict[str, float] = {}
    alike: dict[str, float] = {}
    old: NDArray[np.float32] | NDArray[np.uint8] = images[:WATCHED]
    new = old
    last = network.stage_names[-1]
    for name, stage in zip(network.stage_names, stage_forwards(network, shape, "float32"), strict=True):
        same_input = new is old
        set_weights(stage.model, before)
        old, given = stage(old), new
        if same_input and all(np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True)):
            new = old
            change[name], alike[name] = 0.0, 1.0
            if name == last and on_features is not None and np.isfinite(old).all():
                on_features(as_rows(network, old), as_rows(network, old))
            continue
        set_weights(stage.model, after)
        new = stage(given)
        if not (np.isfinite(old).all() and np.isfinite(new).all()):
            break
        flat_old, flat_new = as_rows(network, old), as_rows(network, new)
        if name == last and on_features is not None:
            on_features(flat_old, flat_new)
        if flat_old.std() > 0:
            change[name] = relative_change(flat_old, flat_new)
        try:
            alike[name] = debiased_cka(flat_old, flat_new)
        except ValueError:
            continue  # a stage without variance resembles nothing
    return change, alike


def stage_outputs(
    network: Backbone, shape: Shape, weights: Weights, images: NDArray[np.uint8] | NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """What every stage makes of some images.

    Args:
        network: The network that the weights belong to.
        shape: Height, width, channels of the images.
        weights: Arrays by stage.
        images: uint8, or floats as the network sees them; few, for all outputs are held at once.

    Returns:
        Outputs by stage, from the input to the features.
    """
    outputs: dict[str, NDArray[np.float32]] = {}
    given: NDArray[np.float32] | NDArray[np.uint8] = images
    for name, stage in zip(network.stage_names, stage_forwards(network, shape, "float32"), strict=True):
        set_weights(stage.model, weights)
        given = outputs[name] = stage(given)
    return outputs


def remembered(checkpoint: Checkpoint, network: Backbone, shape: Shape, source: str, after: Weights) -> float | None:
    """Accuracy on the source's task with the stages as they are now and the source's own head.

    Args:
        checkpoint: The source model.
        network: Its backbone.
        shape: Height, width, channels of its images.
        source: Name of the source dataset.
        after: Arrays of all stages after training.

    Returns:
        Accuracy on the first `SOURCE_TEST` of the source's test images, in [0, 1]; None where they are not on this
        machine, or the source model has no head.
    """
    if source == IMAGENET or HEAD not in checkpoint.weights or get_dataset(source).looks() is None:
        return None
    head = checkpoint.weights[HEAD]
    weights = {name: after[name] for name in network.stage_names} | {HEAD: head}
    return _source_accuracy(_Hashed(weights), network, shape, source)


class _Hashed:
    """Weights that a cache can tell apart."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._sha256 = weights_sha256(weights)

    def __hash__(self) -> int:
        return hash(self._sha256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and other._sha256 == self._sha256


@lru_cache(maxsize=8)  # the source model itself is asked for by every arm
def _source_accuracy(hashed: _Hashed, network: Backbone, shape: Shape, source: str) -> float:
    dataset = load(source)
    whole = whole_network(network, shape, hashed.weights[HEAD][-1].size)
    set_weights(whole.model, hashed.weights)
    return accuracy(whole(dataset.x_test[:SOURCE_TEST]), dataset.y_test[:SOURCE_TEST])


@lru_cache(maxsize=4)
def whole_network(network: Backbone, shape: Shape, classes: int) -> Forward:
    """A network with a head, to be given weights and asked for its logits; one for all who ask."""
    return Forward(build_model(network, shape, classes, "float32"))


def as_rows(network: Backbone, features: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a head of this network would see: channel means where it pools, every number where it does not."""
    if features.ndim == 4 and network.pooling == "average":
        return features.mean(axis=(1, 2), dtype=np.float64)
    return features.reshape(len(features), -1).astype(np.float64)
