"""A finished arm as one Keras model, from pictures as they are to the probabilities of the classes. Loads Keras.

Everything that the engine does to a picture before the network sees it is a layer of the model, so whoever loads it
needs neither this package nor its care.
"""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np

from tlcore.data import get_dataset
from tlcore.data.adapt import adapt
from tlcore.data.external import SOURCES
from tlcore.errors import UserError
from tlcore.kept_weights import PIXELS
from tlcore.models import get_backbone
from tlcore.models.build import HEAD, build_model, set_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tlcore.experiment import RunRecord
    from tlcore.kept_weights import KeptWeights
    from tlcore.models.build import Shape

Format = Literal["keras", "onnx", "tflite"]
INPUT, OUTPUT = "pictures", "probabilities"
CARD = "tlcore.json"
LABELS = "labels.txt"
GREY = (0.299, 0.587, 0.114)  # as `tlcore.data.adapt`
BITS = 22  # of Pillow's coefficients for pictures of bytes
HALF = 1 << (BITS // 2)


def model_of(record: RunRecord, kept: KeptWeights) -> keras.Model:
    """Build the model that a record was measured with.

    Args:
        record: The record.
        kept: Its weights.

    Returns:
        A model in float32, from pictures in the target's own shape with values from 0 to 255 to one probability a
        class (of `class_names`).
    """
    experiment = record.experiment
    recipe = experiment.recipe(record.strategy)
    pictures = tensor = keras.Input(get_dataset(experiment.target).shape, name=INPUT)
    tensor = _adapted(tensor, experiment.shape)
    tensor = keras.layers.Rescaling(recipe.input_scale / 255, name="scaled_pixels")(tensor)
    if recipe.learner == "pixels":
        tensor = _logistic_regression(kept.weights[PIXELS], tensor)
    else:
        backbone = get_backbone(experiment.backbone)
        network = build_model(
            get_backbone(backbone.student) if recipe.small else backbone,
            experiment.shape,
            kept.weights[HEAD][-1].size,
            "float32",
        )
        kernel, bias = kept.weights[HEAD]
        set_weights(network, {**kept.weights, HEAD: [kernel * np.float32(kept.feature_scale), bias]})
        tensor = network(tensor)
    tensor = keras.layers.Softmax(name=OUTPUT)(tensor)
    model = keras.Model(pictures, tensor, name=f"{record.strategy}_seed_{record.seed}")
    model.trainable = False
    return model


def class_names(record: RunRecord) -> tuple[str, ...]:
    """What each output of a record's model stands for.

    Args:
        record: The record.

    Returns:
        The target's classes. A source model that is reused as it is may have more outputs than the target has classes:
        those keep the source's names.
    """
    names = record.datasets["target"].classes
    if record.experiment.recipe(record.strategy).head == "source":
        known = SOURCES[record.experiment.source].classes
        assert not isinstance(known, int)  # a source without class names has no output layer to reuse
        return (*names[: len(known)], *known[len(names) :])
    return names


def card_of(record: RunRecord) -> dict[str, Any]:
    """What stands in every exported file: which run this is, what goes in and what comes out."""
    dataset = record.datasets["target"]
    height, width, channels = get_dataset(record.experiment.target).shape
    return {
        "what": f"{record.strategy} on {dataset.title}, seed {record.seed}",
        "input": f"{INPUT}: height {height}, width {width}, channels {channels}, values from 0 to 255",
        "output": f"{OUTPUT}: one number a class, which sum to 1",
        "classes": list(class_names(record)),
        "test_accuracy": record.test_accuracy,
        "measured_in": record.environment.precision,
        "computes_in": "float32",
        "source": record.datasets["source"].name if record.source_model else "",
        "source_model_sha256": record.source_model.sha256 if record.source_model else "",
        "target": dataset.name,
        "target_sha256": dataset.sha256,
        "arm": record.arm_hash,
        "created": record.created.isoformat(),
        "tlcore": record.environment.tlcore,
        "python": record.environment.python,
        "packages": record.environment.packages,
        "exported_with": {"keras": keras.__version__},
    }


def model_file(record: RunRecord, kept: KeptWeights, wanted: Format) -> bytes:
    """Write a record's model in one of the formats.

    Args:
        record: The record.
        kept: Its weights.
        wanted: ``keras`` loads with `keras.models.load_model`; ``onnx`` and ``tflite`` run without Keras.

    Returns:
        The file. A ``keras`` or ``tflite`` file is a zip archive as well, which holds `CARD` and `LABELS`; an ``onnx``
        file has the same in its metadata.

    Raises:
        UserError: If Keras does not run on TensorFlow, through which the other formats are made, or the network is a
            SavedModel and the format is ``keras``.
    """
    experiment = record.experiment
    pixels = experiment.recipe(record.strategy).learner == "pixels"
    if wanted == "keras" and get_backbone(experiment.backbone).fixed and not pixels:
        raise UserError(
            f"{experiment.backbone} is a SavedModel, whose graph a .keras file cannot hold, only name, and Keras does "
            "not load such a file safely: take onnx or tflite, which hold all of it"
        )
    if wanted != "keras" and keras.backend.backend() != "tensorflow":
        raise UserError(f"a {wanted} file is made through TensorFlow: set KERAS_BACKEND=tensorflow for this command")
    model, card = model_of(record, kept), card_of(record)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # Keras and tf2onnx use what NumPy 2 warns of; nothing here depends on it.
        warnings.simplefilter("ignore")
        path = Path(folder) / f"model.{wanted}"
        if wanted == "keras":
            model.save(path)
            _add_files(path, card)
            return path.read_bytes()
        # As a dictionary, the output keeps its name in these formats.
        named = keras.Model(model.input, {OUTPUT: model.output}, name=model.name)
        signature = [keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="float32", name=INPUT)]
        if wanted == "onnx":
            named.export(path, format="onnx", verbose=False, input_signature=signature)
            return _onnx_with(path, card)
        named.export(path, format="litert", verbose=False)
        _add_files(path, card)
        return path.read_bytes()


# --- what comes before the network ------------------------------------------------------------------------------------


def _adapted(tensor: Any, want: Shape) -> Any:
    """`tlcore.data.adapt` as layers, to the last bit: a pixel off by one moves probabilities."""
    have = tuple(tensor.shape[1:])
    if have[2] != want[2]:
        if want[2] == 1:
            parts = keras.ops.split(keras.layers.Rescaling(list(GREY), name="luminance")(tensor), 3, axis=-1)
            tensor = keras.ops.round(keras.layers.Add(name="grey")(parts))
        else:
            tensor = keras.layers.Concatenate(name="three_channels")([tensor, tensor, tensor])
    if have[:2] == want[:2]:
        return tensor
    sides = (1, 0) if _rows_first(have[:2], want) else (0, 1)
    for side in sides:
        if have[side] != want[side]:
            around = (1, 3, 2) if side else (3, 2, 1)  # brings the side to the end, and back
            tensor = keras.layers.Permute(around)(tensor)
            tensor = _resized(tensor, want[side], ("height", "width")[side])
            tensor = keras.layers.Permute(around)(tensor)
    return tensor


def _rows_first(have: tuple[int, int], want: Shape) -> bool:
    """Whether Pillow resizes along the rows before it does along the columns: it rounds to bytes in between.

    That depends on the sides and on Pillow's version, so it is asked.
    """
    picture = np.random.default_rng(0).integers(0, 256, (*have, want[2]), dtype=np.uint8)
    across = _resize_exactly(_resize_exactly(picture, want[1], 1), want[0], 0)
    return np.array_equal(across, adapt(picture[None], want)[0])


def _resize_exactly(picture: NDArray[np.uint8], size: int, side: int) -> NDArray[np.uint8]:
    if picture.shape[side] == size:
        return picture
    sums = np.moveaxis(picture.astype(np.int64), side, -1) @ resize_coefficients(picture.shape[side], size)
    return np.moveaxis((sums + (1 << (BITS - 1))) >> BITS, -1, side).astype(np.uint8)


def _resized(tensor: Any, size: int, side: str) -> Any:
    """Resize the last axis as Pillow does, whose arithmetic is in whole numbers of 30 bits.

    A coefficient of 22 bits is taken as two of 11: then every product and every sum is a whole number below 2²⁴, which
    float32 holds exactly whatever the order of summation.
    """
    coefficients = resize_coefficients(tensor.shape[-1], size)
    high, low = np.divmod(coefficients, HALF)
    upper = _by_matrix(tensor, high, f"{side}_upper")
    lower = keras.ops.floor(keras.layers.Rescaling(1 / HALF)(_by_matrix(tensor, low, f"{side}_lower")))
    total = keras.layers.Add()([upper, lower])
    return keras.ops.floor(keras.layers.Rescaling(1 / HALF, 0.5, name=f"{side}_resized")(total))


def _by_matrix(tensor: Any, matrix: NDArray[np.int64], name: str) -> Any:
    layer = keras.layers.Dense(matrix.shape[1], use_bias=False, name=name)
    result = layer(tensor)
    layer.set_weights([matrix.astype(np.float32)])
    return result


def resize_coefficients(have: int, want: int) -> NDArray[np.int64]:
    """The coefficients with which Pillow resizes one side of a picture of bytes, bilinearly and with antialiasing.

    Args:
        have: Pixels along that side.
        want: Pixels to have.

    Returns:
        Multiples of 2⁻²², shape (have, want); each column sums to about 1.
    """
    scale = have / want
    wide = max(scale, 1.0)
    matrix = np.zeros((have, want), dtype=np.int64)
    for column in range(want):
        centre = (column + 0.5) * scale
        first, end = max(int(centre - wide + 0.5), 0), min(int(centre + wide + 0.5), have)
        shares = np.maximum(1 - np.abs((np.arange(first, end) - centre + 0.5) / wide), 0)
        matrix[first:end, column] = np.floor(0.5 + shares / shares.sum() * (1 << BITS))
    return matrix


def _logistic_regression(arrays: Sequence[NDArray[np.float32]], tensor: Any) -> Any:
    coefficients, intercept = arrays
    if len(coefficients) == 1:  # of two classes the second has a score, the first has 0
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercept = np.concatenate([np.zeros_like(intercept), intercept])
    tensor = keras.layers.Flatten(name="pixels")(tensor)
    layer = keras.layers.Dense(len(intercept), name=HEAD)
    result = layer(tensor)
    layer.set_weights([coefficients.T, intercept])
    return result


# --- what else is in a file -------------------------------------------------------------------------------------------


def _add_files(path: Path, card: dict[str, Any]) -> None:
    """Add the card and the names of the classes.

    A ``.keras`` file is a zip archive, of which Keras reads what it knows; files at the end of a ``.tflite`` file, as a
    zip archive, are the format's own way.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD, json.dumps(card, indent=1))
        archive.writestr(LABELS, "\n".join(card["classes"]) + "\n")


def _onnx_with(path: Path, card: dict[str, Any]) -> bytes:
    """An ONNX file with the card as its metadata."""
    import onnx

    model = onnx.load(path)
    plain = {name: value if isinstance(value, str) else json.dumps(value) for name, value in card.items()}
    onnx.helper.set_model_props(model, plain)
    model.doc_string = card["what"]
    onnx.checker.check_model(model)
    return model.SerializeToString()
