"""Transferability estimators: reference values, other ways to compute them, what must not matter, hard cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, pearsonr, weightedtau
from sklearn.covariance import LedoitWolf

from tlcore.errors import UserError
from tlcore.metrics.ranking import (
    ESTIMATORS,
    NOISE_FLOOR,
    VARIANCE_FLOOR,
    Evidence,
    estimate,
    gbc,
    h_score,
    leep,
    log_me,
    nce,
    pearson,
    proxy_a_distance,
    trans_rate,
    weighted_tau,
)

Array = NDArray[np.float64]
Score = Callable[..., float]
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=30)


def plain_h_score(features: Array, labels: NDArray[np.int64]) -> float:
    return h_score(features, labels, regularised=False)


def spherical_gbc(features: Array, labels: NDArray[np.int64]) -> float:
    return gbc(features, labels, "spherical")


OF_FEATURES = [plain_h_score, h_score, log_me, trans_rate, gbc, spherical_gbc]
FEATURES = pytest.mark.parametrize("score", OF_FEATURES)


def softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def task(
    seed: int = 0, n: int = 200, d: int = 16, classes: int = 4, sources: int = 6
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Features, source probabilities and labels; seed 0 and the usual sizes are the reference input."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    means = rng.normal(size=(classes, d))
    features = means[labels] + rng.normal(size=(n, d))
    return features, softmax(features @ rng.normal(size=(d, sources)) / 4), labels


def entropy(labels: NDArray[np.int64]) -> float:
    shares = np.bincount(labels) / len(labels)
    return -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())


# --- values -----------------------------------------------------------------------------------------------------------


def test_the_reference_input_is_the_reference_input() -> None:
    features, theta, _ = task()
    assert features[0, :3] == pytest.approx([0.45469985, -0.39067741, 2.22389553], abs=1e-8)
    assert np.bincount(theta.argmax(axis=1)).tolist() == [26, 67, 47, 10, 36, 14]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda f, p, y: leep(p, y), -0.8976459962),
        (lambda f, p, y: nce(p.argmax(axis=1), y), -0.5284949056),
        (lambda f, p, y: h_score(f, y, regularised=False), 2.3230062380),
        (lambda f, p, y: h_score(f, y), 2.2373921137),
        (lambda f, p, y: log_me(f, y), -0.17680693528),
        (lambda f, p, y: trans_rate(f, y, standardise=False), 2.2543339511),
        (lambda f, p, y: trans_rate(f, y, 1.0, standardise=False), 0.8418889434),
        (lambda f, p, y: gbc(f, y, "spherical"), -0.5126615026),
        (lambda f, p, y: gbc(f, y), -0.4625018705),
    ],
)
def test_reference_values(value: Callable[..., float], expected: float) -> None:
    assert value(*task()) == pytest.approx(expected, abs=1.5e-10)


@few
@given(seeds, st.integers(2, 5), st.integers(1, 7))
def test_leep_and_nce_are_their_formulas(seed: int, classes: int, sources: int) -> None:
    """Loops over examples and classes, as the papers write them."""
    _, theta, labels = task(seed, 24, 5, classes, sources)
    joint = [[theta[labels == y, z].sum() / 24 for z in range(sources)] for y in range(classes)]
    total = 0.0
    for row, y in zip(theta, labels, strict=True):
        total += math.log(sum(row[z] * joint[y][z] / sum(joint[k][z] for k in range(classes)) for z in range(sources)))
    assert leep(theta, labels) == pytest.approx(total / 24)
    seen = theta.argmax(axis=1)
    conditional = 0.0
    for y in range(classes):
        for z in set(seen):
            both = np.mean((labels == y) & (seen == z))
            conditional += both * math.log(both / np.mean(seen == z)) if both else 0.0
    assert nce(seen, labels) == pytest.approx(conditional, abs=1e-12)


@few
@given(seeds, st.sampled_from([(60, 5), (60, 1), (20, 50)]))
def test_the_h_scores_are_their_formulas(seed: int, size: tuple[int, int]) -> None:
    features, _, labels = task(seed, *size, 3)
    means = np.stack([features[labels == y].mean(axis=0) for y in labels])
    between = np.atleast_2d(np.cov(means, rowvar=False))
    if size[1] < size[0]:
        inverse = np.linalg.inv(np.atleast_2d(np.cov(features, rowvar=False)))
        assert plain_h_score(features, labels) == pytest.approx(np.trace(inverse @ between))
    shrunk = LedoitWolf().fit(features)
    expected = np.trace(np.linalg.inv(shrunk.covariance_) @ between) * (1 - shrunk.shrinkage_)
    assert h_score(features, labels) == pytest.approx(expected)


def brute_force(features: Array, indicator: Array) -> float:
    """Greatest log density of the indicator under N(0, I/β + FFᵀ/α), searched over both from several starts."""
    n = len(features)

    def density(logs: Array) -> float:
        covariance = np.exp(-logs[1]) * np.eye(n) + np.exp(-logs[0]) * features @ features.T
        return -float(multivariate_normal.logpdf(indicator, np.zeros(n), covariance))

    starts = [(a, b) for a in (-2.0, 4.0, 9.0) for b in (0.0, 3.0)]
    found = [
        minimize(density, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11}) for start in starts
    ]
    return -min(float(result.fun) for result in found) / n


@pytest.mark.parametrize(("seed", "n", "d"), [(1, 40, 6), (2, 30, 20), (3, 20, 40)])
def test_log_me_is_the_greatest_evidence(seed: int, n: int, d: int) -> None:
    features, _, labels = task(seed, n, d, 3)
    expected = np.mean([brute_force(features, (labels == c).astype(float)) for c in range(3)])
    assert log_me(features, labels) == pytest.approx(expected, abs=1e-7)


def test_log_me_of_wide_noise_goes_on_to_the_optimum() -> None:
    """The published iteration stops after eleven rounds, at -.776 for input like this."""
    features, labels = np.random.default_rng(0).normal(size=(60, 200)), np.arange(60) % 4
    assert log_me(features, labels) == pytest.approx(-0.723, abs=0.003)


@few
@given(seeds, st.floats(1e-4, 2))
def test_trans_rate_is_its_formula(seed: int, epsilon: float) -> None:
    features, _, labels = task(seed, 30, 6, 3)

    def rate(rows: Array) -> float:
        return np.linalg.slogdet(np.eye(6) + rows.T @ rows / (len(rows) * epsilon)).logabsdet / 2

    centred = features - features.mean(axis=0)
    expected = rate(centred) - np.mean([rate(centred[labels == c]) for c in range(3)])
    assert trans_rate(features, labels, epsilon, standardise=False) == pytest.approx(expected)
    scaled = centred / math.sqrt(np.trace(np.cov(centred, rowvar=False, ddof=0)))
    assert trans_rate(features, labels, epsilon) == pytest.approx(
        trans_rate(scaled, labels, epsilon, standardise=False)
    )


@few
@given(seeds)
def test_gbc_sums_the_overlap_of_gaussians(seed: int) -> None:
    """Bhattacharyya's coefficient is the integral of √(p q): here in one dimension, by adding it up."""
    features, _, labels = task(seed, 40, 1, 3)
    grid = np.linspace(-30, 30, 60_001)
    densities = [
        np.exp(-((grid - rows.mean()) ** 2) / (2 * rows.var())) / math.sqrt(2 * math.pi * rows.var())
        for rows in (features[labels == c] for c in range(3))
    ]
    overlaps = [np.trapezoid(np.sqrt(p * q), grid) for i, p in enumerate(densities) for q in densities[i + 1 :]]
    assert gbc(features, labels) == pytest.approx(-2 * sum(overlaps), abs=1e-6)
    assert gbc(features, labels, "spherical") == pytest.approx(gbc(features, labels))


# --- what must not matter ---------------------------------------------------------------------------------------------


@FEATURES
@few
@given(seed=seeds, size=st.sampled_from([(40, 6), (20, 50)]))
def test_neither_the_order_nor_the_names_of_classes_matter(score: Score, seed: int, size: tuple[int, int]) -> None:
    features, _, labels = task(seed, *size)
    value = score(features, labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    assert score(features[order], labels[order]) == pytest.approx(value, rel=1e-6, abs=1e-9)
    names = np.array(["ship", "cat", "truck", "bird"])
    assert score(features, names[labels]) == pytest.approx(value, rel=1e-9)
    # A class that no example has leaves a gap in the numbers and nothing else.
    assert score(features, labels * 10 + 3) == score(features, labels)


@pytest.mark.parametrize("score", [plain_h_score, h_score, log_me, trans_rate])
@few
@given(seed=seeds, size=st.sampled_from([(40, 6), (20, 50)]), factor=st.sampled_from([1000.0, 1e-4]))
def test_scale_and_rotation_do_not_matter(score: Score, seed: int, size: tuple[int, int], factor: float) -> None:
    features, _, labels = task(seed, *size)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(size[1], size[1])))[0]
    value = score(features, labels)
    assert score(features * factor, labels) == pytest.approx(value, abs=1e-7)
    assert score(features @ rotation, labels) == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize("score", [plain_h_score, log_me, trans_rate])
@few
@given(seed=seeds, size=st.sampled_from([(40, 6), (20, 50)]))
def test_dead_and_repeated_features_do_not_matter(score: Score, seed: int, size: tuple[int, int]) -> None:
    features, _, labels = task(seed, *size)
    value = score(features, labels)
    assert score(np.hstack([features, np.zeros((len(features), 4))]), labels) == pytest.approx(value, abs=1e-7)
    assert score(np.hstack([features, features]), labels) == pytest.approx(value, abs=1e-7)


@few
@given(seeds)
def test_the_plain_h_score_only_sees_the_space_that_the_features_span(seed: int) -> None:
    features, _, labels = task(seed, 60, 5)
    rng = np.random.default_rng(seed)
    map_ = rng.normal(size=(5, 5)) + 3 * np.eye(5)
    value = plain_h_score(features, labels)
    if np.linalg.cond(map_) < 1e4:
        assert plain_h_score(features @ map_ + 7, labels) == pytest.approx(value, abs=1e-7)
    assert plain_h_score(features * 10.0 ** rng.integers(-8, 8, 5), labels) == pytest.approx(value, abs=1e-7)
    # The published pseudo-inverse turns directions of rounding into scores above the bound.
    assert plain_h_score(np.hstack([features, features.sum(axis=1, keepdims=True)]), labels) == pytest.approx(value)


@few
@given(seeds, st.integers(2, 5), st.integers(1, 7))
def test_leep_and_nce_keep_their_bounds_and_their_order(seed: int, classes: int, sources: int) -> None:
    _, theta, labels = task(seed, 30, 5, classes, sources)
    seen = theta.argmax(axis=1)
    least = -entropy(labels)
    assert least - 1e-9 <= leep(theta, labels) <= 0
    assert least - 1e-9 <= nce(seen, labels) <= 0
    # Often said with NCE in place of the likelihood; but that is the greatest likelihood there is, not this one.
    joint = np.stack([theta[labels == y].sum(axis=0) for y in range(classes)])
    likelihood = np.log((joint / joint.sum(axis=0))[labels, seen]).mean()
    assert likelihood <= nce(seen, labels) + 1e-9
    assert leep(theta, labels) >= likelihood + np.log(theta.max(axis=1)).mean() - 1e-9
    assert leep(np.eye(sources)[seen], labels) == pytest.approx(nce(seen, labels), abs=1e-12)
    order = np.random.default_rng(seed).permutation(sources)
    assert leep(theta[:, order], labels) == pytest.approx(leep(theta, labels))
    assert nce(order[seen], labels) == pytest.approx(nce(seen, labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    assert leep(theta[shuffled], labels[shuffled]) == pytest.approx(leep(theta, labels))
    # Source classes without any mass are 0/0 in the formula.
    assert leep(np.hstack([theta, np.zeros((30, 2))]), labels) == pytest.approx(leep(theta, labels))


@few
@given(st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(lambda names: len(set(names)) > 1))
def test_the_ends_of_the_scales(names: list[int]) -> None:
    labels = np.array(names)
    assert nce(labels, labels) == 0
    assert leep(np.eye(4)[labels], labels) == 0
    assert nce(np.zeros(len(names)), labels) == pytest.approx(-entropy(labels))
    assert leep(np.full((len(names), 5), 0.2), labels) == pytest.approx(-entropy(labels))
    assert plain_h_score(np.eye(4)[labels], labels) == pytest.approx(len(set(names)) - 1)


@FEATURES
def test_classes_further_apart_score_higher(score: Score) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    means, noise = rng.normal(size=(3, 8)), rng.normal(size=(90, 8))
    values = [score(apart * means[labels] + noise, labels) for apart in (0.2, 1.0, 3.0)]
    assert values == sorted(values)
    assert score(noise, rng.permutation(labels)) < values[1]


# --- hard cases -------------------------------------------------------------------------------------------------------


def test_fewer_examples_than_features() -> None:
    """Noise reaches the top of the plain H-score; the regularised one and LogME know better."""
    noise, labels = np.random.default_rng(0).normal(size=(60, 200)), np.arange(60) % 4
    assert plain_h_score(noise, labels) == pytest.approx(3)
    assert h_score(noise, labels) == pytest.approx(0.24, abs=0.05)
    assert log_me(noise, labels) < log_me(task(0, 60, 200)[0], labels)


def test_features_that_are_the_same_for_all() -> None:
    constant, labels = np.full((20, 3), 0.1), np.arange(20) % 4
    assert plain_h_score(constant, labels) == h_score(constant, labels) == 0
    assert trans_rate(constant, labels) == trans_rate(constant, labels, standardise=False) == 0
    assert gbc(constant, labels) == pytest.approx(-12)
    alone = -math.log(2 * math.pi * np.mean([(labels == c).mean() for c in range(4)])) / 2 - 0.5
    assert log_me(np.zeros((20, 3)), labels) == pytest.approx(alone)


@few
@given(seeds, st.sampled_from([(30, 4), (12, 30)]))
def test_no_features_are_worse_than_none_for_log_me(seed: int, size: tuple[int, int]) -> None:
    features, _, labels = task(seed, *size)
    nothing = log_me(np.zeros_like(features), labels)
    noise = np.random.default_rng(seed).normal(size=size)
    assert log_me(features, labels) >= nothing - 1e-9
    assert log_me(noise, labels) >= nothing - 1e-9


def test_features_that_fit_exactly_have_a_finite_evidence() -> None:
    labels = np.arange(60) % 4
    perfect = log_me(np.eye(4)[labels], labels)
    assert 5 < perfect <= -math.log(2 * math.pi * NOISE_FLOOR) / 2
    assert log_me(1e6 * np.eye(4)[labels], labels) == pytest.approx(perfect)
    assert log_me(np.eye(60)[:, ::-1], labels) < 0  # any labels fit these, so that they fit is no evidence


@FEATURES
def test_classes_of_one_example_have_a_score(score: Score) -> None:
    features = np.random.default_rng(0).normal(size=(5, 3))
    assert math.isfinite(score(features, np.arange(5)))
    assert math.isfinite(score(features, np.array([0, 0, 0, 0, 1])))
    assert gbc(features, np.arange(5)) == pytest.approx(
        -sum(
            math.exp(-np.square(a - b).sum() / VARIANCE_FLOOR / 8)
            for i, a in enumerate(features)
            for j, b in enumerate(features)
            if i != j
        )
    )


def test_a_source_that_never_changes_its_mind() -> None:
    labels = np.arange(20) % 4
    assert leep(np.tile([0.7, 0.2, 0.1], (20, 1)), labels) == pytest.approx(-math.log(4))
    assert leep(np.ones((20, 1)), labels) == nce(np.full(20, "cat"), labels) == pytest.approx(-math.log(4))


def test_predictions_may_be_float32() -> None:
    _, theta, labels = task()
    assert leep(theta.astype(np.float32), labels) == pytest.approx(leep(theta, labels), abs=1e-6)


@FEATURES
@pytest.mark.parametrize(
    ("features", "labels", "says"),
    [
        (np.eye(4), [0, 1, 0], "3 labels for 4"),
        (np.eye(4), [1, 1, 1, 1], "at least two"),
        (np.where(np.eye(4) > 0, np.nan, 0), [0, 1, 0, 1], "not finite"),
        (np.eye(4), [0.0, 1.0, math.nan, 1.0], "labels is not finite"),
        (np.zeros((4, 2, 2)), [0, 1, 0, 1], "flattened"),
        (np.zeros((4, 0)), [0, 1, 0, 1], "flattened"),
        (np.eye(4), np.eye(4), "one an example"),
    ],
)
def test_features_without_a_score_are_refused(score: Score, features: Array, labels: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        score(features, labels)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: leep(np.eye(3), [0, 1]), "2 labels for 3"),
        (lambda: leep(np.eye(3), [1, 1, 1]), "at least two"),
        (lambda: leep(np.eye(3) * np.nan, [0, 1, 1]), "not finite"),
        (lambda: leep(np.eye(3) * 4 - 1, [0, 1, 1]), "softmax"),
        (lambda: leep(np.eye(3) / 2, [0, 1, 1]), "softmax"),
        (lambda: nce([0, 1], [0, 1, 1]), "3 labels for 2"),
        (lambda: nce(0, [0, 1, 1]), "3 labels for 0"),
        (lambda: nce([0, 1, 2], [1, 1, 1]), "at least two"),
        (lambda: nce([0, 1, math.inf], [0, 1, 1]), "not finite"),
        (lambda: trans_rate(np.eye(3), [0, 1, 1], 0.0), "epsilon"),
        (lambda: gbc(np.eye(3), [0, 1, 1], "full"), "diagonal or spherical"),  # type: ignore[arg-type]
        (lambda: proxy_a_distance(np.eye(3), np.eye(4)), "cannot be compared"),
        (lambda: proxy_a_distance(np.eye(3)[:1], np.eye(3)), "at least 2"),
        (lambda: proxy_a_distance(np.eye(3), np.eye(3), folds=1), "2 folds"),
        (lambda: proxy_a_distance(np.eye(3) * np.inf, np.eye(3)), "not finite"),
    ],
)
def test_misuse_is_refused(call: Callable[[], object], says: str) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=says):
        call()


# --- two domains ------------------------------------------------------------------------------------------------------


def test_the_a_distance_grows_with_the_distance() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(150, 6)), rng.normal(size=(150, 6))
    found = [proxy_a_distance(source, target + shift) for shift in (0.0, 0.5, 1.0, 5.0)]
    assert [place.distance for place in found] == sorted(place.distance for place in found)
    assert found[0].distance < 0.3
    assert found[-1].distance == found[-1].raw == 2
    for place in found:
        assert place.raw == pytest.approx(2 * (1 - 2 * place.error))
        assert place.distance == max(0.0, place.raw)


def test_chance_is_zero_whatever_the_sizes() -> None:
    """A classifier that always says the larger side would be right in nine of ten cases."""
    rng = np.random.default_rng(0)
    found = proxy_a_distance(rng.normal(size=(900, 4)), rng.normal(size=(100, 4)))
    assert found.raw == pytest.approx(0, abs=0.3)
    assert found.n == 100


def test_copies_lie_below_zero_and_are_clipped() -> None:
    features = np.random.default_rng(0).normal(size=(60, 10))
    found = proxy_a_distance(features, features)
    assert found.raw < 0
    assert found.distance == 0
    assert proxy_a_distance(features, features) == found
    assert proxy_a_distance(features, features, seed=1) != found
    assert proxy_a_distance(features * 1e6, features * 1e6) == found
    assert proxy_a_distance(features[:2], features[2:4] + 9).n == 2


# --- agreement with what was measured ---------------------------------------------------------------------------------


@few
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=12))
def test_agreement_is_scipys(pairs: list[tuple[int, int]]) -> None:
    scores, gains = zip(*pairs, strict=True)
    if len(set(scores)) == 1 or len(set(gains)) == 1:
        with pytest.raises(ValueError, match=r"all (scores|gains) are equal"):
            weighted_tau(scores, gains)
        return
    assert weighted_tau(scores, gains) == pytest.approx(weightedtau(scores, gains).statistic, abs=1e-12)
    assert pearson(scores, gains) == pytest.approx(pearsonr(scores, gains).statistic, abs=1e-12)


def test_the_top_counts_most() -> None:
    gains = [5, 4, 3, 2, 1]
    assert weighted_tau(gains, gains) == pearson(gains, gains) == pytest.approx(1)
    assert weighted_tau([-gain for gain in gains], gains) == pytest.approx(-1)
    assert weighted_tau([4, 5, 3, 2, 1], gains) < weighted_tau([5, 4, 3, 1, 2], gains)


@pytest.mark.parametrize(
    ("scores", "tau", "r"),
    [
        ([5.911, 6.363, 6.567, 6.901, 6.945, 6.210, 6.547, 6.706, 5.928, 6.018], 0.800, 0.839),  # H-score
        ([-1.385, -1.259, -1.010, -0.829, -0.838, -1.035, -0.934, -0.888, -1.100, -1.066], 0.638, 0.604),  # LEEP
        ([0.293, 0.349, 0.388, 0.463, 0.469, 0.302, 0.343, 0.369, 0.291, 0.304], 0.785, 0.733),  # LogME
        ([-1.139, -1.060, -1.007, -0.838, -0.851, -1.006, -0.946, -0.866, -1.089, -1.086], 0.714, 0.786),  # NCE
    ],
)
def test_agreement_as_published_for_ten_networks_on_cifar10(scores: list[float], tau: float, r: float) -> None:
    """TLlib's model selection benchmark: accuracies after fine-tuning, in percent."""
    accuracies = [96.2, 97.5, 96.8, 97.7, 97.9, 97.2, 97.4, 97.4, 95.7, 96.8]
    assert weighted_tau(scores, accuracies) == pytest.approx(tau, abs=0.002)
    assert pearson(scores, accuracies) == pytest.approx(r, abs=0.002)


@pytest.mark.parametrize("agreement", [weighted_tau, pearson])
@pytest.mark.parametrize(
    ("scores", "gains", "says"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([1, 2, 3], [1, 2], "one each"),
        ([1, 2, math.nan], [1, 2, 3], "not finite"),
        ([1, 2, 3], [0.5, 0.5, 0.5], "all gains are equal"),
        ([0, 0, 0], [1, 2, 3], "all scores are equal"),
    ],
)
def test_no_agreement_without_an_order(agreement: Score, scores: list[float], gains: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        agreement(scores, gains)


# --- the registry -----------------------------------------------------------------------------------------------------


def evidence(seed: int = 0, n: int = 60) -> Evidence:
    features, theta, labels = task(seed, n, 8)
    return Evidence(labels, theta, features, np.random.default_rng(seed + 1).normal(size=(50, 8)))


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("seed", range(3))
def test_every_estimator_stays_within_its_bounds(name: str, seed: int) -> None:
    seen, estimator = evidence(seed), ESTIMATORS[name]
    low, high = estimator.bounds(60, 4, 8)
    value = estimate(name, seen)
    assert isinstance(value, float)
    assert low - 1e-9 <= value <= high + 1e-9
    assert estimate(name, seen) == value


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_says_what_it_is(name: str) -> None:
    estimator = ESTIMATORS[name]
    assert estimator.name == name
    assert estimator.sentence.endswith(".")
    assert estimator.title
    assert estimator.range
    assert any(year in estimator.paper for year in ("2007", "2019", "2020", "2021", "2022"))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_asks_for_what_it_needs_and_no_more(name: str) -> None:
    seen, needs = evidence(), ESTIMATORS[name].needs
    absent = {
        "source probabilities": {"source_probabilities": None},
        "features": {"features": None},
        "features of both tasks": {"source_features": None},
    }
    with pytest.raises(UserError, match=f"needs {needs}: "):
        estimate(name, replace(seen, **absent[needs]))
    with pytest.raises(ValueError, match="not measured"):
        ESTIMATORS[name].compute(replace(seen, **absent[needs]))
    if needs != "features of both tasks":
        spare = {key: None for other, part in absent.items() if other != needs for key in part}
        assert estimate(name, replace(seen, **spare)) == estimate(name, seen)


def test_an_unknown_estimator_is_named() -> None:
    with pytest.raises(UserError, match="unknown estimator 'leap': did you mean leep"):
        estimate("leap", evidence())


def test_more_separable_features_promise_more() -> None:
    """Each estimator of target features puts a good source before noise, in the direction that it declares."""
    good, labels = task(0, 120)[0], task(0, 120)[2]
    noise = np.random.default_rng(5).normal(size=good.shape)
    for name, estimator in ESTIMATORS.items():
        if estimator.needs == "features":
            gap = estimate(name, Evidence(labels, features=good)) - estimate(name, Evidence(labels, features=noise))
            assert (gap > 0) == estimator.higher_is_better, name
