"""The registry of datasets: what there is, without reading any of it.

Adding a dataset is one `DatasetSpec` with a loader: the controls, the command line, the URL and the tests pick it up.
A name means the thing: `mnist` is MNIST or an error that says how to get it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from tlcore.data import kept, own, sources
from tlcore.data.drawn import DIGIT_CLASSES, GARMENT_CLASSES
from tlcore.errors import UserError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from tlcore.data.sources import Arrays, Choose

TEST_SHARE = 0.3
"""Share of the pictures that each seed is tested on, where a dataset has no test pictures of its own."""
MOST_TEST = 1000
"""Test pictures of such a dataset, all classes together."""
_MANY = 10_000
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = (
    "apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus, "
    "butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, crab, "
    "crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster, house, kangaroo, "
    "keyboard, lamp, lawn mower, leopard, lion, lizard, lobster, man, maple tree, motorcycle, mountain, mouse, "
    "mushroom, oak tree, orange, orchid, otter, palm tree, pear, pickup truck, pine tree, plain, plate, poppy, "
    "porcupine, possum, rabbit, raccoon, ray, road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, "
    "snail, snake, spider, squirrel, streetcar, sunflower, sweet pepper, table, tank, telephone, television, "
    "tiger, tractor, train, trout, tulip, turtle, wardrobe, whale, willow tree, wolf, woman, worm"
)
CIFAR100_CLASSES = tuple(_CIFAR100.split(", "))


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
        source_only: Whether it is a control that holds nothing worth learning: it may be a source, never a target.
        kind: ``real``, or ``generated`` for pictures drawn by this project (pages show a badge).
        load: Reads or makes the arrays.
        looks: Where it may be found without a network, checked quickly: the provenance, or None.
        by_seed: Whether there are no test pictures apart: each seed draws its own from all there are.
        part_of: Name of the dataset that it is made of, its own where that is whole; empty for other tasks.
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
    source_only: bool = False
    by_seed: bool = False
    part_of: str = ""

    def test_images(self, count: int) -> int:
        """Test pictures that a seed draws of a class.

        Args:
            count: Pictures of the class.

        Returns:
            How many, at least 1; 0 where the dataset has test pictures apart.
        """
        if not self.by_seed:
            return 0
        return max(1, min(round(TEST_SHARE * count), MOST_TEST // max(len(self.classes), 1)))

    @property
    def observation_per_class(self) -> int:
        """Training images a class kept out of every label budget, to watch the training on."""
        return min(50, self.smallest_class // 5)

    @property
    def labels_per_class_limit(self) -> int:
        """The largest label budget a class, the observation set being kept out of it."""
        rest = self.smallest_class - self.observation_per_class - self.test_images(self.smallest_class)
        return max(2, min(5000, rest))


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
        groups: Number of each training image's group, int64, shape (n,), where near copies have to stay together.
    """

    spec: DatasetSpec
    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    provenance: str
    sha256: str
    groups: NDArray[np.int64] | None = None


_WHOLE = {
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
            part_of="mnist",
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
            part_of="cifar10",
        ),
        DatasetSpec(
            "cifar100",
            "CIFAR-100",
            "A hundred kinds of things, plants and animals, 60,000 colour pictures of 32×32 pixels, 600 of each.",
            CIFAR100_CLASSES,
            (32, 32, 3),
            500,
            "real",
            sources.cifar100,
            sources.find_cifar100,
            mirrored=True,
            part_of="cifar100",
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


def _part(
    name: str,
    title: str,
    sentence: str,
    whole: str,
    read: Callable[[Choose], Arrays],
    labels: tuple[int, ...],
    least: int,
) -> DatasetSpec:
    """Some classes of a registered dataset; `least` is the training images in the smallest of them."""
    spec = _WHOLE[whole]
    classes = tuple(spec.classes[label] for label in labels)
    load = partial(sources.some_classes, read, labels)
    return replace(
        spec,
        name=name,
        title=title,
        sentence=sentence,
        classes=classes,
        smallest_class=least,
        load=load,
        part_of=whole,
    )


def _shuffled(name: str) -> DatasetSpec:
    """A registered dataset with its training labels shuffled: the same pictures, nothing to learn but each by heart."""
    spec = _WHOLE[name]
    return replace(
        spec,
        name=f"{name}_shuffled",
        title=f"{spec.title}, labels shuffled",
        sentence=f"Control, a source only: the pictures of {spec.title} with the training labels dealt out at random, "
        "so that a class means nothing; the test labels are true.",
        load=partial(sources.shuffled, spec.load),
        source_only=True,
        part_of="",
    )


def _noise(name: str, title: str, colours: str, shape: tuple[int, int, int]) -> DatasetSpec:
    count = sources.NOISE_TRAIN + sources.NOISE_TEST
    return DatasetSpec(
        name,
        title,
        f"Control, a source only: {count:,} {colours} pictures of random pixels with random labels; always here.",
        tuple(f"noise {label}" for label in range(10)),
        shape,
        sources.NOISE_TRAIN // 10,
        "generated",
        partial(sources.noise, shape),
        sources.find_drawn,
        source_only=True,
    )


# Two of the four vehicles and three of the six animals, drawn once by lot: two tasks that are alike and share no class.
CIFAR_A, CIFAR_B = (0, 4, 5, 7, 8), (1, 2, 3, 6, 9)
CIFAR_ANIMALS, CIFAR_VEHICLES = (2, 3, 4, 5, 6, 7), (0, 1, 8, 9)
_PARTS = (
    _part(
        "mnist_low",
        "MNIST digits 0–4",
        "Handwritten digits 0 to 4 of MNIST; shares no picture with the digits 5 to 9.",
        "mnist",
        sources.mnist,
        (0, 1, 2, 3, 4),
        5842,
    ),
    _part(
        "mnist_high",
        "MNIST digits 5–9",
        "Handwritten digits 5 to 9 of MNIST; shares no picture with the digits 0 to 4.",
        "mnist",
        sources.mnist,
        (5, 6, 7, 8, 9),
        5421,
    ),
    _part(
        "cifar10_a",
        "CIFAR-10, half A",
        "Airplanes, deer, dogs, horses and ships: five classes of CIFAR-10 drawn by lot; half B has the other five.",
        "cifar10",
        sources.cifar10,
        CIFAR_A,
        5000,
    ),
    _part(
        "cifar10_b",
        "CIFAR-10, half B",
        "Cars, birds, cats, frogs and trucks: five classes of CIFAR-10 drawn by lot; half A has the other five.",
        "cifar10",
        sources.cifar10,
        CIFAR_B,
        5000,
    ),
    _part(
        "cifar10_animals",
        "Animals (CIFAR-10)",
        "The six animals of CIFAR-10: birds, cats, deer, dogs, frogs and horses.",
        "cifar10",
        sources.cifar10,
        CIFAR_ANIMALS,
        5000,
    ),
    _part(
        "cifar10_vehicles",
        "Vehicles (CIFAR-10)",
        "The four kinds of things in CIFAR-10 that people made: airplanes, cars, ships and trucks.",
        "cifar10",
        sources.cifar10,
        CIFAR_VEHICLES,
        5000,
    ),
)
_CONTROLS = (
    _shuffled("mnist"),
    _shuffled("fashion_mnist"),
    _shuffled("cifar10_cars"),
    _noise("noise_grey", "Noise, grey", "grey", (28, 28, 1)),
    _noise("noise_colour", "Noise, colour", "colour", (32, 32, 3)),
)
DATASETS: dict[str, DatasetSpec] = _WHOLE | {spec.name: spec for spec in (*_PARTS, *_CONTROLS)}


def get_dataset(name: str) -> DatasetSpec:
    """Find a dataset's description by name.

    Args:
        name: As in `find_dataset`.

    Returns:
        The description; nothing is read.

    Raises:
        UserError: If there is none of that name; the message holds the near names.
    """
    found = find_dataset(name)
    if found is not None:
        return found
    whole, *words = name.split("-")
    if whole in CHOOSABLE:
        titles = [title for title in DATASETS[whole].classes if _word(title) in words]
        if 1 < len(titles) == len(words):
            raise UserError(f"unknown dataset '{name}': it is called {some_classes_name(whole, titles)}")
    raise UserError(unknown_name("dataset", name, DATASETS))


def find_dataset(name: str) -> DatasetSpec | None:
    """Find a dataset's description, if there is one of that name.

    Args:
        name: A key of `DATASETS`, a name from `some_classes_name`, or one of somebody's own pictures.

    Returns:
        The description, or None; nothing is read.
    """
    if name in DATASETS:
        return DATASETS[name]
    return _own_spec(name) if own.is_name(name) else _some_classes(name)


CHOOSABLE: dict[str, Callable[[Choose], Arrays]] = {
    "mnist": sources.mnist,
    "cifar10": sources.cifar10,
    "cifar100": sources.cifar100,
}
"""Datasets of which some classes may be chosen, and what reads only those."""
MOST_CHOSEN = 20


def some_classes_name(whole: str, classes: Collection[str]) -> str:
    """Name of the task that is some classes of a dataset.

    Args:
        whole: A key of `CHOOSABLE`.
        classes: Two or more of its classes, not all, at most `MOST_CHOSEN`.

    Returns:
        The name; the same in whatever order they are given.

    Raises:
        UserError: If they are too few, too many or not its classes.

    Example:
        >>> some_classes_name("cifar10", ["truck", "automobile"])
        'cifar10-automobile-truck'
    """
    spec = DATASETS[whole]
    unknown = set(classes) - set(spec.classes)
    most = min(MOST_CHOSEN, len(spec.classes) - 1)
    if unknown or not 2 <= len(set(classes)) <= most:
        raise UserError(
            f"{spec.title} has no class {min(unknown)}" if unknown else f"choose 2 to {most} classes of {spec.title}"
        )
    return "-".join([whole, *(_word(one) for one in spec.classes if one in classes)])


def _word(title: str) -> str:
    return title.replace(" ", "_")


@lru_cache(maxsize=256)
def _some_classes(name: str) -> DatasetSpec | None:
    whole, *words = name.split("-")
    if whole not in CHOOSABLE:
        return None
    spec = DATASETS[whole]
    labels = tuple(label for label, title in enumerate(spec.classes) if _word(title) in words)
    classes = [spec.classes[label] for label in labels]
    try:
        if some_classes_name(whole, classes) != name:
            return None
    except UserError:
        return None
    listed = ", ".join(classes)
    sentence = f"Some classes of {spec.title}: {listed}."
    return _part(name, f"{spec.title}: {listed}", sentence, whole, CHOOSABLE[whole], labels, spec.smallest_class)


def shared_classes(one: str, other: str) -> tuple[str, ...]:
    """Classes that two tasks take from the same dataset: their pictures are the same.

    Args:
        one: Name of a dataset.
        other: Name of another.

    Returns:
        The classes, none where the tasks are made of different datasets.
    """
    ours, theirs = find_dataset(one), find_dataset(other)
    if ours is None or theirs is None or not ours.part_of or ours.part_of != theirs.part_of:
        return ()
    return tuple(title for title in ours.classes if title in theirs.classes)


def _own_spec(name: str) -> DatasetSpec:
    """Somebody's own pictures. What was run on them can still be read after they are gone."""
    found = own.find(name)
    return DatasetSpec(
        name,
        found.title if found else "Own pictures, deleted",
        "A learner's own pictures." if found else "A learner's own pictures, which are no longer here.",
        found.classes if found else (),
        (own.SIDE, own.SIDE, 3),
        min(found.counts) if found else _MANY,
        "real",
        partial(_no_file, name),
        lambda: f"own pictures of {found.created:%d %B %Y}" if found else None,
        mirrored=True,
        by_seed=True,
    )


def _no_file(name: str) -> Arrays:
    raise UserError(f"{name}: these pictures were deleted or are on another machine: choose others or add them again")


@lru_cache(maxsize=2)  # a source and a target: where there is no room on disk, each is up to 184 MB of memory
def load(name: str) -> Dataset:
    """Read a dataset, from wherever it is found first.

    Args:
        name: A key of `DATASETS`.

    Returns:
        The dataset, kept in memory for the next call and on disk for the next process.

    Raises:
        UserError: If the name is unknown, or the data can neither be found nor downloaded.
    """
    spec = get_dataset(name)
    if (pictures := own.find(name)) is not None:  # kept as arrays already
        images, labels, groups = own.arrays(pictures)
        return Dataset(
            spec, images, labels, images[:0], labels[:0], spec.looks() or "own pictures", pictures.sha256, groups
        )
    with kept.alone(name):
        found = _find(spec)
        if found is None:
            found = _read(spec)
            if (where := spec.looks()) is not None:
                kept.keep(name, kept.key_of(name, where), found)
                found = _find(spec) or found  # from disk, so that the copy in memory can go
    x_train, y_train, x_test, y_test = found.arrays
    return Dataset(spec, x_train, y_train, x_test, y_test, found.provenance, found.sha256)


def _find(spec: DatasetSpec) -> kept.Kept | None:
    where = spec.looks()
    return None if where is None else kept.find(spec.name, kept.key_of(spec.name, where))


def _read(spec: DatasetSpec) -> kept.Kept:
    arrays = spec.load()
    x_train, y_train = _checked(spec, arrays.x_train, arrays.y_train)
    x_test, y_test = _checked(spec, arrays.x_test, arrays.y_test)
    four = (x_train, y_train, x_test, y_test)
    return kept.Kept(four, arrays.provenance, kept.hash_of(four))


def _checked(
    spec: DatasetSpec, x: NDArray[np.uint8], y: NDArray[np.integer]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = np.ascontiguousarray(x if x.ndim == 4 else x[..., None])
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
