"""The engine on JAX and on torch: the same comparison gives what it gives on TensorFlow."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tlcore import Comparison, Experiment
from tlcore.runner import compare

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=(
        "scratch",
        "feature_extraction",
        "fine_tune_last",
        "discriminative_lr",
        "l2_sp",
        "lora",
        "distillation",
    ),
    labels_per_class=10,
    seeds=1,
    steps=40,
    learning_rate=2e-3,
    precision="float32",
)
SCRIPT = """
import sys
import tlcore.metrics.ranking, tlcore.metrics.similarity, tlcore.metrics.stats
assert "keras" not in sys.modules
from tlcore import Experiment
from tlcore.runner import compare
print(compare(Experiment.model_validate_json(sys.argv[1])).to_json())
"""


@cache
def on_tensorflow() -> Comparison:
    """`SMALL` in this process, run once."""
    return compare(SMALL)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_measures_the_same(backend: str, tmp_path: Path, root: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, SMALL.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=tmp_path,
        # On JAX nearly all the time goes into compiling, so it is told not to optimise.
        env=os.environ
        | {"PYTHONPATH": str(root), "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        | {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    there, here = Comparison.from_json(done.stdout), on_tensorflow()
    for one, other in zip(there.records, here.records, strict=True):
        assert one.strategy == other.strategy
        assert one.environment.backend == backend
        assert backend in one.environment.packages
        # First weights, rows and labels are NumPy's: what was not trained yet is the same network.
        assert one.curve[0].train_loss == pytest.approx(other.curve[0].train_loss, rel=1e-4)
        assert one.labels == other.labels
        # Rounding differs, and a network in training carries it along: measured at most 0.7 points.
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=0.02), one.strategy
        assert one.curve[-1].train_loss == pytest.approx(other.curve[-1].train_loss, rel=0.1, abs=0.01), one.strategy
        assert one.trainable_parameters == other.trainable_parameters
        for stage, change in other.weight_change.items():
            assert one.weight_change[stage] == pytest.approx(change, rel=0.05), (one.strategy, stage)
    assert json.loads(done.stdout)["experiment"] == SMALL.model_dump(mode="json")
