"""What a finished arm says of a new picture, and which pictures that it learned from lie nearest. Loads Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlcore.data import load
from tlcore.data.adapt import adapt
from tlcore.data.labels import split_labels, tested
from tlcore.errors import UserError
from tlcore.export.model import class_names, model_of
from tlcore.models.build import HEAD
from tlcore.predicted import NEIGHBOURS, Neighbour, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tlcore.data import Dataset
    from tlcore.experiment import RunRecord
    from tlcore.kept_weights import KeptWeights


def predict(record: RunRecord, kept: KeptWeights, pictures: Sequence[NDArray[np.uint8]]) -> tuple[Prediction, ...]:
    """Ask an arm about new pictures.

    Args:
        record: The arm's record.
        kept: Its weights.
        pictures: uint8, each of shape (height, width, 1 or 3), of any size.

    Returns:
        For each picture the probabilities, and the nearest labelled pictures by the cosine of what the head sees.

    Raises:
        UserError: If the pictures that the arm learned from are no longer here.
    """
    dataset = load(record.experiment.target)
    rows = labelled_rows(record, dataset)
    new = np.concatenate([adapt(picture[None], dataset.spec.shape) for picture in pictures])
    model = model_of(record, kept)
    features = _features(model)
    probabilities = _outputs(model, new)
    known, asked = _directions(_outputs(features, dataset.x_train[rows]), _outputs(features, new))
    labels = dataset.y_train[rows]
    found: list[Prediction] = []
    for shares, likeness in zip(probabilities, asked @ known.T, strict=True):
        nearest = np.argsort(-likeness, kind="stable")[:NEIGHBOURS]
        found.append(
            Prediction(
                classes=class_names(record),
                probabilities=tuple(float(share) for share in shares),
                neighbours=tuple(
                    Neighbour(row=int(rows[at]), label=int(labels[at]), similarity=float(likeness[at]))
                    for at in nearest
                ),
            )
        )
    return tuple(found)


def labelled_rows(record: RunRecord, dataset: Dataset) -> NDArray[np.int64]:
    """Rows of the images that an arm learned from.

    Args:
        record: The arm's record.
        dataset: Its target.

    Returns:
        Rows of the training images.

    Raises:
        UserError: If the images are others than those of the record.
    """
    experiment = record.experiment
    test = tested(dataset, record.seed)
    split = split_labels(dataset, experiment.labels_per_class, experiment.validation_per_class, record.seed, test.rows)
    if split.sha256 != record.labels.sha256:
        raise UserError("the pictures have changed since this run: run it again")
    return split.labelled


def _features(model: keras.Model) -> keras.Model:
    """From pictures to what the head sees; of a pixel baseline, the pixels that it sees."""
    network: Any = next((layer for layer in model.layers if isinstance(layer, keras.Model)), None)
    if network is None:
        return keras.Model(model.input, model.get_layer(HEAD).input)
    body = keras.Model(network.input, network.get_layer(HEAD).input)
    return keras.Model(model.input, body(model.get_layer("scaled_pixels").output))


def _outputs(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(model.predict(images.astype(np.float32), verbose=0))


def _directions(
    known: NDArray[np.float32], asked: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features from the middle of the known ones, of unit length."""
    middle = known.mean(axis=0, dtype=np.float64)
    apart = (known - middle, asked - middle)
    one, other = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in apart)
    return one, other
