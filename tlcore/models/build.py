"""Keras models from a backbone's description, and their weights as plain arrays.

Weights live outside the models, as ``{stage: [array, …]}`` with the head under `HEAD`: a stage's arrays are the same
whichever part of the network a model holds, so a tail trained on cached features and a whole network share them. Every
stage is one layer of the model, or one model within it, of the stage's name.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlcore.models.applications import application_stages
from tlcore.models.registry import shape_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from tlcore.models.registry import Backbone, Stage
    from tlcore.policy import Normalization

HEAD = "head"
GROUPS = 8
# Keras's .99 needs some 500 steps before running statistics mean anything; that is a whole run here.
MOMENTUM = 0.9
Shape = tuple[int, int, int]
Weights = dict[str, list["NDArray[np.float32]"]]


def build_model(
    backbone: Backbone,
    input_shape: Shape,
    classes: int | None,
    precision: str,
    first: int = 0,
    last: int | None = None,
    *,
    pooled: bool = False,
) -> keras.Model:
    """Build stages ``first`` to ``last`` of a backbone, with a head or without.

    Args:
        backbone: Description of the whole backbone.
        input_shape: Height, width, channels of the *images*, whatever the first stage built here.
        classes: Outputs of the head (logits), or None to end with the features of the last stage.
        precision: ``float32`` or ``mixed_bfloat16`` for the stages; the head always computes in float32.
        first: Index of the first stage; its input is the output of the stage before.
        last: Index after the last stage, or None for all.
        pooled: Without a head, end with what a head would see: the features flattened or averaged.

    Returns:
        A functional model whose layers are named after their stages.

    Raises:
        UserError: If the images do not fit the backbone.
    """
    backbone.check_input(input_shape)
    stages = backbone.stages[first:last]
    parts: list[keras.Model] = []
    if stages and backbone.family == "application":
        parts = application_stages(backbone, input_shape, precision)[first:last]
    # A part knows what it receives; to ask `stage_input_shape` would build the network once more.
    received = parts[0].input_shape[1:] if parts else stage_input_shape(backbone, input_shape, first)
    tensor = model_input = keras.Input(received, name="input")
    for part in parts:
        calm(part)
        tensor = part(tensor)
    for stage in stages[len(parts) :]:
        tensor = _add_stage(backbone, stage, tensor, precision)
    if classes is not None or pooled:
        tensor = _head_input(backbone, tensor)
    if classes is not None:
        tensor = keras.layers.Dense(classes, dtype="float32", name=HEAD)(tensor)
    return keras.Model(model_input, tensor, name=backbone.name)


def build_stages(backbone: Backbone, input_shape: Shape, precision: str) -> list[keras.Model]:
    """Build every stage as a model of its own, as `build_model` builds one; a network of Keras's is built only once.

    Args:
        backbone: Description of the whole backbone.
        input_shape: Height, width, channels of the images.
        precision: ``float32`` or ``mixed_bfloat16``.

    Returns:
        One model a stage, each with one layer of the stage's name; together they share no weights.

    Raises:
        UserError: If the images do not fit the backbone.
    """
    if backbone.family != "application":
        count = len(backbone.stages)
        return [build_model(backbone, input_shape, None, precision, at, at + 1) for at in range(count)]
    backbone.check_input(input_shape)
    models: list[keras.Model] = []
    for part in application_stages(backbone, input_shape, precision):
        calm(part)
        received = keras.Input(part.input_shape[1:], name="input")
        models.append(keras.Model(received, part(received), name=backbone.name))
    return models


def stage_input_shape(backbone: Backbone, input_shape: Shape, index: int) -> tuple[int, ...]:
    """Shape of what a stage receives.

    Args:
        backbone: The backbone.
        input_shape: Height, width, channels of the images.
        index: Index of the stage; the number of stages gives the shape of the features.

    Returns:
        (height, width, channels) or (units,).
    """
    if index == 0:
        return input_shape
    if backbone.pooling == "average" and index == len(backbone.stages):
        return (backbone.feature_width,)
    if backbone.family == "application":
        return _application_shapes(backbone, input_shape)[index]
    return shape_after(backbone.stages[:index], input_shape)


def weight_shapes(backbone: Backbone, input_shape: Shape, classes: int) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of every stage's arrays, and the head's.

    Args:
        backbone: The backbone.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the head.

    Returns:
        ``{stage: [shape, …]}``, kernel and bias for a stage of one layer.
    """
    return {name: [one.shape for one in arrays] for name, arrays in _arrays(backbone, input_shape, classes).items()}


def initial_weights(backbone: Backbone, input_shape: Shape, classes: int, seed: int) -> Weights:
    """First weights of every stage and the head, each from its own stream: the same on every backend and in every arm.

    Kernels are uniform within ``±√(6 / fan_in)`` (He et al. 2015) in the stages and ``±√(6 / (fan_in + fan_out))``
    (Glorot & Bengio 2010) in the head; a depthwise kernel's fan-in is its height times its width. All other arrays are
    Keras's constants: biases and running means 0, gains and running variances 1.

    Args:
        backbone: The backbone.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the head.
        seed: Seed, at least 0.

    Returns:
        Arrays by stage.
    """
    weights: Weights = {}
    for name, arrays in _arrays(backbone, input_shape, classes).items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        weights[name] = []
        for one in arrays:
            if one.fan_in:
                limit = np.sqrt(6 / (one.fan_in + one.shape[-1] if name == HEAD else one.fan_in))
                weights[name].append(rng.uniform(-limit, limit, one.shape).astype(np.float32))
            else:
                weights[name].append(np.full(one.shape, one.constant, dtype=np.float32))
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


def normalization_layers(layer: keras.Layer) -> list[keras.layers.BatchNormalization]:
    """Every batch normalisation in a layer or model, at any depth; the layer itself if it is one."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return [layer]
    return [found for inner in inner_layers(layer) for found in normalization_layers(inner)]


def inner_layers(layer: keras.Layer) -> list[keras.Layer]:
    """What a model, or a layer that is made of layers as Keras Hub's blocks are, holds directly."""
    return layer._flatten_layers(include_self=False, recursive=False)  # pyright: ignore[reportPrivateUsage]


def freeze(model: keras.Model, frozen: frozenset[str], normalization: Normalization = "train") -> None:
    """Say what training may change. Call it before `compile`: TensorFlow silently ignores what is said later.

    Keras 3 computes with running statistics, and leaves them alone, exactly where a batch normalisation is not
    trainable, whatever ``training=`` the stage is called with.

    Args:
        model: A model made by `build_model`.
        frozen: Names of the stages whose weights may not change.
        normalization: What batch normalisation does. ``train``: layers of trained stages learn and move their
            statistics, those of frozen stages do neither. ``freeze``: no layer does either. ``drift``: as ``train``,
            and the statistics of frozen stages move too, though their gains and offsets stay: the usual accident.
            ``always``: layers of frozen stages learn and move as well.
    """
    for layer in model.layers:
        held = layer.name in frozen
        _set_trainable(layer, not held)
        for inner in normalization_layers(layer):
            _set_trainable(inner, normalization in ("drift", "always") if held else normalization != "freeze")
            if held and normalization == "drift":
                for variable in (inner.gamma, inner.beta):
                    if variable is not None:
                        variable.trainable = False


def _set_trainable(layer: keras.Layer, trainable: bool) -> None:
    """Set a layer's flag and those of all layers and variables in it.

    On TensorFlow an assignment that leaves a flag as it is does nothing at all, so what lies below could stay
    otherwise: every flag is turned over first.
    """
    layer.trainable = not trainable
    layer.trainable = trainable
    for inner in inner_layers(layer):
        _set_trainable(inner, trainable)


# --- stages -----------------------------------------------------------------------------------------------------------


def _add_stage(backbone: Backbone, stage: Stage, tensor: Any, precision: str) -> Any:
    if stage.kind == "conv":
        tensor = keras.layers.Conv2D(stage.width, 3, padding="same", dtype=precision, name=stage.name)(tensor)
        # The largest of rectified numbers is the rectified largest: same output and gradient, from a quarter of them.
        tensor = _half(tensor, precision, f"{stage.name}_pool")
        return keras.layers.Activation("relu", dtype=precision, name=f"{stage.name}_relu")(tensor)
    if stage.kind == "dense":
        if len(tensor.shape) > 2:
            tensor = keras.layers.Flatten(name=f"{stage.name}_flatten")(tensor)
        return keras.layers.Dense(stage.width, activation="relu", dtype=precision, name=stage.name)(tensor)
    tensor = _block(backbone, stage, tuple(tensor.shape[1:]), precision)(tensor)
    if stage is backbone.stages[-1]:  # so that features are a vector, which is also what is kept of them
        tensor = keras.layers.GlobalAveragePooling2D(dtype=precision, name=f"{stage.name}_average")(tensor)
    return tensor


def _half(tensor: Any, precision: str, name: str) -> Any:
    if min(tensor.shape[1:3]) > 1:
        tensor = keras.layers.MaxPooling2D(dtype=precision, name=name)(tensor)
    return tensor


def _block(backbone: Backbone, stage: Stage, shape: tuple[int, ...], precision: str) -> keras.Model:
    """A stem or a residual block as a model within the model; the stage's name in every layer's keeps paths apart."""

    def convolution(tensor: Any, name: str, size: int = 3, stride: int = 1) -> Any:
        name = f"{stage.name}_{name}"
        tensor = keras.layers.Conv2D(
            stage.width, size, stride, padding="same", use_bias=False, dtype=precision, name=name
        )(tensor)
        if backbone.normalization == "batch":
            return keras.layers.BatchNormalization(momentum=MOMENTUM, dtype=precision, name=f"{name}_norm")(tensor)
        return keras.layers.GroupNormalization(GROUPS, dtype=precision, name=f"{name}_norm")(tensor)

    def relu(tensor: Any) -> Any:
        return keras.layers.Activation("relu", dtype=precision)(tensor)

    block_input = keras.Input(shape, name=f"{stage.name}_input")
    if stage.kind == "stem":
        tensor = _half(relu(convolution(block_input, "conv")), precision, f"{stage.name}_pool")
        return keras.Model(block_input, tensor, name=stage.name)
    changes = shape[-1] != stage.width
    stride = 2 if changes else 1
    tensor = convolution(relu(convolution(block_input, "conv1", stride=stride)), "conv2")
    around = convolution(block_input, "around", size=1, stride=stride) if changes else block_input
    tensor = relu(keras.layers.Add(dtype=precision)([tensor, around]))
    return keras.Model(block_input, tensor, name=stage.name)


def _head_input(backbone: Backbone, tensor: Any) -> Any:
    if len(tensor.shape) == 2:
        return tensor
    if backbone.pooling == "average":
        return keras.layers.GlobalAveragePooling2D(dtype="float32", name="head_average")(tensor)
    return keras.layers.Flatten(name="head_flatten")(tensor)


def calm(part: keras.Layer) -> None:
    """Take out what makes a short run, or a frozen stage, depend on luck; no output changes but in training.

    Args:
        part: A model within a network, or a layer made of layers; changed in place.
    """
    for layer in inner_layers(part):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
        elif isinstance(layer, keras.layers.Dropout):
            # EfficientNet drops whole branches in training, also in frozen stages, which then have no one output.
            layer.rate = 0.0
        else:
            calm(layer)


# --- what a stage holds -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Array:
    """Shape of an array and how it starts: sampled for a fan-in, else constant."""

    shape: tuple[int, ...]
    fan_in: int = 0
    constant: float = 0.0


def _arrays(backbone: Backbone, input_shape: Shape, classes: int) -> dict[str, list[_Array]]:
    arrays: dict[str, list[_Array]] = {}
    for index, stage in enumerate(backbone.stages):
        if stage.kind == "conv":
            channels = stage_input_shape(backbone, input_shape, index)[-1]
            arrays[stage.name] = _kernel_and_bias((3, 3, channels), stage.width)
        elif stage.kind == "dense":
            received = int(np.prod(stage_input_shape(backbone, input_shape, index)))
            arrays[stage.name] = _kernel_and_bias((received,), stage.width)
        elif backbone.fixed:
            arrays[stage.name] = []  # there are no first weights: every arm takes what the source has
        else:
            # What these stages hold depends on the channels of the images, not on their size.
            arrays[stage.name] = _built_arrays(backbone, input_shape[-1])[index]
    features = backbone.feature_width_at(len(backbone.stages), input_shape)
    arrays[HEAD] = _kernel_and_bias((features,), classes)
    return arrays


def _kernel_and_bias(received: tuple[int, ...], width: int) -> list[_Array]:
    return [_Array((*received, width), fan_in=int(np.prod(received))), _Array((width,))]


@lru_cache(maxsize=32)
def _built_arrays(backbone: Backbone, channels: int) -> list[list[_Array]]:
    """The arrays of every stage as Keras makes them."""
    side = max(backbone.min_size, 8)
    if backbone.family == "application":
        parts = application_stages(backbone, (side, side, channels), "float32")
    else:
        model = build_model(backbone, (side, side, channels), None, "float32")
        parts = [model.get_layer(name) for name in backbone.stage_names]
    return [[_described(variable) for variable in part.weights] for part in parts]


def _described(variable: Any) -> _Array:
    shape = tuple(variable.shape)
    kind = variable.path.rpartition("/")[2]
    if "kernel" in kind:
        # A depthwise kernel is (height, width, channels, outputs for each): every output sees one channel.
        depthwise = kind == "depthwise_kernel" or "depthwise" in variable.path.split("/")[-2]
        return _Array(shape, fan_in=int(np.prod(shape[:2] if depthwise else shape[:-1])))
    values = np.unique(variable.numpy())
    if len(values) != 1:
        raise RuntimeError(f"{variable.path} starts from more than one value and is no kernel")
    return _Array(shape, constant=float(values[0]))


@lru_cache(maxsize=32)
def _application_shapes(backbone: Backbone, input_shape: Shape) -> list[tuple[int, ...]]:
    parts = application_stages(backbone, input_shape, "float32")
    return [input_shape, *(tuple(part.output_shape[1:]) for part in parts)]
