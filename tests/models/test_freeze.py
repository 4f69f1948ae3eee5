"""What training may change: every weight of this project's own nets and of one published one, under every policy."""

from __future__ import annotations

from functools import lru_cache
from typing import get_args

import keras
import numpy as np
import pytest

from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import HEAD, build_model, freeze, initial_weights, normalization_layers, set_weights
from tlcore.policy import Normalization

SHAPE = (32, 32, 3)
NAMES = [name for name, backbone in BACKBONES.items() if backbone.family == "small"] + ["mobilenet_v2_035"]
POLICIES = get_args(Normalization)


@lru_cache(maxsize=1)
def prepared(name: str) -> keras.Model:
    """One model for all policies: each call of `freeze` has to undo the one before."""
    return build_model(get_backbone(name), SHAPE, 4, "float32")


def parts(model: keras.Model) -> dict[str, str]:
    """What every weight is: ``kernel`` for all that is learned outside batch normalisation, ``gain``, ``statistic``."""
    kinds = {weight.path: "kernel" for weight in model.weights}
    for layer in normalization_layers(model):
        kinds |= {weight.path: "gain" for weight in (layer.gamma, layer.beta)}
        kinds |= {weight.path: "statistic" for weight in (layer.moving_mean, layer.moving_variance)}
    return kinds


def may_change(kind: str, frozen: bool, normalization: str) -> bool:
    """The policies once more, as a table."""
    if kind == "kernel":
        return not frozen
    if not frozen:
        return normalization != "freeze"
    return normalization == "always" or (normalization == "drift" and kind == "statistic")


def step(model: keras.Model) -> dict[str, bool]:
    """Which weights a real step of training changes."""
    rng = np.random.default_rng(0)
    x, y = rng.random((8, *SHAPE), dtype=np.float32), np.arange(8) % 4
    model.compile(
        keras.optimizers.SGD(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True
    )
    before = {weight.path: np.array(weight.numpy()) for weight in model.weights}
    model.train_on_batch(x, y)
    return {weight.path: not np.array_equal(before[weight.path], weight.numpy()) for weight in model.weights}


@pytest.mark.parametrize("normalization", POLICIES)
@pytest.mark.parametrize("which", ["first", "last", "all", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_changes_exactly_what_the_policy_says(name: str, which: str, normalization: Normalization) -> None:
    backbone, model = get_backbone(name), prepared(name)
    names = backbone.stage_names
    half = len(names) // 2
    frozen = frozenset({"first": names[:half], "last": names[half:], "all": names, "none": ()}[which])
    set_weights(model, initial_weights(backbone, SHAPE, 4, seed=0))
    freeze(model, frozen, normalization)
    kinds = parts(model)
    stage_of = {weight.path: layer.name for layer in model.layers for weight in layer.weights}
    expected = {path: may_change(kind, stage_of[path] in frozen, normalization) for path, kind in kinds.items()}
    learned = {weight.path for weight in model.trainable_weights}
    assert learned == {path for path, may in expected.items() if may and kinds[path] != "statistic"}
    if backbone.family == "application" and which in ("last", "none"):
        return  # a step of a deep net takes a second; two kinds of cut are enough
    changed = step(model)
    if backbone.family == "small":
        assert changed == expected
        return
    assert not [path for path in changed if changed[path] and not expected[path]]
    # Of 260 arrays of a deep net some have no gradient in one step, but all statistics move.
    assert not [path for path in changed if expected[path] and not changed[path] and kinds[path] == "statistic"]
    wanted = [path for path in learned if changed[path]]
    assert len(wanted) > 0.9 * len(learned)


@pytest.mark.parametrize("normalization", POLICIES)
def test_a_frozen_stage_computes_with_its_running_statistics_unless_it_drifts(normalization: Normalization) -> None:
    backbone = get_backbone("mini_resnet_bn")
    model = prepared("mini_resnet_bn")
    set_weights(model, initial_weights(backbone, SHAPE, 4, seed=0))
    freeze(model, frozenset(backbone.stage_names), normalization)
    x = np.random.default_rng(1).random((8, *SHAPE), dtype=np.float32)
    alone, training = (np.asarray(keras.ops.convert_to_numpy(model(x, training=mode))) for mode in (False, True))
    assert np.array_equal(alone, training) == (normalization in ("freeze", "train"))


def test_the_head_is_always_trained() -> None:
    model = prepared("mlp")
    freeze(model, frozenset(get_backbone("mlp").stage_names))
    assert [weight.path.split("/")[0] for weight in model.trainable_weights] == [HEAD, HEAD]


def test_batch_normalisation_is_found_at_any_depth() -> None:
    inner = keras.Sequential([keras.layers.BatchNormalization(name="a")])
    outer = keras.Sequential([inner, keras.layers.Dense(2), keras.layers.BatchNormalization(name="b")])
    assert [layer.name for layer in normalization_layers(outer)] == ["a", "b"]
    assert [layer.name for layer in normalization_layers(inner.layers[0])] == ["a"]
    assert normalization_layers(keras.layers.Dense(2)) == []
