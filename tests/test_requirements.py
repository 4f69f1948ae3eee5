"""What the app and the engine import is what requirements.txt installs: the tests' own requirements hide a gap."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

VARIANTS = {"tensorflow_cpu": "tensorflow", "tensorflow-cpu": "tensorflow"}  # other builds of the same package
OPTIONAL = {"torch", "jax"}  # only where they are Keras's backend
BROUGHT_ALONG = {"starlette": "streamlit", "pydantic_core": "pydantic"}


def imported(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_every_import_is_required(root: Path) -> None:
    files = [root / "app.py", *(root / "tlcore").rglob("*.py"), *(root / "pages").rglob("*.py")]
    used = {name for path in files for name in imported(path)}
    used -= sys.stdlib_module_names | OPTIONAL | {"tlcore", "pages"}
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {re.split(r"[\[<>=]", line)[0].lower() for line in lines if line and not line.startswith("#")}
    owners = importlib.metadata.packages_distributions()
    missing = {
        name
        for name in used
        if not required
        & {VARIANTS.get(owner.lower(), owner.lower()) for owner in owners.get(BROUGHT_ALONG.get(name, name), [])}
    }
    assert not missing
