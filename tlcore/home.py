"""Where this project keeps its files, and where it looks for data."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from platformdirs import user_data_path

from tlcore.errors import UserError


def home() -> Path:
    """Folder for everything that is kept: the database, checkpoints, cached data.

    Returns:
        `TLCORE_HOME` if that is set, else the user's data folder; it exists and can be written.

    Raises:
        UserError: If it cannot be created or written.
    """
    named = os.environ.get("TLCORE_HOME")
    folder = Path(named).expanduser() if named else user_data_path("tlcore")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        raise UserError(
            f"cannot write to {folder} ({error.strerror}): set TLCORE_HOME to a folder that can be written"
        ) from None
    return folder


def data_folders() -> tuple[Path, ...]:
    """Folders named by `TLCORE_DATA_DIR`, in order; missing ones are left out.

    Returns:
        The folders; empty when the variable is not set.
    """
    named = os.environ.get("TLCORE_DATA_DIR", "")
    return tuple(folder for part in named.split(os.pathsep) if part and (folder := Path(part).expanduser()).is_dir())


@contextmanager
def written_whole(path: Path) -> Generator[IO[bytes]]:
    """Write a file so that no reader ever sees half of it: beside its place, then renamed.

    Args:
        path: The file; its folder exists.

    Yields:
        An open file.

    Raises:
        OSError: If it cannot be written; what there was before is still there.
    """
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def make_room(newest: Path, most: int) -> None:
    """Delete the oldest files of a folder until the rest have room; what is being written is left alone.

    Args:
        newest: The file that came last, which stays however large it is; the others are beside it.
        most: Bytes that all of them may have together.

    Raises:
        OSError: If one cannot be deleted.
    """
    found: list[tuple[int, int, Path]] = []
    for path in newest.parent.iterdir():
        if path.suffix == ".partial":
            continue
        with suppress(FileNotFoundError):  # another process makes room as well
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size, path))
    used = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if used <= most or path == newest:
            return
        path.unlink(missing_ok=True)
        used -= size
