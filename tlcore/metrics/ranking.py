"""Transferability estimators: how well a source model may transfer, guessed from one forward pass, without training.

A score ranks source models for one target task; its size means little across tasks. So `weighted_tau` and `pearson`
measure how well a score's order agrees with the gains that were really measured. `ESTIMATORS` lists them all; adding
one is one entry there.

In all of them n is the number of target examples, c the number of target classes *present* in the labels (a class
without an example has no part in any formula), k the number of source classes and d the number of features. Labels are
class names of any kind (numbers or text): only which examples share one matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tlcore.errors import UserError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

# Rounding: what is left of a column after centring if all of its entries are equal.
ROUNDING = 1e-13
# Probabilities of one example may miss a sum of 1 by what float32, or a bfloat16 network's head, rounds away.
SUM_TOLERANCE = 1e-3
# LogME's targets are 0 and 1. Without a floor under the noise, features that fit them exactly have infinite evidence.
NOISE_FLOOR = 1e-8
# Least variance of a feature within a class, from the reference implementation of GBC.
VARIANCE_FLOOR = 1e-4
# How far beyond the features' own variances, in natural logarithms, LogME's prior is searched for: at e±30 of them it
# is as good as fixed at either end.
REACH = 30.0

Needs = Literal["source probabilities", "features", "features of both tasks"]


def leep(source_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """LEEP: mean log likelihood of the labels under the source model's own predictions, re-read.

    ``1/n Σᵢ log Σ_z P(yᵢ|z) θ(xᵢ)_z`` with the joint ``P(y, z) = 1/n Σ_{i: yᵢ=y} θ(xᵢ)_z`` (Nguyen et al. 2020, "LEEP:
    A New Measure to Evaluate Transferability of Learned Representations"). Source classes without any mass, for which
    the formula is 0/0, take no part.

    Args:
        source_probabilities: The source model's softmax outputs on target examples, shape (n, k).
        labels: Target labels, shape (n,).

    Returns:
        A value in [-H(Y), 0], so in [-ln c, 0]; a source that says the same about every example gives -H(Y).

    Raises:
        ValueError: If the lengths differ, a number is not finite, rows are no probabilities, or only one class is
            present.
    """
    theta = _probabilities(source_probabilities)
    classes, of = _labels(labels, len(theta))
    joint = np.zeros((classes, theta.shape[1]))
    np.add.at(joint, of, theta)
    mass = joint.sum(axis=0)
    seen = mass > 0
    given_source = joint[:, seen] / mass[seen]
    return min(0.0, float(np.log((given_source[of] * theta[:, seen]).sum(axis=1)).mean()))


def nce(source_labels: ArrayLike, labels: ArrayLike) -> float:
    """NCE: negative conditional entropy of the labels, given what class the source model sees.

    ``-H(Y|Z) = Σ P(y, z) log(P(y, z) / P(z))`` over the pairs that occur (Tran, Nguyen and Hassner 2019,
    "Transferability and Hardness of Supervised Classification Tasks").

    Args:
        source_labels: The source model's most probable class for each target example, shape (n,).
        labels: Target labels, shape (n,).

    Returns:
        A value in [-ln c, 0]; 0 if the source class determines the label, -H(Y) if it is always the same.

    Raises:
        ValueError: If the lengths differ, a number is not finite, or only one target class is present.
    """
    seen = np.asarray(source_labels)
    classes, of = _labels(labels, len(seen) if seen.ndim else 0)
    sources, z = _codes(source_labels, "source labels")
    counts = np.zeros((classes, sources))
    np.add.at(counts, (of, z), 1.0)
    share = counts / counts.sum(axis=0)
    occurs = counts > 0
    return min(0.0, float((counts[occurs] * np.log(share[occurs])).sum() / len(of)))


def h_score(features: ArrayLike, labels: ArrayLike, *, regularised: bool = True) -> float:
    """H-score: how much of the features' spread lies between the classes.

    ``tr(cov(F)⁻¹ cov(E[F|y]))`` (Bao et al. 2019, "An Information-Theoretic Approach to Transferability in Task
    Transfer Learning"). Regularised: ``tr(Σ_α⁻¹ (1-α) cov(E[F|y]))`` with the Ledoit-Wolf covariance ``Σ_α`` and its
    shrinkage α (Ibrahim, Ponomareva and Mazumder 2022, "Newer is not always better: Rethinking Transferability
    Metrics"), which is the default: without it any features of n ≤ d + 1 examples, noise included, reach c - 1.

    Not regularised it is the same under every invertible linear map, duplicated and constant features; directions
    without variance take no part (the published pseudo-inverse blows them up). Regularised it is the same under
    rotation and scale, while constant features lower it: they count in the mean variance that is shrunk towards.

    Args:
        features: Source features of the target examples, shape (n, d).
        labels: Target labels, shape (n,).
        regularised: Whether to shrink the covariance.

    Returns:
        A value in [0, min(c - 1, d)] (regularised: up to a share 1/n above it, for its two covariances divide by n and
        n - 1); 0 if all features are constant.

    Raises:
        ValueError: If the lengths differ, a number is not finite, or only one class is present.
    """
    rows = _features(features, "features")
    classes, of = _labels(labels, len(rows))
    rows = _without_rounding(rows)
    largest = np.abs(rows).max(initial=0.0)
    if largest == 0:
        return 0.0
    n, width = rows.shape
    if not regularised:
        # Invariant to the scale of single features, so take the one in which the rank is easiest to see.
        deviations = rows.std(axis=0)
        u, _ = _left_singular(rows[:, deviations > 0] / deviations[deviations > 0])
        return float(_between(u, of, classes).sum())
    rows = rows / largest
    alpha = _shrinkage(rows)
    u, s = _left_singular(rows)
    # In the basis of the singular vectors both matrices are diagonal, or only their diagonal counts: none is d × d.
    shrunk = (1 - alpha) * s**2 / n + alpha * np.square(rows).sum() / (n * width)
    between = (1 - alpha) * s**2 * _between(u, of, classes) / (n - 1)
    return float((between / shrunk).sum())


def log_me(features: ArrayLike, labels: ArrayLike) -> float:
    """LogME: log evidence of the labels under Bayesian linear regression on the features, maximised.

    ``mean_c max_{α, β} 1/n log N(y_c; 0, I/β + FFᵀ/α)`` with ``y_c`` the 0/1 indicator of a class (You et al. 2021,
    "LogME: Practical Assessment of Pre-trained Models for Transfer Learning"). For a given ratio λ = α/β the best β is
    known, so only λ is searched for; the published fixed-point iteration stops early on wide noise, and counts
    missing ranks. The noise variance 1/β is kept at `NOISE_FLOOR` or above, where labels that the features fit
    exactly would have infinite evidence.

    It is the same under rotation and scale of the features and with added zero features; duplicated features change
    nothing but the prior's scale, which is maximised over.

    Args:
        features: Source features of the target examples, shape (n, d); not centred, as published.
        labels: Target labels, shape (n,).

    Returns:
        A value of at most ``-½ log(2π · NOISE_FLOOR)`` = 8.29; all-zero features give the evidence of noise alone,
        which is the least for these labels.

    Raises:
        ValueError: If the lengths differ, a number is not finite, or only one class is present.
    """
    rows = _features(features, "features")
    classes, of = _labels(labels, len(rows))
    indicators = np.eye(classes)[of]
    largest = np.abs(rows).max(initial=0.0)
    u, s = _left_singular(rows / largest) if largest > 0 else (np.zeros((len(rows), 0)), np.zeros(0))
    variances = s**2
    along = u.T @ indicators
    # The residual itself: as a difference of sums, a near-perfect fit would lose its digits.
    missed = np.square(indicators - u @ along).sum(axis=0)
    ends = (math.log(variances[-1]) - REACH, math.log(variances[0]) + REACH) if largest > 0 else (0.0, 1.0)
    grid = np.linspace(*ends, 500)
    coarse = _evidence(grid, variances, np.square(along), missed, len(rows))
    return (
        math.fsum(
            _peak(grid, coarse[:, c], variances, np.square(along[:, [c]]), missed[[c]], len(rows))
            for c in range(classes)
        )
        / classes
    )


def trans_rate(features: ArrayLike, labels: ArrayLike, epsilon: float = 1e-4, *, standardise: bool = True) -> float:
    """TransRate: how many nats it takes to code the features, less what it takes class by class.

    ``R(F) - 1/c Σ_c R(F_c)`` with ``R(A) = ½ log det(I + AᵀA / (m ε))`` for the m rows of A and F centred as a whole
    (Huang et al. 2022, "Frustratingly Easy Transferability Estimation"; classes weigh alike, as in TLlib).

    As published it depends on the features' scale, so sources cannot be compared. Standardised, F is divided by the
    root of its total variance first: then it is the same under scale, rotation, duplicated and constant features, and
    ε is the distortion relative to that variance.

    Args:
        features: Source features of the target examples, shape (n, d).
        labels: Target labels, shape (n,).
        epsilon: Distortion, above 0.
        standardise: Whether to bring the features to a total variance of 1; False gives the published form.

    Returns:
        A value of any sign, usually above 0 and larger the better the classes separate; 0 if all features are
        constant. Classes of one example are coded by themselves and need no special case.

    Raises:
        ValueError: If the lengths differ, a number is not finite, only one class is present, or epsilon is not above 0.
    """
    if not epsilon > 0:
        raise ValueError("epsilon must lie above 0")
    rows = _features(features, "features")
    classes, of = _labels(labels, len(rows))
    rows = _without_rounding(rows)
    largest = np.abs(rows).max(initial=0.0)
    if largest == 0:
        return 0.0
    if standardise:
        rows = rows / largest
        rows = rows / math.sqrt(np.square(rows).sum() / len(rows))
    within = [_coding_rate(rows[of == c], epsilon) for c in range(classes)]
    return _coding_rate(rows, epsilon) - math.fsum(within) / classes


def gbc(features: ArrayLike, labels: ArrayLike, covariance: Literal["diagonal", "spherical"] = "diagonal") -> float:
    """GBC: how much the classes overlap, each taken for a Gaussian.

    ``-Σ_{a≠b} exp(-D(a, b))`` with Bhattacharyya's distance ``D = ⅛ Σ (μ_a - μ_b)² / σ̄ + ½ Σ log(σ̄ / √(σ_a σ_b))``,
    σ̄ the mean of both variances (Pándy et al. 2022, "Transferability Estimation using Bhattacharyya Class
    Separability"). Variances are kept at `VARIANCE_FLOOR` or above, as in the authors' code: so classes of a single
    example and dead features have one, and the score is not scale-invariant where the floor is reached.

    ``spherical`` takes one variance a class, the mean over the features. As in the authors' code, the second sum then
    has one term where a true spherical Gaussian has d equal ones.

    Args:
        features: Source features of the target examples, shape (n, d); the paper reduces them to 64 by PCA before.
        labels: Target labels, shape (n,).
        covariance: ``diagonal`` or ``spherical``.

    Returns:
        A value in [-c(c-1), 0]; the lower end if all classes are alike (constant features included), 0 if none
        overlap, which hundreds of unreduced features always say.

    Raises:
        ValueError: If the lengths differ, a number is not finite, only one class is present, or the covariance is
            neither.
    """
    if covariance not in ("diagonal", "spherical"):
        raise ValueError(f"covariance is diagonal or spherical, not {covariance}")
    rows = _features(features, "features")
    classes, of = _labels(labels, len(rows))
    means = np.stack([rows[of == c].mean(axis=0) for c in range(classes)])
    variances = np.stack([rows[of == c].var(axis=0) for c in range(classes)]).clip(min=VARIANCE_FLOOR)
    if covariance == "spherical":
        variances = variances.mean(axis=1, keepdims=True)
    total = 0.0
    for c in range(classes - 1):  # a class at a time: c × d numbers, never c × c × d
        shared = (variances[c] + variances[c + 1 :]) / 2
        apart = (np.square(means[c] - means[c + 1 :]) / shared).sum(axis=1) / 8
        shape = (np.log(shared) - (np.log(variances[c]) + np.log(variances[c + 1 :])) / 2).sum(axis=1) / 2
        total += 2 * float(np.exp(-(apart + shape)).sum())
    return -total


@dataclass(frozen=True)
class ADistance:
    """How well a linear classifier tells two sets of features apart.

    Args:
        distance: Proxy A-distance in [0, 2]: `raw`, or 0 where that is below.
        raw: ``2 (1 - 2 error)``, in [-2, 2]; below 0 the classifier did worse than a coin on held-out examples.
        error: Its held-out error, the mean over both sides, in [0, 1].
        n: Number of examples of the smaller side.
    """

    distance: float
    raw: float
    error: float
    n: int


def proxy_a_distance(
    source_features: ArrayLike, target_features: ArrayLike, seed: int = 0, folds: int = 5
) -> ADistance:
    """Proxy A-distance: how far two domains lie apart for a linear classifier.

    ``2 (1 - 2 ε)`` with ε the held-out error of a classifier that tells source from target (Ben-David et al. 2007,
    "Analysis of Representations for Domain Adaptation"). Here: logistic regression on standardised features,
    cross-validated; ε is the mean of both sides' errors and the sides weigh alike, so that unequal numbers of examples
    do not look like a distance.

    Args:
        source_features: Features of source examples, shape (n_source, d).
        target_features: Features of target examples by the same network, shape (n_target, d).
        seed: Seed of the split.
        folds: Number of parts, each held out once; fewer where a side has fewer examples.

    Returns:
        The distance, clipped at 0, with what it was before and the error. Two sets from one distribution are about 0
        before clipping; the same examples on both sides lie below, as their copies mislead the classifier.

    Raises:
        ValueError: If the widths differ, a number is not finite, a side has fewer than 2 examples, or folds is below 2.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second to import
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source = _features(source_features, "source features")
    target = _features(target_features, "target features")
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"{source.shape[1]} and {target.shape[1]} features cannot be compared: use one network")
    n = min(len(source), len(target))
    if n < 2 or folds < 2:
        raise ValueError("give at least 2 examples of each side and 2 folds")
    rows = _without_rounding(np.concatenate([source, target]))
    side = np.repeat([0, 1], [len(source), len(target)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=5000))
    splits = StratifiedKFold(min(folds, n), shuffle=True, random_state=seed)
    error = 1 - float(balanced_accuracy_score(side, cross_val_predict(classifier, rows, side, cv=splits)))
    raw = 2 * (1 - 2 * error)
    return ADistance(max(0.0, raw), raw, error, n)


def weighted_tau(scores: ArrayLike, gains: ArrayLike) -> float:
    """How well the order of the scores agrees with the order of the measured gains, the top counting most.

    Kendall's τ with each pair weighted by ``1/(r+1) + 1/(s+1)`` for the ranks r and s of its two, 0 at the top (Vigna
    2015), the mean over ranking by score and by gain: `scipy.stats.weightedtau`.

    Args:
        scores: One score a candidate, shape (m,), m at least 3.
        gains: What transfer from it really gained, shape (m,).

    Returns:
        A value in [-1, 1]; 1 for the same order.

    Raises:
        ValueError: If the lengths differ, there are fewer than 3, a number is not finite, or all of a side are equal.
    """
    one, other = _both(scores, gains)
    from scipy import stats  # takes a second to import

    found: Any = stats.weightedtau(one, other)
    return float(found.statistic)


def pearson(scores: ArrayLike, gains: ArrayLike) -> float:
    """Linear correlation of scores and measured gains.

    Args:
        scores: One score a candidate, shape (m,), m at least 3.
        gains: What transfer from it really gained, shape (m,); accuracies of several tasks on the logit scale.

    Returns:
        Pearson's r, in [-1, 1].

    Raises:
        ValueError: If the lengths differ, there are fewer than 3, a number is not finite, or all of a side are equal.
    """
    one, other = (side - side.mean() for side in _both(scores, gains))
    one, other = one / np.abs(one).max(), other / np.abs(other).max()
    return float(np.clip(one @ other / math.sqrt((one @ one) * (other @ other)), -1.0, 1.0))


# --- the registry -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """What was seen of a source model on a target task: everything an estimator may need.

    Args:
        labels: Target labels, shape (n,).
        source_probabilities: The source model's softmax outputs on the target examples, shape (n, k), or None.
        features: Its features of the target examples, shape (n, d), or None.
        source_features: Its features of source examples, shape (m, d), or None.
    """

    labels: ArrayLike
    source_probabilities: ArrayLike | None = None
    features: ArrayLike | None = None
    source_features: ArrayLike | None = None

    def has(self, needs: Needs) -> bool:
        """Whether what an estimator needs is there.

        Args:
            needs: What it needs.

        Returns:
            True if all of it is.
        """
        if needs == "source probabilities":
            return self.source_probabilities is not None
        return self.features is not None and (needs == "features" or self.source_features is not None)


@dataclass(frozen=True)
class Estimator:
    """A transferability estimator as pages, command line and tests list it.

    Args:
        name: What the command line and the URL call it.
        title: What a page calls it.
        sentence: What it measures, in one sentence.
        paper: Where it comes from.
        needs: What it is computed from.
        range: Its values, in words.
        bounds: Least and greatest value for a number of examples, of target classes and of features.
        higher_is_better: Whether a higher value promises more from transfer.
        compute: Computes it.
    """

    name: str
    title: str
    sentence: str
    paper: str
    needs: Needs
    range: str
    bounds: Callable[[int, int, int], tuple[float, float]]
    higher_is_better: bool
    compute: Callable[[Evidence], float]


def estimate(name: str, evidence: Evidence) -> float:
    """Compute one estimator by its name.

    Args:
        name: Name of an estimator.
        evidence: What was seen; it must hold what the estimator needs.

    Returns:
        Its value.

    Raises:
        UserError: If there is no such estimator, or what it needs was not measured.
        ValueError: If the estimator cannot be computed from the values.
    """
    if name not in ESTIMATORS:
        raise UserError(unknown_name("estimator", name, ESTIMATORS))
    estimator = ESTIMATORS[name]
    if not evidence.has(estimator.needs):
        raise UserError(f"{estimator.title} needs {estimator.needs}: choose a source model that gives them")
    return estimator.compute(evidence)


def _given(values: ArrayLike | None) -> ArrayLike:
    if values is None:
        raise ValueError("the estimator needs something that was not measured")
    return values


ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Estimator(
            name="leep",
            title="LEEP",
            sentence="How well the source model's own predictions, re-read as target classes, explain the labels.",
            paper="Nguyen et al. 2020, LEEP: A New Measure to Evaluate Transferability of Learned Representations",
            needs="source probabilities",
            range="from -ln(classes), predictions that say nothing, to 0",
            bounds=lambda _, classes, __: (-math.log(classes), 0.0),
            higher_is_better=True,
            compute=lambda seen: leep(_given(seen.source_probabilities), seen.labels),
        ),
        Estimator(
            name="nce",
            title="NCE",
            sentence="How little doubt about the label is left once the source model's predicted class is known.",
            paper="Tran, Nguyen and Hassner 2019, Transferability and Hardness of Supervised Classification Tasks",
            needs="source probabilities",
            range="from -ln(classes), predictions that say nothing, to 0",
            bounds=lambda _, classes, __: (-math.log(classes), 0.0),
            higher_is_better=True,
            compute=lambda seen: nce(_probabilities(_given(seen.source_probabilities)).argmax(axis=1), seen.labels),
        ),
        Estimator(
            name="h_score",
            title="H-score",
            sentence="How much of the features' spread lies between the classes rather than within them.",
            paper="Bao et al. 2019, An Information-Theoretic Approach to Transferability in Task Transfer Learning; "
            "regularised as by Ibrahim, Ponomareva and Mazumder 2022, Newer is not always better",
            needs="features",
            range="from 0 to the number of classes less one (or the number of features, if that is lower)",
            bounds=lambda n, classes, width: (0.0, min(classes - 1, width) * n / (n - 1)),
            higher_is_better=True,
            compute=lambda seen: h_score(_given(seen.features), seen.labels),
        ),
        Estimator(
            name="log_me",
            title="LogME",
            sentence="How probable the labels are under a linear model of the features, all its weights weighed up.",
            paper="You et al. 2021, LogME: Practical Assessment of Pre-trained Models for Transfer Learning",
            needs="features",
            range="any number up to 8.29, which is labels that the features fit exactly",
            bounds=lambda *_: (-math.inf, -math.log(2 * math.pi * NOISE_FLOOR) / 2),
            higher_is_better=True,
            compute=lambda seen: log_me(_given(seen.features), seen.labels),
        ),
        Estimator(
            name="trans_rate",
            title="TransRate",
            sentence="How much shorter a code for the features gets once the classes are known.",
            paper="Huang et al. 2022, Frustratingly Easy Transferability Estimation",
            needs="features",
            range="any number; 0 for features that say nothing",
            bounds=lambda *_: (-math.inf, math.inf),
            higher_is_better=True,
            compute=lambda seen: trans_rate(_given(seen.features), seen.labels),
        ),
        Estimator(
            name="gbc",
            title="GBC",
            sentence="How little the classes overlap in the features, each taken for a Gaussian cloud.",
            paper="Pándy et al. 2022, Transferability Estimation using Bhattacharyya Class Separability",
            needs="features",
            range="from -classes × (classes - 1), all alike, to 0, no overlap",
            bounds=lambda _, classes, __: (-classes * (classes - 1.0), 0.0),
            higher_is_better=True,
            compute=lambda seen: gbc(_given(seen.features), seen.labels),
        ),
        Estimator(
            name="proxy_a_distance",
            title="Proxy A-distance",
            sentence="How easily a linear classifier tells source images from target images by their features.",
            paper="Ben-David et al. 2007, Analysis of Representations for Domain Adaptation",
            needs="features of both tasks",
            range="from 0, alike for the classifier, to 2, never confused",
            bounds=lambda *_: (0.0, 2.0),
            higher_is_better=False,
            compute=lambda seen: proxy_a_distance(_given(seen.source_features), _given(seen.features)).distance,
        ),
    )
}
"""Every estimator by name, in the order in which pages list them."""


# --- the parts that the estimators share ------------------------------------------------------------------------------


def _evidence(
    exponents: NDArray[np.float64],
    variances: NDArray[np.float64],
    projected: NDArray[np.float64],
    missed: NDArray[np.float64],
    n: int,
) -> NDArray[np.float64]:
    """LogME's evidence per example for given log λ (g,) and classes (c,), each with its best β: shape (g, c).

    With ``F = U S Vᵀ``, ``t = Uᵀy`` and ``Q = ‖y - Ut‖² + Σ λ t² / (s² + λ)`` it is ``-½ Σ log(1 + s²/λ) + n/2 log β -
    β Q / 2 - n/2 log 2π``, which is greatest at β = n / Q.
    """
    ratios = np.exp(exponents)[:, None]
    quadratic = missed + (ratios / (variances + ratios)) @ projected
    beta = np.minimum(n / np.maximum(quadratic, n * NOISE_FLOOR), 1 / NOISE_FLOOR)
    shape = np.log1p(variances / ratios).sum(axis=1)[:, None]
    return (-shape + n * np.log(beta / (2 * math.pi)) - beta * quadratic) / (2 * n)


def _peak(
    grid: NDArray[np.float64],
    coarse: NDArray[np.float64],
    variances: NDArray[np.float64],
    projected: NDArray[np.float64],
    missed: NDArray[np.float64],
    n: int,
) -> float:
    """Greatest evidence of one class: look ever closer around the best place of the grid."""
    values = coarse
    for _ in range(7):
        best = int(values.argmax())
        grid = np.linspace(grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)], 41)
        values = _evidence(grid, variances, projected, missed, n)[:, 0]
    return float(values.max())


def _left_singular(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left singular vectors and singular values, those of no more than rounding left out.

    With more features than examples they come from the small matrix of inner products: 20 times as fast, and what its
    squares lose lies below a ten-millionth of the largest value, where float32 features have nothing but rounding.
    """
    n, width = rows.shape
    eps = float(np.finfo(np.float64).eps)
    if width > n:
        squares, u = np.linalg.eigh(rows @ rows.T)
        held = squares > squares[-1] * n * eps
        return u[:, held][:, ::-1], np.sqrt(squares[held][::-1])
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    held = s > s[0] * n * eps
    return u[:, held], s[held]


def _shrinkage(rows: NDArray[np.float64]) -> float:
    """Ledoit and Wolf's (2004) share of the mean variance in the covariance of centred rows, in [0, 1].

    scikit-learn's function of this name walks over d × d numbers, which takes minutes for wide features; the sums that
    it needs are sums over n × n numbers as well.
    """
    n, width = rows.shape
    gram = rows @ rows.T if width > n else rows.T @ rows
    squared = float(np.square(gram).sum()) / n**2  # ‖S‖²_F
    trace = float(np.trace(gram)) / n
    noise = (float(np.square(np.square(rows).sum(axis=1)).sum()) / n - squared) / n
    apart = squared - trace**2 / width
    if apart <= ROUNDING * squared:
        return 0.0  # the covariance already is a multiple of the identity, as any single feature's is
    return min(1.0, max(0.0, noise / apart))


def _between(vectors: NDArray[np.float64], of: NDArray[np.intp], classes: int) -> NDArray[np.float64]:
    """For each column, the sum over examples of the squared mean of its class."""
    sums = np.zeros((classes, vectors.shape[1]))
    np.add.at(sums, of, vectors)
    return (np.square(sums) / np.bincount(of)[:, None]).sum(axis=0)


def _coding_rate(rows: NDArray[np.float64], epsilon: float) -> float:
    m, width = rows.shape
    gram = rows @ rows.T if width > m else rows.T @ rows  # both have the same determinant; take the small one
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (m * epsilon)).logabsdet) / 2


def _without_rounding(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred columns, with the constant ones at exactly zero."""
    centred = rows - rows.mean(axis=0)
    centred[:, np.abs(centred).max(axis=0) <= ROUNDING * np.abs(rows).max(axis=0)] = 0.0
    return centred


def _features(values: ArrayLike, name: str) -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"{name} have shape {rows.shape}: give one row an example, flattened")
    if not np.isfinite(rows).all():
        raise ValueError(f"a number of the {name} is not finite: leave diverged networks out and say so")
    return rows


def _probabilities(values: ArrayLike) -> NDArray[np.float64]:
    rows = _features(values, "source probabilities")
    if rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        raise ValueError("the rows are no probabilities: give the softmax of the source model's outputs")
    return rows


def _codes(values: ArrayLike, name: str) -> tuple[int, NDArray[np.intp]]:
    names = np.asarray(values)
    if names.ndim != 1 or names.size == 0:
        raise ValueError(f"{name} have shape {names.shape}: give one an example")
    if names.dtype.kind == "f" and not np.isfinite(names).all():
        raise ValueError(f"one of the {name} is not finite")
    known, of = np.unique(names, return_inverse=True)
    return len(known), of


def _labels(labels: ArrayLike, n: int) -> tuple[int, NDArray[np.intp]]:
    """Number of classes present, and the class of each of n examples, counted from 0."""
    classes, of = _codes(labels, "labels")
    if len(of) != n:
        raise ValueError(f"{len(of)} labels for {n} examples")
    if classes < 2:
        raise ValueError("only one class is present: give labelled examples of at least two")
    return classes, of


def _both(scores: ArrayLike, gains: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(scores, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"scores of shape {one.shape} and gains of shape {other.shape}: give one each a candidate")
    if len(one) < 3:
        raise ValueError("give at least 3 candidates: two always agree or disagree altogether")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a score or a gain is not finite: leave that candidate out and say so")
    for side, name in ((one, "scores"), (other, "gains")):
        if np.ptp(side) <= ROUNDING * np.abs(side).max():
            raise ValueError(f"all {name} are equal: they have no order to agree with")
    return one, other
