"""The documentation: every example in it runs, and every public name has what a reader looks for."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import tlcore

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tlcore.__path__, "tlcore.")
    # What the worker and the database's migrations run; nobody imports them.
    if not module.name.startswith(("tlcore.migrations", "tlcore.jobs", "tlcore.__main__"))
)


def public(module: ModuleType) -> list[tuple[str, object]]:
    """Public classes and functions that a module defines itself."""
    return [
        (name, thing)
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_a_docstring_runs(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    with_examples = [name for name in MODULES if any(t.examples for t in finder.find(importlib.import_module(name)))]
    assert {"tlcore.experiment", "tlcore.runner", "tlcore.metrics.stats"} <= set(with_examples)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_documented(name: str) -> None:
    """One line, then what goes in and what comes out, wherever something does."""
    module = importlib.import_module(name)
    assert module.__doc__
    for thing_name, thing in public(module):
        text = inspect.getdoc(thing) or ""
        assert text.strip(), f"{name}.{thing_name} has no docstring"
        if inspect.isfunction(thing):
            wanted = [parameter for parameter in inspect.signature(thing).parameters if parameter != "self"]
            if len(wanted) > 1 and len(text.splitlines()) > 1:
                assert "Args:" in text, f"{name}.{thing_name} does not say what goes in"


def test_the_public_surface_is_what_it_says() -> None:
    for name in tlcore.__all__:
        assert getattr(tlcore, name) is not None
        assert inspect.getdoc(getattr(tlcore, name)), name


def test_the_reference_is_made(tmp_path: Path, root: Path) -> None:
    """``make docs``."""
    command = [sys.executable, "docs/build.py", str(tmp_path)]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)}, check=False
    )
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in tmp_path.rglob("*.html")}
    assert {"experiment", "strategies", "runner", "ranking", "similarity"} <= pages
    assert "labels_per_class" in (tmp_path / "tlcore" / "experiment.html").read_text(encoding="utf-8")
