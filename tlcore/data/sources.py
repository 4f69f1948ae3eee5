"""Where each dataset's arrays come from: local folders, caches, Keras's downloads, scikit-learn, or a drawing.

Search order: the folders of `TLCORE_DATA_DIR`, this project's cache, Keras's cache, then a download by
`keras.datasets`. Every file is checked before use, and Keras is never asked to open a cached file that fails: offline
it deletes one whose hash is wrong.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcore.data import drawn
from tlcore.errors import UserError
from tlcore.home import data_folders, home
from tlcore.npz import UNREADABLE, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Labels = NDArray[np.uint8]
    Choose = Callable[[Labels], NDArray[np.int64]]  # from all labels of a split to the rows to keep, ascending

KEYS = ("x_train", "y_train", "x_test", "y_test")
CIFAR_ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CIFAR_ARCHIVE = "cifar-10-batches-py-target_archive"
CIFAR100_ARCHIVE = "cifar-100-python-target_archive"
CIFAR100_ARCHIVE_SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
DRAWN_TRAIN, DRAWN_TEST = 1400, 300
NOISE_TRAIN, NOISE_TEST = 10_000, 2_000
BLOCK = 1000  # pictures read at a time where only some are kept


@dataclass(frozen=True, eq=False)
class Arrays:
    """Raw arrays of a dataset and where they came from."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.integer]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.integer]
    provenance: str


@dataclass(frozen=True)
class _Facts:
    """What tells a real dataset from another file of the same name: class counts and the mean pixel."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    mean: float
    tolerance: float


_FACTS = {
    "mnist": _Facts(
        (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        33.3184,
        0.001,
    ),
    "fashion_mnist": _Facts((6000,) * 10, (1000,) * 10, 72.9404, 0.001),
    # The tolerance admits re-encoded copies: JPEG noise moves the mean by 0.02.
    "cifar10": _Facts((5000,) * 10, (1000,) * 10, 120.71, 0.2),
    # Published channel means of .5071, .4865 and .4409: three digits of a byte.
    "cifar100": _Facts((500,) * 100, (100,) * 100, 121.93, 0.2),
}


def _local_npz(name: str) -> Path | None:
    candidates = [folder / f"{name}.npz" for folder in (*data_folders(), cache_folder())]
    if name == "mnist":
        candidates.append(_keras_cache() / "mnist.npz")
    return next((path for path in candidates if path.is_file()), None)


def cache_folder() -> Path:
    """This project's folder for data; it may not exist yet."""
    return home() / "datasets"


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


@dataclass(frozen=True, eq=False)
class _Contents:
    """What a file holds: the rows that were asked for, and what tells whether it is the right file.

    Args:
        arrays: By the names in `KEYS`, the chosen rows only.
        y_train: All training labels.
        y_test: All test labels.
        mean: Mean of all training pixels.
    """

    arrays: dict[str, NDArray[np.uint8]]
    y_train: Labels
    y_test: Labels
    mean: float


def _read_npz(path: Path, choose: Choose | None = None) -> _Contents:
    """Read a file of four arrays; with `choose`, the rows that are not wanted are never in memory together."""
    try:
        with opened(path) as archive:
            labels: dict[str, Labels] = {split: archive[f"y_{split}"].reshape(-1) for split in ("train", "test")}
            if any(y.dtype != np.uint8 for y in labels.values()):
                raise TypeError("labels are not bytes")
            arrays: dict[str, NDArray[np.uint8]] = {}
            means: dict[str, float] = {}
            for split, y in labels.items():
                rows = None if choose is None else choose(y)
                arrays[f"x_{split}"], means[split] = _read_images(archive.zip, f"x_{split}.npy", len(y), rows)
                arrays[f"y_{split}"] = y if rows is None else y[rows]
    except UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}): replace it by a file with the arrays {', '.join(KEYS)}"
        ) from None
    return _Contents(arrays, labels["train"], labels["test"], means["train"])


def _read_images(
    archive: zipfile.ZipFile, member: str, count: int, rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.uint8], float]:
    """Read some rows (None for all) of an array of `count` pictures, and the mean of all its pixels."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{member} has format {version}")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype != np.uint8 or fortran_order or shape[:1] != (count,):
            raise ValueError(f"{member} is not one picture of bytes for each label")
        size = math.prod(shape[1:])
        images = np.empty((count if rows is None else len(rows), *shape[1:]), dtype=np.uint8)
        total = 0
        for first in range(0, count, BLOCK):
            length = min(BLOCK, count - first)
            read = file.read(length * size)
            if len(read) != length * size:
                raise EOFError(member)
            block = np.frombuffer(read, dtype=np.uint8).reshape(length, *shape[1:])
            total += int(block.sum(dtype=np.uint64))
            if rows is None:
                images[first : first + length] = block
            else:
                start, stop = np.searchsorted(rows, (first, first + length))
                images[start:stop] = block[rows[start:stop] - first]
        if file.read(1):  # reading to the end also checks the archive's own checksum
            raise ValueError(f"{member} is longer than it says")
    return images, total / max(1, count * size)


def _write_npz(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write under another name first, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial.npz")
    try:
        np.savez(partial, **arrays)  # pyright: ignore[reportArgumentType]
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror}): make room on the disk or set TLCORE_HOME") from None


def _verify(name: str, found: _Contents, where: str) -> None:
    facts = _FACTS[name]
    train, test = (tuple(np.bincount(labels).tolist()) for labels in (found.y_train, found.y_test))
    if train != facts.train or test != facts.test or abs(found.mean - facts.mean) > facts.tolerance:
        raise UserError(
            f"{where} is not {name} (its class counts or its mean pixel, {found.mean:.4f} for {facts.mean}, are "
            "another dataset's): replace it or delete it, and it is downloaded again"
        )


def _real(
    name: str,
    download: Callable[[], tuple[tuple[NDArray[np.uint8], ...], ...]],
    missing: str,
    choose: Choose | None,
) -> Arrays:
    path = _local_npz(name)
    if path is not None:
        found = _read_npz(path, choose)
        _verify(name, found, str(path))
        return Arrays(**found.arrays, provenance=f"local file {path.name}")
    try:
        (x_train, y_train), (x_test, y_test) = download()
    except Exception as error:  # keras.utils.get_file raises a bare Exception when the network is absent
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{name} is not on this machine and could not be downloaded ({reason}): {missing}") from None
    y_train, y_test = y_train.reshape(-1), y_test.reshape(-1)
    arrays: dict[str, NDArray[np.uint8]] = dict(zip(KEYS, (x_train, y_train, x_test, y_test), strict=True))
    _verify(name, _Contents(arrays, y_train, y_test, float(x_train.mean(dtype=np.float64))), "the download")
    if choose is not None:
        train, test = choose(y_train), choose(y_test)
        x_train, y_train, x_test, y_test = x_train[train], y_train[train], x_test[test], y_test[test]
    return Arrays(x_train, y_train, x_test, y_test, "keras.datasets")


def _put_npz(name: str) -> str:
    arrays, folder = ", ".join(KEYS), cache_folder()
    return f"connect once, or put {name}.npz (arrays {arrays}) into {folder} or a folder named by TLCORE_DATA_DIR"


def find_mnist() -> str | None:
    """Where MNIST is on this machine, in words, or None if it would be downloaded."""
    path = _local_npz("mnist")
    return str(path) if path else None


def mnist(choose: Choose | None = None) -> Arrays:
    """MNIST (LeCun et al. 1998), or some rows of it, from a local file or `keras.datasets`."""

    def download() -> tuple[tuple[NDArray[np.uint8], ...], ...]:
        from keras.datasets import mnist as dataset  # Keras only where a download is needed: pages list datasets too

        return dataset.load_data()

    return _real("mnist", download, _put_npz("mnist"), choose)


def find_fashion_mnist() -> str | None:
    """Where Fashion-MNIST is on this machine, in words, or None if it would be downloaded."""
    path = _local_npz("fashion_mnist")
    if path:
        return str(path)
    cached = _keras_cache() / "fashion-mnist"
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return str(cached) if all((cached / f"{name}-ubyte.gz").is_file() for name in names) else None


def fashion_mnist() -> Arrays:
    """Fashion-MNIST (Xiao et al. 2017), from a local file or `keras.datasets`."""

    def download() -> tuple[tuple[NDArray[np.uint8], ...], ...]:
        from keras.datasets import fashion_mnist as dataset

        return dataset.load_data()

    return _real("fashion_mnist", download, _put_npz("fashion_mnist"), None)


def find_cifar10() -> str | None:
    """Where CIFAR-10 is on this machine, in words, or None if it would be downloaded."""
    path = _local_npz("cifar10") or _cifar_zip()
    if path:
        return str(path)
    cached = _keras_cache() / CIFAR_ARCHIVE
    return str(cached) if cached.is_file() else None


def cifar10(choose: Choose | None = None) -> Arrays:
    """CIFAR-10 (Krizhevsky 2009), or some rows of it, from a local file, a zip of JPEG copies, or `keras.datasets`."""

    def download() -> tuple[tuple[NDArray[np.uint8], ...], ...]:
        from keras.datasets import cifar10 as dataset

        return dataset.load_data()

    archive = _cifar_zip()
    if _local_npz("cifar10") is None and archive is not None:
        unpacked = cache_folder() / f"cifar10-jpeg-{archive.stat().st_size}.npz"
        if not unpacked.is_file():
            _write_npz(unpacked, _unpack_jpeg(archive))
        found = _read_npz(unpacked, choose)
        _verify("cifar10", found, str(archive))
        return Arrays(**found.arrays, provenance=f"local file {archive.name} (JPEG copies)")
    if _local_npz("cifar10") is None:
        _refuse_damaged_archive(CIFAR_ARCHIVE, CIFAR_ARCHIVE_SHA256)
    return _real("cifar10", download, _put_npz("cifar10"), choose)


def find_cifar100() -> str | None:
    """Where CIFAR-100 is on this machine, in words, or None if it would be downloaded."""
    path = _local_npz("cifar100")
    if path:
        return str(path)
    cached = _keras_cache() / CIFAR100_ARCHIVE
    return str(cached) if cached.is_file() else None


def cifar100(choose: Choose | None = None) -> Arrays:
    """CIFAR-100 (Krizhevsky 2009) with its fine labels, or some rows of it, from a local file or `keras.datasets`."""

    def download() -> tuple[tuple[NDArray[np.uint8], ...], ...]:
        from keras.datasets import cifar100 as dataset

        (x_train, y_train), (x_test, y_test) = dataset.load_data(label_mode="fine")
        return (x_train, np.asarray(y_train, dtype=np.uint8)), (x_test, np.asarray(y_test, dtype=np.uint8))

    if _local_npz("cifar100") is None:
        _refuse_damaged_archive(CIFAR100_ARCHIVE, CIFAR100_ARCHIVE_SHA256)
    return _real("cifar100", download, _put_npz("cifar100"), choose)


def _refuse_damaged_archive(name: str, sha256: str) -> None:
    """Check Keras's cached archive before Keras does: offline, Keras deletes one whose hash is wrong."""
    cached = _keras_cache() / name
    if not cached.is_file():
        return
    with cached.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise UserError(f"{cached} is damaged: delete it, and it is downloaded again")


def _cifar_zip() -> Path | None:
    return next((path for folder in data_folders() if (path := folder / "cifar10_jpeg.zip").is_file()), None)


def _unpack_jpeg(archive: Path) -> dict[str, NDArray[np.uint8]]:
    """Decode a zip of ``{train,test}/CLASS/NUMBER.jpg`` into arrays ordered by class and number."""
    from PIL import Image

    from tlcore.data.registry import CIFAR_CLASSES

    arrays: dict[str, NDArray[np.uint8]] = {}
    try:
        with zipfile.ZipFile(archive) as content:
            names: dict[str, list[list[str]]] = {split: [[] for _ in CIFAR_CLASSES] for split in ("train", "test")}
            for name in sorted(content.namelist(), key=lambda name: (len(name), name)):
                split, label, file = name.split("/")
                if file.endswith(".jpg") and split in names and label in CIFAR_CLASSES:
                    names[split][CIFAR_CLASSES.index(label)].append(name)
            for split, classes in names.items():
                counts = [len(group) for group in classes]
                # Every picture is decoded into its place: a list of them, stacked and sorted, would be three copies.
                images = np.empty((sum(counts), 32, 32, 3), dtype=np.uint8)
                for image, name in zip(images, (name for group in classes for name in group), strict=True):
                    with Image.open(io.BytesIO(content.read(name))) as picture:
                        image[:] = np.asarray(picture.convert("RGB"))
                arrays[f"x_{split}"] = images
                arrays[f"y_{split}"] = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    except UNREADABLE as error:
        raise UserError(f"{archive} cannot be read ({type(error).__name__}): replace it") from None
    if not (arrays["y_train"].size and arrays["y_test"].size):
        raise UserError(f"{archive} holds no pictures named train/CLASS/NUMBER.jpg and test/…: replace it")
    return arrays


CAR, TRUCK = 1, 9


def _vehicle_task(positive: int) -> Arrays:
    """One vehicle against other classes, as many of each, so that the car and the truck task share no picture.

    The cars task takes nine tenths of the cars and the first half of the eight classes that are neither car nor truck;
    the trucks task takes as many trucks, the other tenth of the cars and the second half of the eight classes.
    """

    def choose(y: Labels) -> NDArray[np.int64]:
        rows = {label: np.flatnonzero(y == label) for label in range(10)}
        size = 9 * len(rows[positive]) // 10
        first_half = positive == CAR
        others = [rows[label] for label in range(10) if label not in (CAR, TRUCK)]
        others = [part[: len(part) // 2] if first_half else part[len(part) // 2 :] for part in others]
        groups = others if first_half else [rows[CAR][size:], *others]
        negatives = np.concatenate([group[: -(-size // len(groups))] for group in groups])[:size]
        return np.sort(np.concatenate([rows[positive][:size], negatives]))

    arrays = cifar10(choose)
    train, test = ((y == positive).astype(np.uint8) for y in (arrays.y_train, arrays.y_test))
    return replace(arrays, y_train=train, y_test=test)


def cifar10_cars() -> Arrays:
    """Car or not, without any truck."""
    return _vehicle_task(CAR)


def cifar10_trucks() -> Arrays:
    """Truck or not, its negatives including cars that the cars task never shows."""
    return _vehicle_task(TRUCK)


def some_classes(whole: Callable[[Choose], Arrays], labels: tuple[int, ...]) -> Arrays:
    """All pictures of some classes of a dataset.

    Args:
        whole: Reads the dataset's chosen rows.
        labels: The classes, ascending; they become 0, 1, ...

    Returns:
        The arrays.
    """
    arrays = whole(lambda y: np.flatnonzero(np.isin(y, labels)))
    train, test = (np.searchsorted(labels, y).astype(np.uint8) for y in (arrays.y_train, arrays.y_test))
    return replace(arrays, y_train=train, y_test=test)


def shuffled(whole: Callable[[], Arrays]) -> Arrays:
    """A dataset whose training labels are dealt out anew, as many of each class.

    The test labels stay true, so that what was learned from the others scores at chance there.

    Args:
        whole: Reads the dataset.

    Returns:
        Its arrays, the training labels permuted, always in the same way.
    """
    arrays = whole()
    labels = arrays.y_train.reshape(-1)[_mixed(len(arrays.y_train), SHUFFLE)]
    return replace(arrays, y_train=labels, provenance=f"{arrays.provenance}, training labels shuffled")


SHUFFLE, NOISE = 0, 1  # first word of the random key


def _mixed(count: int, *key: int) -> NDArray[np.int64]:
    """A permutation that no version of NumPy changes: only the bit generators promise that."""
    return np.argsort(np.random.PCG64(key).random_raw(count), kind="stable")


def find_uci_digits() -> str | None:
    """The digits come with scikit-learn, so they are always here."""
    return "scikit-learn"


def uci_digits() -> Arrays:
    """UCI optical digits, scikit-learn's copy: enlarged to the 20×20 box in 28×28 pixels that MNIST uses.

    One image in three of each class is kept for the test.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    digits: Any = load_digits()  # a Bunch, which scikit-learn types as anything it might return
    small = np.rint(np.asarray(digits.images) * (255 / 16)).astype(np.uint8)
    images = np.zeros((len(small), 28, 28), dtype=np.uint8)
    for row, picture in zip(images, small, strict=True):
        row[4:24, 4:24] = np.asarray(Image.fromarray(picture).resize((20, 20), Image.Resampling.BICUBIC))
    labels = np.asarray(digits.target, dtype=np.uint8)
    rng = np.random.default_rng(0)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        rows = rng.permutation(np.flatnonzero(labels == label))
        test[rows[: len(rows) // 3]] = True
    return Arrays(images[~test], labels[~test], images[test], labels[test], "scikit-learn's load_digits")


def find_drawn() -> str | None:
    """Drawn pictures need nothing, so they are always here."""
    return "drawn by this project"


def drawn_digits() -> Arrays:
    """The generated digits."""
    return _drawn(drawn.draw_digits)


def drawn_garments() -> Arrays:
    """The generated garments."""
    return _drawn(drawn.draw_garments)


def _drawn(draw: Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Arrays:
    return Arrays(*draw(DRAWN_TRAIN, 0), *draw(DRAWN_TEST, 1), provenance=f"drawn by tlcore, version {drawn.VERSION}")


def noise(shape: tuple[int, int, int]) -> Arrays:
    """Pictures without content: every byte uniform and independent, ten classes of equal size dealt out at random.

    Args:
        shape: Height, width and channels; a multiple of 8 bytes.

    Returns:
        The arrays, the same on every machine.
    """
    arrays: list[NDArray[np.uint8]] = []
    for part, count in enumerate((NOISE_TRAIN, NOISE_TEST)):
        words = np.random.PCG64([NOISE, part, *shape]).random_raw(count * math.prod(shape) // 8)
        arrays.append(words.astype("<u8", copy=False).view(np.uint8).reshape(count, *shape))
        labels = (np.arange(count) % 10).astype(np.uint8)
        arrays.append(labels[_mixed(count, NOISE, part, *shape, 1)])
    return Arrays(*arrays, provenance="drawn by tlcore, seeded noise")
