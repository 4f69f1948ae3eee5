"""A learner's own pictures as a dataset: read, checked, kept for some days, deleted with all that was made of them."""

from tlcore.data.own.kept import PREFIX, SIDE, OwnSet, arrays, find, is_name, mark, may_see, of_owner
from tlcore.data.own.removal import delete, sweep

__all__ = ["PREFIX", "SIDE", "OwnSet", "arrays", "delete", "find", "is_name", "mark", "may_see", "of_owner", "sweep"]
