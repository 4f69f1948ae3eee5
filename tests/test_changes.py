"""What training changed: measured against arithmetic done by hand, and nothing where nothing changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tlcore import changes
from tlcore.changes import SOURCE_TEST, WATCHED, feature_changes, remembered, weight_changes
from tlcore.data import DATASETS, load
from tlcore.loops import Forward
from tlcore.metrics.similarity import debiased_cka, linear_cka
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import HEAD, build_model, initial_weights, set_weights
from tlcore.pretrain import find_checkpoint
from tlcore.train import accuracy

if TYPE_CHECKING:
    from tlcore.models.build import Weights

SHAPE = (28, 28, 1)
SMALL = [name for name, network in BACKBONES.items() if network.family == "small"]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)


def copy(weights: Weights) -> Weights:
    return {name: [array.copy() for array in arrays] for name, arrays in weights.items()}


def test_a_weight_change_is_the_norm_of_the_difference_over_the_norm() -> None:
    before = {"a": [np.array([[3.0, 0.0]], dtype=np.float32), np.array([4.0], dtype=np.float32)]}
    after = {"a": [np.array([[3.0, 1.0]], dtype=np.float32), np.array([4.0], dtype=np.float32)]}
    assert weight_changes(before, after, ("a",)) == {"a": pytest.approx(0.2)}
    assert weight_changes(before, before, ("a",)) == {"a": 0.0}


def test_weights_that_are_not_finite_or_were_zero_have_no_change() -> None:
    one, zero = [np.ones(2, dtype=np.float32)], [np.zeros(2, dtype=np.float32)]
    bad = [np.array([np.nan, 1], dtype=np.float32)]
    huge = [np.full(2, 3e38, dtype=np.float32)]
    before = {"nan": one, "zero": zero, "huge": one, "was nan": bad}
    after = {"nan": bad, "zero": one, "huge": huge, "was nan": one}
    assert weight_changes(before, after, tuple(before)) == {"huge": pytest.approx(3e38, rel=1e-3)}


@pytest.mark.parametrize("backbone", SMALL)
def test_features_change_from_the_stage_on_that_changed(backbone: str) -> None:
    network = get_backbone(backbone)
    before = initial_weights(network, SHAPE, 10, 0)
    unchanged = feature_changes(network, SHAPE, before, copy(before), IMAGES)
    assert unchanged == (dict.fromkeys(network.stage_names, 0.0), dict.fromkeys(network.stage_names, 1.0))
    for index, stage in enumerate(network.stage_names):
        after = copy(before)
        after[stage][0] += np.random.default_rng(1).normal(0, 0.02, after[stage][0].shape).astype(np.float32)
        change, alike = feature_changes(network, SHAPE, before, after, IMAGES)
        for position, name in enumerate(network.stage_names):
            assert (change[name] == 0) == (position < index), name
            assert (alike[name] == 1) == (position < index), name
            assert alike[name] <= 1


@pytest.mark.parametrize("backbone", ["cnn_small", "mini_resnet_bn"])
def test_a_feature_change_is_what_the_whole_networks_outputs_say(backbone: str) -> None:
    network = get_backbone(backbone)
    before, after = (initial_weights(network, SHAPE, 10, seed) for seed in (0, 1))
    change, alike = feature_changes(network, SHAPE, before, after, IMAGES)
    for count in (1, len(network.stages)):
        model = build_model(network, SHAPE, None, "float32", 0, count)
        outputs = []
        for weights in (before, after):
            set_weights(model, weights)
            out = Forward(model)(IMAGES).astype(np.float64)
            pooled = network.pooling == "average" and out.ndim == 4
            outputs.append(out.mean(axis=(1, 2)) if pooled else out.reshape(len(out), -1))
        old, new = outputs
        name = network.stage_names[count - 1]
        assert change[name] == pytest.approx(np.square(new - old).sum() / np.square(old).sum(), rel=1e-3)
        assert alike[name] == pytest.approx(debiased_cka(old, new), abs=1e-3)
        assert alike[name] < linear_cka(old, new) + 1e-9


def test_no_more_images_are_watched_than_that() -> None:
    network, before = get_backbone("mlp"), initial_weights(get_backbone("mlp"), SHAPE, 10, 0)
    after = initial_weights(network, SHAPE, 10, 1)
    many = np.random.default_rng(0).integers(0, 256, (WATCHED + 9, *SHAPE), dtype=np.uint8)
    assert feature_changes(network, SHAPE, before, after, many) == feature_changes(
        network, SHAPE, before, after, many[:WATCHED]
    )


@pytest.mark.parametrize("size", [np.nan, np.inf, 1e30, 1e12])
def test_features_of_a_diverged_network_are_left_out_or_finite(size: float) -> None:
    network, before = get_backbone("cnn_small"), initial_weights(get_backbone("cnn_small"), SHAPE, 10, 0)
    after = copy(before)
    after["conv2"] = [array + np.float32(size) for array in after["conv2"]]
    for pair in ((before, after), (after, before)):
        change, alike = feature_changes(network, SHAPE, *pair, IMAGES)
        assert change["conv1"] == 0
        assert all(np.isfinite([*change.values(), *alike.values()]))


def test_dead_stages_have_no_resemblance() -> None:
    network, before = get_backbone("mlp"), initial_weights(get_backbone("mlp"), SHAPE, 10, 0)
    after = copy(before)
    after["dense1"] = [np.zeros_like(array) for array in after["dense1"]]
    change, alike = feature_changes(network, SHAPE, before, after, IMAGES)
    assert change["dense1"] == pytest.approx(1)
    assert "dense1" not in alike
    back, _ = feature_changes(network, SHAPE, after, before, IMAGES)
    assert "dense1" not in back  # there was nothing to measure by


# --- what is left of the source ---------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_what_is_remembered_is_the_sources_accuracy_with_its_own_head() -> None:
    network, checkpoint, dataset = get_backbone("cnn_small"), find_checkpoint("mnist", "cnn_small"), load("mnist")
    assert checkpoint is not None
    model = build_model(network, SHAPE, 10, "float32")
    spoilt = copy(checkpoint.weights)
    spoilt["dense1"][0] += np.random.default_rng(0).normal(0, 0.05, spoilt["dense1"][0].shape).astype(np.float32)
    spoilt[HEAD] = [array * 0 for array in spoilt[HEAD]]  # the target's head, which is not asked
    for weights in (checkpoint.weights, spoilt):
        set_weights(model, weights | {HEAD: checkpoint.weights[HEAD]})
        expected = accuracy(Forward(model)(dataset.x_test[:SOURCE_TEST]), dataset.y_test[:SOURCE_TEST])
        assert remembered(checkpoint, network, SHAPE, "mnist", weights) == expected
    # Asked again, each still has its own.
    first = remembered(checkpoint, network, SHAPE, "mnist", checkpoint.weights)
    assert first != remembered(checkpoint, network, SHAPE, "mnist", spoilt)


def test_nothing_is_known_where_the_sources_images_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = find_checkpoint("mnist", "cnn_small")
    assert checkpoint is not None
    monkeypatch.setattr(changes, "get_dataset", lambda name: replace(DATASETS[name], looks=lambda: None))
    monkeypatch.setattr(changes, "load", lambda _: pytest.fail("nothing may be downloaded to find out"))
    assert remembered(checkpoint, get_backbone("cnn_small"), SHAPE, "mnist", checkpoint.weights) is None


def test_nothing_is_known_of_a_source_without_a_head() -> None:
    checkpoint = find_checkpoint("mnist", "cnn_small")
    assert checkpoint is not None
    network, weights = get_backbone("cnn_small"), checkpoint.weights
    assert remembered(checkpoint, network, SHAPE, "imagenet", weights) is None
    del weights[HEAD]
    assert remembered(checkpoint, network, SHAPE, "mnist", weights) is None
