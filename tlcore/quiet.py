"""Importing what talks while it is imported."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Any


def import_quietly(name: str) -> Any:
    """Import a module with the process's stderr closed to it.

    TensorFlow's C++ part writes notices ("oneDNN custom operations are on") to file descriptor 2 while it is imported,
    whatever `TF_CPP_MIN_LOG_LEVEL` says, into the middle of a progress display. Python's own errors are not affected:
    they are raised.

    Args:
        name: Name of the module.

    Returns:
        The module.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    # Each network is its own function; TensorFlow counts them as one that is traced again and again, and warns.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        os.dup2(nowhere, 2)
        return importlib.import_module(name)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
