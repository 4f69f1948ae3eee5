"""A lock between processes, held on a file; the system drops it when its holder ends, however it ends."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


# Whoever asks for the holder holds the lock itself for a moment; a lock that stays taken longer than this has a holder.
PROBE_SECONDS = 1.0
LOOK_SECONDS = 0.02


class FileLock:
    """An exclusive lock on a file.

    Args:
        path: The file; created if missing, never removed. While the lock is held the file contains the holder's
            process number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock.

        Args:
            wait: Wait for another holder to let go, however long it takes, instead of giving up soon.

        Returns:
            Whether it is held now.

        Raises:
            OSError: If the file cannot be created.
        """
        descriptor = self._open()
        give_up_at = time.monotonic() + PROBE_SECONDS
        while not _try_lock(descriptor):
            if not wait and time.monotonic() > give_up_at:
                os.close(descriptor)
                return False
            time.sleep(LOOK_SECONDS)
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return True

    def release(self) -> None:
        """Let go of the lock; nothing happens if it is not held."""
        if self._descriptor is not None:
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Process number of the holder, as far as the file tells; None if nobody holds the lock."""
        if self._descriptor is not None:
            return os.getpid()
        descriptor = self._open()
        try:
            if _try_lock(descriptor):
                _unlock(descriptor)
                return None
        finally:
            os.close(descriptor)
        try:
            return int(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> Self:
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


if sys.platform == "win32":
    import msvcrt

    # Windows locks bytes, not files, and a locked byte cannot be read: take one far behind the process number.
    _FAR = 1 << 20

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
