"""Many heads as one program: each is what Keras would have trained alone, on every backend, whatever the others do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcore import backend
from tlcore.heads import STEPS_PER_CALL, Heads, _groups, _Layout, train_heads

if TYPE_CHECKING:
    from collections.abc import Callable

keras = backend.keras
ROOT = Path(__file__).resolve().parent.parent
COUNT, WIDTH, CLASSES = 40, 20, 5
STEPS, BATCH = 120, 8
RATES = (1e-3, 3e-3, 1e-2, 1e-1)


def features(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.abs(rng.normal(size=(COUNT, WIDTH))).astype(np.float32)
    return x, rng.integers(0, CLASSES, COUNT)


def first(count: int, seed: int = 1) -> Heads:
    rng = np.random.default_rng(seed)
    kernels = rng.uniform(-0.5, 0.5, (count, WIDTH, CLASSES)).astype(np.float32)
    return Heads(kernels, rng.normal(size=(count, CLASSES)).astype(np.float32))


def orders(seeds: tuple[int, ...], steps: int = STEPS) -> np.ndarray:
    """A batch order for every head; equal seeds have equal orders."""
    return np.stack([np.random.default_rng(seed).integers(0, COUNT, (steps, BATCH)) for seed in seeds])


class _Given(keras.optimizers.schedules.LearningRateSchedule):
    """A rate for every step."""

    def __init__(self, rates: np.ndarray) -> None:
        self.rates = keras.ops.convert_to_tensor(rates)

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(self.rates, keras.ops.cast(step, "int32"))


def alone(
    x: np.ndarray, y: np.ndarray, heads: Heads, head: int, rates: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The same head by Keras's own layer, loss, optimiser and `fit`; kernel, bias and the mean of the losses."""
    layer = keras.layers.Dense(CLASSES)
    model = keras.Sequential([keras.Input((WIDTH,)), layer])
    layer.set_weights([heads.kernels[head], heads.biases[head]])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(_Given(rates)), loss)
    rows = order.reshape(-1)
    history = model.fit(x[rows], y[rows], batch_size=order.shape[1], shuffle=False, verbose=0)
    kernel, bias = (np.array(array) for array in layer.get_weights())
    return kernel, bias, history.history["loss"][0]


def assert_each_is_as_alone(seeds: tuple[int, ...], factors: np.ndarray | None = None) -> None:
    x, y = features()
    heads, order = first(len(seeds)), orders(seeds)
    rates = np.resize(np.array(RATES, dtype=np.float32), len(seeds))
    result = train_heads(x, y, heads, rates, order, factors=factors)
    assert result.steps == STEPS
    assert result.losses.shape == (len(seeds), STEPS)
    for head in range(len(seeds)):
        by_step = rates[head] * (np.ones(STEPS, np.float32) if factors is None else factors)
        kernel, bias, loss = alone(x, y, heads, head, by_step, order[head])
        np.testing.assert_allclose(result.final.kernels[head], kernel, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(result.final.biases[head], bias, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(result.losses[head].mean(), loss, rtol=1e-4)


@pytest.mark.parametrize(
    "seeds",
    [(0, 0, 0, 0), (0, 1, 2, 3), (0, 1, 0, 1), (0, 1, 0, 2, 0), (7,)],
    ids=lambda seeds: "".join(map(str, seeds)),
)
def test_every_head_is_what_keras_trains_alone(seeds: tuple[int, ...]) -> None:
    assert_each_is_as_alone(seeds)


def test_a_cycle_of_the_rate_reaches_every_head() -> None:
    assert_each_is_as_alone((0, 0, 1, 1), factors=np.linspace(1, 0.01, STEPS, dtype=np.float32))


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_on_the_other_backends_too(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    code = (
        "import test_heads as t, numpy as np\n"
        f"assert t.keras.backend.backend() == {name!r}\n"
        "t.assert_each_is_as_alone((0, 1, 0, 1))\n"
        "t.assert_each_is_as_alone((0, 1, 2), np.linspace(1, 0.01, t.STEPS, dtype=np.float32))\n"
        "t.test_a_head_that_diverges_leaves_the_others_as_they_are()\n"
        "t.test_looks_are_what_shorter_training_gives()\n"
    )
    environment = os.environ | {
        "KERAS_BACKEND": name,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "TLCORE_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",  # on a busy machine torch waits for its other threads far longer than it works
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def test_a_head_that_diverges_leaves_the_others_as_they_are() -> None:
    x, y = features()
    heads, order = first(4), orders((0, 0, 1, 1))
    calm = train_heads(x, y, heads, (1e-3, 1e-3, 1e-3, 1e-3), order).final
    result = train_heads(x, y, heads, (1e-3, 3e38, 1e3, 1e-3), order)
    wild = result.final
    for head in (0, 3):
        np.testing.assert_array_equal(wild.kernels[head], calm.kernels[head])
        np.testing.assert_array_equal(wild.biases[head], calm.biases[head])
    assert not np.isfinite(wild.kernels[1]).all()
    assert not np.isfinite(result.losses[1]).all()
    assert np.abs(wild.kernels[2]).max() > 1e3


def test_training_goes_on_beside_a_head_that_diverged_before() -> None:
    x, y = features()
    heads, order = first(2), orders((0, 0))
    calm = train_heads(x, y, heads, RATES[:2], order).final
    heads.kernels[1, 0] = np.nan
    with_it = train_heads(x, y, heads, RATES[:2], order).final
    np.testing.assert_array_equal(with_it.kernels[0], calm.kernels[0])
    assert np.isnan(with_it.kernels[1]).any()


def test_looks_are_what_shorter_training_gives() -> None:
    x, y = features()
    heads, order, steps = first(3), orders((0, 1, 1), steps=250), (0, 1, 100, 130, 250)
    result = train_heads(x, y, heads, RATES[:3], order, look_at=steps)
    assert sorted(result.snapshots) == list(steps)
    np.testing.assert_array_equal(result.snapshots[0].kernels, heads.kernels)
    np.testing.assert_array_equal(result.snapshots[250].kernels, result.final.kernels)
    for step in steps[1:]:
        short = train_heads(x, y, heads, RATES[:3], order[:, :step])
        # The same arithmetic in the same order, but products of another memory alignment.
        np.testing.assert_allclose(result.snapshots[step].kernels, short.final.kernels, atol=1e-6)
        np.testing.assert_allclose(result.snapshots[step].biases, short.final.biases, atol=1e-6)
        np.testing.assert_allclose(result.losses[:, :step], short.losses, atol=1e-6)


def test_stops_when_asked_and_says_how_far_it_came() -> None:
    x, y = features()
    asked: list[bool] = []

    def at_the_second_time() -> bool:
        asked.append(True)
        return len(asked) == 2

    order = orders((0, 1), steps=5 * STEPS_PER_CALL)
    result = train_heads(x, y, first(2), RATES[:2], order, look_at=(50, 450), should_stop=at_the_second_time)
    assert result.steps == 2 * STEPS_PER_CALL == result.losses.shape[1]
    assert sorted(result.snapshots) == [50]
    short = train_heads(x, y, first(2), RATES[:2], order[:, : result.steps])
    np.testing.assert_allclose(result.final.kernels, short.final.kernels, atol=1e-6)


def test_heads_learn_only_from_the_rows_that_they_name() -> None:
    x, y = features()
    order = orders((0, 1)) % 10
    before = train_heads(x, y, first(2), RATES[:2], order).final.kernels
    x[10:] = np.nan
    np.testing.assert_array_equal(train_heads(x, y, first(2), RATES[:2], order).final.kernels, before)


def test_what_was_trained_before_leaves_nothing_behind() -> None:
    x, y = features()
    before = train_heads(x, y, first(2), RATES[:2], orders((0, 0))).final
    train_heads(x, y, first(6), (1e-1,) * 6, orders(tuple(range(6))))
    again = train_heads(x, y, first(2), RATES[:2], orders((0, 0))).final
    np.testing.assert_array_equal(again.kernels, before.kernels)
    np.testing.assert_array_equal(again.biases, before.biases)


def test_logits_are_those_of_dense_layers() -> None:
    x, _ = features()
    heads = first(2)
    outputs = heads.logits(x)
    assert outputs.shape == (2, COUNT, CLASSES)
    np.testing.assert_allclose(outputs[1], x @ heads.kernels[1] + heads.biases[1], rtol=1e-6)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_groups_hold_every_head_once_and_one_order_each(seeds: list[int]) -> None:
    order = orders(tuple(seeds), steps=2)
    groups = _groups(order)
    assert sorted(groups.reshape(-1).tolist()) == list(range(len(seeds)))
    for group in groups:
        assert len({seeds[head] for head in group}) == 1


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(1, 40), st.integers(1, 7))
def test_packing_loses_nothing(seeds: list[int], width: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    groups = _groups(orders(tuple(seeds), steps=1))
    rates = (2.0 ** rng.integers(-10, 3, len(seeds))).astype(np.float32)  # powers of two divide exactly
    heads = Heads(
        rng.normal(size=(len(seeds), width, classes)).astype(np.float32),
        rng.normal(size=(len(seeds), classes)).astype(np.float32),
    )
    layout = _Layout(groups, rates[groups], width, classes)
    back = layout.unpack(layout.pack(heads))
    np.testing.assert_array_equal(back.kernels, heads.kernels)
    np.testing.assert_array_equal(back.biases, heads.biases)


def _with(**changes: Any) -> Callable[[], object]:
    def call() -> object:
        x, y = features()
        given_: dict[str, Any] = {
            "features": x, "labels": y, "heads": first(2), "rates": RATES[:2], "orders": orders((0, 1))
        }  # fmt: skip
        return train_heads(**(given_ | changes))

    return call


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rates": (1e-3,)}, "rates: shape"),
        ({"rates": (1e-3, 0.0)}, "rates: give finite numbers"),
        ({"rates": (1e-3, float("nan"))}, "rates: give finite numbers"),
        ({"orders": orders((0, 1)) + 20}, "orders: give whole numbers from 0 to 39"),
        ({"orders": orders((0, 1, 2))}, "orders: shape"),
        ({"orders": orders((0, 1))[:, :0]}, "has to be a head, a step"),
        ({"labels": features()[1] + 1}, "labels: give whole numbers from 0 to 4"),
        ({"features": features()[0][:, 1:]}, "features: shape"),
        ({"features": features()[0][0]}, "dimensions"),
        ({"factors": np.ones(3, np.float32)}, "factors: shape"),
        ({"look_at": (STEPS + 1,)}, "look_at: give steps from 0 to 120"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _with(**changes)()
