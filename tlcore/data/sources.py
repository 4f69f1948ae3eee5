"""Where each dataset's arrays come from: local folders, caches, Keras's downloads, scikit-learn, or a drawing.

Search order: the folders of `TLCORE_DATA_DIR`, this project's cache, Keras's cache, then a download by
`keras.datasets`. Every file is checked before use, and Keras is never asked to open a cached file that fails: offline
it deletes one whose hash is wrong.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcore.data import drawn
from tlcore.errors import UserError
from tlcore.home import data_folders, home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

# What NumPy and zipfile raise for files that are damaged or something else.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile)
KEYS = ("x_train", "y_train", "x_test", "y_test")
CIFAR_ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
DRAWN_TRAIN, DRAWN_TEST = 1400, 300


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
}


def _local_npz(name: str) -> Path | None:
    candidates = [folder / f"{name}.npz" for folder in (*data_folders(), _cache())]
    if name == "mnist":
        candidates.append(_keras_cache() / "mnist.npz")
    return next((path for path in candidates if path.is_file()), None)


def _cache() -> Path:
    return home() / "datasets"


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _read_npz(path: Path) -> dict[str, NDArray[np.uint8]]:
    try:
        # Opened here, for NumPy leaves a file open that turns out not to be an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in KEYS}
    except UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}): replace it by a file with the arrays {', '.join(KEYS)}"
        ) from None


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


def _verify(name: str, arrays: Mapping[str, NDArray[np.uint8]], where: str) -> None:
    facts = _FACTS[name]
    if any(arrays[key].dtype != np.uint8 or not arrays[key].size for key in KEYS):
        raise UserError(f"{where} does not hold {name}'s bytes: replace it or delete it, and it is downloaded again")
    train, test = (tuple(np.bincount(arrays[key].reshape(-1)).tolist()) for key in ("y_train", "y_test"))
    mean = float(arrays["x_train"].mean(dtype=np.float64))
    if train != facts.train or test != facts.test or abs(mean - facts.mean) > facts.tolerance:
        raise UserError(
            f"{where} is not {name} (its class counts or its mean pixel, {mean:.4f} for {facts.mean}, are another "
            "dataset's): replace it or delete it, and it is downloaded again"
        )


def _real(name: str, download: Callable[[], tuple[tuple[NDArray[np.uint8], ...], ...]], missing: str) -> Arrays:
    path = _local_npz(name)
    if path is not None:
        arrays = _read_npz(path)
        _verify(name, arrays, str(path))
        return Arrays(**arrays, provenance=f"local file {path.name}")
    try:
        (x_train, y_train), (x_test, y_test) = download()
    except Exception as error:  # keras.utils.get_file raises a bare Exception when the network is absent
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{name} is not on this machine and could not be downloaded ({reason}): {missing}") from None
    arrays: dict[str, NDArray[np.uint8]] = dict(zip(KEYS, (x_train, y_train, x_test, y_test), strict=True))
    _verify(name, arrays, "the download")
    return Arrays(x_train, y_train, x_test, y_test, "keras.datasets")


def _put_npz(name: str) -> str:
    arrays = ", ".join(KEYS)
    return f"connect once, or put {name}.npz (arrays {arrays}) into {_cache()} or a folder named by TLCORE_DATA_DIR"


def find_mnist() -> str | None:
    """Where MNIST is on this machine, in words, or None if it would be downloaded."""
    path = _local_npz("mnist")
    return str(path) if path else None


def mnist() -> Arrays:
    """MNIST (LeCun et al. 1998), from a local file or `keras.datasets`."""

    def download() -> tuple[tuple[NDArray[np.uint8], ...], ...]:
        from keras.datasets import mnist as dataset  # Keras only where a download is needed: pages list datasets too

        return dataset.load_data()

    return _real("mnist", download, _put_npz("mnist"))


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

    return _real("fashion_mnist", download, _put_npz("fashion_mnist"))


def find_cifar10() -> str | None:
    """Where CIFAR-10 is on this machine, in words, or None if it would be downloaded."""
    path = _local_npz("cifar10") or _cifar_zip()
    if path:
        return str(path)
    cached = _keras_cache() / "cifar-10-batches-py-target_archive"
    return str(cached) if cached.is_file() else None


def cifar10() -> Arrays:
    """CIFAR-10 (Krizhevsky 2009), from a local file, a zip of JPEG copies, or `keras.datasets`."""

    def download() -> tuple[tuple[NDArray[np.uint8], ...], ...]:
        from keras.datasets import cifar10 as dataset

        return dataset.load_data()

    archive = _cifar_zip()
    if _local_npz("cifar10") is None and archive is not None:
        unpacked = _cache() / f"cifar10-jpeg-{archive.stat().st_size}.npz"
        if not unpacked.is_file():
            _write_npz(unpacked, _unpack_jpeg(archive))
        arrays = _read_npz(unpacked)
        _verify("cifar10", arrays, str(archive))
        return Arrays(**arrays, provenance=f"local file {archive.name} (JPEG copies)")
    if _local_npz("cifar10") is None:
        _refuse_damaged_archive()
    return _real("cifar10", download, _put_npz("cifar10"))


def _refuse_damaged_archive() -> None:
    """Check Keras's cached archive before Keras does: offline, Keras deletes one whose hash is wrong."""
    cached = _keras_cache() / "cifar-10-batches-py-target_archive"
    if not cached.is_file():
        return
    with cached.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != CIFAR_ARCHIVE_SHA256:
            raise UserError(f"{cached} is damaged: delete it, and it is downloaded again")


def _cifar_zip() -> Path | None:
    return next((path for folder in data_folders() if (path := folder / "cifar10_jpeg.zip").is_file()), None)


def _unpack_jpeg(archive: Path) -> dict[str, NDArray[np.uint8]]:
    """Decode a zip of ``{train,test}/CLASS/NUMBER.jpg`` into arrays ordered by class and number."""
    from PIL import Image

    from tlcore.data.registry import CIFAR_CLASSES

    pictures: dict[str, list[NDArray[np.uint8]]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    try:
        with zipfile.ZipFile(archive) as content:
            for name in sorted(content.namelist(), key=lambda name: (len(name), name)):
                split, label, file = name.split("/")
                if file.endswith(".jpg") and split in pictures and label in CIFAR_CLASSES:
                    with Image.open(io.BytesIO(content.read(name))) as picture:
                        pictures[split].append(np.asarray(picture.convert("RGB")))
                    labels[split].append(CIFAR_CLASSES.index(label))
    except UNREADABLE as error:
        raise UserError(f"{archive} cannot be read ({type(error).__name__}): replace it") from None
    if not (pictures["train"] and pictures["test"]):
        raise UserError(f"{archive} holds no pictures named train/CLASS/NUMBER.jpg and test/…: replace it")
    arrays: dict[str, NDArray[np.uint8]] = {}
    for split in ("train", "test"):
        order = np.argsort(labels[split], kind="stable")
        arrays[f"x_{split}"] = np.stack(pictures[split])[order]
        arrays[f"y_{split}"] = np.asarray(labels[split], dtype=np.uint8)[order]
    return arrays


CAR, TRUCK = 1, 9


def _vehicle_task(positive: int) -> Arrays:
    """One vehicle against other classes, as many of each, so that the car and the truck task share no picture.

    The cars task takes nine tenths of the cars and the first half of the eight classes that are neither car nor truck;
    the trucks task takes as many trucks, the other tenth of the cars and the second half of the eight classes.
    """
    everything = cifar10()
    arrays: dict[str, NDArray[np.uint8]] = {}
    for split in ("train", "test"):
        x, y = getattr(everything, f"x_{split}"), getattr(everything, f"y_{split}").reshape(-1)
        rows = {label: np.flatnonzero(y == label) for label in range(10)}
        size = 9 * len(rows[positive]) // 10
        first_half = positive == CAR
        others = [rows[label] for label in range(10) if label not in (CAR, TRUCK)]
        others = [part[: len(part) // 2] if first_half else part[len(part) // 2 :] for part in others]
        groups = others if first_half else [rows[CAR][size:], *others]
        negatives = np.concatenate([group[: -(-size // len(groups))] for group in groups])[:size]
        index = np.sort(np.concatenate([rows[positive][:size], negatives]))
        arrays[f"x_{split}"], arrays[f"y_{split}"] = x[index], (y[index] == positive).astype(np.uint8)
    return Arrays(**arrays, provenance=everything.provenance)


def cifar10_cars() -> Arrays:
    """Car or not, without any truck."""
    return _vehicle_task(CAR)


def cifar10_trucks() -> Arrays:
    """Truck or not, its negatives including cars that the cars task never shows."""
    return _vehicle_task(TRUCK)


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
    """The generated digits, drawn once and kept."""
    return _drawn("drawn_digits", drawn.draw_digits)


def drawn_garments() -> Arrays:
    """The generated garments, drawn once and kept."""
    return _drawn("drawn_garments", drawn.draw_garments)


def _drawn(name: str, draw: Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Arrays:
    path = _cache() / f"{name}-{drawn.VERSION}.npz"
    if not path.is_file():
        pictures = (*draw(DRAWN_TRAIN, 0), *draw(DRAWN_TEST, 1))
        _write_npz(path, dict(zip(KEYS, pictures, strict=True)))
    return Arrays(**_read_npz(path), provenance=f"drawn by tlcore, version {drawn.VERSION}")
