"""Recorded results: measured on the real data by ``python -m tlcore record`` and shipped with the project."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tlcore.errors import UserError
from tlcore.presets import RECORDS
from tlcore.results import Comparison


@st.cache_resource(show_spinner=False, max_entries=16)
def _read(path: str, changed: int) -> Comparison:
    return Comparison.read(Path(path))


def read_recorded(name: str) -> tuple[Comparison | None, str]:
    """Read a recorded comparison; the file is read again only after it has changed.

    Args:
        name: Name of the file without its ending.

    Returns:
        The comparison and an empty string, or None and what to do about it.
    """
    path = RECORDS / f"{name}.json"
    if not path.is_file():
        return None, f"The recorded result “{name}” is not here yet. Make it with `python -m tlcore record`."
    try:
        comparison = _read(str(path), path.stat().st_mtime_ns)
    except (UserError, OSError):
        return None, f"The recorded result “{name}” is damaged. Make it again with `python -m tlcore record`."
    if not comparison.records:
        return None, f"The recorded result “{name}” is empty. Make it again with `python -m tlcore record`."
    return comparison, ""
