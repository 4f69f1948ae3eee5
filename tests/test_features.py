"""Cached outputs of frozen stages: the same training as without them, in bounded room, never another model's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcore import features
from tlcore.data.labels import batch_order
from tlcore.features import FrozenStages
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import HEAD, initial_weights
from tlcore.policy import FreezePolicy
from tlcore.train import Program, Setup

SHAPE, CLASSES = (28, 28, 1), 10
CUTS = [
    (name, count)
    for name, backbone in BACKBONES.items()
    if backbone.family == "small"
    for count in sorted({1, len(backbone.stages)})
]


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> features._Cache:
    cache = features._Cache(features.ROOM)
    monkeypatch.setattr(features, "_cache", cache)
    return cache


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize(("name", "count"), CUTS)
def test_training_on_cached_features_is_training_the_frozen_network(name: str, count: int) -> None:
    backbone = get_backbone(name)
    weights = initial_weights(backbone, SHAPE, CLASSES, seed=0)
    x, y = images(60), np.arange(60) % CLASSES
    # Statistics that are not their first ones, so that they matter.
    rng = np.random.default_rng(1)
    for stage in backbone.stage_names:
        weights[stage] = [
            a + rng.uniform(0.05, 0.1, a.shape).astype(np.float32) * (a.ndim == 1) for a in weights[stage]
        ]
    steps = 10
    order, rates = batch_order(60, 8, steps, seed=0), np.full(steps, 3e-3, dtype=np.float32)
    frozen = frozenset(backbone.stage_names[:count])

    cached = FrozenStages(backbone, SHAPE, "float32", count, weights)
    tail = Program(backbone, SHAPE, CLASSES, precision="float32", first=count)
    tail.restart(weights)
    assert tail.fit(tail.hold(cached(x, "x"), y), order, rates) == steps

    whole = Program(backbone, SHAPE, CLASSES, precision="float32", setup=Setup(FreezePolicy(frozen)))
    whole.restart(weights)
    assert whole.fit(whole.hold(x, y), order, rates) == steps

    result = tail.weights()
    assert set(result) == {*backbone.stage_names[count:], HEAD}
    for stage, arrays in result.items():
        for a, b in zip(arrays, whole.weights()[stage], strict=True):
            np.testing.assert_allclose(a, b, atol=5e-4, rtol=2e-3, err_msg=stage)
    np.testing.assert_allclose(tail.logits(cached(x, "x")), whole.logits(x), atol=5e-3, rtol=5e-3)


def test_no_frozen_stage_gives_the_images_themselves() -> None:
    stages = FrozenStages(get_backbone("mlp"), SHAPE, "float32", 0, {})
    x = images(3)
    assert stages(x, "x") is x


def test_what_is_named_is_kept_and_what_is_not_is_not(empty_cache: features._Cache) -> None:
    backbone = get_backbone("cnn_small")
    stages = FrozenStages(backbone, SHAPE, "float32", 1, initial_weights(backbone, SHAPE, CLASSES, 0))
    x = images(4)
    first = stages(x, "x")
    assert stages(x, "x") is first
    assert len(empty_cache._kept) == 1
    fresh = stages(x)
    np.testing.assert_array_equal(fresh, first)
    assert len(empty_cache._kept) == 1
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


def test_other_weights_cuts_formats_and_images_never_share_an_entry() -> None:
    """All arms of a process share one Keras model for the prefix: the weights of the last one may not leak."""
    backbone = get_backbone("cnn_small")
    weights = [initial_weights(backbone, SHAPE, CLASSES, seed) for seed in (0, 1)]
    stages = [FrozenStages(backbone, SHAPE, "float32", 1, one) for one in weights]
    x, other = images(4), images(4, seed=1)
    outputs = [stages[0](x, "x"), stages[1](x, "x"), stages[0](other, "other"), stages[1](other, "other")]
    assert len({output.tobytes() for output in outputs}) == 4
    deeper = FrozenStages(backbone, SHAPE, "float32", 2, weights[0])(x, "x")
    assert deeper.shape != outputs[0].shape
    half = FrozenStages(backbone, SHAPE, "mixed_bfloat16", 1, weights[0])(x, "x")
    assert half.dtype == np.float32
    assert not np.array_equal(half, outputs[0])
    # Asked again, in the other order: each still has its own.
    np.testing.assert_array_equal(stages[1](x), outputs[1])
    np.testing.assert_array_equal(stages[0](x), outputs[0])


def test_weights_of_the_stages_behind_do_not_matter() -> None:
    backbone = get_backbone("cnn_small")
    one, other = (initial_weights(backbone, SHAPE, CLASSES, seed) for seed in (0, 1))
    other["conv1"] = one["conv1"]
    x = images(4)
    first = FrozenStages(backbone, SHAPE, "float32", 1, one)(x, "x")
    assert FrozenStages(backbone, SHAPE, "float32", 1, other)(x, "x") is first


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=40))
def test_the_cache_never_holds_more_than_its_room(puts: list[tuple[int, int]]) -> None:
    room = 400
    cache = features._Cache(room)
    for key, size in puts:
        array = np.zeros(size, dtype=np.float32)
        cache.put(str(key), array)
        held = sum(kept.nbytes for kept in cache._kept.values())
        assert held <= room
        assert cache._used == held
        if array.nbytes <= room:
            assert cache.get(str(key)) is array  # what was just put is the last to go


def test_the_least_recently_used_goes_first() -> None:
    cache = features._Cache(24)
    for key in "abc":
        cache.put(key, np.zeros(2, dtype=np.float32))
    assert cache.get("a") is not None
    cache.put("d", np.zeros(2, dtype=np.float32))
    assert cache.get("b") is None
    assert cache.get("a") is not None
