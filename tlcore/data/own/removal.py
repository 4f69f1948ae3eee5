"""Deleting sets, and all that was made of their pictures: runs, records, and what is kept to look inside."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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
    """Delete the sets whose day has come, and what writers that died left behind.

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
    kept.remove_stale(now)
    return len(expired)


def _remove(own_set: OwnSet) -> None:
    # First what can be found by way of the set: if that fails, the set is still there and can be deleted again.
    hashes, content = _forget_runs(own_set.name), {own_set.sha256}
    for arm_hash, record in _archived(own_set.name):
        hashes.append((arm_hash, record))
    inside = home() / "inside"
    for arm_hash, record in hashes:
        content.add(str(record.get("datasets", {}).get("target", {}).get("sha256", "")))
        _unlink(inside.glob(f"{arm_hash}*.npz"))
        _unlink((home() / "arms").glob(f"{arm_hash}-*.json"))
        _unlink((home() / "arm_weights").glob(f"{arm_hash}*.npz"))
        _unlink((home() / "exports").glob(f"{arm_hash}-*"))
    for sha256 in content - {""}:
        _unlink(inside.glob(f"pictures-{sha256[:16]}-*.npz"))
    kept.remove(own_set)


def _forget_runs(name: str) -> list[tuple[str, dict[str, Any]]]:
    from tlcore.store import Store  # reads experiments, which read the datasets' registry, which reads this package

    return [(arm_hash, json.loads(record)) for arm_hash, record in Store().forget_target(name)]


def _archived(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Arms of the set that the command line has kept, with their hashes."""
    for path in (home() / "arms").glob("*.json"):
        with suppress(OSError, ValueError, UserError):
            text = path.read_text(encoding="utf-8")
            if name in text:
                yield path.name.split("-")[0], json.loads(text)


def _unlink(paths: Iterator[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
