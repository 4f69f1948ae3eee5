"""What is kept to look inside a finished arm: some answers, first filters, activations and features as small files.

A page shows them long after the process that trained is gone, and reads them without Keras. One file an arm, one file
of pictures for all arms of a task.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcore.data import own
from tlcore.errors import UserError
from tlcore.home import home, written_whole
from tlcore.metrics.similarity import principal_components
from tlcore.npz import UNREADABLE, opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tlcore.experiment import Experiment, RunRecord

SHOWN = 1000  # test images whose answers are kept
PICTURED = 3  # of them are followed through the network
SIDE = 32  # pixels; larger pictures and maps are made smaller
LARGEST_SIDE = 96  # of pictures, where there are few
CHANNELS = 8  # of each stage
UNITS = 128  # of a fully connected stage, and coordinates of the features
FILTERS = 32
MOST_ARMS = 400  # files in `home`, about 60 MB
MOST_PICTURES = 40  # likewise, at most 3 MB each
LARGEST_HALF = 6e4  # float16 ends at 65,504
_VERSION = 1
_SHOWN_SEED = 40_000_003

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Inside:
    """What one arm with one seed looks like from inside. Arrays that could not be had are empty.

    Args:
        dataset_sha256: Hash of the target's images.
        picture_shape: Height, width, channels of the pictures that `find_pictures` has of it.
        test_accuracy: The arm's accuracy on the whole test set, in [0, 1]: names the run among others of this arm.
        truth: Labels of the test images at `shown_images`, int16.
        answers: Classes that the arm takes them for; a source class that the target does not have counts on from the
            target's classes.
        kernels_before: Filters of the first stage before training, float16, shape (height, width, channels, filters).
        kernels_after: The same after training.
        pictured: Positions among the shown test images of those that are followed through the network.
        activations: Outputs of each stage for them after training, as bytes between the stage's lowest and highest,
            shape (n, height, width, channels) or (n, units): the first channels or units, every few places of a map.
        ranges: What byte 0 and byte 255 stand for, by stage.
        features_before: What the head sees of some observation images before training, float16, shape (n, features):
            the features, or where there are more than `UNITS` their first principal components. Only distances
            relative to each other mean something.
        features_after: The same after training.
        feature_labels: Labels of those images, int16.
    """

    dataset_sha256: str
    picture_shape: Shape
    test_accuracy: float
    truth: NDArray[np.int16]
    answers: NDArray[np.int16]
    kernels_before: NDArray[np.float16]
    kernels_after: NDArray[np.float16]
    pictured: NDArray[np.int16]
    activations: Mapping[str, NDArray[np.uint8]]
    ranges: Mapping[str, tuple[float, float]]
    features_before: NDArray[np.float16]
    features_after: NDArray[np.float16]
    feature_labels: NDArray[np.int16]

    def __post_init__(self) -> None:
        fits = (
            len(self.truth) == len(self.answers) <= SHOWN
            and self.kernels_before.shape == self.kernels_after.shape
            and self.kernels_before.ndim in (1, 4)
            and set(self.activations) == set(self.ranges)
            and all(len(maps) == len(self.pictured) for maps in self.activations.values())
            and all(0 <= at < len(self.truth) for at in self.pictured.tolist())
            and self.features_before.shape == self.features_after.shape
            and self.features_before.ndim == 2
            and len(self.features_before) == len(self.feature_labels)
            and len(self.picture_shape) == 3
        )
        if not fits:
            raise ValueError("the arrays do not belong together")

    @property
    def has_kernels(self) -> bool:
        """Whether its first stage is a convolution with few filters."""
        return self.kernels_after.size > 0

    @property
    def has_features(self) -> bool:
        """Whether there are features to draw: not of a pixel baseline, nor where they are no longer numbers."""
        return len(self.feature_labels) > 2


@dataclass(frozen=True, eq=False)
class Pictures:
    """The shown test images of a task: their first ones, where not all are at hand.

    Args:
        images: uint8, shape (n, height, width, channels).
        labels: int16, shape (n,).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int16]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or len(self.images) != len(self.labels) or self.images.dtype != np.uint8:
            raise ValueError("these are no pictures")


# --- making -----------------------------------------------------------------------------------------------------------


def shown_images(count: int) -> NDArray[np.int64]:
    """Positions of the test images that are shown: drawn once, because some test sets are sorted by class.

    Args:
        count: Number of test images.

    Returns:
        At most `SHOWN` positions; the same for every arm of every experiment.
    """
    return np.random.default_rng(_SHOWN_SEED).permutation(count)[:SHOWN]


def picture_shape(shape: Shape, count: int = SHOWN) -> Shape:
    """Shape of the pictures that are kept of a network's input: the fewer there are the larger they may be.

    Args:
        shape: Height, width, channels of the network's input.
        count: Number of pictures.

    Returns:
        Height, width, channels; all pictures together have no more pixels than `SHOWN` of `SIDE` by `SIDE`.
    """
    side = min(LARGEST_SIDE, int(SIDE * (SHOWN / max(count, 1)) ** 0.5))
    return (min(shape[0], side), min(shape[1], side), shape[2])


def pictured_images(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the images that are followed through the network: the first of different classes.

    Args:
        labels: Labels of the shown images.

    Returns:
        `PICTURED` positions, fewer only where there are not as many images.
    """
    _, first = np.unique(labels, return_index=True)
    others = np.setdiff1d(np.arange(len(labels)), first)
    return np.concatenate([np.sort(first), others])[:PICTURED]


def answers_only(
    dataset_sha256: str, shape: Shape, test_accuracy: float, truth: NDArray[np.int64], answers: NDArray[np.int64]
) -> Inside:
    """What can be kept of any arm.

    Args:
        dataset_sha256: Hash of the target's images.
        shape: Height, width, channels of the arm's images.
        test_accuracy: The arm's accuracy, in [0, 1].
        truth: Labels of the shown test images.
        answers: Classes that the arm takes them for.

    Returns:
        It, everything else empty.
    """
    half, short = np.zeros(0, dtype=np.float16), np.zeros(0, dtype=np.int16)
    none = np.zeros((0, 0), dtype=np.float16)
    return Inside(
        dataset_sha256=dataset_sha256,
        picture_shape=picture_shape(shape, len(truth)),
        test_accuracy=test_accuracy,
        truth=truth.astype(np.int16),
        answers=answers.astype(np.int16),
        kernels_before=half,
        kernels_after=half,
        pictured=short,
        activations={},
        ranges={},
        features_before=none,
        features_after=none,
        feature_labels=short,
    )


def with_kernels(inside: Inside, before: Iterable[NDArray[Any]], after: Iterable[NDArray[Any]]) -> Inside:
    """Add the first stage's filters, if it has a convolution of the pixels with at most `FILTERS` of them.

    Args:
        inside: What there is already.
        before: The stage's arrays before training.
        after: The same after training.

    Returns:
        A copy with the filters; the same where there are none, or they are not finite.
    """
    channels = inside.picture_shape[2]
    for old, new in zip(before, after, strict=True):
        if old.ndim == 4 and old.shape[2] == channels and old.shape[3] <= FILTERS:
            if not (np.isfinite(old).all() and np.isfinite(new).all() and np.abs(new).max() < LARGEST_HALF):
                return inside
            return replace(inside, kernels_before=old.astype(np.float16), kernels_after=new.astype(np.float16))
    return inside


def with_activations(inside: Inside, pictured: NDArray[np.int64], outputs: Mapping[str, NDArray[np.float32]]) -> Inside:
    """Add what the stages make of some pictures.

    Args:
        inside: What there is already.
        pictured: Positions of the pictures among the shown test images.
        outputs: Outputs of each stage, from the input to the features; those from the first that is not finite on are
            left out.

    Returns:
        A copy with the activations.
    """
    maps: dict[str, NDArray[np.uint8]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for stage, whole in outputs.items():
        output = whole
        if output.ndim == 4:
            every = max(1, -(-max(output.shape[1:3]) // SIDE))
            output = output[:, ::every, ::every, :CHANNELS]
        else:
            output = output.reshape(len(output), -1)[:, :UNITS]
        if not np.isfinite(output).all():
            break
        low, high = min(0.0, float(output.min())), float(output.max())
        scale = 255 / (high - low) if high > low else 0.0
        maps[stage] = np.rint((output.astype(np.float64) - low) * scale).astype(np.uint8)
        ranges[stage] = (low, high)
    return replace(inside, pictured=pictured.astype(np.int16), activations=maps, ranges=ranges)


def with_features(
    inside: Inside, before: NDArray[np.float64], after: NDArray[np.float64], labels: NDArray[np.int64]
) -> Inside:
    """Add what the head sees of some observation images.

    Args:
        inside: What there is already.
        before: Features before training, shape (n, features).
        after: The same after training.
        labels: The images' labels.

    Returns:
        A copy with the features; the same where they are not finite.
    """
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return inside
    old = _compact(before)
    new = old if after is before or np.array_equal(before, after) else _compact(after)
    return replace(inside, features_before=old, features_after=new, feature_labels=labels.astype(np.int16))


def _compact(features: NDArray[np.float64]) -> NDArray[np.float16]:
    if features.shape[1] > UNITS:
        features = principal_components(features, UNITS)
        # So wide a file must be whatever the number of images.
        features = np.pad(features, ((0, 0), (0, max(0, UNITS - features.shape[1]))))
    largest = float(np.abs(features).max(initial=0.0))
    if not largest or 1e-2 < largest < LARGEST_HALF:
        return features.astype(np.float16)
    return (features / largest).astype(np.float16)


# --- keeping ----------------------------------------------------------------------------------------------------------


def keep(experiment: Experiment, strategy: str, seed: int, inside: Inside) -> None:
    """Keep what an arm looks like from inside. Where it cannot be written nothing is: it decorates, it measures not.

    Args:
        experiment: What was asked for.
        strategy: The arm's strategy.
        seed: The arm's seed.
        inside: What to keep.
    """
    with suppress(OSError, UserError):
        path = _path(experiment, strategy, seed)
        _write(path, _arrays(inside))
        _keep_newest(path.parent, "[!p]*.npz", MOST_ARMS)


def keep_pictures(target: str, dataset_sha256: str, pictures: Pictures) -> None:
    """Keep the shown test images of a task, with the same patience as `keep`.

    Args:
        target: Name of the target.
        dataset_sha256: Hash of the target's images.
        pictures: The pictures.
    """
    with suppress(OSError, UserError):
        folder = home() / "inside"
        name = _pictures_name(dataset_sha256, pictures.images.shape[1:])
        _write(folder / f"{name}{own.mark(target)}.npz", {"images": pictures.images, "labels": pictures.labels})
        _keep_newest(folder, "pictures-*.npz", MOST_PICTURES)


def has_pictures(dataset_sha256: str, shape: Shape, count: int) -> bool:
    """Whether this machine keeps a task's shown test images already.

    Args:
        dataset_sha256: Hash of the target's images.
        shape: Height, width, channels of the arm's images.
        count: Number of the pictures.
    """
    with suppress(OSError, UserError):
        return _pictures_path(dataset_sha256, picture_shape(shape, count)) is not None
    return False


def _path(experiment: Experiment, strategy: str, seed: int) -> Path:
    return home() / "inside" / f"{experiment.arm_hash(strategy, seed)}{own.mark(experiment.target)}.npz"


def _pictures_name(dataset_sha256: str, shape: tuple[int, ...]) -> str:
    return f"pictures-{dataset_sha256[:16]}-{'x'.join(str(side) for side in shape)}"


def _pictures_path(dataset_sha256: str, shape: Shape) -> Path | None:
    """The file of some images, whatever target they are of."""
    return next((home() / "inside").glob(f"{_pictures_name(dataset_sha256, shape)}[.-]*npz"), None)


def _arrays(inside: Inside) -> dict[str, NDArray[Any]]:
    stages = list(inside.activations)
    about = {
        "version": _VERSION,
        "dataset_sha256": inside.dataset_sha256,
        "picture_shape": inside.picture_shape,
        "test_accuracy": inside.test_accuracy,
        "stages": stages,
        "ranges": [inside.ranges[stage] for stage in stages],
        "same_features": inside.features_after is inside.features_before,
    }
    arrays: dict[str, NDArray[Any]] = {
        "about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        "truth": inside.truth,
        "answers": inside.answers,
        "kernels_before": inside.kernels_before,
        "kernels_after": inside.kernels_after,
        "pictured": inside.pictured,
        "features_before": inside.features_before,
        "feature_labels": inside.feature_labels,
    }
    if not about["same_features"]:
        arrays["features_after"] = inside.features_after
    return arrays | {f"stage{at}": inside.activations[stage] for at, stage in enumerate(stages)}


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _keep_newest(folder: Path, pattern: str, most: int) -> None:
    files = list(folder.glob(pattern))
    if len(files) <= most:
        return
    changed: list[tuple[int, Path]] = []
    for path in files:
        with suppress(FileNotFoundError):  # another process tidies up as well
            changed.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(changed)[: max(0, len(changed) - most)]:
        path.unlink(missing_ok=True)


# --- reading ----------------------------------------------------------------------------------------------------------


def find(experiment: Experiment, strategy: str, seed: int) -> Inside | None:
    """Find what an arm looks like from inside, as far as this machine keeps it.

    Args:
        experiment: What was asked for.
        strategy: The arm's strategy.
        seed: The arm's seed.

    Returns:
        It, or None where it was not kept or its file is damaged.
    """
    with suppress(UserError):
        return _read(_path(experiment, strategy, seed))
    return None


def find_of(record: RunRecord) -> Inside | None:
    """Find what the arm of a record looks like from inside.

    Args:
        record: The record.

    Returns:
        It, of this or of another run of the same arm on the same images (`is_of` tells which), or None.
    """
    found = find(record.experiment, record.strategy, record.seed)
    return found if found and found.dataset_sha256 == record.datasets["target"].sha256 else None


def is_of(inside: Inside, record: RunRecord) -> bool:
    """Whether this was kept of the very run that a record tells of: another machine may end a little elsewhere."""
    return inside.test_accuracy == record.test_accuracy and (inside.dataset_sha256 == record.datasets["target"].sha256)


def find_pictures(inside: Inside) -> Pictures | None:
    """Find the pictures that an arm answered.

    Args:
        inside: The arm from inside.

    Returns:
        They, or None where they are not kept.
    """
    with suppress(OSError, UserError):
        path = _pictures_path(inside.dataset_sha256, inside.picture_shape)
        return path and _read_pictures(path)
    return None


def _read(path: Path) -> Inside | None:
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except _DAMAGED:
        return None


def _read_pictures(path: Path) -> Pictures | None:
    try:
        return _parsed_pictures(path, path.stat().st_mtime_ns)
    except _DAMAGED:
        return None


# Not there, half copied, of another version, or no such file at all: nothing is shown, and nothing breaks.
_DAMAGED = (*UNREADABLE, IndexError, NotImplementedError)


@lru_cache(maxsize=64)
def _parsed(path: Path, _changed: int) -> Inside:
    with opened(path) as arrays:
        about = json.loads(bytes(arrays["about"]))
        if about["version"] != _VERSION:
            raise ValueError(f"{path} is of version {about['version']}")
        before = arrays["features_before"]
        return Inside(
            dataset_sha256=str(about["dataset_sha256"]),
            picture_shape=tuple(int(side) for side in about["picture_shape"]),  # pyright: ignore[reportArgumentType]
            test_accuracy=float(about["test_accuracy"]),
            truth=arrays["truth"],
            answers=arrays["answers"],
            kernels_before=arrays["kernels_before"],
            kernels_after=arrays["kernels_after"],
            pictured=arrays["pictured"],
            activations={stage: arrays[f"stage{at}"] for at, stage in enumerate(about["stages"])},
            ranges={
                stage: (float(low), float(high))
                for stage, (low, high) in zip(about["stages"], about["ranges"], strict=True)
            },
            features_before=before,
            features_after=before if about["same_features"] else arrays["features_after"],
            feature_labels=arrays["feature_labels"],
        )


@lru_cache(maxsize=4)
def _parsed_pictures(path: Path, _changed: int) -> Pictures:
    with opened(path) as arrays:
        return Pictures(arrays["images"], arrays["labels"])
