"""Many networks as one program: each arm is what Keras would have trained alone, and what is frozen stays.

Functions named ``on_jax_…`` are tests too: `test_on_jax` runs them in a process whose Keras runs on JAX.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlcore import backend, vmapped
from tlcore.errors import UserError
from tlcore.models import get_backbone
from tlcore.models.build import HEAD, build_model, freeze, get_weights, initial_weights, set_weights
from tlcore.vmapped import train_arms

keras = backend.keras
ROOT = Path(__file__).resolve().parent.parent
COUNT, CLASSES, STEPS, BATCH = 24, 10, 20, 4
# A freeze policy and a rate for each arm; seeds differ as well.
POLICIES: dict[str, tuple[tuple[frozenset[str], float], ...]] = {
    "cnn_small": (
        (frozenset(), 1e-3),
        (frozenset({"conv1"}), 3e-3),
        (frozenset({"conv1", "conv2", "dense1"}), 1e-2),
        (frozenset({HEAD}), 1e-3),
    ),
    "mlp": ((frozenset({"dense1"}), 1e-3), (frozenset({"dense1", "dense2"}), 1e-2), (frozenset({"dense1"}), 1e-4)),
    "mini_resnet": ((frozenset(), 1e-3), (frozenset({"stem"}), 3e-3)),
}


def pool(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (COUNT, *shape), dtype=np.uint8), rng.integers(0, CLASSES, COUNT)
    return x, y, rng.integers(0, COUNT, (4, STEPS, BATCH))


def arms(name: str, shape: tuple[int, int, int] = (12, 12, 1)) -> dict[str, Any]:
    """What `train_arms` is given for a backbone of `POLICIES`."""
    backbone, policies = get_backbone(name), POLICIES[name]
    x, y, orders = pool(shape)
    return {
        "backbone": backbone,
        "input_shape": shape,
        "classes": CLASSES,
        "starts": [initial_weights(backbone, shape, CLASSES, seed) for seed in range(len(policies))],
        "frozen": [frozen for frozen, _ in policies],
        "rates": [rate for _, rate in policies],
        "images": x,
        "labels": y,
        "orders": orders[: len(policies)],
    }


def alone(given: dict[str, Any], arm: int, precision: str = "float32") -> dict[str, list[np.ndarray]]:
    """The same arm by Keras's own layers, loss, optimiser and `fit`."""
    model = build_model(given["backbone"], given["input_shape"], CLASSES, precision)
    set_weights(model, given["starts"][arm])
    freeze(model, given["frozen"][arm])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(given["rates"][arm]), loss)
    rows = given["orders"][arm].reshape(-1)
    x = given["images"][rows].astype(np.float32) / 255
    model.fit(x, given["labels"][rows], batch_size=BATCH, shuffle=False, verbose=0)
    return get_weights(model)


def assert_frozen(given: dict[str, Any], results: list[dict[str, list[np.ndarray]]]) -> None:
    """What is frozen has the same bits as before, and what is not has moved."""
    for start, frozen, result in zip(given["starts"], given["frozen"], results, strict=True):
        for stage, arrays in start.items():
            for before, after in zip(arrays, result[stage], strict=True):
                assert after.dtype == np.float32
                assert (before.tobytes() == after.tobytes()) == (stage in frozen), stage


@pytest.mark.parametrize(("name", "looped"), [("cnn_small", False), ("mlp", True), ("mini_resnet", False)])
def on_jax_every_arm_is_what_keras_trains_alone(name: str, looped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmapped, "_loops", lambda: looped)
    given = arms(name, (13, 12, 1))  # an odd side: padding differs on its two ends
    results = train_arms(**given)
    assert_frozen(given, results)
    for arm, result in enumerate(results):
        for stage, arrays in alone(given, arm).items():
            for a, b in zip(result[stage], arrays, strict=True):
                np.testing.assert_allclose(a, b, atol=2e-4, rtol=2e-4, err_msg=f"arm {arm}, {stage}")


def on_jax_in_bfloat16_arms_learn_and_frozen_stages_stay() -> None:
    given = arms("cnn_small")
    results = train_arms(**given, precision="mixed_bfloat16")
    assert_frozen(given, results)
    for stage, arrays in alone(given, 0, "mixed_bfloat16").items():
        for a, b in zip(results[0][stage], arrays, strict=True):
            # Adam turns a rounding of a small gradient into a step of the whole rate.
            assert np.abs(a - b).mean() < 0.2 * given["rates"][0] * STEPS, stage


def on_jax_an_arm_that_diverges_leaves_the_others_and_its_frozen_stages_as_they_are() -> None:
    given = arms("cnn_small")
    calm = train_arms(**given)
    results = train_arms(**given | {"rates": [1e-3, 1e38, 1e-2, 1e-3]})
    assert not np.isfinite(results[1][HEAD][0]).all()
    np.testing.assert_array_equal(results[1]["conv1"][0], given["starts"][1]["conv1"][0])
    for arm in (0, 2, 3):
        for stage, arrays in calm[arm].items():
            for a, b in zip(results[arm][stage], arrays, strict=True):
                np.testing.assert_array_equal(a, b)


def on_jax_factors_scale_every_rate_and_floats_are_not_scaled_again() -> None:
    given = arms("mlp")
    plain = train_arms(**given)
    halved = train_arms(
        **given
        | {"rates": np.array(given["rates"]) * 2, "images": given["images"].astype(np.float32) / np.float32(255)},
        factors=np.full(STEPS, 0.5, dtype=np.float32),
    )
    for one, other in zip(plain, halved, strict=True):
        for stage, arrays in one.items():
            for a, b in zip(other[stage], arrays, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-4)


def on_jax_stops_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmapped, "STEPS_PER_CALL", 5)
    given = arms("mlp")
    stopped = train_arms(**given, should_stop=lambda: True)
    short = train_arms(**given | {"orders": given["orders"][:, :5]})
    np.testing.assert_array_equal(stopped[0][HEAD][0], short[0][HEAD][0])


def on_jax_arms_that_all_freeze_everything_come_back_as_they_were() -> None:
    given = arms("mlp")
    given["frozen"] = [frozenset({"dense1", "dense2", HEAD})] * 3
    assert_frozen(given, train_arms(**given))


def on_jax_running_statistics_are_refused() -> None:
    backbone = get_backbone("mini_resnet_bn")
    given = arms("mini_resnet") | {"backbone": backbone}
    with pytest.raises(UserError, match="mini_resnet_bn has running statistics"):
        train_arms(**given)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rates": [1e-3]}, "one of each for every arm"),
        ({"frozen": [frozenset({"conv9"})] * 3}, "mlp has no stage conv9"),
        ({"orders": np.full((3, 2, 2), COUNT)}, "orders: give whole numbers from 0 to 23"),
        ({"labels": np.full(COUNT, CLASSES)}, "labels: give whole numbers from 0 to 9"),
    ],
)
def on_jax_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        train_arms(**arms("mlp") | changes)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is JAX")
def test_another_backend_is_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match="set KERAS_BACKEND=jax"):
        train_arms(**arms("mlp"))


def test_on_jax(tmp_path: Path) -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    # Nearly all the time goes into compiling, so it is told not to optimise.
    flags = "--xla_backend_optimization_level=0"
    environment = os.environ | {"KERAS_BACKEND": "jax", "TLCORE_HOME": str(tmp_path), "XLA_FLAGS": flags}
    # Keras 3.15 reads variables on JAX in a way that NumPy 2 warns of.
    calm = "ignore:__array__ implementation:DeprecationWarning"
    options = ["-q", "-p", "no:cacheprovider", "-W", calm, "-o", "python_functions=on_jax_*"]
    command = [sys.executable, "-m", "pytest", *options, str(Path(__file__))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
