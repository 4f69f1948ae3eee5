"""Every backbone as a Keras model: its shapes, its parts, its first weights."""

from __future__ import annotations

import numpy as np
import pytest

from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import (
    HEAD,
    Shape,
    build_model,
    count_parameters,
    get_weights,
    initial_weights,
    set_weights,
    stage_input_shape,
    weight_shapes,
    weights_sha256,
)
from tlcore.train import predict

SHAPES: tuple[Shape, ...] = ((28, 28, 1), (32, 32, 3))
every_backbone = pytest.mark.parametrize("name", BACKBONES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "×".join(map(str, shape)))


def images(shape: Shape, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)


@every_shape
@every_backbone
def test_the_model_has_the_shapes_that_are_promised_without_it(name: str, shape: Shape) -> None:
    backbone = get_backbone(name)
    model = build_model(backbone, shape, 7, "float32")
    promised = weight_shapes(backbone, shape, 7)
    held = {layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if layer.weights}
    assert held == promised
    assert list(promised) == [*backbone.stage_names, HEAD]
    assert model.output_shape == (None, 7)
    assert model.count_params() == count_parameters(
        array for stage in initial_weights(backbone, shape, 7, 0).values() for array in stage
    )


@every_shape
@every_backbone
def test_any_cut_of_the_network_gives_the_whole_networks_outputs(name: str, shape: Shape) -> None:
    backbone = get_backbone(name)
    weights = initial_weights(backbone, shape, 5, seed=3)
    whole = build_model(backbone, shape, 5, "float32")
    set_weights(whole, weights)
    expected = predict(whole, images(shape))
    for cut in range(1, len(backbone.stages) + 1):
        prefix = build_model(backbone, shape, None, "float32", 0, cut)
        tail = build_model(backbone, shape, 5, "float32", cut)
        for part in (prefix, tail):
            set_weights(part, weights)
        features = predict(prefix, images(shape))
        assert features.shape[1:] == stage_input_shape(backbone, shape, cut)
        np.testing.assert_allclose(predict(tail, features), expected, atol=1e-5, rtol=1e-5)


@every_backbone
def test_first_weights_do_not_depend_on_what_else_is_built(name: str) -> None:
    """Every stage has a stream of its own: another number of classes leaves the stages alone."""
    backbone = get_backbone(name)
    one, other = (initial_weights(backbone, SHAPES[0], classes, seed=4) for classes in (10, 2))
    for stage in backbone.stage_names:
        for a, b in zip(one[stage], other[stage], strict=True):
            np.testing.assert_array_equal(a, b)
    again = initial_weights(backbone, SHAPES[0], 10, seed=4)
    assert weights_sha256(again) == weights_sha256(one)
    assert weights_sha256(initial_weights(backbone, SHAPES[0], 10, seed=5)) != weights_sha256(one)


@every_backbone
def test_first_weights_have_the_size_that_keeps_signals_alive(name: str) -> None:
    backbone = get_backbone(name)
    for stage, (kernel, bias) in initial_weights(backbone, SHAPES[1], 10, seed=0).items():
        fan_in = int(np.prod(kernel.shape[:-1]))
        limit = np.sqrt(6 / (fan_in + kernel.shape[-1] if stage == HEAD else fan_in))
        assert np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)
        assert kernel.dtype == np.float32
        assert not bias.any()


@every_backbone
def test_weights_come_back_as_they_were_set_and_are_copies(name: str) -> None:
    backbone = get_backbone(name)
    weights = initial_weights(backbone, SHAPES[0], 10, seed=1)
    model = build_model(backbone, SHAPES[0], 10, "float32")
    set_weights(model, weights)
    read = get_weights(model)
    assert weights_sha256(read) == weights_sha256(weights)
    read[HEAD][0][:] = 0
    assert weights_sha256(get_weights(model)) == weights_sha256(weights)


@every_backbone
def test_half_precision_keeps_weights_and_outputs_in_float32(name: str) -> None:
    model = build_model(get_backbone(name), SHAPES[0], 10, "mixed_bfloat16")
    assert all(np.dtype(weight.dtype) == np.float32 for weight in model.weights)
    assert model.output.dtype == "float32"


@pytest.mark.parametrize("shape", [(4, 4, 1), (2, 2, 1), (1, 1, 1)], ids=str)
def test_small_images_are_not_pooled_away(shape: Shape) -> None:
    backbone = get_backbone("cnn_deep")
    model = build_model(backbone, shape, 3, "float32")
    held = {layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if layer.weights}
    assert held == weight_shapes(backbone, shape, 3)


@every_backbone
def test_no_backbone_has_running_statistics(name: str) -> None:
    """With momentum .99 they make a run of a few hundred steps look like chance (design, rule 5)."""
    model = build_model(get_backbone(name), SHAPES[0], 10, "float32")
    assert not model.non_trainable_weights


def test_the_hash_tells_names_shapes_and_values_apart() -> None:
    array = np.arange(6, dtype=np.float32)
    hashes = {
        weights_sha256({"a": [array]}),
        weights_sha256({"b": [array]}),
        weights_sha256({"a": [array.reshape(2, 3)]}),
        weights_sha256({"a": [array + 1]}),
        weights_sha256({"a": [array], "b": [array]}),
    }
    assert len(hashes) == 5
    assert weights_sha256({"a": [array], "b": [array]}) == weights_sha256({"b": [array], "a": [array]})
