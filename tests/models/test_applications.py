"""Networks of `keras.applications`, cut into stages: every one computes what Keras's own does."""

from __future__ import annotations

from typing import Any, get_args

import keras
import numpy as np
import pytest

from tlcore.models import BACKBONES, Backbone, get_backbone
from tlcore.models.applications import cut_application, whole_application
from tlcore.models.build import (
    HEAD,
    MOMENTUM,
    Shape,
    Weights,
    build_model,
    freeze,
    get_weights,
    initial_weights,
    normalization_layers,
    set_weights,
    stage_input_shape,
    weight_shapes,
    weights_sha256,
)
from tlcore.policy import Normalization

NAMES = [name for name, backbone in BACKBONES.items() if backbone.family == "application"]
CLASSES = 3
Prepared = tuple[Backbone, keras.Model, Weights]


def shape_of(backbone: Backbone) -> Shape:
    return (backbone.min_size, backbone.min_size, 3)


@pytest.fixture(scope="module", params=NAMES)
def prepared(request: pytest.FixtureRequest) -> Prepared:
    """One built network at a time: pytest runs all tests of a network before the next is made."""
    return prepare(request.param)


def prepare(name: str) -> Prepared:
    backbone = get_backbone(name)
    weights = initial_weights(backbone, shape_of(backbone), CLASSES, seed=3)
    for stage in weights.values():
        for at, array in enumerate(stage):
            # Random, so that none could be taken for another; near the first values, so that all stays finite.
            if array.ndim == 1:
                stage[at] = array + np.random.default_rng(at).uniform(0, 0.1, array.shape).astype(np.float32)
    model = build_model(backbone, shape_of(backbone), CLASSES, "float32")
    set_weights(model, weights)
    return backbone, model, weights


def images(shape: Shape, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)


def outputs(model: keras.Model, x: np.ndarray, training: bool = False) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=training)), dtype=np.float32)


def assert_equal(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    assert np.isfinite(expected).all()
    assert expected.std() > 0
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def preprocess_input(backbone: Backbone, x: np.ndarray) -> np.ndarray:
    """What the network's own module in Keras does to pixels of 0 to 255."""
    modules: dict[str, Any] = {
        "MobileNetV2": keras.applications.mobilenet_v2,
        "EfficientNetV2B0": keras.applications.efficientnet_v2,
        "DenseNet121": keras.applications.densenet,
        "ResNet50": keras.applications.resnet,
        "Xception": keras.applications.xception,
        "InceptionV3": keras.applications.inception_v3,
        "ConvNeXtTiny": keras.applications.convnext,
        "VGG16": keras.applications.vgg16,
    }
    assert backbone.application is not None
    return modules[backbone.application.constructor].preprocess_input(x * 255)


def test_the_stages_together_are_keras_own_network(prepared: Prepared) -> None:
    """From pixels in [0, 1] to features, against `preprocess_input` and the uncut network of the same weights."""
    backbone, model, weights = prepared
    application = backbone.application
    assert application is not None
    shape = shape_of(backbone)
    assert get_weights(model).keys() == {*backbone.stage_names, HEAD}
    assert weight_shapes(backbone, shape, CLASSES) == {
        layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if layer.weights
    }
    x = images(shape)
    kept = x.copy()
    ours = outputs(keras.Model(model.input, model.get_layer(HEAD).input), x)
    np.testing.assert_array_equal(x, kept)
    assert ours.shape == (2, backbone.feature_width)

    arguments = {key: value for key, value in application.arguments if key != "include_preprocessing"}
    theirs = getattr(keras.applications, application.constructor)(
        weights=None, include_top=False, pooling="avg", input_shape=shape, **arguments
    )
    for part in cut_application(backbone, theirs):  # the same layers, so the uncut network has the weights too
        part.set_weights(weights[part.name])
    assert_equal(ours, outputs(theirs, preprocess_input(backbone, x.copy())))


def test_a_cut_network_gives_the_whole_networks_outputs(prepared: Prepared) -> None:
    backbone, model, weights = prepared
    shape = shape_of(backbone)
    cut = len(backbone.stages) // 2
    prefix = build_model(backbone, shape, None, "float32", 0, cut)
    tail = build_model(backbone, shape, CLASSES, "float32", cut)
    for part in (prefix, tail):
        set_weights(part, weights)
    x = images(shape)
    features = outputs(prefix, x)
    assert features.shape[1:] == stage_input_shape(backbone, shape, cut)
    assert_equal(outputs(tail, features), outputs(model, x), 1e-5)
    # Every stage gives what the registry and the next stage expect.
    assert tail.input_shape == prefix.output_shape
    for index, stage in enumerate(backbone.stages):
        assert model.get_layer(stage.name).output.shape[1:] == stage_input_shape(backbone, shape, index + 1)
        assert model.get_layer(stage.name).output.shape[-1] == stage.width
        assert backbone.feature_width_at(index + 1, shape) == stage.width
    assert stage_input_shape(backbone, shape, len(backbone.stages)) == (backbone.feature_width,)


def test_frozen_is_frozen_statistics_included(prepared: Prepared) -> None:
    """What learns under every policy; what moves, with the first half of the stages frozen, in one step each."""
    backbone, model, weights = prepared
    frozen = frozenset(backbone.stage_names[: len(backbone.stages) // 2])
    x = images(shape_of(backbone))
    statistics = {weight.path for layer in normalization_layers(model) for weight in layer.non_trainable_variables}
    stage_of = {weight.path: layer.name for layer in model.layers for weight in layer.weights}
    gains = {w.path for layer in normalization_layers(model) for w in (layer.gamma, layer.beta) if w is not None}
    assert bool(statistics) == (backbone.normalization == "batch")
    statistics -= gains
    for normalization in get_args(Normalization):
        set_weights(model, weights)
        freeze(model, frozen, normalization)
        trained = {path for path, stage in stage_of.items() if stage not in frozen} - statistics
        if normalization == "freeze":
            trained -= gains
        elif normalization == "always":
            trained |= gains
        assert {weight.path for weight in model.trainable_weights} == trained
        moving = {path for path in statistics if stage_of[path] not in frozen}
        if normalization in ("drift", "always"):
            moving = statistics
        elif normalization == "freeze":
            moving = set()
        if normalization != "drift":
            if statistics and normalization != "always":  # where the same move as under drift
                outputs(model, x, training=True)
                assert changed(model, weights) == moving
            continue
        # The policy that is easiest to get wrong, with gradients.
        model.compile(
            keras.optimizers.SGD(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True
        )
        model.train_on_batch(x, np.arange(2))
        now = changed(model, weights)
        assert now <= trained | moving
        assert moving <= now
        assert {stage_of[path] for path in now & trained} == {*backbone.stage_names, HEAD} - frozen


def changed(model: keras.Model, weights: Weights) -> set[str]:
    return {
        variable.path
        for layer in model.layers
        if layer.weights
        for variable, array in zip(layer.weights, weights[layer.name], strict=True)
        if not np.array_equal(variable.numpy(), array)
    }


def test_nothing_in_training_depends_on_luck(prepared: Prepared) -> None:
    _, model, _ = prepared
    assert {layer.momentum for layer in normalization_layers(model)} <= {MOMENTUM}
    inner = [layer for stage in model.layers for layer in getattr(stage, "layers", ())]
    assert not [layer.name for layer in inner if isinstance(layer, keras.layers.Dropout) and layer.rate]


def test_first_weights_have_the_size_that_keeps_signals_alive(prepared: Prepared) -> None:
    backbone, model, _ = prepared
    first = initial_weights(backbone, shape_of(backbone), CLASSES, seed=0)
    checked = 0
    for layer in model.layers:
        for variable, array in zip(layer.weights, first.get(layer.name, ()), strict=True):
            assert array.dtype == np.float32
            if array.ndim == 1:
                assert len(np.unique(array)) == 1
                continue
            holder = variable.path.split("/")[-2].lower() + variable.path.split("/")[-1]
            depthwise = "depthwise" in holder or (array.ndim == 4 and array.shape[2] == 1)
            fan_in = np.prod(array.shape[:2]) if depthwise else np.prod(array.shape[:-1])
            limit = np.sqrt(6 / (fan_in + array.shape[-1] if layer.name == HEAD else fan_in))
            assert 0.9 * limit < np.abs(array).max() <= limit, variable.path
            checked += 1
    assert checked > 10
    again = initial_weights(backbone, (backbone.min_size + 9, backbone.min_size + 7, 3), CLASSES, seed=0)
    assert weights_sha256(again) == weights_sha256(first)
    other = initial_weights(backbone, shape_of(backbone), CLASSES, seed=1)
    assert weights_sha256(other) != weights_sha256(first)


def test_half_precision_is_for_the_layers_only() -> None:
    backbone, model, weights = prepare("mobilenet_v2_035")
    before = keras.config.dtype_policy().name
    half = build_model(backbone, shape_of(backbone), CLASSES, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == before
    assert all(np.dtype(weight.dtype) == np.float32 for weight in half.weights)
    assert half.get_layer("stem").get_layer("scaled").compute_dtype == "float32"
    assert half.get_layer("stem").output.dtype == "bfloat16"
    assert half.output.dtype == "float32"
    set_weights(half, weights)
    x = images(shape_of(backbone))
    assert_equal(outputs(half, x), outputs(model, x), 0.1)


def test_the_number_format_is_put_back_after_an_error() -> None:
    before = keras.config.dtype_policy().name
    with pytest.raises(ValueError, match="Input size must be at least"):
        whole_application(get_backbone("vgg16"), (8, 8, 3), "mixed_bfloat16")
    assert keras.config.dtype_policy().name == before


def test_a_net_of_this_project_is_no_application() -> None:
    with pytest.raises(ValueError, match="not a network of"):
        whole_application(get_backbone("mlp"), (32, 32, 3), "float32")
