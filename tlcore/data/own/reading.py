"""Files that may be pictures, by class: from a folder on disk or a zip, of which nothing is ever unpacked to disk."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from tlcore.data.own import names
from tlcore.data.own.pictures import MOST_BYTES, Refused
from tlcore.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

FEWEST_CLASSES, MOST_CLASSES = 2, 20
MOST_PICTURES = 10_000
MOST_UNPACKED = 20_000_000_000
MOST_RATIO, FREE_BYTES = 50, 200_000_000
"""A zip may hold so many times its own size, and so much in any case: pictures hardly pack at all."""
_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"})
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Candidate:
    """A file that may be a picture.

    Args:
        label: Its class.
        name: What sentences call it.
        read: Gives its bytes; raises `Refused` where they are not to be had.
    """

    label: int
    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Found:
    """What a folder or a zip holds.

    Args:
        classes: Class names by label.
        files: The files, class by class.
        merged: Folders' names that differ in capitals only and became one class.
        refused: Files that no class can have, each a name and the end of a sentence.
    """

    classes: tuple[str, ...]
    files: tuple[Candidate, ...]
    merged: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


@contextmanager
def open_place(place: Path) -> Generator[Found]:
    """Look into a folder or a zip file.

    Args:
        place: The folder or file.

    Returns:
        What it holds, readable inside the `with`.

    Raises:
        UserError: If it is neither, or holds no classes of pictures.
    """
    if place.is_dir():
        yield from_folder(place)
        return
    try:
        file = place.open("rb")
    except OSError as error:
        raise UserError(f"cannot read {place} ({error.strerror}): name a folder or a zip file") from None
    with file, open_zip(file) as found:
        yield found


def from_folder(folder: Path) -> Found:
    """Look into a folder whose folders are the classes; links are not followed.

    Args:
        folder: The folder.

    Returns:
        What it holds.

    Raises:
        UserError: If there are no classes of pictures in it.
    """
    entries: list[_Entry] = []
    for at, _, files in os.walk(folder):
        for name in files:
            path = Path(at) / name
            parts = path.relative_to(folder).parts
            reason = "is a link, which is not followed" if path.is_symlink() else ""
            entries.append(_Entry(parts, _reader_of(path), reason))
    return _by_class(entries)


def _reader_of(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            if not path.is_file():
                raise Refused("is not a plain file")
            with path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except OSError as error:
            raise Refused(f"cannot be read ({error.strerror})") from None

    return read


@contextmanager
def open_zip(file: IO[bytes]) -> Generator[Found]:
    """Look into a zip whose folders are the classes.

    Args:
        file: The zip; it can be sought in.

    Returns:
        What it holds, readable inside the `with`.

    Raises:
        UserError: If it is no zip, is made to do harm, is encrypted, or holds no classes of pictures; also from
            reading a file, once more came out of it than pictures ever give.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        raise UserError("this is not a zip file, or it is damaged: pack the folders of pictures again") from None
    with archive:
        yield _by_class(_entries(archive, _Meter(size)))


@dataclass
class _Meter:
    """Counts what has come out of a zip: its headers may say anything."""

    size: int
    unpacked: int = field(default=0)

    def count(self, more: int) -> None:
        self.unpacked += more
        if self.unpacked > min(MOST_UNPACKED, FREE_BYTES + MOST_RATIO * self.size):
            raise UserError(
                "this zip unpacks to far more than pictures do, as one made to fill a disk: "
                "pack the folders of pictures again"
            )


@dataclass(frozen=True)
class _Entry:
    parts: tuple[str, ...]
    read: Callable[[], bytes]
    refused: str = ""


def _entries(archive: zipfile.ZipFile, meter: _Meter) -> Iterator[_Entry]:
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        if entry.is_dir() or name.endswith("/"):
            continue
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise UserError(
                f"a file in this zip wants to be outside of it ({names.shown(name)}): pack the folders again"
            )
        if entry.flag_bits & 0x1:
            raise UserError("this zip is encrypted: pack the folders again without a password")
        reason = ""
        if stat.S_ISLNK(entry.external_attr >> 16):
            reason = "is a link, which is not followed"
        elif entry.compress_type not in _PACKED:
            reason = "is packed in a way that is not read here: use the ordinary zip method"
        yield _Entry(path.parts, _member_reader(archive, entry, meter), reason)


def _member_reader(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, meter: _Meter) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with archive.open(entry) as member:
                data = member.read(MOST_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError):
            raise Refused("is damaged in the zip: pack it again") from None
        meter.count(len(data))
        return data

    return read


def _by_class(entries: Iterable[_Entry]) -> Found:
    """Sort files into classes by the folder they are in, below one folder that may hold all of them."""
    found: list[_Entry] = []
    for entry in entries:
        if not any(part.startswith(".") or part.casefold() in _JUNK for part in entry.parts):
            found.append(entry)
        if len(found) > MOST_PICTURES:
            raise UserError(f"these are more than {MOST_PICTURES:,} files: add at most {MOST_PICTURES:,} pictures")
    top = {entry.parts[0] for entry in found if len(entry.parts) > 1}
    # One folder around the classes' folders; a file beside them, such as a licence, does not change that.
    strip = 1 if len(top) == 1 and any(len(entry.parts) > 2 for entry in found) else 0
    refused: list[tuple[str, str]] = []
    spellings: dict[str, set[str]] = {}
    classes: dict[str, list[_Entry]] = {}
    titles: dict[str, str] = {}
    for entry in sorted(found, key=lambda entry: entry.parts):
        shown = names.shown("/".join(entry.parts))
        parts = entry.parts[strip:]
        if entry.refused:
            refused.append((shown, entry.refused))
        elif len(parts) < 2:
            refused.append((shown, "is in no class's folder"))
        elif len(parts) > 2:
            raise UserError(
                f"'{shown}' is in a folder inside of the class '{names.shown(parts[0])}': "
                "put the pictures of each class directly into one folder that has the class's name"
            )
        else:
            title = class_name(parts[0])
            key = names.same(title)
            classes.setdefault(key, []).append(entry)
            titles.setdefault(key, title)
            spellings.setdefault(key, set()).add(parts[0])
    check_classes(len(classes))
    ordered = sorted(classes, key=lambda key: (titles[key].casefold(), key))
    return Found(
        tuple(titles[key] for key in ordered),
        tuple(
            Candidate(label, names.shown("/".join(entry.parts)), entry.read)
            for label, key in enumerate(ordered)
            for entry in classes[key]
        ),
        tuple(titles[key] for key in ordered if len(spellings[key]) > 1),
        tuple(refused),
    )


def class_name(name: str) -> str:
    """The name of a class as it is shown everywhere.

    Args:
        name: What a folder is called, or what somebody typed.

    Returns:
        The name without signs that pages would read as markup.

    Raises:
        UserError: If nothing is left of it, or it is too long.
    """
    title = names.clean(name)
    if not title:
        raise UserError("a class has a name without letters or digits: give it another name")
    if len(title) > names.MOST_LETTERS:
        raise UserError(f"the class name '{title[:20]}…' has {len(title)} letters: use at most {names.MOST_LETTERS}")
    return title


def check_classes(count: int) -> None:
    """Refuse a number of classes that cannot be compared.

    Args:
        count: How many there are.

    Raises:
        UserError: If they are too few or too many.
    """
    if count == 0:
        raise UserError(
            "there are no pictures in folders here: put the pictures of each class into a folder of its own"
        )
    if count < FEWEST_CLASSES:
        raise UserError("there is only one class: add a folder with pictures of another")
    if count > MOST_CLASSES:
        raise UserError(f"these are {count} classes: use at most {MOST_CLASSES}")


def pack(files: Sequence[tuple[str, IO[bytes]]], into: IO[bytes]) -> None:
    """Put loose files into a zip, so that there is one way to read them.

    Args:
        files: Path with the class's folder, and content; two may have the same path.
        into: Where the zip is written.
    """
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        taken: set[str] = set()
        for path, content in files:
            name, again = PurePosixPath(path), 1
            while str(name) in taken:
                again += 1
                name = PurePosixPath(path).with_name(f"{again}-{PurePosixPath(path).name}")
            taken.add(str(name))
            content.seek(0)
            with archive.open(str(name), "w") as member:
                while block := content.read(1 << 20):
                    member.write(block)
