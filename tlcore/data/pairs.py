"""Whether two tasks may be a source and a target."""

from __future__ import annotations

from tlcore.data.adapt import check_no_overlap
from tlcore.data.external import EXTERNAL


def check_pair(source: str, target: str) -> str:
    """Refuse a pair of tasks that share an image.

    Args:
        source: Name of the source.
        target: Name of the target dataset.

    Returns:
        What was checked, in words.

    Raises:
        UserError: If any image of one is, byte for byte, in the other.
    """
    if source in EXTERNAL:
        return f"not checked: {EXTERNAL[source].title}'s pictures are not here, and its classes may be the target's"
    return check_no_overlap(source, target)
