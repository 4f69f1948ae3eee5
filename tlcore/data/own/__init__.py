"""A learner's own pictures as a dataset: read, checked, kept for some days, deleted with all that was made of them."""

from tlcore.data.own.kept import PREFIX, OwnSet, arrays, find, of_owner
from tlcore.data.own.removal import delete, sweep

__all__ = ["PREFIX", "OwnSet", "arrays", "delete", "find", "of_owner", "sweep"]
