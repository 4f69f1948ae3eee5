"""Learn transfer learning by measuring it: real Keras training of several strategies, compared fairly.

`Experiment` says what to run, `compare` runs it, `Comparison` holds what came out. Importing this package does not
import Keras; the first call of `compare` does.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from tlcore.errors import Stopped, UserError
from tlcore.experiment import CurvePoint, Event, Experiment, PairedComparison, RunRecord
from tlcore.results import Comparison, paired_comparisons

if TYPE_CHECKING:
    from tlcore.runner import compare

if platform.machine().lower() in ("x86_64", "amd64"):
    # TensorFlow takes its quick convolutions (oneDNN) only where the processor has units for half precision. They train
    # the small CNN 2.3 times as fast on one that has none (AMD EPYC with AVX2). It reads this when it is loaded, in
    # whichever module that is; what a host sets itself stays.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

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
