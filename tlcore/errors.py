"""Errors that a person can act on: one line, saying what to do."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


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
    names, name = sorted(known), _one_line(name)
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
        field = " ".join(str(part) for part in item["loc"] if isinstance(part, str)).replace("_", " ")
        lines.append(f"{field}: {_sentence(item)}" if field else _sentence(item))
    return "; ".join(dict.fromkeys(lines))


def _one_line(given: object) -> str:
    return " ".join(str(given).split())


def _sentence(item: ErrorDetails) -> str:
    kind, bounds, given = item["type"], item.get("ctx", {}), _one_line(item["input"])
    if kind == "value_error":
        return item["msg"].removeprefix("Value error, ")
    if kind in ("greater_than_equal", "greater_than", "less_than_equal", "less_than"):
        word = {"greater_than_equal": "at least", "greater_than": "more than"}.get(kind, "at most")
        limit = next(iter(bounds.values()))
        return f"give {word} {limit:g}, not {given}"
    if kind.startswith(("int_", "float_")):
        return f"give a {'whole number' if kind.startswith('int_') else 'number'}, not '{given}'"
    if kind == "literal_error":
        return f"choose {bounds['expected'].replace(chr(39), '')}, not '{given}'"
    if kind == "extra_forbidden":
        return "there is no such setting"
    return f"{item['msg']} (got '{given}')"
