"""``python -m benchmarks [comparison] [app]``: measure and print; nothing else should run on the machine."""

from __future__ import annotations

import importlib
import platform
import sys
from datetime import UTC, datetime

PARTS = ("comparison", "app")


def main() -> None:
    """Run the parts that are named, or all."""
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        sys.exit(f"unknown part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {platform.machine()}")
    for name in wanted:
        print(f"\n{name}")
        for what, figure in importlib.import_module(f"benchmarks.{name}").measure().items():
            print(f"  {what}: {figure}")


if __name__ == "__main__":
    main()
