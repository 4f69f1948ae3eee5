"""Where data comes from, and what is said and kept when it is damaged, another set's, or not to be had."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
from PIL import Image

from tlcore.data import DATASETS, load
from tlcore.data.sources import KEYS
from tlcore.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

DOWNLOADED = ("mnist", "fashion_mnist", "cifar10")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no data, no caches and no network; the folder is the one that TLCORE_DATA_DIR names."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("TLCORE_DATA_DIR", str(data))
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    # Keras reads KERAS_HOME once, when it is imported, which may be long ago.
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load.cache_clear()
    yield data
    load.cache_clear()


def refused(name: str) -> str:
    """The one line that reading a dataset ends in."""
    with pytest.raises(UserError) as caught:
        load(name)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def write(path: Path, **changes: np.ndarray) -> None:
    """A small file of the right form, but no real dataset's content."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (40, 28, 28), dtype=np.uint8),
        "y_train": np.arange(40, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }
    np.savez_compressed(path, **arrays | changes)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_absent_and_offline_says_which_file_to_put_where(folder: Path, tmp_path: Path, name: str) -> None:
    assert DATASETS[name].looks() is None
    message = refused(name)
    assert f"{name}.npz" in message
    assert str(tmp_path / "home" / "datasets") in message
    assert "TLCORE_DATA_DIR" in message
    assert all(key in message for key in KEYS)


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("cifar10_cars", "cifar10"),
        ("cifar10_trucks", "cifar10"),
        ("cifar10_a", "cifar10"),
        ("cifar10_animals", "cifar10"),
        ("cifar10_cars_shuffled", "cifar10"),
        ("mnist_low", "mnist"),
        ("mnist_shuffled", "mnist"),
        ("fashion_mnist_shuffled", "fashion_mnist"),
    ],
)
def test_a_task_made_from_another_set_asks_for_that_set(folder: Path, name: str, whole: str) -> None:
    assert DATASETS[name].looks() is None
    assert f"{whole}.npz" in refused(name)


@pytest.mark.parametrize("name", ["cifar10_b", "cifar10_cars", "cifar10_cars_shuffled"])
def test_a_task_is_not_made_from_another_set_under_the_name(folder: Path, name: str) -> None:
    """The file holds ten classes, so the rows can be found; it is still not CIFAR-10."""
    write(folder / "cifar10.npz")
    assert "is not cifar10" in refused(name)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_another_dataset_under_the_name_is_refused_and_kept(folder: Path, name: str) -> None:
    path = folder / f"{name}.npz"
    write(path)
    before = path.read_bytes()
    message = refused(name)
    assert str(path) in message
    assert "replace" in message
    assert path.read_bytes() == before


def damage(path: Path, how: str) -> None:
    """Spoil a file in one of the ways in which files get spoiled."""
    whole = path.read_bytes()
    if how == "cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "a web page":
        path.write_bytes(b"<html><body>404 Not Found</body></html>")
    elif how == "bytes flipped":
        middle = len(whole) // 3
        path.write_bytes(
            whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 64]) + whole[middle + 64 :]
        )
    elif how == "one array only":
        np.savez_compressed(path, x_train=np.zeros((3, 28, 28), dtype=np.uint8))
    elif how == "a single array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif how == "pickled objects":
        write(path, x_train=np.array([{}], dtype=object))


DAMAGES = ("cut short", "empty", "a web page", "bytes flipped", "one array only", "a single array", "pickled objects")


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_damaged_file_is_named_and_kept(folder: Path, name: str, how: str) -> None:
    path = folder / f"{name}.npz"
    write(path)
    damage(path, how)
    before = path.read_bytes()
    message = refused(name)
    assert str(path) in message
    assert "replace" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_named_by_a_task_made_from_it(folder: Path, how: str) -> None:
    write(folder / "mnist.npz")
    damage(folder / "mnist.npz", how)
    assert str(folder / "mnist.npz") in refused("mnist_high")


@pytest.mark.parametrize(
    "changes",
    [
        {"y_train": np.full(40, -1, dtype=np.int64)},
        {"y_train": np.zeros(40, dtype=np.float32)},
        {"y_train": np.array(["a"] * 40)},
        {"x_train": np.zeros((0, 28, 28), dtype=np.uint8), "y_train": np.zeros(0, dtype=np.uint8)},
        {"x_train": np.array(["a"] * 40)},
        {"x_train": np.zeros((39, 28, 28), dtype=np.uint8)},
        {"x_train": np.asfortranarray(np.zeros((40, 28, 28), dtype=np.uint8))},
        {"x_train": np.uint8(7)},
    ],
    ids=[
        "negative labels",
        "float labels",
        "text labels",
        "no images",
        "text images",
        "an image too few",
        "columns first",
        "one number",
    ],
)
def test_arrays_of_another_kind_are_refused_in_one_line(folder: Path, changes: dict[str, np.ndarray]) -> None:
    path = folder / "mnist.npz"
    write(path, **changes)
    assert str(path) in refused("mnist")
    assert path.is_file()


def test_a_damaged_file_in_kerass_own_cache_is_kept(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "keras" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not MNIST at all")
    assert str(path) in refused("mnist")
    assert path.is_file()


def test_keras_is_not_left_to_delete_a_damaged_archive(folder: Path, tmp_path: Path) -> None:
    """Offline, `keras.datasets.cifar10` removes a cached archive whose hash is wrong: a file a person put there."""
    path = tmp_path / "keras" / "datasets" / "cifar-10-batches-py-target_archive"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a download")
    message = refused("cifar10")
    assert path.is_file(), message


def test_damaged_parts_of_fashion_mnist_in_kerass_cache_are_kept(folder: Path, tmp_path: Path) -> None:
    cached = tmp_path / "keras" / "datasets" / "fashion-mnist"
    cached.mkdir(parents=True)
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    paths = [cached / f"{name}-ubyte.gz" for name in names]
    for path in paths:
        path.write_bytes(b"half a download")
    assert "fashion_mnist" in refused("fashion_mnist")
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    "content", ["nothing", "other files", "not a zip", "pictures that are none", "pictures of another size"]
)
def test_a_zip_that_is_not_cifar_is_named_and_kept(folder: Path, content: str) -> None:
    path = folder / "cifar10_jpeg.zip"
    if content == "not a zip":
        path.write_bytes(b"PK, but not really")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            if content == "other files":
                archive.writestr("readme.txt", "nothing here")
            if content == "pictures that are none":
                archive.writestr("train/truck/1.jpg", b"no picture")
            if content == "pictures of another size":
                picture = io.BytesIO()
                Image.new("RGB", (31, 32)).save(picture, "jpeg")
                archive.writestr("train/truck/1.jpg", picture.getvalue())
    assert str(path) in refused("cifar10")
    assert path.is_file()


def test_what_needs_no_file_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("TLCORE_HOME", str(blocked / "home"))
    load.cache_clear()
    assert len(load("uci_digits").x_train) == 1201
    load.cache_clear()


def test_uci_digits_needs_nothing(folder: Path) -> None:
    dataset = load("uci_digits")
    assert len(dataset.y_train) + len(dataset.y_test) == 1797
    assert dataset.provenance == "scikit-learn's load_digits"
    # MNIST's box: the digit fills 20×20 pixels, the border is empty.
    assert not dataset.x_train[:, :4].any()
    assert not dataset.x_train[:, :, 24:].any()


@pytest.mark.real_data
@pytest.mark.parametrize("name", DOWNLOADED)
def test_the_real_sets_come_from_the_folder(name: str) -> None:
    assert load(name).provenance.startswith(("local file", "keras.datasets"))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cifar10_cars", "cifar10_trucks"])
def test_a_vehicle_task_is_balanced_and_never_shows_the_other_vehicle_as_its_own(name: str) -> None:
    dataset = load(name)
    for labels in (dataset.y_train, dataset.y_test):
        counts = np.bincount(labels)
        assert counts[0] == counts[1]


@pytest.mark.real_data
def test_no_picture_is_in_two_parts_of_the_two_vehicle_tasks() -> None:
    """Training and test, cars and trucks: four sets of pictures, none shared."""
    parts = {
        f"{name} {split}": {image.tobytes() for image in getattr(load(name), f"x_{split}")}
        for name in ("cifar10_cars", "cifar10_trucks")
        for split in ("train", "test")
    }
    names = list(parts)
    shared = {
        (one, other): len(parts[one] & parts[other])
        for position, one in enumerate(names)
        for other in names[position + 1 :]
    }
    assert not any(shared.values()), shared


@pytest.mark.real_data
@pytest.mark.parametrize("how", ["download", "file"])
def test_a_task_is_the_same_whichever_way_its_set_came(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A download holds all pictures in memory, a file is read in pieces; Keras gives the labels as a column."""
    whole, expected = load("cifar10"), load("cifar10_cars").sha256
    x_train, x_test = whole.x_train, whole.x_test
    y_train, y_test = (y.astype(np.uint8)[:, None] for y in (whole.y_train, whole.y_test))
    folder: Path = request.getfixturevalue("folder")
    if how == "download":
        monkeypatch.setattr("keras.datasets.cifar10.load_data", lambda: ((x_train, y_train), (x_test, y_test)))
    else:
        # MNIST's file is compressed, so that way of reading is tested with it.
        np.savez(folder / "cifar10.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    found = load("cifar10_cars")
    assert found.sha256 == expected
    assert found.provenance == ("keras.datasets" if how == "download" else "local file cifar10.npz")


def test_listing_datasets_needs_no_keras() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from tlcore.data import DATASETS; [spec.looks() for spec in DATASETS.values()]; "
            "sys.exit('keras' in sys.modules)",
        ],
        env=os.environ | {"TLCORE_DATA_DIR": ""},
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
