"""Opening a model of the host's own: safely, and cut into stages."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np

from tlcore.errors import UserError, unknown_name
from tlcore.models.applications import TORCH_DEVIATION, TORCH_MEAN, scaled
from tlcore.models.build import initial_weights, normalization_layers
from tlcore.models.named import Description, NamedModel
from tlcore.models.weights import file_digest, folder_digest
from tlcore.quiet import import_quietly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlcore.models.build import Weights
    from tlcore.models.registry import Backbone, HostKind, HostModel

MOST_STAGES = 6
AFTER_FEATURES = (keras.layers.Dropout, keras.layers.Activation, keras.layers.Softmax)
KERAS_FILES = {"config.json", "metadata.json", "model.weights.h5"}
GRAPH = "saved_model.pb"
CONFIG, CONVERTER = "config.json", "image_converter.json"
# In a SavedModel's graph: Python of the process that loads it, and files besides the model's own weights.
UNSAFE_OPERATIONS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles"}
MADE_BY = ("keras", "keras_hub", "builtins")


@dataclass(frozen=True, eq=False)
class Opened:
    """A model as a backbone can use it.

    Args:
        model: From pictures, scaled as the entry says, to one feature a channel.
        kind: What it is kept as; a ``saved_model`` has no layers that can be cut, trained or started afresh.
        side: Side of its pictures that a preset's own image converter names, or None.
    """

    model: keras.Model
    kind: HostKind
    side: int | None = None


def open_named(entry: NamedModel) -> Opened:
    """Open a model without running any code that came with it.

    Args:
        entry: The host's entry.

    Returns:
        The model without its output layer, pooled.

    Raises:
        UserError: If it is absent, damaged, holds code of its own (a Lambda layer, a custom class, a pickle), or is no
            network that sees pictures of three channels.
    """
    path = entry.place
    if (path / GRAPH).is_file():
        return Opened(_of_saved_model(entry), "saved_model")
    if (path / CONFIG).is_file():
        return Opened(_features(entry, _of_preset(entry)), "preset", _converter_side(entry))
    if path.is_dir():
        raise UserError(f"{entry.name}: {path.name} holds neither {GRAPH} of a SavedModel nor {CONFIG} of a preset")
    if not path.is_file():
        raise UserError(
            f"{entry.name}: there is no {path}: correct its path in the host's list of models, then run "
            "`python -m tlcore models`"
        )
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise UserError(
            f"{entry.name}: {path.name} is no whole .keras file and no folder of a preset or a SavedModel: save the "
            "model with model.save('name.keras'); pickles and whole .h5 models, which can hold code, are not opened"
        )
    return Opened(_features(entry, _of_keras_file(entry)), "keras")


def _of_keras_file(entry: NamedModel) -> keras.Model:
    path = entry.place
    with zipfile.ZipFile(path) as archive:
        missing = KERAS_FILES - set(archive.namelist())
        if missing or archive.testzip() is not None:
            raise UserError(f"{entry.name}: {path.name} is damaged or not written by Keras: copy it again")
        config = archive.read("config.json").decode("utf-8", "replace")
    _refuse_code(entry, config)
    try:
        loaded: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a file can be wrong in any way, and Keras raises as many errors
        raise UserError(
            f"{entry.name}: Keras does not open {path.name} in safe mode ({_reason(error)}): own classes and code are "
            "not loaded"
        ) from None
    if not isinstance(loaded, keras.Model) or not getattr(loaded, "inputs", None):
        raise UserError(f"{entry.name}: {path.name} is no functional or sequential model: save it as one")
    return loaded


def _refuse_code(entry: NamedModel, config: str) -> None:
    """Keras refuses it too, in safe mode; said here in words for whoever runs the host."""
    if '"__lambda__"' in config or '"class_name": "Lambda"' in config:
        raise UserError(
            f"{entry.name}: {entry.place.name} holds a Lambda layer, which is Python code that would run here: save "
            "the model with a layer of Keras in its place"
        )


def _reason(error: Exception) -> str:
    """The first line of an error, short."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


# --- presets of Keras Hub ---------------------------------------------------------------------------------------------


def fetch_preset(entry: NamedModel) -> None:
    """Have Keras Hub download a preset, and keep it where the other processes of this host find it.

    Args:
        entry: The host's entry; nothing is done for one that names a path.

    Raises:
        UserError: If there is no such preset, it cannot be downloaded or kept, or it is no network of Keras Hub's own.
    """
    if entry.preset is None:
        return
    hub = _keras_hub(entry)
    known = hub.models.Backbone.presets
    if "://" not in entry.preset and entry.preset not in known:
        raise UserError(f"{entry.name}: {unknown_name('preset of Keras Hub', entry.preset, known)}")
    try:
        backbone = hub.models.Backbone.from_preset(entry.preset, dtype="float32")
    except Exception as error:  # every library between here and the network has errors of its own
        raise UserError(
            f"{entry.name}: Keras Hub cannot load {entry.preset} ({_reason(error)}): connect this host to the network, "
            "or give as path the folder of a preset that was downloaded elsewhere"
        ) from None
    try:
        entry.place.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=entry.place.parent) as folder:
            warnings.simplefilter("ignore")  # Keras uses what NumPy 2 warns of
            made = Path(folder) / "preset"
            backbone.save_to_preset(str(made))
            with suppress(ValueError, OSError):  # a preset need not have one
                hub.layers.ImageConverter.from_preset(entry.preset).save_to_preset(str(made))
            shutil.rmtree(entry.place, ignore_errors=True)
            made.rename(entry.place)
    except OSError as error:
        raise UserError(f"{entry.name}: cannot write {entry.place} ({error.strerror}): make room on the disk") from None


def _keras_hub(entry: NamedModel) -> Any:
    try:
        return import_quietly("keras_hub")
    except ImportError:
        raise UserError(
            f"{entry.name} is a preset of Keras Hub, which is not installed here: `python -m pip install keras-hub`"
        ) from None


def _of_preset(entry: NamedModel) -> keras.Model:
    """A network of Keras Hub's, whose classes are the only ones besides Keras's own that a preset may name."""
    path = entry.place
    _checked_config(entry, CONFIG)
    hub = _keras_hub(entry)
    try:
        loaded: Any = hub.models.Backbone.from_preset(str(path), dtype="float32")
    except Exception as error:  # a folder can be wrong in any way
        raise UserError(
            f"{entry.name}: Keras Hub does not open {path.name} ({_reason(error)}): save it again"
        ) from None
    if not isinstance(loaded, hub.models.Backbone) or len(getattr(loaded, "inputs", ())) != 1:
        raise UserError(
            f"{entry.name}: {type(loaded).__name__} is no network of Keras Hub that sees one picture: choose a "
            "backbone for pictures, such as a ResNet or a MobileNet"
        )
    return loaded


def _checked_config(entry: NamedModel, file: str) -> dict[str, Any]:
    """What one of a preset's JSON files says, if it names no class but Keras's and Keras Hub's."""
    try:
        text = (entry.place / file).read_text(encoding="utf-8")
        config: Any = json.loads(text)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{entry.name}: {file} of the preset cannot be read ({_reason(error)}): copy it again"
        ) from None
    _refuse_code(entry, text)
    if not isinstance(config, dict) or "class_name" not in config:
        raise UserError(f"{entry.name}: {file} is not written by Keras Hub: save the network with save_to_preset")
    for one in _classes(config):
        module, package = str(one.get("module") or "keras"), str(one.get("registered_name") or "").rpartition(">")[0]
        if module.split(".")[0] not in MADE_BY or package not in ("", *MADE_BY):
            raise UserError(
                f"{entry.name}: {file} names {module}.{one['class_name']}, which is neither of Keras nor of Keras Hub: "
                "such code is not loaded"
            )
    return config


def _classes(config: Any) -> Iterator[dict[str, Any]]:
    """Every part of a configuration that names a class."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _classes(part)


def _converter_side(entry: NamedModel) -> int | None:
    """Side of the pictures of a preset's image converter; its scaling must be the one that the entry says.

    A converter computes ``bytes · scale + offset``, and every scaling but ``caffe``, which turns the channels round, is
    of that form.
    """
    if not (entry.place / CONVERTER).is_file():
        return None
    _checked_config(entry, CONVERTER)
    try:
        converter = _keras_hub(entry).layers.ImageConverter.from_preset(str(entry.place))
        scale = np.broadcast_to(np.ravel(1.0 if converter.scale is None else converter.scale), 3)
        offset = np.broadcast_to(np.ravel(0.0 if converter.offset is None else converter.offset), 3)
        size = converter.image_size
    except Exception as error:  # a file can be wrong in any way
        raise UserError(
            f"{entry.name}: Keras Hub does not open {CONVERTER} of the preset ({_reason(error)}): save it again"
        ) from None
    same = [name for name, own in _ON_BYTES.items() if np.allclose((scale, offset), own, rtol=1e-3, atol=1e-4)]
    if entry.scaling not in same:
        raise UserError(
            f"{entry.name}: the list says scaling {entry.scaling}, and the preset's own image converter multiplies "
            f"bytes by {scale.round(5).tolist()} and adds {offset.round(3).tolist()}: "
            + (f"write scaling: {same[0]}" if same else "no scaling of the list does that, so choose another preset")
        )
    return int(size[0]) if size is not None and size[0] == size[1] else None


_ON_BYTES = {
    "unit": ([1 / 255] * 3, [0.0] * 3),
    "tf": ([2 / 255] * 3, [-1.0] * 3),
    "torch": (
        [1 / (255 * deviation) for deviation in TORCH_DEVIATION],
        [-mean / deviation for mean, deviation in zip(TORCH_MEAN, TORCH_DEVIATION, strict=True)],
    ),
    "bytes": ([1.0] * 3, [0.0] * 3),
}


# --- networks ---------------------------------------------------------------------------------------------------------


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
    return keras.Model(model.inputs[0], _averaged(entry, tensor), name=entry.name)


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
        unsafe = _operations(entry.place / GRAPH) & UNSAFE_OPERATIONS
        if unsafe:
            raise UserError(f"its graph holds {', '.join(sorted(unsafe))}, which run code or touch files")
        layer = keras.layers.TFSMLayer(str(entry.place), call_endpoint="serving_default", name="backbone")
        pictures = keras.Input((entry.input_size, entry.input_size, 3), name="pictures")
        outputs: Any = layer(pictures)
    except Exception as error:
        raise UserError(
            f"{entry.name}: TensorFlow does not open {entry.place.name} as a SavedModel ({_reason(error)})"
        ) from None
    named: dict[str, Any] = outputs if isinstance(outputs, dict) else {"output": outputs}
    if len(named) != 1:
        raise UserError(f"{entry.name}: it has several outputs ({', '.join(named)}): export a model with one")
    layer.trainable = False
    return keras.Model(pictures, _averaged(entry, next(iter(named.values()))), name=entry.name)


def _operations(graph: Path) -> set[str]:
    """Every operation in a SavedModel's graphs and functions, read without loading it."""
    found = import_quietly("tensorflow.core.protobuf.saved_model_pb2").SavedModel.FromString(graph.read_bytes())
    graphs = [one.graph_def for one in found.meta_graphs]
    functions = [function for one in graphs for function in one.library.function]
    nodes = [node for one in graphs for node in one.node] + [node for one in functions for node in one.node_def]
    return {node.op for node in nodes}


def _averaged(entry: NamedModel, tensor: Any) -> Any:
    """One number a channel of a model's output."""
    if len(tensor.shape) == 4:
        tensor = keras.layers.GlobalAveragePooling2D(name="named_average")(tensor)
    if len(tensor.shape) != 2 or tensor.shape[-1] is None:
        raise UserError(f"{entry.name}: its features have shape {tensor.shape}: they have to be maps or a vector")
    return tensor


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
    shape = tuple(opened.model.input_shape)
    side = entry.input_size or shape[1] or opened.side
    if side is None or (shape[1] not in (None, side)) or (shape[2] not in (None, side)):
        raise UserError(f"{entry.name} takes pictures of {shape[1]}×{shape[2]}: give its input_size, for square ones")
    cuts = () if opened.kind == "saved_model" else _cuts(opened.model)
    parts = _parts(opened.model, cuts)
    found = Description(
        entry=entry,
        sha256=_digest(entry.place),
        side=side,
        stages=tuple((f"stage{number}", int(part.output_shape[-1])) for number, part in enumerate(parts, start=1)),
        cuts=cuts,
        normalization=_normalization(opened.model),
        kind=opened.kind,
    )
    try:
        initial_weights(found.backbone(), (side, side, 3), 2, 0)
    except RuntimeError as error:
        raise UserError(f"{entry.name} cannot be started afresh, which comparisons need: {error}") from None
    return found


def host_stages(backbone: Backbone, input_shape: tuple[int, int, int]) -> list[keras.Model]:
    """Build a host's model with random weights, cut; a SavedModel in one piece, with its own.

    Args:
        backbone: A backbone with a `HostModel`.
        input_shape: Height, width, channels of the images; they are resized to what the model takes.

    Returns:
        One model a stage, named after it. The first takes pixels in [0, 1]; the last gives the features.
    """
    whole = _opened(_host(backbone), backbone.name)
    # A clone has weights of its own. There is no second one of a SavedModel, and its weights are only read.
    return _stages(backbone, whole if backbone.fixed else keras.models.clone_model(whole), input_shape)


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
    parts = _stages(backbone, _opened(host, backbone.name), (host.side, host.side, 3))
    return {part.name: [np.array(array) for array in part.get_weights()] for part in parts}


def _host(backbone: Backbone) -> HostModel:
    if backbone.host is None:
        raise ValueError(f"{backbone.name} is no model of the host's own")
    return backbone.host


@lru_cache(maxsize=2)
def _opened(host: HostModel, name: str) -> keras.Model:
    path = Path(host.path)
    if path.exists() and _digest(path) != host.sha256:
        raise UserError(f"{name}: {path.name} has changed since it was looked into: run `python -m tlcore models`")
    scaling: Any = host.scaling
    entry = NamedModel(name=name, path=path, title=name, licence="-", scaling=scaling, input_size=host.side)
    return open_named(entry).model


def _digest(path: Path) -> str:
    """Hash of a model's file, or of its folder's files."""
    return folder_digest(path) if path.is_dir() else file_digest(path, "")


def _stages(backbone: Backbone, model: keras.Model, input_shape: tuple[int, int, int]) -> list[keras.Model]:
    host = _host(backbone)
    parts = _parts(model, host.cuts)
    pixels = keras.Input(input_shape, name="pixels")
    tensor: Any = pixels if host.scaling == "unit" else scaled(pixels, host.scaling)
    # Not the layer `Resizing`: it tells the layers after it that they are trained, unless the caller says otherwise.
    tensor = keras.ops.image.resize(tensor, (host.side, host.side))
    stages = [keras.Model(pixels, parts[0](tensor), name=backbone.stages[0].name)]
    for stage, part in zip(backbone.stages[1:], parts[1:], strict=True):
        # Many models leave the sides of their pictures open; here they are known.
        received = keras.Input(stages[-1].output_shape[1:])
        stages.append(keras.Model(received, part(received), name=stage.name))
    return stages


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
        # A strided convolution often has its padding as a layer before it.
        follows = size[at + 1] > 0 or isinstance(operations[at + 1], keras.layers.ZeroPadding2D)
        wide = alone and len(operation.output.shape) == 4 and follows
        if wide and done and done < total and done >= total * (len(cuts) + 1) / MOST_STAGES:
            cuts.append(at)
    return tuple(cuts[: MOST_STAGES - 1])


def _normalization(model: keras.Model) -> Literal["none", "group", "layer", "batch"]:
    """The kind that matters most: only batch normalisation has running statistics."""
    if normalization_layers(model):
        return "batch"
    kinds = {type(layer) for layer in model._flatten_layers()}  # pyright: ignore[reportPrivateUsage]
    if keras.layers.LayerNormalization in kinds:
        return "layer"
    return "group" if keras.layers.GroupNormalization in kinds else "none"
