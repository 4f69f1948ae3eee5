"""This project's own backbones as Keras models: their shapes, their parts, their first weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tlcore.errors import UserError
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

SHAPES: tuple[Shape, ...] = ((28, 28, 1), (32, 32, 3))
OWN = [name for name, backbone in BACKBONES.items() if backbone.family == "small"]
PLAIN = [name for name in OWN if {stage.kind for stage in get_backbone(name).stages} <= {"conv", "dense"}]
# Recorded results and shipped checkpoints depend on these.
FIRST_WEIGHTS = {
    ("cnn_small", SHAPES[0]): "a348f79dfb43efc60c3d4110d88a8909d8c13ce32d31bf4b327fc0f8de58fba6",
    ("cnn_small", SHAPES[1]): "4df41de52cea7e325b4eeab81bace2e209218e8720ab97c956942361d3dcb487",
    ("cnn_deep", SHAPES[0]): "799a8b321e496e90382b3626a4c1f5ba6d69ba822a7856bbb08b6bf1eeefc335",
    ("cnn_deep", SHAPES[1]): "1ab0a0263400e07571532d7d34be25780afca02caf401fe53557ef70aec7cd7a",
    ("mlp", SHAPES[0]): "1794855f3199860fe41f2e54b65fdd300b1e978abc931e02f503b283350810dd",
    ("mlp", SHAPES[1]): "d904e827f5f4eafffdb67fccbe8d52dc007e45570c2d1b83502e47f680338b03",
}
own_backbone = pytest.mark.parametrize("name", OWN)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "×".join(map(str, shape)))


def images(shape: Shape, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)


def outputs(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)), dtype=np.float32)


def held(model: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    return {layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if layer.weights}


@every_shape
@own_backbone
def test_the_model_has_the_shapes_that_are_promised_without_it(name: str, shape: Shape) -> None:
    backbone = get_backbone(name)
    model = build_model(backbone, shape, 7, "float32")
    promised = weight_shapes(backbone, shape, 7)
    assert held(model) == promised
    assert list(promised) == [*backbone.stage_names, HEAD]
    assert model.output_shape == (None, 7)
    assert model.count_params() == count_parameters(
        array for stage in initial_weights(backbone, shape, 7, 0).values() for array in stage
    )


@every_shape
@own_backbone
def test_any_cut_of_the_network_gives_the_whole_networks_outputs(name: str, shape: Shape) -> None:
    backbone = get_backbone(name)
    weights = initial_weights(backbone, shape, 5, seed=3)
    whole = build_model(backbone, shape, 5, "float32")
    set_weights(whole, weights)
    expected = outputs(whole, images(shape))
    for cut in range(1, len(backbone.stages) + 1):
        prefix = build_model(backbone, shape, None, "float32", 0, cut)
        tail = build_model(backbone, shape, 5, "float32", cut)
        for part in (prefix, tail):
            set_weights(part, weights)
        features = outputs(prefix, images(shape))
        assert features.shape[1:] == stage_input_shape(backbone, shape, cut)
        np.testing.assert_allclose(outputs(tail, features), expected, atol=1e-5, rtol=1e-5)


@every_shape
@own_backbone
def test_the_width_at_every_cut_is_what_a_head_there_sees(name: str, shape: Shape) -> None:
    backbone = get_backbone(name)
    for cut in range(len(backbone.stages) + 1):
        seen = build_model(backbone, shape, None, "float32", 0, cut, pooled=True)
        assert seen.output_shape == (None, backbone.feature_width_at(cut, shape))
        head = build_model(backbone, shape, 4, "float32", 0, cut).get_layer(HEAD)
        assert head.kernel.shape == (backbone.feature_width_at(cut, shape), 4)
    assert backbone.feature_width_at(len(backbone.stages), shape) == backbone.feature_width


@pytest.mark.parametrize(("name", "shape"), FIRST_WEIGHTS, ids=str)
def test_first_weights_are_those_that_results_were_recorded_with(name: str, shape: Shape) -> None:
    assert weights_sha256(initial_weights(get_backbone(name), shape, 10, 3)) == FIRST_WEIGHTS[name, shape]


@own_backbone
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


@own_backbone
def test_first_weights_have_the_size_that_keeps_signals_alive(name: str) -> None:
    backbone = get_backbone(name)
    for stage, arrays in initial_weights(backbone, SHAPES[1], 10, seed=0).items():
        assert all(array.dtype == np.float32 for array in arrays)
        for kernel in (array for array in arrays if array.ndim > 1):
            fan_in = int(np.prod(kernel.shape[:-1]))
            limit = np.sqrt(6 / (fan_in + kernel.shape[-1] if stage == HEAD else fan_in))
            assert np.abs(kernel).max() <= limit
            assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)
        for other in (array for array in arrays if array.ndim == 1):
            assert len(np.unique(other)) == 1
            assert name not in PLAIN or not other.any()


@own_backbone
def test_other_arrays_start_from_keras_constants(name: str) -> None:
    backbone = get_backbone(name)
    model = build_model(backbone, SHAPES[0], 10, "float32")
    first = initial_weights(backbone, SHAPES[0], 10, seed=0)
    for layer in model.layers:
        for variable, array in zip(layer.weights, first.get(layer.name, ()), strict=True):
            if array.ndim == 1:
                np.testing.assert_array_equal(array, variable.numpy(), err_msg=variable.path)


@own_backbone
def test_no_two_stages_start_alike(name: str) -> None:
    starts = [stage[0].reshape(-1)[:9] for stage in initial_weights(get_backbone(name), SHAPES[1], 10, 0).values()]
    scaled = {(start / np.abs(start).max()).tobytes() for start in starts}
    assert len(scaled) == len(starts)


@own_backbone
def test_weights_come_back_as_they_were_set_and_are_copies(name: str) -> None:
    backbone = get_backbone(name)
    weights = initial_weights(backbone, SHAPES[0], 10, seed=1)
    model = build_model(backbone, SHAPES[0], 10, "float32")
    set_weights(model, weights)
    read = get_weights(model)
    assert weights_sha256(read) == weights_sha256(weights)
    read[HEAD][0][:] = 0
    assert weights_sha256(get_weights(model)) == weights_sha256(weights)


@own_backbone
def test_half_precision_keeps_weights_and_outputs_in_float32(name: str) -> None:
    backbone = get_backbone(name)
    model = build_model(backbone, SHAPES[0], 10, "mixed_bfloat16")
    assert all(np.dtype(weight.dtype) == np.float32 for weight in model.weights)
    assert model.output.dtype == "float32"
    assert model.get_layer(backbone.stage_names[-1]).output.dtype == "bfloat16"
    exact = build_model(backbone, SHAPES[0], 10, "float32")
    for one in (model, exact):
        set_weights(one, initial_weights(backbone, SHAPES[0], 10, seed=1))
    expected = outputs(exact, images(SHAPES[0]))
    assert np.abs(outputs(model, images(SHAPES[0])) - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["cnn_deep", "mini_resnet"])
@pytest.mark.parametrize("shape", [(4, 4, 1), (2, 2, 1), (1, 1, 1), (1, 5, 1)], ids=str)
def test_small_images_are_not_pooled_away(shape: Shape, name: str) -> None:
    backbone = get_backbone(name)
    model = build_model(backbone, shape, 3, "float32")
    assert held(model) == weight_shapes(backbone, shape, 3)
    for cut in range(1, len(backbone.stages) + 1):
        part = build_model(backbone, shape, None, "float32", 0, cut)
        assert part.output_shape[1:] == stage_input_shape(backbone, shape, cut)


@own_backbone
def test_only_the_net_that_says_so_has_running_statistics(name: str) -> None:
    """With momentum .99 they make a run of a few hundred steps look like chance (design, rule 5)."""
    model = build_model(get_backbone(name), SHAPES[0], 10, "float32")
    assert bool(model.non_trainable_weights) == (get_backbone(name).normalization == "batch")


@own_backbone
def test_any_number_of_channels_fits(name: str) -> None:
    get_backbone(name).check_input((1, 1, 2))


@pytest.mark.parametrize(
    ("shape", "wrong"),
    [((96, 96, 1), "3 channels, not 1"), ((31, 96, 3), "at least 32×32 pixels, not 31×96")],
)
def test_images_that_do_not_fit_are_refused_in_one_line(shape: Shape, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong) as raised:
        build_model(get_backbone("mobilenet_v2_035"), shape, 10, "float32")
    assert len(str(raised.value).splitlines()) == 1


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
