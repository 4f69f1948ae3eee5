"""Keras models from a backbone's description, and their weights as plain arrays.

Weights live outside the models, as ``{stage: [array, …]}`` with the head under `HEAD`: a stage's arrays are the same
whichever part of the network a model holds, so a tail trained on cached features and a whole network share them.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from tlcore.models.registry import Backbone, Stage

HEAD = "head"
Shape = tuple[int, int, int]
Weights = dict[str, list["NDArray[np.float32]"]]


def build_model(
    backbone: Backbone, input_shape: Shape, classes: int | None, precision: str, first: int = 0, last: int | None = None
) -> keras.Model:
    """Build stages ``first`` to ``last`` of a backbone, with a head or without.

    Args:
        backbone: Description of the whole backbone.
        input_shape: Height, width, channels of the *images*, whatever the first stage built here.
        classes: Outputs of the head (logits), or None to end with the features of the last stage.
        precision: ``float32`` or ``mixed_bfloat16`` for the stages; the head always computes in float32.
        first: Index of the first stage; its input is the output of the stage before.
        last: Index after the last stage, or None for all.

    Returns:
        A functional model whose layers are named after their stages.
    """
    tensor = model_input = keras.Input(stage_input_shape(backbone, input_shape, first), name="input")
    for stage in backbone.stages[first:last]:
        tensor = _add_stage(stage, tensor, precision)
    if classes is not None:
        tensor = _flat(tensor, "head_flatten")
        tensor = keras.layers.Dense(classes, dtype="float32", name=HEAD)(tensor)
    return keras.Model(model_input, tensor, name=backbone.name)


def stage_input_shape(backbone: Backbone, input_shape: Shape, index: int) -> tuple[int, ...]:
    """Shape of what a stage receives.

    Args:
        backbone: The backbone.
        input_shape: Height, width, channels of the images.
        index: Index of the stage; the number of stages gives the shape of the features.

    Returns:
        (height, width, channels) or (units,).
    """
    height, width, channels = input_shape
    units = 0
    for stage in backbone.stages[:index]:
        if stage.kind == "conv":
            height, width, channels = max(1, height // 2), max(1, width // 2), stage.width
        else:
            units = stage.width
    return (units,) if units else (height, width, channels)


def weight_shapes(backbone: Backbone, input_shape: Shape, classes: int) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of every stage's kernel and bias, and the head's, without building a model.

    Args:
        backbone: The backbone.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the head.

    Returns:
        ``{stage: [kernel shape, bias shape]}``.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for index, stage in enumerate(backbone.stages):
        received = stage_input_shape(backbone, input_shape, index)
        kernel = (3, 3, received[-1]) if stage.kind == "conv" else (int(np.prod(received)),)
        shapes[stage.name] = [(*kernel, stage.width), (stage.width,)]
    features = int(np.prod(stage_input_shape(backbone, input_shape, len(backbone.stages))))
    shapes[HEAD] = [(features, classes), (classes,)]
    return shapes


def initial_weights(backbone: Backbone, input_shape: Shape, classes: int, seed: int) -> Weights:
    """First weights of every stage and the head, each from its own stream: the same on every backend and in every arm.

    Kernels are uniform within ``±√(6 / fan_in)`` (He et al. 2015) in the stages and ``±√(6 / (fan_in + fan_out))``
    (Glorot & Bengio 2010) in the head; biases are zero.

    Args:
        backbone: The backbone.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the head.
        seed: Seed, at least 0.

    Returns:
        Arrays by stage.
    """
    weights: Weights = {}
    for name, (kernel, bias) in weight_shapes(backbone, input_shape, classes).items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        fan_in = int(np.prod(kernel[:-1]))
        limit = np.sqrt(6 / (fan_in + kernel[-1] if name == HEAD else fan_in))
        weights[name] = [rng.uniform(-limit, limit, kernel).astype(np.float32), np.zeros(bias, dtype=np.float32)]
    return weights


def set_weights(model: keras.Model, weights: Mapping[str, list[NDArray[np.float32]]]) -> None:
    """Copy arrays into the layers of the same names; layers without weights are passed over.

    Args:
        model: A model made by `build_model`.
        weights: Arrays for at least the stages that the model holds.
    """
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])


def get_weights(model: keras.Model) -> Weights:
    """Copies of a model's arrays, by stage."""
    return {layer.name: [np.array(array) for array in layer.get_weights()] for layer in model.layers if layer.weights}


def count_parameters(arrays: Iterable[NDArray[Any]]) -> int:
    """Number of scalars in some arrays."""
    return sum(array.size for array in arrays)


def weights_sha256(weights: Mapping[str, list[NDArray[np.float32]]]) -> str:
    """Hash of all arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        for array in weights[name]:
            digest.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _add_stage(stage: Stage, tensor: Any, precision: str) -> Any:
    if stage.kind == "conv":
        tensor = keras.layers.Conv2D(
            stage.width, 3, padding="same", activation="relu", dtype=precision, name=stage.name
        )(tensor)
        if min(tensor.shape[1:3]) > 1:
            tensor = keras.layers.MaxPooling2D(dtype=precision, name=f"{stage.name}_pool")(tensor)
        return tensor
    tensor = _flat(tensor, f"{stage.name}_flatten")
    return keras.layers.Dense(stage.width, activation="relu", dtype=precision, name=stage.name)(tensor)


def _flat(tensor: Any, name: str) -> Any:
    return tensor if len(tensor.shape) == 2 else keras.layers.Flatten(name=name)(tensor)
