"""``make docs``: the engine's reference as HTML, from its docstrings."""

from __future__ import annotations

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import tlcore

LEFT_OUT = ("tlcore.jobs", "tlcore.migrations", "tlcore.__main__")


def build(folder: Path) -> None:
    """Write the pages.

    Args:
        folder: Where to.
    """
    found = (module.name for module in pkgutil.walk_packages(tlcore.__path__, "tlcore."))
    modules = ["tlcore", *(name for name in found if not name.startswith(LEFT_OUT))]
    for name in tlcore.__all__:
        # What is fetched when it is asked for, pdoc does not find.
        vars(tlcore).setdefault(name, getattr(tlcore, name))
    # pdoc cannot follow names that are imported for the type checker alone; it prints them as they are written.
    warnings.filterwarnings("ignore", "Error parsing type annotation", UserWarning)
    pdoc.render.configure(docformat="google", footer_text=f"tlcore {tlcore.__version__}")
    pdoc.pdoc(*modules, output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "api")
