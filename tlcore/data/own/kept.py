"""Sets of a learner's own pictures as they are kept: `TLCORE_HOME/own/<id>`, until asked for or until their day comes.

A set is a folder with `about.json`, `images.npy`, `labels.npy` and `groups.npy`. It is written beside its place and
renamed, so that a set is there whole or not at all. The originals are never written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import TypeAdapter, ValidationError

from tlcore.errors import UserError
from tlcore.home import home
from tlcore.lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

PREFIX = "own_"
SIDE = 224
DAYS = 7.0
MOST_GB_PER_OWNER = 3.0
MOST_GB_PER_HOST = 30.0
STALE_SECONDS = 3600.0
"""A folder half written for so long has lost its writer."""
_GONE = "these pictures are not on this machine any more: add them again"
_DAMAGED = "these pictures are damaged: delete the set, then add it again"


@dataclass(frozen=True)
class OwnSet:
    """A set of a learner's own pictures.

    Args:
        id: Twelve hexadecimal digits.
        owner: Whose it is: the browser's name, or ``cli``.
        title: What its owner calls it.
        classes: Class names by label.
        counts: Pictures of each class.
        groups: Number of groups; near-copies share one.
        created: When it was added.
        expires: When it is deleted.
        sha256: Hash of the pictures, labels and groups.
        side: Height and width of the pictures in pixels.
    """

    id: str
    owner: str
    title: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    groups: int
    created: datetime
    expires: datetime
    sha256: str
    side: int

    @property
    def name(self) -> str:
        """Its name among the datasets."""
        return PREFIX + self.id


_ABOUT = TypeAdapter(OwnSet)


def is_name(name: str) -> bool:
    """Whether a name is one that a set may have; it need not be here.

    Args:
        name: Any text.
    """
    return re.fullmatch(PREFIX + "[0-9a-f]{12}", name) is not None


def find(name: str) -> OwnSet | None:
    """Find a set by its name among the datasets; its pictures are not read.

    Args:
        name: ``own_`` and the set's id; any other text is no set.

    Returns:
        The set, or None if there is none of that name.
    """
    if not is_name(name):
        return None
    with suppress(OSError, ValidationError, UserError):
        found = _ABOUT.validate_json((folder() / name.removeprefix(PREFIX) / "about.json").read_bytes())
        return found if found.name == name else None
    return None


def mark(name: str) -> str:
    """What the name of every file in `home` ends with that was made from a dataset: of own pictures the set's name, by
    which the file is found once they are deleted.

    Args:
        name: Name of any dataset.

    Returns:
        The mark; an empty string where the dataset is nobody's own.
    """
    return f"-{name}" if is_name(name) else ""


def may_see(name: str, viewer: str) -> bool:
    """Whether somebody may see the pictures of a dataset: of own ones only whoever added them.

    Args:
        name: Name of any dataset.
        viewer: The browser's name, or ``cli``.
    """
    if not is_name(name):
        return True
    found = find(name)
    return found is not None and found.owner == viewer


def arrays(own_set: OwnSet) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Map a set into memory, read-only.

    Args:
        own_set: The set.

    Returns:
        Pictures (n, side, side, 3); labels (n,); group numbers from 0 (n,). Pictures of one group are near-copies and
        belong on the same side of every split, also where they are of different classes.

    Raises:
        UserError: If it is gone or damaged.
    """
    count, place = sum(own_set.counts), folder() / own_set.id
    shapes = {"images": (count, own_set.side, own_set.side, 3), "labels": (count,), "groups": (count,)}
    try:
        images, labels, groups = (
            np.asarray(np.load(place / f"{part}.npy", mmap_mode="r", allow_pickle=False)) for part in shapes
        )
    except FileNotFoundError:
        raise UserError(_GONE) from None
    except (OSError, ValueError, EOFError):
        raise UserError(_DAMAGED) from None
    found = [(array.shape, array.dtype) for array in (images, labels, groups)]
    if found != list(zip(shapes.values(), map(np.dtype, (np.uint8, np.int64, np.int64)), strict=True)):
        raise UserError(_DAMAGED)
    return images, labels, groups


def of_owner(owner: str) -> tuple[OwnSet, ...]:
    """The sets of one owner, newest first."""
    return tuple(sorted((one for one in all_sets() if one.owner == owner), key=lambda one: one.created, reverse=True))


def all_sets() -> Iterator[OwnSet]:
    """Every set there is, of all owners."""
    for place in folder().iterdir():
        if (found := find(PREFIX + place.name)) is not None:
            yield found


def remove(own_set: OwnSet) -> None:
    """Delete a set's pictures: out of sight at once, then from the disk.

    Args:
        own_set: The set; if somebody else was faster, nothing happens.

    Raises:
        UserError: If the system does not let it go.
    """
    hidden = folder() / f"{own_set.id}.{time.monotonic_ns()}.partial"
    try:
        (folder() / own_set.id).rename(hidden)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"these pictures cannot be deleted now ({error.strerror}): try again") from None
    shutil.rmtree(hidden, ignore_errors=True)


def remove_stale(now: datetime) -> None:
    """Delete what writers that died left behind.

    Args:
        now: The present moment.
    """
    for partial in folder().glob("*.partial"):
        with suppress(OSError):
            if now.timestamp() - partial.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)


class Writer:
    """Writes a set, picture by picture; used in a `with`, which leaves nothing behind unless `finish` was called.

    Pictures go to a plain file and not into mapped memory: there a full disk would end the process, here it is an
    error, and what is written does not count as this process's memory.

    Args:
        owner: Whose it is.
        most: Pictures that will come at most; if they would not fit, the error comes before the work.

    Raises:
        UserError: If there is no room for so many pictures.
    """

    def __init__(self, owner: str, most: int) -> None:
        self._owner, self._id = owner, secrets.token_hex(6)
        self._count = 0
        self._digest = hashlib.sha256()
        _check_room(owner, most * _bytes_of_one())
        self._partial = folder() / f"{self._id}.{os.getpid()}.partial"  # whoever ends this process finds it
        self._images: IO[bytes] | None = None

    def __enter__(self) -> Self:
        with disk():
            self._partial.mkdir(mode=0o700)
            self._images = (self._partial / "images.npy").open("wb")
            self._write_header()
        return self

    def __exit__(self, *_: object) -> None:
        if self._images is not None:
            with suppress(OSError):  # a full disk can fail even here, on what was not yet written
                self._images.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Write the next picture.

        Args:
            picture: Shape (side, side, 3).

        Raises:
            UserError: If the disk is full.
        """
        assert self._images is not None
        if picture.shape != (SIDE, SIDE, 3) or picture.dtype != np.uint8:
            raise ValueError(f"a picture of {picture.dtype} {picture.shape}")
        data = np.ascontiguousarray(picture).data.cast("B")
        with disk():
            self._images.write(data)
        self._digest.update(data)
        self._count += 1

    def finish(
        self, title: str, classes: Sequence[str], labels: NDArray[np.int64], groups: NDArray[np.int64]
    ) -> OwnSet:
        """Put the set in its place.

        Args:
            title: What its owner calls it.
            classes: Class names by label.
            labels: The label of each picture.
            groups: The group of each picture, from 0.

        Returns:
            The set.

        Raises:
            UserError: If there is no room for it any more.
        """
        assert self._images is not None
        if not len(labels) == len(groups) == self._count:
            raise ValueError(f"{self._count} pictures, {len(labels)} labels, {len(groups)} groups")
        for array in (labels, groups):
            self._digest.update(str(array.shape).encode())
            self._digest.update(np.ascontiguousarray(array, dtype=np.int64).data.cast("B"))
        created = datetime.now(UTC).replace(microsecond=0)
        own_set = OwnSet(
            self._id,
            self._owner,
            title,
            tuple(classes),
            tuple(np.bincount(labels, minlength=len(classes)).tolist()),
            len(np.unique(groups)),
            created,
            created + timedelta(days=days_kept()),
            self._digest.hexdigest(),
            SIDE,
        )
        with disk():
            self._write_header()
            self._images.close()
            np.save(self._partial / "labels.npy", labels.astype(np.int64), allow_pickle=False)
            np.save(self._partial / "groups.npy", groups.astype(np.int64), allow_pickle=False)
            (self._partial / "about.json").write_bytes(_ABOUT.dump_json(own_set, indent=1))
            with FileLock(folder() / "room.lock"):  # two writers must not both find the last room free
                _check_room(self._owner, 0)
                self._partial.rename(folder() / self._id)
        return own_set

    def _write_header(self) -> None:
        """Write the file's header over the one that is there: NumPy pads it, so that it is as long for every count."""
        assert self._images is not None
        self._images.seek(0)
        facts: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (self._count, SIDE, SIDE, 3)}
        np.lib.format.write_array_header_1_0(self._images, facts)


def folder() -> Path:
    """Where the sets are; it exists, and only this user of the system may look into it."""
    place = home() / "own"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def days_kept() -> float:
    """Days that a set is kept: `TLCORE_OWN_DAYS`, or a week.

    Raises:
        UserError: If the variable is no such number.
    """
    return _setting("TLCORE_OWN_DAYS", DAYS)


def _setting(variable: str, default: float) -> float:
    text = os.environ.get(variable, "")
    try:
        value = float(text) if text else default
        if not 0 < value < 36_500:
            raise ValueError
    except ValueError:
        raise UserError(f"{variable} is '{text}': set it to a number above 0, or leave it out") from None
    return value


def _bytes_of_one() -> int:
    return SIDE * SIDE * 3


def _check_room(owner: str, more: int) -> None:
    mine = everybody = more
    for one in all_sets():
        size = sum(one.counts) * _bytes_of_one()
        everybody += size
        mine += size if one.owner == owner else 0
    giga = 1e9
    own = _setting("TLCORE_OWN_GB", MOST_GB_PER_OWNER) * giga
    host = _setting("TLCORE_OWN_HOST_GB", MOST_GB_PER_HOST) * giga
    if mine > own:
        raise UserError(
            f"your pictures would take {mine / giga:.1f} GB here and {own / giga:g} GB are yours: "
            "delete a set that you need no longer, or add fewer pictures"
        )
    if everybody > host:
        raise UserError("there is no room for more pictures on this machine: try again tomorrow, or add fewer")
    free = shutil.disk_usage(folder()).free
    if more > free:
        raise UserError(
            f"{more / giga:.1f} GB are needed and the disk has {free / giga:.1f} GB left: add fewer pictures"
        )


@contextmanager
def disk() -> Generator[None]:
    """Say in words what the disk refuses.

    Raises:
        UserError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError("the disk is full: delete a set that you need no longer, or add fewer pictures") from None
        raise UserError(f"the pictures cannot be written ({error.strerror}): set TLCORE_HOME elsewhere") from None
