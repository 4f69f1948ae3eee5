"""Learn transfer learning by measuring it: real Keras training of several strategies, compared fairly.

`Experiment` says what to run, `compare` runs it, `Comparison` holds what came out. Importing this package does not
import Keras; the first call of `compare` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlcore.errors import Stopped, UserError
from tlcore.experiment import CurvePoint, Event, Experiment, PairedComparison, RunRecord
from tlcore.results import Comparison, paired_comparisons

if TYPE_CHECKING:
    from tlcore.runner import compare

__version__ = "0.2.0"
__all__ = [
    "Comparison",
    "CurvePoint",
    "Event",
    "Experiment",
    "PairedComparison",
    "RunRecord",
    "Stopped",
    "UserError",
    "compare",
    "paired_comparisons",
]


def __getattr__(name: str) -> Any:
    # `compare` loads Keras, which the Streamlit process must never do, so it is fetched when it is asked for.
    if name == "compare":
        import importlib

        return importlib.import_module("tlcore.runner").compare
    raise AttributeError(f"module 'tlcore' has no attribute {name!r}")
