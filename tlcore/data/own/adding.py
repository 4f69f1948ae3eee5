"""Adding a set: every file read once, copies left out, near-copies numbered, the pixels kept."""

from __future__ import annotations

import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tlcore.data.own import copies, names
from tlcore.data.own.kept import OwnSet, Writer
from tlcore.data.own.pictures import Refused, square
from tlcore.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tlcore.data.own.reading import Candidate, Found

    Progress = Callable[[int, int], None]

LEAST_PICTURES = 5
LEAST_GROUPS = 3
"""Near-copies stay together, so a class needs some pictures that are none: to learn from, to choose by and to test."""
MOST_NAMED = 20
THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Report:
    """What became of the files.

    Args:
        read: Files looked at.
        copies: Pictures left out because the same is there already.
        near_groups: Groups of more than one picture.
        near_pictures: Pictures in them.
        refused: Files left out, each its name and the end of a sentence; the first `MOST_NAMED`.
        refused_count: How many were left out.
        merged: Classes made of folders whose names differ in capitals only.
    """

    read: int
    copies: int
    near_groups: int
    near_pictures: int
    refused: tuple[tuple[str, str], ...]
    refused_count: int
    merged: tuple[str, ...]

    def sentences(self) -> tuple[str, ...]:
        """The report in words, one line each; empty if every file is a picture of its own."""
        lines: list[str] = []
        if self.copies:
            lines.append(f"{_counted(self.copies, 'copy', 'copies')} left out.")
        if self.near_groups:
            lines.append(
                f"{_counted(self.near_groups, 'group', 'groups')} of near-copies ({self.near_pictures} pictures) "
                f"{'stays' if self.near_groups == 1 else 'stay'} together: never one to learn from, another to test."
            )
        lines += [f"{name} and its other spellings are one class." for name in self.merged]
        if self.refused_count:
            lines.append(f"{_counted(self.refused_count, 'file', 'files')} left out:")
            lines += [f"{name} {reason}." for name, reason in self.refused]
            if self.refused_count > len(self.refused):
                lines.append(f"… and {self.refused_count - len(self.refused)} more.")
        return tuple(lines)


@dataclass(frozen=True)
class Added:
    """A new set, and what became of the files it was made of."""

    own_set: OwnSet
    report: Report


def add(found: Found, owner: str, title: str, on_progress: Progress | None = None) -> Added:
    """Keep a set of pictures.

    Args:
        found: Its classes and files.
        owner: Whose it is.
        title: What its owner calls it.
        on_progress: Called after every file with how many were read, and of how many.

    Returns:
        The set, with a report.

    Raises:
        UserError: If a class has too few pictures, one picture is in two classes, or there is no room. Nothing is kept
            then.
    """
    title = names.clean(title)[: names.MOST_LETTERS].strip() or "My pictures"
    _check_counts(found, Counter(file.label for file in found.files), [])
    pile = _Pile(found, list(found.refused))
    with Writer(owner, len(found.files)) as writer, warnings.catch_warnings():
        # Pillow warns of large pictures and odd metadata; sizes are checked before anything is decoded.
        warnings.simplefilter("ignore")
        for done, (file, picture) in enumerate(_squares(found.files), start=1):
            if pile.take(file, picture):
                writer.add(pile.picture)
            if on_progress is not None:
                on_progress(done, len(found.files))
        pile.check()
        groups = copies.groups_of(pile.prints)
        labels = np.array(pile.labels, dtype=np.int64)
        _check_groups(found.classes, labels, groups)
        own_set = writer.finish(title, found.classes, labels, groups)
    sizes = np.bincount(groups)
    report = Report(
        read=len(found.files) + len(found.refused),
        copies=pile.left_out,
        near_groups=int((sizes > 1).sum()),
        near_pictures=int(sizes[sizes > 1].sum()),
        refused=tuple(pile.refused[:MOST_NAMED]),
        refused_count=len(pile.refused),
        merged=found.merged,
    )
    return Added(own_set, report)


@dataclass(eq=False)
class _Pile:
    """What is known of the pictures so far; their pixels are on disk."""

    found: Found
    refused: list[tuple[str, str]]
    labels: list[int] = field(default_factory=list[int])
    prints: list[copies.Print] = field(default_factory=list[copies.Print])
    left_out: int = 0
    picture: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 3), dtype=np.uint8))
    _seen: dict[bytes, Candidate] = field(default_factory=dict[bytes, "Candidate"])
    _in_two: list[tuple[Candidate, Candidate]] = field(default_factory=list[tuple["Candidate", "Candidate"]])

    def take(self, file: Candidate, picture: _Taken | Refused) -> bool:
        """Note a file; whether its picture is a new one."""
        if isinstance(picture, Refused):
            self.refused.append((file.name, str(picture)))
            return False
        first = self._seen.setdefault(picture.digest, file)
        if first is not file:
            if first.label == file.label:
                self.left_out += 1
            else:
                self._in_two.append((first, file))
            return False
        self.labels.append(file.label)
        self.prints.append(picture.print)
        self.picture = picture.pixels
        return True

    def check(self) -> None:
        if self._in_two:
            pairs = "; ".join(f"{first.name} and {second.name}" for first, second in self._in_two[:3])
            more = f" and {len(self._in_two) - 3} more" if len(self._in_two) > 3 else ""
            raise UserError(
                f"the same picture is in two classes ({pairs}{more}): leave it in one of them and add again"
            )
        _check_counts(self.found, Counter(self.labels), self.refused)


@dataclass(frozen=True, eq=False)
class _Taken:
    pixels: NDArray[np.uint8]
    digest: bytes
    print: copies.Print


def _squares(files: tuple[Candidate, ...]) -> Iterator[tuple[Candidate, _Taken | Refused]]:
    """Read every file, in order; decoding, which is most of it, in several threads, few files ahead."""

    def take(data: bytes) -> _Taken | Refused:
        try:
            pixels = square(data)
        except Refused as refused:
            return refused
        return _Taken(pixels, sha256(pixels.data.cast("B")).digest(), copies.print_of(pixels))

    Image.init()  # loads Pillow's readers, which two threads must not do at once
    with ThreadPoolExecutor(THREADS) as pool:
        ahead: deque[tuple[Candidate, Future[_Taken | Refused] | Refused]] = deque()
        for file in files:
            try:
                ahead.append((file, pool.submit(take, file.read())))
            except Refused as refused:
                ahead.append((file, refused))
            if len(ahead) > THREADS:
                first, taken = ahead.popleft()
                yield first, taken if isinstance(taken, Refused) else taken.result()
        for first, taken in ahead:
            yield first, taken if isinstance(taken, Refused) else taken.result()


def _check_counts(found: Found, counts: Counter[int], refused: list[tuple[str, str]]) -> None:
    for label, name in enumerate(found.classes):
        if counts[label] < LEAST_PICTURES:
            why = f" ({refused[0][0]} {refused[0][1]})" if refused else ""
            pictures = _counted(counts[label], "different picture", "different pictures")
            raise UserError(
                f"class '{name}' has {pictures}, and {LEAST_PICTURES} are the least: add more, or leave the class out"
                + why
            )


def _check_groups(classes: tuple[str, ...], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> None:
    for label, name in enumerate(classes):
        if len(np.unique(groups[labels == label])) < LEAST_GROUPS:
            raise UserError(
                f"the pictures of class '{name}' are near-copies of one another: "
                f"add at least {LEAST_GROUPS} that differ, from another side or of another thing"
            )


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
