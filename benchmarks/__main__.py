"""``python -m benchmarks [part …]``: measure, each part in a fresh process, and print; nothing else should run on the
machine.

``--table [part …]`` measures the speed parts, keeps them in ``benchmarks/results.json`` and
prints the README's table; ``--shown`` prints the table of what is kept. ``--json part`` prints one part as JSON.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.watch import run

SPEED = ("headline", "training", "features", "overhead", "heads", "warm", "memory", "growth")
PARTS = ("comparison", "app", *SPEED)
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "growth.html"


def main() -> None:
    """Run the parts that are named, or all."""
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
    known = SPEED if "--table" in options else PARTS
    unknown = [name for name in wanted if name not in known]
    if unknown or options not in ([], ["--table"], ["--json"], ["--shown"]):
        sys.exit(f"what is {', '.join(unknown or options)}? choose from {', '.join(known)}")
    if options == ["--json"]:
        print(json.dumps({name: figure for part in wanted for name, figure in figures_of(part).items()}))
    elif options:
        from benchmarks.table import RESULTS, markdown, measure_all

        kept = json.loads(RESULTS.read_text(encoding="utf-8"))["parts"] if "--shown" in options else None
        print(markdown(kept or measure_all(wanted)))
    else:
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {platform.machine()}")
        for part in wanted or PARTS:
            print(f"\n{part}")
            for what, figure in run("benchmarks", "--json", part).answer.items():
                print(f"  {what}: {figure}")


def figures_of(part: str) -> dict[str, Any]:
    """Measure one part at its full size, in this process.

    Args:
        part: Name of a module beside this one.
    """
    module = importlib.import_module(f"benchmarks.{part}")
    if hasattr(module, "THREADS"):
        from tlcore.backend import configure

        configure(module.THREADS, getattr(module, "FAMILY", "small"))
    return module.measure(figure=FIGURE) if part == "growth" else module.measure()


if __name__ == "__main__":
    main()
