"""Opening a model of the host's own: safely, and cut into stages."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np

from tlcore.errors import UserError
from tlcore.models.applications import scaled
from tlcore.models.build import initial_weights, normalization_layers
from tlcore.models.named import Description, NamedModel
from tlcore.models.weights import file_digest

if TYPE_CHECKING:
    from tlcore.models.build import Weights
    from tlcore.models.registry import Backbone, HostModel

MOST_STAGES = 6
AFTER_FEATURES = (keras.layers.Dropout, keras.layers.Activation, keras.layers.Softmax)
KERAS_FILES = {"config.json", "metadata.json", "model.weights.h5"}


@dataclass(frozen=True, eq=False)
class Opened:
    """A model as a backbone can use it.

    Args:
        model: From pictures, scaled as the entry says, to one feature a channel.
        trainable: Whether its layers can be trained; a SavedModel's cannot.
    """

    model: keras.Model
    trainable: bool


def open_named(entry: NamedModel) -> Opened:
    """Open a model without running any code that came with it.

    Args:
        entry: The host's entry.

    Returns:
        The model without its output layer, pooled.

    Raises:
        UserError: If the file is absent, damaged, holds code of its own (a Lambda layer, a custom class, a pickle), or
            is no network that sees pictures of three channels.
    """
    path = entry.path
    if path.is_dir() and (path / "saved_model.pb").is_file():
        return Opened(_of_saved_model(entry), trainable=False)
    if not path.is_file():
        raise UserError(f"{entry.name}: there is no {path}: correct its path in the host's list of models")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise UserError(
            f"{entry.name}: {path.name} is no whole .keras file and no SavedModel's folder: save the model with "
            "model.save('name.keras'); pickles and whole .h5 models, which can hold code, are not opened"
        )
    return Opened(_features(entry, _of_keras_file(entry)), trainable=True)


def _of_keras_file(entry: NamedModel) -> keras.Model:
    with zipfile.ZipFile(entry.path) as archive:
        missing = KERAS_FILES - set(archive.namelist())
        if missing or archive.testzip() is not None:
            raise UserError(f"{entry.name}: {entry.path.name} is damaged or not written by Keras: copy it again")
        config = archive.read("config.json").decode("utf-8", "replace")
    # Keras refuses it too, in safe mode; said here in words for whoever runs the host.
    if '"__lambda__"' in config or '"class_name": "Lambda"' in config:
        raise UserError(
            f"{entry.name}: {entry.path.name} holds a Lambda layer, which is Python code that would run here: save the "
            "model with a layer of Keras in its place"
        )
    try:
        loaded: Any = keras.saving.load_model(entry.path, compile=False, safe_mode=True)
    except Exception as error:  # a file can be wrong in any way, and Keras raises as many errors
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"{entry.name}: Keras does not open {entry.path.name} in safe mode ({reason}): own classes and code are "
            "not loaded"
        ) from None
    if not isinstance(loaded, keras.Model) or not getattr(loaded, "inputs", None):
        raise UserError(f"{entry.name}: {entry.path.name} is no functional or sequential model: save it as one")
    return loaded


def _features(entry: NamedModel, model: keras.Model) -> keras.Model:
    """The model up to its features: without a dense layer at its end, averaged."""
    _check_input(entry, model)
    tensor: Any = model.outputs[0]
    layers = [layer for layer in model.layers if not isinstance(layer, AFTER_FEATURES)]
    if isinstance(layers[-1], keras.layers.Dense):
        tensor = layers[-1].input
        before: dict[int, Any] = {id(layer.output): layer for layer in model.layers}
        while isinstance(before.get(id(tensor)), (keras.layers.Flatten, keras.layers.Dropout)):
            tensor = before[id(tensor)].input
    if len(tensor.shape) == 4:
        tensor = keras.layers.GlobalAveragePooling2D(name="named_average")(tensor)
    if len(tensor.shape) != 2 or tensor.shape[-1] is None:
        raise UserError(f"{entry.name}: its features have shape {tensor.shape}: they have to be maps or a vector")
    return keras.Model(model.inputs[0], tensor, name=entry.name)


def _check_input(entry: NamedModel, model: keras.Model) -> None:
    shapes = [tuple(one.shape) for one in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3:
        raise UserError(f"{entry.name}: it takes {shapes}, not one picture of three channels: choose another model")


def _of_saved_model(entry: NamedModel) -> keras.Model:
    """A SavedModel as one frozen layer: TensorFlow's graph is all there is of it."""
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"{entry.name} is a SavedModel, which only TensorFlow runs: set KERAS_BACKEND=tensorflow")
    if entry.input_size is None:
        raise UserError(f"{entry.name}: a SavedModel does not say the size of its pictures: give input_size")
    try:
        layer = keras.layers.TFSMLayer(str(entry.path), call_endpoint="serving_default", name="backbone")
        pictures = keras.Input((entry.input_size, entry.input_size, 3), name="pictures")
        outputs: Any = layer(pictures)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"{entry.name}: TensorFlow does not open {entry.path.name} as a SavedModel ({reason})"
        ) from None
    tensor = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs
    layer.trainable = False
    if len(tensor.shape) == 4:
        tensor = keras.layers.GlobalAveragePooling2D(name="named_average")(tensor)
    return keras.Model(pictures, tensor, name=entry.name)


# --- as a backbone ----------------------------------------------------------------------------------------------------


def describe(entry: NamedModel) -> Description:
    """Open a model and describe it.

    Args:
        entry: The host's entry.

    Returns:
        The description.

    Raises:
        UserError: As `open_named`, or if the model cannot be a backbone.
    """
    opened = open_named(entry)
    if not opened.trainable:
        raise UserError(
            f"{entry.name} is a SavedModel: it opens, but its layers can be neither cut nor trained, so it is no "
            "backbone here; save the model as .keras where it was made"
        )
    shape = tuple(opened.model.input_shape)
    side = entry.input_size or shape[1]
    if side is None or (shape[1] not in (None, side)) or (shape[2] not in (None, side)):
        raise UserError(f"{entry.name} takes pictures of {shape[1]}×{shape[2]}: give its input_size, for square ones")
    cuts = _cuts(opened.model)
    parts = _parts(opened.model, cuts)
    found = Description(
        entry=entry,
        sha256=file_digest(entry.path, ""),
        side=side,
        stages=tuple((f"stage{number}", int(part.output_shape[-1])) for number, part in enumerate(parts, start=1)),
        cuts=cuts,
        normalization=_normalization(opened.model),
    )
    try:
        initial_weights(found.backbone(), (side, side, 3), 2, 0)
    except RuntimeError as error:
        raise UserError(f"{entry.name} cannot be started afresh, which comparisons need: {error}") from None
    return found


def host_stages(backbone: Backbone, input_shape: tuple[int, int, int]) -> list[keras.Model]:
    """Build a host's model with random weights, cut.

    Args:
        backbone: A backbone with a `HostModel`.
        input_shape: Height, width, channels of the images; they are resized to what the model takes.

    Returns:
        One model a stage, named after it. The first takes pixels in [0, 1]; the last gives the features.
    """
    host = _host(backbone)
    return _stages(backbone, keras.models.clone_model(_opened(host.path, host.sha256, backbone.name)), input_shape)


def host_weights(backbone: Backbone) -> Weights:
    """What a host's model has learned, by stage.

    Args:
        backbone: A backbone with a `HostModel`.

    Returns:
        The arrays.

    Raises:
        UserError: If the file is gone, or another one than was looked into.
    """
    host = _host(backbone)
    parts = _stages(backbone, _opened(host.path, host.sha256, backbone.name), (host.side, host.side, 3))
    return {part.name: [np.array(array) for array in part.get_weights()] for part in parts}


def _host(backbone: Backbone) -> HostModel:
    if backbone.host is None:
        raise ValueError(f"{backbone.name} is no model of the host's own")
    return backbone.host


@lru_cache(maxsize=2)
def _opened(path: str, sha256: str, name: str) -> keras.Model:
    entry = NamedModel(name=name, path=Path(path), title=name, licence="-", scaling="unit")
    opened = open_named(entry).model
    if file_digest(entry.path, "") != sha256:
        raise UserError(
            f"{name}: {entry.path.name} has changed since it was looked into: run `python -m tlcore models`"
        )
    return opened


def _stages(backbone: Backbone, model: keras.Model, input_shape: tuple[int, int, int]) -> list[keras.Model]:
    host = _host(backbone)
    parts = _parts(model, host.cuts)
    pixels = keras.Input(input_shape, name="pixels")
    tensor: Any = pixels if host.scaling == "unit" else scaled(pixels, host.scaling)
    tensor = keras.layers.Resizing(host.side, host.side, dtype="float32", name="resized")(tensor)
    first = keras.Model(pixels, parts[0](tensor))
    named = zip(backbone.stages, (first, *parts[1:]), strict=True)
    return [keras.Model(part.inputs[0], part.outputs[0], name=stage.name) for stage, part in named]


def _parts(model: keras.Model, cuts: tuple[int, ...]) -> list[keras.Model]:
    operations: list[Any] = model.operations
    tensors = [model.inputs[0], *(operations[cut].output for cut in cuts), model.outputs[0]]
    return [keras.Model(*ends) for ends in pairwise(tensors)]


def _cuts(model: keras.Model) -> tuple[int, ...]:
    """Where the model is one tensor wide: at most so many places that part its weights evenly."""
    operations: list[Any] = model.operations
    if any(len(one._inbound_nodes) > 1 for one in operations[1:]):
        return ()  # a layer is used twice, or the model was called before: then it stays in one piece
    made = {
        id(operation.output): at for at, operation in enumerate(operations) if not isinstance(operation.output, list)
    }
    last_use: dict[int, int] = {}
    for at, operation in enumerate(operations[1:], start=1):
        for tensor in operation._inbound_nodes[0].input_tensors:
            last_use[made[id(tensor)]] = at
    size = [sum(int(np.prod(one.shape)) for one in getattr(operation, "weights", ())) for operation in operations]
    total, done, cuts = sum(size), 0, list[int]()
    for at, operation in enumerate(operations[:-1]):
        done += size[at]
        alone = all(use <= at for begin, use in last_use.items() if begin < at) and last_use.get(at, 0) > at
        wide = alone and len(operation.output.shape) == 4 and size[at + 1] > 0
        if wide and done and done < total and done >= total * (len(cuts) + 1) / MOST_STAGES:
            cuts.append(at)
    return tuple(cuts[: MOST_STAGES - 1])


def _normalization(model: keras.Model) -> Literal["none", "group", "layer", "batch"]:
    """The kind that matters most: only batch normalisation has running statistics."""
    if normalization_layers(model):
        return "batch"
    kinds = {type(layer) for layer in model.layers}
    if keras.layers.LayerNormalization in kinds:
        return "layer"
    return "group" if keras.layers.GroupNormalization in kinds else "none"
