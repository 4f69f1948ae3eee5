"""CKA and changes: published numbers, another way to compute them, what they must not depend on, and no silent 0/0."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tlcore.metrics.similarity import (
    cka_matrix,
    debiased_cka,
    feature_movement,
    linear_cka,
    matching_layer_accuracy,
    rbf_cka,
    relative_change,
    weight_change,
)

Array = NDArray[np.float64]
INDICES = pytest.mark.parametrize("cka", [linear_cka, debiased_cka, rbf_cka])
seeds = st.integers(0, 2**32 - 1)


def golden() -> tuple[Array, Array]:
    """Features and logits whose similarity was computed with the authors' notebook."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(4, 16))
    features = means[np.arange(200) % 4] + rng.normal(size=(200, 16))
    return features, features @ rng.normal(size=(16, 6)) / 4


def demo() -> tuple[Array, Array]:
    """The input of the authors' notebook."""
    state = np.random.RandomState(1337)  # the notebook seeds NumPy's old generator
    x = state.randn(100, 10)
    return x, state.randn(100, 10) + x


def related(seed: int, n: int = 20, widths: tuple[int, int] = (5, 7)) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, widths[0])) * rng.uniform(0.5, 2, widths[0])
    return x, np.tanh(x @ rng.normal(size=widths)) + 0.3 * rng.normal(size=(n, widths[1]))


def unbiased_by_definition(x: Array, y: Array) -> float:
    """Song et al.'s estimate from Gram matrices without their diagonals, as published."""

    def hsic(k: Array, other: Array) -> float:
        n = len(k)
        ones = np.ones(n)
        inner = np.trace(k @ other) + (ones @ k @ ones) * (ones @ other @ ones) / ((n - 1) * (n - 2))
        return (inner - 2 / (n - 2) * (ones @ k @ other @ ones)) / (n * (n - 3))

    k, other = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(other, 0)
    return hsic(k, other) / math.sqrt(hsic(k, k) * hsic(other, other))


def test_published_and_reference_values() -> None:
    features, logits = golden()
    assert features[0, :3] == pytest.approx([0.45469985, -0.39067741, 2.22389553], abs=1e-8)
    assert linear_cka(features, logits) == pytest.approx(0.7248324498, abs=1e-10)
    assert debiased_cka(features, logits) == pytest.approx(0.7209160917, abs=1e-10)
    x, y = demo()
    assert linear_cka(x, y) == pytest.approx(0.55761, abs=5e-6)
    assert debiased_cka(x, y) == pytest.approx(0.51346, abs=5e-6)
    assert rbf_cka(x, y, 0.5, debiased=False) == pytest.approx(0.65483, abs=5e-6)


@given(seeds, st.sampled_from([(5, 7), (5, 40), (40, 5), (40, 60)]))
def test_the_definition_gives_the_same(seed: int, widths: tuple[int, int]) -> None:
    """Wide features take another way through the code than narrow ones."""
    x, y = related(seed, 20, widths)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    published = np.linalg.norm(b.T @ a) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert linear_cka(x, y) == pytest.approx(published, abs=1e-10)
    assert debiased_cka(x, y) == pytest.approx(unbiased_by_definition(x, y), abs=1e-9)


@INDICES
@given(seed=seeds)
@settings(max_examples=40)
def test_rotation_scale_and_shift_change_nothing(cka, seed: int) -> None:
    x, y = related(seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))[0]
    value = cka(x, y)
    assert -1 <= value <= 1
    assert cka(x @ rotation, y) == pytest.approx(value, abs=1e-9)
    assert cka(1000 * x + 3, y / 1000) == pytest.approx(value, abs=1e-9)
    assert cka(y, x) == pytest.approx(value, abs=1e-9)
    order = np.random.default_rng(seed).permutation(len(x))
    assert cka(x[order], y[order]) == pytest.approx(value, abs=1e-9)
    assert cka(np.hstack([x, np.zeros((len(x), 30))]), y) == pytest.approx(value, abs=1e-9)
    assert cka(x, 2 * x @ rotation) == pytest.approx(1)


@INDICES
def test_maps_are_flattened_and_float32_will_do(cka) -> None:
    x, y = related(3, 20, (12, 7))
    assert cka(x.reshape(20, 2, 3, 2).astype(np.float32), y) == pytest.approx(cka(x, y), abs=1e-6)


def test_few_examples_fool_the_published_form_only() -> None:
    rng = np.random.default_rng(1)
    pairs = [(rng.normal(size=(50, 1000)), rng.normal(size=(50, 1000))) for _ in range(10)]
    assert np.mean([linear_cka(x, y) for x, y in pairs]) == pytest.approx(0.953, abs=0.003)
    assert abs(np.mean([debiased_cka(x, y) for x, y in pairs])) < 0.02


@INDICES
@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.ones((6, 3)), np.eye(6), "the same"),
        (np.full((6, 3), 0.1, np.float32), np.eye(6), "the same"),
        (np.eye(6), np.zeros((6, 0)), "the same"),
        (np.eye(6), np.eye(5), "compare the same ones"),
        (np.eye(6), np.full((6, 2), np.nan), "not finite"),
        (np.eye(1), np.eye(1), "at least 2"),
        (np.array(1.0), np.eye(6), "one row an example"),
    ],
)
def test_what_resembles_nothing_is_refused(cka, x: Array, y: Array, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cka(x, y)


@pytest.mark.parametrize("n", [2, 3])
def test_debiasing_needs_four_examples(n: int) -> None:
    with pytest.raises(ValueError, match="at least 4"):
        debiased_cka(np.eye(n), np.eye(n))
    assert linear_cka(np.eye(n), np.eye(n)) == pytest.approx(1)


def test_a_unit_for_one_example_has_no_structure() -> None:
    lone = np.zeros((8, 3))
    lone[0, 0] = 1
    with pytest.raises(ValueError, match="beyond single examples"):
        debiased_cka(lone, related(0, 8)[1])
    assert 0 <= linear_cka(lone, related(0, 8)[1]) <= 1


def test_the_kernel_needs_a_width() -> None:
    with pytest.raises(ValueError, match="above 0"):
        rbf_cka(np.eye(6), np.eye(6), 0)
    with pytest.raises(ValueError, match="no width"):
        rbf_cka(np.repeat([[0.0], [1.0]], [9, 1], axis=0), np.eye(10))


def layers(seed: int, images: Array) -> dict[str, Array]:
    """A network of three stages, each of which knows the same as another seed's, in other units and with noise."""
    rng = np.random.default_rng(seed)
    known = {"one": images, "two": np.abs(images), "three": images[:, :3] ** 3}
    stages: dict[str, Array] = {}
    for name, features in known.items():
        mixed = features @ rng.normal(size=(features.shape[1], 100))
        stages[name] = mixed + mixed.std() * rng.normal(size=mixed.shape)
    return stages


def test_a_layer_finds_its_own_in_another_network() -> None:
    """Kornblith et al.'s sanity check, on networks that differ in their seed."""
    images = np.random.default_rng(0).normal(size=(200, 20))
    a, b = layers(1, images), layers(2, images)
    similarities = cka_matrix(a, b)
    assert similarities.shape == (3, 3)
    assert similarities[0, 1] == pytest.approx(debiased_cka(a["one"], b["two"]), abs=1e-12)
    assert cka_matrix(a, b, debiased=False)[2, 1] == pytest.approx(linear_cka(a["three"], b["two"]), abs=1e-12)
    assert matching_layer_accuracy(similarities) == 1
    assert matching_layer_accuracy(similarities[:, [1, 2, 0]]) == 0
    assert np.diag(cka_matrix(a, a)) == pytest.approx(np.ones(3))


def test_a_dead_stage_does_not_spoil_the_others() -> None:
    images = np.random.default_rng(0).normal(size=(50, 20))
    alive = layers(1, images)
    similarities = cka_matrix(alive | {"two": np.zeros((50, 4))}, alive)
    assert np.isnan(similarities[1]).all()
    assert np.isfinite(similarities[[0, 2]]).all()
    assert matching_layer_accuracy(similarities) == pytest.approx(2 / 3)
    assert matching_layer_accuracy([[math.nan]]) == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cka_matrix({}, {"a": np.eye(5)}), "no stages"),
        (lambda: cka_matrix({"a": np.eye(5)}, {"b": np.eye(6)}), "a has 5 examples and b 6"),
        (lambda: cka_matrix({"a": np.eye(3)}, {"b": np.eye(3)}), "at least 4"),
        (lambda: matching_layer_accuracy(np.ones((2, 3))), "square"),
        (lambda: matching_layer_accuracy(np.ones((0, 0))), "square"),
        (lambda: relative_change(np.ones((3, 2)), np.ones((3, 3))), "cannot be compared"),
        (lambda: relative_change(np.zeros((3, 2)), np.ones((3, 2))), "zero before"),
        (lambda: relative_change(np.ones((3, 2)), np.full((3, 2), np.inf)), "not finite"),
        (lambda: feature_movement(np.ones((0, 2)), np.ones((0, 2))), "no features"),
        (lambda: weight_change({"a": [[1]]}, {"b": [[1]]}), "cannot be compared"),
        (lambda: weight_change({"a": [[1]]}, {"a": [[1, 2]]}), "number or shape"),
    ],
)
def test_misuse_is_refused(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


@given(seeds, st.floats(0.1, 10))
def test_changes_have_the_size_that_they_say(seed: int, factor: float) -> None:
    before = np.random.default_rng(seed).normal(size=(6, 2, 3))
    assert relative_change(before, before) == feature_movement(before, before) == 0
    assert relative_change(before, (1 + factor) * before) == pytest.approx(factor**2)
    assert relative_change(7 * before, 7 * (1 + factor) * before) == pytest.approx(factor**2)
    lengths = np.sqrt(np.square(before).sum(axis=(1, 2)))
    assert feature_movement(before, (1 + factor) * before) == pytest.approx(factor * lengths.mean())
    changes = weight_change({"a": [before, before]}, {"a": [(1 + factor) * before, (1 - factor) * before]})
    assert changes == {"a": pytest.approx(factor)}


def test_a_change_by_hand() -> None:
    assert relative_change([[3.0, 4.0], [0.0, 5.0]], [[3.0, 4.0], [0.0, 10.0]]) == pytest.approx(25 / 50)
    assert feature_movement([[3.0, 4.0], [0.0, 5.0]], [[6.0, 8.0], [0.0, 5.0]]) == pytest.approx(2.5)


def test_weights_without_a_relative_change_are_left_out() -> None:
    before = {"conv": [np.array([3.0, 4.0])], "bias": [np.zeros(2)], "none": [], "lost": [np.ones(1)]}
    after = {"conv": [np.array([3.0, 9.0])], "bias": [np.ones(2)], "none": [], "lost": [np.array([np.nan])]}
    assert weight_change(before, after) == {"conv": pytest.approx(1.0)}
