"""Pictures and zips for the tests of learners' own pictures."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache

import numpy as np
from PIL import Image

ME = "m" * 32


@lru_cache(maxsize=300)
def photo(seed: int) -> Image.Image:
    """A picture that looks like no other: coloured blotches."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@lru_cache(maxsize=300)
def jpeg(seed: int) -> bytes:
    """A picture that looks like no other, as a file."""
    return saved(photo(seed), "JPEG")


def files_of(classes: dict[str, int], first: int = 0) -> dict[str, bytes]:
    """So many different pictures of each class, by path."""
    made: dict[str, bytes] = {}
    for name, count in classes.items():
        for number in range(count):
            made[f"{name}/{number}.jpg"] = jpeg(first + len(made))
    return made


def packed(files: dict[str, bytes]) -> io.BytesIO:
    """A zip of files by path."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    file.seek(0)
    return file


def zipped(classes: dict[str, int]) -> io.BytesIO:
    """A zip of so many different pictures of each class."""
    return packed(files_of(classes))
