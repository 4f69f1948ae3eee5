"""Deleting sets, and all that was made of them: runs, records, and every file in `home` that bears their name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tlcore.data.own import kept
from tlcore.errors import UserError
from tlcore.home import home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tlcore.data.own.kept import OwnSet


def delete(id: str, owner: str) -> None:  # noqa: A002 - the word everywhere for a set's id
    """Delete a set and all that was made of it.

    Args:
        id: The set's id.
        owner: Who asks.

    Raises:
        UserError: If there is no such set, it is somebody else's, or the system does not let it go.
    """
    found = kept.find(kept.PREFIX + id)
    if found is None:
        raise UserError("there is no such set of pictures: it may have been deleted already")
    if found.owner != owner:
        raise UserError("these pictures belong to somebody else: only the browser that added them can delete them")
    _remove(found)


def sweep(now: datetime | None = None) -> int:
    """Delete the sets whose day has come, what outlived a set, and what writers that died left behind.

    Args:
        now: The moment; None for the present one.

    Returns:
        How many sets were deleted.

    Raises:
        UserError: If one of them cannot be deleted.
    """
    now = now or datetime.now(UTC)
    expired = [one for one in kept.all_sets() if one.expires <= now]
    for one in expired:
        _remove(one)
    for name, path in _made():
        if kept.find(name) is None:  # written by a process that was training on the set when it was deleted
            path.unlink(missing_ok=True)
    kept.remove_stale(now)
    return len(expired)


def _remove(own_set: OwnSet) -> None:
    # First what can be found by way of the set: if that fails, the set is still there and can be deleted again.
    from tlcore.store import Store  # reads experiments, which read the datasets' registry, which reads this package

    Store().forget_target(own_set.name)
    for name, path in _made():
        if name == own_set.name:
            path.unlink(missing_ok=True)
    kept.remove(own_set)


def _made() -> Iterator[tuple[str, Path]]:
    """Every file that was made from a set (see `kept.mark`), with the set's name; the set may be gone."""
    for path in home().glob(f"*/*{kept.PREFIX}*"):
        if found := re.search(f"{kept.PREFIX}[0-9a-f]{{12}}", path.name):
            yield found[0], path
