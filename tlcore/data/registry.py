"""The registry of datasets: what there is, without reading any of it.

Adding a dataset is one `DatasetSpec` with a loader: the controls, the command line, the URL and the tests pick it up.
A name means the thing: `mnist` is MNIST or an error that says how to get it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from tlcore.data import sources
from tlcore.data.drawn import DIGIT_CLASSES, GARMENT_CLASSES
from tlcore.errors import UserError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tlcore.data.sources import Arrays

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class DatasetSpec:
    """What is known about a dataset before it is read.

    Args:
        name: What the command line, the URL and records call it.
        title: What a page calls it.
        sentence: What it is, in one sentence.
        classes: Class names by label.
        shape: Height and width in pixels, and channels.
        smallest_class: Training images in the class that has the fewest.
        mirrored: Whether a mirrored picture still shows its class (a car does, a digit does not): source models learn
            such sets with random shifts and mirroring.
        kind: ``real``, or ``generated`` for pictures drawn by this project (pages show a badge).
        load: Reads or makes the arrays.
        looks: Where it may be found without a network, checked quickly: the provenance, or None.
    """

    name: str
    title: str
    sentence: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    smallest_class: int
    kind: Literal["real", "generated"]
    load: Callable[[], Arrays]
    looks: Callable[[], str | None]
    mirrored: bool = False

    @property
    def observation_per_class(self) -> int:
        """Training images a class kept out of every label budget, to watch the training on."""
        return min(50, self.smallest_class // 5)

    @property
    def labels_per_class_limit(self) -> int:
        """The largest label budget a class, the observation set being kept out of it."""
        return min(5000, self.smallest_class - self.observation_per_class)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset in memory; the arrays are read-only.

    Args:
        spec: What it is.
        x_train: Training images, uint8, shape (n, height, width, channels).
        y_train: Labels, int64, shape (n,).
        x_test: Test images, like `x_train`.
        y_test: Test labels, like `y_train`.
        provenance: Where the bytes came from, in words.
        sha256: Hash of the four arrays.
    """

    spec: DatasetSpec
    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    provenance: str
    sha256: str


DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec(
            "mnist",
            "MNIST digits",
            "Handwritten digits, 70,000 grey pictures of 28×28 pixels.",
            DIGIT_CLASSES,
            (28, 28, 1),
            5421,
            "real",
            sources.mnist,
            sources.find_mnist,
        ),
        DatasetSpec(
            "fashion_mnist",
            "Fashion-MNIST",
            "Clothes, shoes and bags, 70,000 grey pictures of 28×28 pixels.",
            GARMENT_CLASSES,
            (28, 28, 1),
            6000,
            "real",
            sources.fashion_mnist,
            sources.find_fashion_mnist,
        ),
        DatasetSpec(
            "cifar10",
            "CIFAR-10",
            "Animals and vehicles, 60,000 colour pictures of 32×32 pixels.",
            CIFAR_CLASSES,
            (32, 32, 3),
            5000,
            "real",
            sources.cifar10,
            sources.find_cifar10,
            mirrored=True,
        ),
        DatasetSpec(
            "cifar10_cars",
            "Cars (CIFAR-10)",
            "Car or not, from CIFAR-10; not one truck among the pictures.",
            ("not a car", "car"),
            (32, 32, 3),
            4500,
            "real",
            sources.cifar10_cars,
            sources.find_cifar10,
            mirrored=True,
        ),
        DatasetSpec(
            "cifar10_trucks",
            "Trucks (CIFAR-10)",
            "Truck or not, from CIFAR-10; shares no picture with the cars task, and its other pictures include cars.",
            ("not a truck", "truck"),
            (32, 32, 3),
            4500,
            "real",
            sources.cifar10_trucks,
            sources.find_cifar10,
            mirrored=True,
        ),
        DatasetSpec(
            "uci_digits",
            "UCI digits",
            "1,797 handwritten digits that come with scikit-learn, enlarged from 8×8 to 28×28 pixels; always here.",
            DIGIT_CLASSES,
            (28, 28, 1),
            116,
            "real",
            sources.uci_digits,
            sources.find_uci_digits,
        ),
        DatasetSpec(
            "drawn_digits",
            "Drawn digits",
            "Digits drawn by this project with varied shape, thickness, pose, background and noise; always here.",
            DIGIT_CLASSES,
            (28, 28, 1),
            1400,
            "generated",
            sources.drawn_digits,
            sources.find_drawn,
        ),
        DatasetSpec(
            "drawn_garments",
            "Drawn garments",
            "Clothes, shoes and bags drawn by this project, of Fashion-MNIST's ten kinds; always here.",
            GARMENT_CLASSES,
            (28, 28, 1),
            1400,
            "generated",
            sources.drawn_garments,
            sources.find_drawn,
        ),
    )
}


def get_dataset(name: str) -> DatasetSpec:
    """Find a dataset's description by name.

    Args:
        name: A key of `DATASETS`.

    Returns:
        The description; nothing is read.

    Raises:
        UserError: If there is none of that name; the message holds the near names.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise UserError(unknown_name("dataset", name, DATASETS)) from None


@lru_cache(maxsize=4)
def load(name: str) -> Dataset:
    """Read a dataset, from wherever it is found first.

    Args:
        name: A key of `DATASETS`.

    Returns:
        The dataset, kept in memory for the next call.

    Raises:
        UserError: If the name is unknown, or the data can neither be found nor downloaded.
    """
    spec = get_dataset(name)
    arrays = spec.load()
    x_train, y_train = _checked(spec, arrays.x_train, arrays.y_train)
    x_test, y_test = _checked(spec, arrays.x_test, arrays.y_test)
    digest = hashlib.sha256()
    for array in (x_train, y_train, x_test, y_test):
        digest.update(str(array.shape).encode() + array.tobytes())
    return Dataset(spec, x_train, y_train, x_test, y_test, arrays.provenance, digest.hexdigest())


def _checked(
    spec: DatasetSpec, x: NDArray[np.uint8], y: NDArray[np.integer]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = x if x.ndim == 4 else x[..., None]
    labels = y.reshape(-1).astype(np.int64)
    if images.dtype != np.uint8 or images.shape[1:] != spec.shape or len(images) != len(labels):
        raise UserError(
            f"{spec.name}: expected uint8 images of shape {spec.shape} with one label each, found {images.dtype} of "
            f"shape {images.shape} and {len(labels)} labels: delete the damaged file and run again"
        )
    if set(np.unique(labels)) != set(range(len(spec.classes))):
        raise UserError(f"{spec.name}: not all of its {len(spec.classes)} classes have images: replace the file")
    images.flags.writeable = False
    labels.flags.writeable = False
    return images, labels
