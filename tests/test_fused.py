"""Batch normalisation in one operation gives what Keras's layer gives: outputs, gradients and statistics."""

from __future__ import annotations

from itertools import product
from typing import Any

import keras
import numpy as np
import pytest

from tlcore.fused import FusedBatchNormalization, fuse
from tlcore.models import get_backbone
from tlcore.models.build import build_model, freeze, get_weights, initial_weights, normalization_layers, set_weights

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's operation")
CHANNELS = 5


def both(**options: Any) -> tuple[Any, Any]:
    """Keras's layer and ours, with the same weights, none of them at its start."""
    rng = np.random.default_rng(0)
    layers = (keras.layers.BatchNormalization(**options), FusedBatchNormalization(**options))
    for layer in layers:
        layer.build((None, 4, 4, CHANNELS))
    values = [rng.uniform(0.5, 2, weight.shape).astype(np.float32) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    return layers


def taken(layer: Any, x: np.ndarray, *, training: bool) -> dict[str, np.ndarray]:
    """Outputs, gradients with regard to inputs and weights, and the weights after the call."""
    import tensorflow as tf

    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(
            tf.cast(outputs, tf.float32)
            * tf.sin(tf.range(tf.size(inputs), dtype=tf.float32) + 1).numpy().reshape(x.shape)
        )
    learned = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, [inputs, *learned])
    found = {f"gradient {index}": np.array(gradient) for index, gradient in enumerate(gradients)}
    found |= {f"weight {index}": value for index, value in enumerate(layer.get_weights())}
    return found | {"outputs": np.array(tf.cast(outputs, tf.float32))}


@pytest.mark.parametrize(("scale", "center", "trainable", "training"), list(product([True, False], repeat=4)), ids=str)
@pytest.mark.parametrize("shape", [(8, 6, 5, CHANNELS), (1, 1, 1, CHANNELS), (2, 1, 1, CHANNELS)])
def test_it_is_keras_to_rounding(
    shape: tuple[int, ...], scale: bool, center: bool, trainable: bool, training: bool
) -> None:
    x = np.random.default_rng(1).normal(1, 3, shape).astype(np.float32)
    plain, fused = both(scale=scale, center=center, momentum=0.9)
    plain.trainable = fused.trainable = trainable
    theirs, ours = taken(plain, x, training=training), taken(fused, x, training=training)
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-4, atol=2e-4, err_msg=name)


def test_half_precision_is_computed_in_whole() -> None:
    x = np.random.default_rng(1).normal(1, 3, (8, 6, 5, CHANNELS)).astype(np.float32)
    plain, fused = both(dtype="mixed_bfloat16")
    theirs, ours = (np.array(keras.ops.cast(layer(x, training=True), "float32")) for layer in (plain, fused))
    np.testing.assert_allclose(ours, theirs, atol=0.02)  # bfloat16 tells 1 from 1.008
    np.testing.assert_allclose(fused.get_weights()[3], plain.get_weights()[3], rtol=1e-5)


@pytest.mark.parametrize(("axis", "shape"), [(1, (4, 4, 3, 2)), (-1, (6, 7)), (-1, (2, 3, 4, 5, 6))])
def test_what_it_cannot_do_is_left_to_keras(axis: int, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(1, 3, shape).astype(np.float32)
    outputs = [
        np.array(kind(axis=axis)(x, training=True))
        for kind in (keras.layers.BatchNormalization, FusedBatchNormalization)
    ]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("frozen", [frozenset(), frozenset({"stem"})], ids=["trained", "stem frozen"])
def test_a_network_is_fused_in_place(frozen: frozenset[str]) -> None:
    backbone, shape = get_backbone("mini_resnet_bn"), (32, 32, 3)
    x = np.random.default_rng(2).uniform(0, 1, (16, *shape)).astype(np.float32)
    outputs, weights = [], []
    for fused in (False, True):
        model = build_model(backbone, shape, 10, "float32")
        set_weights(model, initial_weights(backbone, shape, 10, 0))
        if fused:
            fuse(model)
            fuse(model)
        freeze(model, frozen)
        assert {type(layer) is FusedBatchNormalization for layer in normalization_layers(model)} == {fused}
        outputs.append(np.array(model(x, training=True)))
        weights.append(get_weights(model))
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-4)
    for stage, arrays in weights[0].items():
        for ours, theirs in zip(weights[1][stage], arrays, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=stage)
