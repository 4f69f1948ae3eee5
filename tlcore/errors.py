"""Errors that a person can act on: one line, saying what to do."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError


class UserError(ValueError):
    """Something outside the program has to change: an option, a file, a folder, the network.

    The message is one line that names what is wrong and what to do about it; the command line prints it and exits
    with 2, pages show it in place of a traceback.
    """


class Stopped(Exception):  # noqa: N818 - not an error: the person asked for it
    """The run was asked to stop and did, at the next safe place."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, with the near ones.

    Args:
        kind: What the name names, for instance ``dataset``.
        name: The name that was given.
        known: Every name there is.

    Returns:
        One line, ending in what to do.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of: {', '.join(names)}"
    return f"unknown {kind} '{name}': {hint}"


def explain(error: ValidationError) -> str:
    """Turn a pydantic error into one line for a person.

    Args:
        error: What pydantic raised.

    Returns:
        The problems, joined by semicolons; each names its field.
    """
    lines: list[str] = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"] if isinstance(part, str)).replace("_", " ")
        message = item["msg"].removeprefix("Value error, ")
        given = "" if item["type"] == "value_error" else f" (got {item['input']!r})"
        lines.append(f"{field}: {message}{given}" if field else f"{message}")
    return "; ".join(lines)
