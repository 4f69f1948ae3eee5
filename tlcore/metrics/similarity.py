"""How alike two sets of features are, and how far features and weights moved: NumPy only.

Everything here compares what two networks (or one network at two times) say about the *same* examples, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

# Below this share of the largest entry, what is left after centring is rounding: float64 has 16 digits.
ROUNDING = 1e-13
# The same for the difference of sums in the debiased form, which loses a few digits more.
DEBIASED_ROUNDING = 1e-11


def linear_cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centred kernel alignment, as it was published; `debiased_cka` is the better default.

    ``‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F)`` with centred columns (Kornblith et al. 2019, "Similarity of Neural Network
    Representations Revisited"). Biased upwards when there are fewer examples than features: independent noise of 50
    examples and 1000 features gives .95.

    Args:
        x: Features of one network, shape (n, …); further axes are flattened.
        y: Features of the other for the same n examples; their number of features may differ.

    Returns:
        A value in [0, 1]; 1 if one is a rotated, reflected, shifted and scaled copy of the other.

    Raises:
        ValueError: If the rows do not match, n is below 2, a number is not finite, or all rows of a side are equal
            (constant features resemble nothing: the formula is 0/0).
    """
    return _cka(_centred(x, "x"), _centred(y, "y"), debiased=False)


def debiased_cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centred kernel alignment without the bias of few examples.

    As `linear_cka`, but each ``‖YᵀX‖²_F`` is replaced by its unbiased estimate ``‖YᵀX‖²_F - n/(n-2) Σᵢ rᵢ sᵢ +
    ‖X‖²_F ‖Y‖²_F / ((n-1)(n-2))`` with r and s the squared norms of the centred rows (Song et al. 2012; Nguyen, Raghu
    and Kornblith 2021). Independent noise is 0 on average at any width.

    Args:
        x: Features of one network, shape (n, …), n at least 4; further axes are flattened.
        y: Features of the other for the same n examples; their number of features may differ.

    Returns:
        A value in [-1, 1]: 1 as for `linear_cka`, about 0 without any relation, a little below 0 by chance.

    Raises:
        ValueError: As `linear_cka`, if n is below 4, or if a side has no structure beyond single rows (for instance a
            lone unit that answers to one example).
    """
    return _cka(_centred(x, "x"), _centred(y, "y"), debiased=True)


def rbf_cka(x: ArrayLike, y: ArrayLike, width: float = 0.5, *, debiased: bool = True) -> float:
    """Centred kernel alignment with a Gaussian kernel.

    ``k(a, b) = exp(-‖a - b‖² / (2 width² m))`` with m the median of all n² squared distances (Kornblith et al. 2019).

    Args:
        x: Features of one network, shape (n, …); further axes are flattened.
        y: Features of the other for the same n examples.
        width: Width of the kernel as a share of the median distance, above 0.
        debiased: Whether to use the unbiased form of `debiased_cka` in place of the published one.

    Returns:
        A value in [0, 1], or in [-1, 1] if debiased.

    Raises:
        ValueError: As `linear_cka` or `debiased_cka`, if the width is not above 0, or if more than half of the pairs
            of rows are equal (their median distance is 0).
    """
    if not width > 0:
        raise ValueError("the kernel's width must lie above 0")
    return _cka(_gaussian(x, "x", width), _gaussian(y, "y", width), debiased=debiased)


def cka_matrix(
    stages_a: Mapping[str, ArrayLike], stages_b: Mapping[str, ArrayLike], *, debiased: bool = True
) -> NDArray[np.float64]:
    """Similarity of every stage of one network with every stage of another.

    Args:
        stages_a: Features by stage, each of shape (n, …), all for the same n examples.
        stages_b: The same for the other network.
        debiased: Whether to use `debiased_cka` (the default) or `linear_cka`.

    Returns:
        Matrix of shape (stages of a, stages of b), in the order of the mappings. Rows and columns of a stage without
        variance (a dead one) are NaN, for it resembles nothing.

    Raises:
        ValueError: If there is no stage, the numbers of examples differ, n is too small, or a number is not finite.
    """
    if not stages_a or not stages_b:
        raise ValueError("no stages: give at least one for each network")
    sides = [[_centred(features, name) for name, features in stages.items()] for stages in (stages_a, stages_b)]
    values = np.empty((len(sides[0]), len(sides[1])))
    for row, one in enumerate(sides[0]):
        for column, other in enumerate(sides[1]):
            try:
                values[row, column] = _cka(one, other, debiased=debiased)
            except NoVarianceError:
                values[row, column] = np.nan
    return values


def matching_layer_accuracy(similarities: ArrayLike) -> float:
    """Share of stages of one network whose most similar stage in the other is the same stage.

    The sanity check of a similarity index (Kornblith et al. 2019, Table 2): between two networks that differ in their
    seed only, a stage should resemble its own counterpart most. Linear CKA found 99.3 % of them there, CCA 1.4 %.

    Args:
        similarities: Square matrix from `cka_matrix` of two networks with the same stages in the same order.

    Returns:
        A share in [0, 1]. A stage without variance (NaN) counts as not found; of equal values the first counts.

    Raises:
        ValueError: If the matrix is not square or empty.
    """
    values = np.asarray(similarities, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.size == 0:
        raise ValueError("the matrix must be square: compare two networks that have the same stages")
    # A NaN is never the most similar, and a row of nothing else has no most similar at all.
    best = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    found = (best == np.arange(len(values))) & ~np.isnan(values).all(axis=1)
    return float(found.mean())


def relative_change(before: ArrayLike, after: ArrayLike) -> float:
    """How far features moved, relative to their size.

    ``mean ‖f_after - f_before‖² / mean ‖f_before‖²`` over examples: 0 if nothing moved, 1 if the movement is as large
    as the features were. It has no unit, so stages of different width compare; `feature_movement` has the features'.

    Args:
        before: Features before training, shape (n, …).
        after: Features of the same examples and the same stage afterwards, same shape.

    Returns:
        A value of at least 0, without upper bound.

    Raises:
        ValueError: If the shapes differ, are empty, a number is not finite, or all features before were zero.
    """
    old, new = _same_shape(before, after)
    size = float(np.square(old).sum())
    if size == 0:
        raise ValueError("all features were zero before: their relative change is not defined")
    return float(np.square(new - old).sum()) / size


def feature_movement(before: ArrayLike, after: ArrayLike) -> float:
    """Mean Euclidean distance between an example's features before and after training.

    ``mean ‖f_after - f_before‖`` over examples, in the features' own unit: the distortion that Kumar et al. (2022,
    "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution") compare between fine-tuning
    and LP-FT, inside and outside of the training distribution.

    Args:
        before: Features before training, shape (n, …).
        after: Features of the same examples and the same stage afterwards, same shape.

    Returns:
        A value of at least 0, without upper bound.

    Raises:
        ValueError: If the shapes differ, are empty, or a number is not finite.
    """
    old, new = _same_shape(before, after)
    return float(np.sqrt(np.square(new - old).reshape(len(old), -1).sum(axis=1)).mean())


def weight_change(
    before: Mapping[str, Sequence[ArrayLike]], after: Mapping[str, Sequence[ArrayLike]]
) -> dict[str, float]:
    """How far each stage's weights moved, relative to their size.

    ``‖w - w₀‖ / ‖w₀‖`` with the Euclidean norm over all arrays of a stage together (Li, Grandvalet and Davoine 2018
    penalise this distance from the start: L2-SP).

    Args:
        before: Arrays by stage.
        after: The same arrays after training.

    Returns:
        The change by stage, each at least 0. Stages that started at zero, or have no weights, or whose weights are
        no longer finite, are left out: they have no relative change.

    Raises:
        ValueError: If the stages differ, or the arrays of one differ in number or shape.
    """
    if list(before) != list(after):
        raise ValueError(f"stages {list(before)} and {list(after)} cannot be compared")
    changes: dict[str, float] = {}
    for name in before:
        old = [np.asarray(array, dtype=np.float64) for array in before[name]]
        new = [np.asarray(array, dtype=np.float64) for array in after[name]]
        if [array.shape for array in old] != [array.shape for array in new]:
            raise ValueError(f"the arrays of stage {name} differ in number or shape")
        moved = sum(float(np.square(b - a).sum()) for a, b in zip(old, new, strict=True))
        size = sum(float(np.square(array).sum()) for array in old)
        if size > 0 and np.isfinite(moved):
            changes[name] = float(np.sqrt(moved / size))
    return changes


# --- the parts that the indices share ---------------------------------------------------------------------------------


class NoVarianceError(ValueError):
    """Features that are the same for every example: no similarity is defined."""


@dataclass(frozen=True)
class _Centred:
    """One side of a comparison, centred and scaled, in the cheaper of two forms.

    Args:
        name: What an error calls it.
        rows: Centred features (n, d), or None.
        gram: Their inner products (n, n), or None: for more features than examples this is the small one.
        norms: Squared norms of the rows.
    """

    name: str
    rows: NDArray[np.float64] | None
    gram: NDArray[np.float64] | None
    norms: NDArray[np.float64]


def principal_components(rows: ArrayLike, count: int) -> NDArray[np.float64]:
    """The first principal components of some rows, by the rows' products: for far fewer rows than features.

    Args:
        rows: One example a row, shape (n, d).
        count: How many components at most.

    Returns:
        Coordinates along them, the strongest first, shape (n, min(n, count)); their signs mean nothing.
    """
    features = np.asarray(rows)
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    strongest = np.argsort(values)[::-1][:count]
    return vectors[:, strongest] * np.sqrt(np.maximum(values[strongest], 0))


def _centred(features: ArrayLike, name: str) -> _Centred:
    rows = _finite(features, name)
    if len(rows) < 2:
        raise ValueError(f"{name}: give at least 2 examples")
    largest = float(np.abs(rows).max(initial=0.0))
    rows = rows - rows.mean(axis=0)
    spread = float(np.abs(rows).max(initial=0.0))
    if spread <= ROUNDING * largest:
        return _Centred(name, None, None, np.zeros(len(rows)))
    rows /= spread  # the index does not depend on it, and squares of squares stay within float64
    norms = np.square(rows).sum(axis=1)
    if rows.shape[1] > len(rows):
        return _Centred(name, None, rows @ rows.T, norms)
    return _Centred(name, rows, None, norms)


def _gaussian(features: ArrayLike, name: str, width: float) -> _Centred:
    rows = _finite(features, name)
    if len(rows) < 2:
        raise ValueError(f"{name}: give at least 2 examples")
    rows = rows - rows.mean(axis=0)
    norms = np.square(rows).sum(axis=1)
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * rows @ rows.T, 0.0)
    np.fill_diagonal(distances, 0.0)
    median = float(np.median(distances))
    if median == 0:
        raise NoVarianceError(f"{name}: most examples have the same features, so the kernel has no width")
    gram = np.exp(distances / (-2 * width**2 * median))
    gram -= gram.mean(axis=0)
    gram -= gram.mean(axis=1, keepdims=True)
    return _Centred(name, None, gram, np.diag(gram).copy())


def _cka(one: _Centred, other: _Centred, *, debiased: bool) -> float:
    n = len(one.norms)
    if n != len(other.norms):
        raise ValueError(f"{one.name} has {n} examples and {other.name} {len(other.norms)}: compare the same ones")
    if debiased and n < 4:
        raise ValueError("the debiased form needs at least 4 examples: give more, or use linear_cka")
    for side in (one, other):
        if side.rows is None and side.gram is None:
            raise NoVarianceError(f"{side.name}: the features are the same for every example, nothing resembles them")
    own = _alignment(one, one, debiased=debiased), _alignment(other, other, debiased=debiased)
    for side, value in zip((one, other), own, strict=True):
        if value <= DEBIASED_ROUNDING * _alignment(side, side, debiased=False):
            raise NoVarianceError(f"{side.name}: the features have no structure beyond single examples")
    value = _alignment(one, other, debiased=debiased) / np.sqrt(own[0] * own[1])
    return float(np.clip(value, -1.0, 1.0))  # Cauchy and Schwarz, which rounding may overstep by a last digit


def _alignment(one: _Centred, other: _Centred, *, debiased: bool) -> float:
    """``‖YᵀX‖²_F``, which is ``⟨XXᵀ, YYᵀ⟩``, from whichever form each side has; without its bias if wanted."""
    if one.gram is not None and other.gram is not None:
        value = float(np.vdot(one.gram, other.gram))
    elif one.rows is not None and other.rows is not None:
        value = float(np.square(other.rows.T @ one.rows).sum())
    else:
        gram, rows = (one.gram, other.rows) if one.gram is not None else (other.gram, one.rows)
        assert gram is not None
        assert rows is not None
        value = float(np.vdot(gram @ rows, rows))
    if not debiased:
        return value
    n = len(one.norms)
    crossed = float(one.norms @ other.norms)
    return value - n / (n - 2) * crossed + float(one.norms.sum() * other.norms.sum()) / ((n - 1) * (n - 2))


def _finite(features: ArrayLike, name: str) -> NDArray[np.float64]:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim == 0:
        raise ValueError(f"{name}: features have one row an example")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: a feature is not finite; leave diverged networks out and say so")
    return values.reshape(len(values), -1) if values.size else values.reshape(len(values), 0)


def _same_shape(before: ArrayLike, after: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shapes = np.shape(before), np.shape(after)
    if shapes[0] != shapes[1]:
        raise ValueError(f"features of shape {shapes[0]} and {shapes[1]} cannot be compared")
    old, new = _finite(before, "before"), _finite(after, "after")
    if old.size == 0:
        raise ValueError("no features: give at least one example with one feature")
    return old, new
