"""Arrays in NumPy's own files: opened without leaks, and weights by stage as one name each."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Not there, half copied, of another version, or no such file at all.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, zlib.error)


@contextmanager
def opened(path: Path) -> Generator[Any]:
    """Open a file of arrays; NumPy by itself leaves a file open that it cannot read.

    Args:
        path: The ``.npz`` file.

    Yields:
        Arrays by name, each read when it is asked for, with their names as ``files``.

    Raises:
        OSError: If it cannot be opened; what else a damaged file raises, here or later, is in `UNREADABLE`.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        yield arrays


def flat(weights: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Arrays by stage under names such as ``conv1.0``."""
    return {f"{stage}.{at}": array for stage, held in weights.items() for at, array in enumerate(held)}


def by_stage(arrays: Any) -> dict[str, list[NDArray[np.float32]]]:
    """What `flat` has named, by stage again; stages without arrays are not there.

    Args:
        arrays: From `opened`; a name without a dot is something else, and passed over.

    Returns:
        Arrays by stage, in their order.
    """
    weights: dict[str, list[NDArray[np.float32]]] = {}
    for name in arrays.files:
        stage, dot, _ = name.rpartition(".")
        if dot:
            weights.setdefault(stage, []).append(arrays[name])
    return weights
