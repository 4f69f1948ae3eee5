"""Imported once by the forkserver: what is loaded here, every trainer has from its first moment.

The forkserver dies of any error but ImportError in a module that it preloads, and says nothing about it. So this
module swallows them all: a trainer then meets the same error itself, and can tell.
"""

from __future__ import annotations

import contextlib
import importlib
import os

from tlcore.jobs.parent import end_with_parent
from tlcore.jobs.trainer import ENGINE_VARIABLE

end_with_parent()
with contextlib.suppress(Exception):
    importlib.import_module(os.environ[ENGINE_VARIABLE])
