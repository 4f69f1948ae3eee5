"""Two rules of the design, measured in fresh processes: pages never load Keras, the engine never loads Streamlit."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tlcore

BACKENDS = ("keras", "tensorflow", "torch", "jax")
# What trains, and so may load Keras. A module that is not named here has to be importable by a page.
TRAINS = {
    "tlcore.arm",
    "tlcore.backend",
    "tlcore.beyond.measure",
    "tlcore.changes",
    "tlcore.loops",
    "tlcore.models.applications",
    "tlcore.engine",
    "tlcore.export.model",
    "tlcore.features",
    "tlcore.fused",
    "tlcore.heads",
    "tlcore.models.build",
    "tlcore.models.named_loading",
    "tlcore.predict",
    "tlcore.pretrain",
    "tlcore.recipe_training",
    "tlcore.train",
    "tlcore.vmapped",
    "tlcore.jobs.preload",
    "tlcore.jobs.trainer",
}
# Alembic runs these files itself, with its own context around them.
MIGRATIONS = "tlcore.migrations."

MODULES = sorted(
    ["tlcore"]
    + [
        info.name
        for info in pkgutil.walk_packages(tlcore.__path__, "tlcore.", onerror=lambda name: None)
        if not info.name.startswith(MIGRATIONS)
    ]
)
REPORT = """
import importlib, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    for unwanted in json.loads(sys.argv[2]):
        if unwanted in sys.modules:
            found.setdefault(unwanted, name)
print(json.dumps(found))
"""


def loaded(modules: list[str], unwanted: tuple[str, ...]) -> dict[str, str]:
    """Import modules one after another in a fresh process: what came that should not, by the module that brought it."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, json.dumps(modules), json.dumps(unwanted)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=Path(tlcore.__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_pages_import_brings_no_keras() -> None:
    light = [name for name in MODULES if name not in TRAINS]
    assert {"tlcore", "tlcore.experiment", "tlcore.results", "tlcore.store", "tlcore.views"} <= set(light)
    assert {"tlcore.presets", "tlcore.strategies", "tlcore.cli"} <= set(light)
    assert loaded(light, BACKENDS) == {}


def test_the_engine_brings_no_streamlit() -> None:
    assert loaded(MODULES, ("streamlit",)) == {}


def test_the_modules_that_train_exist() -> None:
    assert set(MODULES) >= TRAINS


@pytest.mark.parametrize("path", sorted(Path(tlcore.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_no_file_of_the_engine_imports_streamlit(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not any(name.partition(".")[0] == "streamlit" for name in names), f"line {node.lineno}"
