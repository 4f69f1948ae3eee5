"""The machine under the engine: threads, memory, versions, and which number format is faster here."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from threadpoolctl import threadpool_limits

import tlcore
from tlcore.experiment import Environment, Precision
from tlcore.home import home
from tlcore.quiet import import_quietly

if TYPE_CHECKING:
    from pathlib import Path

ONEDNN = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
# First of all that imports Keras: every module of the engine imports this one before it.
keras = import_quietly("keras")
FASTER_BY = 1.05
_threads = os.cpu_count() or 1


def configure(threads: int, family: str = "small") -> None:
    """Set how many threads this process computes with; call it before anything is computed.

    For small nets, several processes of one thread each get more done than one process of several.

    Args:
        threads: Processor cores to keep busy, at least 1. An accelerator is not affected.
        family: The backbone's family. Only a large network's operations are worth sharing among threads.
    """
    global _threads
    _threads = threads
    threadpool_limits(threads)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # A small net's operations are not worth sharing among threads: with oneDNN two take 1.6 times the processor
        # time of one, and are no faster by the clock. (MobileNetV2's and ResNet50's outputs come 1.3 to 1.5 times as
        # fast with two.) The two gradients of a layer are: they do not need each other (20 % faster).
        shared = threads if family == "application" or not ONEDNN else 1
        tf.config.threading.set_intra_op_parallelism_threads(shared)
        tf.config.threading.set_inter_op_parallelism_threads(min(threads, 2))
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    elif keras.backend.backend() == "torch":
        import torch  # pyright: ignore[reportMissingImports] - only where it is the backend

        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def device() -> str:
    """Name of the device that trains: an accelerator's, or ``CPU``."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"
    if backend == "jax":
        import jax  # pyright: ignore[reportMissingImports]

        first = jax.devices()[0]
        return "CPU" if first.platform == "cpu" else str(first.device_kind)
    import torch  # pyright: ignore[reportMissingImports]

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"


@lru_cache(maxsize=1)
def machine() -> str:
    """Processor and number of cores, in words."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a pseudo-file
            name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: the platform module's word stands
    return f"{name}, {os.cpu_count()} cores"


def environment(precision: str) -> Environment:
    """Everything about this process that a record has to name.

    Args:
        precision: Number format that the arm used.

    Returns:
        The environment.
    """
    backend = keras.backend.backend()
    names = ["keras", "numpy", "scikit-learn"]
    packages = {name: importlib.metadata.version(name) for name in names}
    module = __import__(backend)
    return Environment(
        tlcore=tlcore.__version__,
        python=platform.python_version(),
        packages=packages | {backend: str(module.__version__)},
        backend=backend,
        device=device(),
        machine=machine(),
        threads=_threads,
        precision=precision,
    )


def resolve_precision(asked: Precision, family: str = "small") -> Literal["float32", "mixed_bfloat16"]:
    """Turn ``auto`` into the format that was measured to be faster on this host.

    Args:
        asked: The experiment's precision.
        family: The backbone's family. What is measured is a small net; on a CPU the depthwise convolutions of large
            ones are slower in half precision (MobileNetV2: 590 against 430 ms for 500 images), so they get float32.

    Returns:
        ``float32`` or ``mixed_bfloat16``. What was measured is kept in `home`, so that every process of a comparison
        answers alike.
    """
    if asked != "auto":
        return asked
    if family == "application" and device() == "CPU":
        return "float32"
    speeds = precision_speeds()
    return "mixed_bfloat16" if speeds["mixed_bfloat16"] > FASTER_BY * speeds["float32"] else "float32"


def precision_is_known() -> bool:
    """Whether this host's formats were measured before."""
    return _speeds_file().is_file()


def precision_speeds() -> dict[str, float]:
    """Training images a second of the small CNN with each number format, measured once a host and kept.

    Returns:
        Images a second by format.
    """
    path = _speeds_file()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: float(kept[name]) for name in ("float32", "mixed_bfloat16")}
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not measured yet, or the file is damaged: measure
    speeds = {precision: _measure(precision) for precision in ("float32", "mixed_bfloat16")}
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(speeds), encoding="utf-8")
    partial.replace(path)
    return speeds


def _speeds_file() -> Path:
    key = f"{keras.backend.backend()}-{keras.__version__}-{device()}-{machine()}"
    return home() / f"precision-{''.join(c if c.isalnum() else '_' for c in key)}.json"


def _measure(precision: str) -> float:
    from tlcore.models import get_backbone
    from tlcore.train import Program

    program = Program(get_backbone("cnn_small"), (28, 28, 1), 10, precision=precision)
    rng = np.random.default_rng(0)
    x = rng.random((1600, 28, 28, 1), dtype=np.float32)
    y = rng.integers(0, 10, 1600)
    program.restart(program.fresh_weights(0))
    data, order = program.hold(x, y), np.arange(1600).reshape(50, 32)
    rates = np.full(50, 1e-3, dtype=np.float32)
    program.fit(data, order[:25], rates[:25])  # traces
    best = 0.0
    for _ in range(3):  # the best of three: what disturbs a measurement only ever slows it
        start = time.perf_counter()
        program.fit(data, order, rates)
        best = max(best, len(x) / (time.perf_counter() - start))
    return best
