"""Label budgets: which target images an arm may learn from, nested, stratified and seeded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tlcore.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tlcore.data.registry import Dataset

OBSERVATION_SEED = 20_000_003
P = TypeVar("P", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into a dataset's training images; the test images are another array and never in here.

    Args:
        labelled: The whole label budget, shape (classes × labels a class,), classes interleaved.
        training: The part of it that candidate learning rates train on.
        validation: The rest of it, that they are compared on.
        observation: Images outside the budget, the same for every seed and budget, that the curve is read on.
    """

    labelled: NDArray[np.int64]
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    observation: NDArray[np.int64]

    @property
    def sha256(self) -> str:
        """Hash of the labelled indices: equal hashes, equal images."""
        return hashlib.sha256(self.labelled.tobytes()).hexdigest()


def draw_test(dataset: Dataset, seed: int) -> NDArray[np.int64]:
    """Draw the images that a seed is tested on, for a dataset that has no test images apart.

    Stratified, and by groups: near copies are never on both sides.

    Args:
        dataset: A dataset whose seeds draw their own test images.
        seed: Seed of the draw, at least 0.

    Returns:
        Rows of its training images, ascending: of each class what `DatasetSpec.test_images` says, or fewer where whole
        groups do not fit, at least one.
    """
    wanted = [dataset.spec.test_images(int(count)) for count in np.bincount(dataset.y_train)]
    rows = np.arange(len(dataset.y_train))
    return _whole_groups(dataset, rows, wanted, np.random.default_rng([seed, 6]))


@dataclass(frozen=True, eq=False)
class Tested:
    """What a seed is tested on.

    Args:
        images: The test images as they are in the dataset.
        labels: Their labels.
        sha256: Hash of the images as this seed has them: another draw of the test images gives another.
        rows: Their rows among the training images, where each seed draws its own; None where they are apart.
        overlap: Test images over the others where each seed draws its own, for the intervals; 0 with a fixed test set.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sha256: str
    rows: NDArray[np.int64] | None = None
    overlap: float = 0.0


def tested(dataset: Dataset, seed: int) -> Tested:
    """The images that a seed is tested on: the dataset's own, or those of `draw_test` where it has none apart.

    Args:
        dataset: Any dataset.
        seed: The seed.

    Returns:
        The images.
    """
    if not dataset.spec.by_seed:
        return Tested(dataset.x_test, dataset.y_test, dataset.sha256)
    rows = draw_test(dataset, seed)
    others = max(len(dataset.y_train) - len(rows), 1)
    drawn = hashlib.sha256(dataset.sha256.encode() + rows.tobytes()).hexdigest()
    return Tested(dataset.x_train[rows], dataset.y_train[rows], drawn, rows, len(rows) / others)


def _whole_groups(
    dataset: Dataset, rows: NDArray[np.int64], wanted: Sequence[int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Whole groups, in random order, until every class has as many images as are wanted."""
    groups = np.arange(len(dataset.y_train)) if dataset.groups is None else dataset.groups
    order = np.argsort(groups[rows], kind="stable")
    starts = np.flatnonzero(np.diff(groups[rows][order])) + 1
    members = [rows[part] for part in np.split(order, starts)]
    left = np.asarray(wanted)
    taken: list[NDArray[np.int64]] = []
    refused: list[NDArray[np.int64]] = []
    for at in rng.permutation(len(members)):
        counts = np.bincount(dataset.y_train[members[at]], minlength=len(left))
        fits = (counts <= left).all()
        (taken if fits else refused).append(members[at])
        left = left - counts if fits else left
    # A class of large groups only: a test without it would be worse than one image too many.
    for label in np.flatnonzero(left == np.asarray(wanted)):
        having = [member for member in refused if (dataset.y_train[member] == label).any()]
        if wanted[int(label)] and having:
            smallest = min(having, key=len)
            taken.append(smallest)
            refused = [member for member in refused if member is not smallest]
    return np.sort(np.concatenate(taken)) if taken else rows[:0]


def split_labels(
    dataset: Dataset,
    per_class: int,
    validation_per_class: int,
    seed: int,
    test: NDArray[np.int64] | None = None,
) -> Split:
    """Draw a label budget.

    Budgets are nested: with one seed, the images of 10 labels a class are among those of 20. They are stratified: every
    class gives as many.

    Args:
        dataset: The target.
        per_class: Labels a class, validation included; at least 2.
        validation_per_class: Labels a class among them to choose the learning rate on; at least 1, less than
            `per_class`.
        seed: Seed of the draw, at least 0.
        test: From `draw_test`, where each seed draws its own test images: they are in no part, and the observation
            images are drawn anew as well.

    Returns:
        The indices.

    Raises:
        UserError: If a class has too few images.
        ValueError: If the numbers do not leave an image to train on.
    """
    if not 1 <= validation_per_class < per_class:
        raise ValueError(f"{validation_per_class} of {per_class} labels for validation leave none to train on")
    spec = dataset.spec
    rng, fixed = np.random.default_rng([seed, 1]), np.random.default_rng(OBSERVATION_SEED)
    by_class = [np.flatnonzero(dataset.y_train == label) for label in range(len(spec.classes))]
    if test is None:
        observation = np.concatenate([fixed.permutation(rows)[: spec.observation_per_class] for rows in by_class])
        used = observation
    else:
        rest = np.setdiff1d(np.arange(len(dataset.y_train)), test)
        wanted = [spec.observation_per_class] * len(spec.classes)
        observation = _whole_groups(dataset, rest, wanted, np.random.default_rng([seed, 7]))
        used = np.concatenate([test, observation])
    free = np.ones(len(dataset.y_train), dtype=bool)
    free[used] = False
    labelled: list[NDArray[np.int64]] = []
    for name, rows in zip(spec.classes, by_class, strict=True):
        pool = rows[free[rows]]
        if len(pool) < per_class:
            raise UserError(
                f"{spec.name}: class '{name}' has {len(pool)} images to label, {per_class} were asked for: "
                f"ask for {len(pool)} labels a class or fewer"
            )
        labelled.append(rng.permutation(pool)[:per_class])
    by_rank = np.stack(labelled, axis=1)  # row: rank within the class; column: class
    return Split(
        labelled=by_rank.reshape(-1),
        training=by_rank[validation_per_class:].reshape(-1),
        validation=by_rank[:validation_per_class].reshape(-1),
        observation=np.sort(observation),
    )


def batch_order(count: int, batch_size: int, steps: int, seed: int) -> NDArray[np.int64]:
    """The order in which images are seen, the same for every strategy with this seed.

    Args:
        count: Number of training images; at least 1.
        batch_size: Images a step.
        steps: Number of steps.
        seed: Seed of the order.

    Returns:
        Positions in ``[0, count)``, shape (steps, batch_size): one random pass over all images after another.

    Example:
        >>> order = batch_order(count=6, batch_size=3, steps=4, seed=0)
        >>> order.shape, sorted(order[:2].reshape(-1).tolist())
        ((4, 3), [0, 1, 2, 3, 4, 5])
    """
    rng = np.random.default_rng([seed, 2])
    needed = steps * batch_size
    passes = [rng.permutation(count) for _ in range(-(-needed // count))]
    return np.concatenate(passes)[:needed].reshape(steps, batch_size)


def augment(images: NDArray[P], how: str, seed: int, first: int) -> NDArray[P]:
    """Move (and mirror) images at random; the same changes for every strategy with this seed.

    Args:
        images: Images in the order they are seen, shape (n, height, width, channels); bytes take the least memory.
        how: ``none``, ``shift`` (up to two pixels each way, zeros moved in) or ``shift_flip`` (also mirrored, every
            other time).
        seed: Seed of the changes.
        first: Position of the first image in the whole order, so that the changes do not depend on how it is cut.

    Returns:
        New images of the same shape and type; the same array for ``none``.
    """
    if how == "none":
        return images
    count, height, width, _ = images.shape
    # One draw for each position of the order, whatever chunk it falls into: `advance` skips what came before.
    generator = np.random.PCG64([seed, 3])
    generator.advance(3 * first)
    draws = np.random.Generator(generator).random((count, 3))
    down, right = (np.floor(draws[:, axis] * 5).astype(np.int64) for axis in (0, 1))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    rows = down[:, None] + np.arange(height)
    columns = right[:, None] + np.arange(width)
    if how == "shift_flip":
        columns = np.where(draws[:, 2:] < 0.5, columns[:, ::-1], columns)
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
