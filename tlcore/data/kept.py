"""Datasets as they are once read and checked, kept on disk: every process maps the same pages into its memory.

Decoding CIFAR-10's pictures or drawing digits takes half a minute, unpacking an archive seconds, and a copy of the
pixels in each of four processes a gigabyte. What is kept is named after all that it was made from: the files' names,
sizes and times, and the code that reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tlcore.data.sources import KEYS, cache_folder
from tlcore.errors import UserError
from tlcore.lock import FileLock
from tlcore.npz import UNREADABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

Four = tuple["NDArray[np.uint8]", "NDArray[np.int64]", "NDArray[np.uint8]", "NDArray[np.int64]"]
# Not there, half a file, or something else: then it is read anew.
_UNUSABLE = (*UNREADABLE, UserError)


def key_of(name: str, found: str) -> str:
    """What a dataset is kept under: another file, or other code to read it, gives another key.

    Args:
        name: Name of the dataset.
        found: Where it is read from: a path, or words for what needs no file.

    Returns:
        Sixteen hexadecimal digits.
    """
    path = Path(found)
    try:
        facts = path.stat()
        origin = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    except OSError:
        origin = found
    return hashlib.sha256(f"{name}\n{origin}\n{_code()}\n{np.__version__}".encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


MOST_CHOICES = 8


@dataclass(frozen=True, eq=False)
class Kept:
    """A dataset as it is kept.

    Args:
        arrays: Training images and labels, test images and labels.
        provenance: Where the bytes came from, in words.
        sha256: Hash of the four arrays, from `hash_of`.
    """

    arrays: Four
    provenance: str
    sha256: str


@contextmanager
def alone(name: str) -> Generator[None]:
    """Keep other processes from reading the same dataset anew at the same time, where there is a folder to keep it in.

    Args:
        name: Name of the dataset.
    """
    with ExitStack() as stack:
        with suppress(OSError, UserError):
            folder = cache_folder()
            folder.mkdir(exist_ok=True)
            stack.enter_context(FileLock(folder / f"{name}.lock"))
        yield


def find(name: str, key: str) -> Kept | None:
    """Map a kept dataset into memory.

    Args:
        name: Name of the dataset.
        key: From `key_of`.

    Returns:
        It, its arrays read-only; None where it is not kept or a file is damaged.
    """
    with suppress(*_UNUSABLE):
        folder = _folder(name, key)
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        x_train, y_train, x_test, y_test = (
            np.asarray(np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)) for part in KEYS
        )
        found = Kept((x_train, y_train, x_test, y_test), str(about["provenance"]), str(about["sha256"]))
        if hash_of(found.arrays) == found.sha256:
            return found
    return None


def keep(name: str, key: str, dataset: Kept) -> None:
    """Keep a dataset; it takes the place of what was kept under another key. Where there is no room, nothing is kept.

    Args:
        name: Name of the dataset.
        key: From `key_of`.
        dataset: The dataset.
    """
    with suppress(OSError, UserError):
        folder = _folder(name, key)
        for old in folder.parent.glob(f"{name}-{'[0-9a-f]' * 16}"):
            shutil.rmtree(old, ignore_errors=True)
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        try:
            partial.mkdir(parents=True)
            for part, array in zip(KEYS, dataset.arrays, strict=True):
                np.save(partial / f"{part}.npy", array, allow_pickle=False)
            about = {"sha256": dataset.sha256, "provenance": dataset.provenance}
            (partial / "about.json").write_text(json.dumps(about), encoding="utf-8")
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        # Choices of classes are as many as there are ideas: the newest are kept.
        choices = sorted(folder.parent.glob(f"*-*-{'[0-9a-f]' * 16}"), key=lambda path: path.stat().st_mtime)
        for old in choices[:-MOST_CHOICES]:
            shutil.rmtree(old, ignore_errors=True)


def hash_of(arrays: Four) -> str:
    """Hash of a dataset's four arrays and their shapes: SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(array.data.cast("B"))  # in place: `tobytes` would hold every picture twice
    return digest.hexdigest()


def _folder(name: str, key: str) -> Path:
    return cache_folder() / f"{name}-{key}"
