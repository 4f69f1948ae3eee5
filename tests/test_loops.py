"""The training loops against arithmetic done by hand: rates, penalties, teachers, low-rank updates and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tlcore import loops
from tlcore.loops import EVALUATION_BATCH, EVALUATION_PIXELS, Forward, Objective, in_unit_range
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import HEAD, build_model, initial_weights, normalization_layers, set_weights
from tlcore.policy import Distillation, FreezePolicy, OneCycle, Phase, Pull, Recipe
from tlcore.train import LOW_RANK, STEPS_PER_CALL, Program, Setup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tlcore.models.build import Weights

SHAPE, CLASSES, BATCH, ROWS = (28, 28, 1), 10, 8, 40
STEPS = STEPS_PER_CALL + 5
SMALL = sorted(name for name, network in BACKBONES.items() if network.family == "small")
TEACHER = Recipe(phases=(Phase(FreezePolicy()),))


@pytest.fixture
def eager() -> Iterator[None]:
    """Without tracing, which costs more than a few steps; the arithmetic is the same."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def images(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (ROWS, *SHAPE), dtype=np.uint8), np.arange(ROWS) % CLASSES


def order(steps: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, ROWS, (steps, BATCH))


def softmax(z: np.ndarray) -> np.ndarray:
    raised = np.exp(z - z.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def by_hand(
    backbone: str,
    start: Weights,
    steps: np.ndarray,
    rates: np.ndarray,
    *,
    stage_rates: Mapping[str, float] | None = None,
    pull: tuple[float, float] = (0.0, 0.0),
    teacher: np.ndarray | None = None,
    temperature: float = 1.0,
    weight: float = 0.0,
) -> Weights:
    """Adam and the gradients of every loss written out; Keras gives only the derivatives of the network's outputs."""
    model = build_model(get_backbone(backbone), SHAPE, CLASSES, "float32")
    set_weights(model, start)
    x, y = images()
    variables = [(layer.name, v) for layer in model.layers for v in layer.trainable_variables]
    first = [v.numpy().copy() for _, v in variables]
    moments = [(np.zeros(v.shape), np.zeros(v.shape)) for _, v in variables]
    for count, (rows, rate) in enumerate(zip(steps, rates, strict=True), start=1):
        with tf.GradientTape() as tape:
            outputs = model(x[rows].astype(np.float32) / 255, training=True)
        logits = outputs.numpy().astype(np.float64)
        slope = (1 - weight) * (softmax(logits) - np.eye(CLASSES)[y[rows]])
        if teacher is not None:
            slope += weight * temperature * (softmax(logits / temperature) - softmax(teacher[rows] / temperature))
        slopes = tape.gradient(
            outputs, [v.value for _, v in variables], output_gradients=tf.constant(slope / BATCH, tf.float32)
        )
        for (stage, variable), gradient, was, (m, v) in zip(variables, slopes, first, moments, strict=True):
            value = variable.numpy().astype(np.float64)
            g = gradient.numpy() + (pull[1] * value if stage == HEAD else pull[0] * (value - was))
            m += 0.1 * (g - m)
            v += 0.001 * (g**2 - v)
            mean, square = m / (1 - 0.9**count), v / (1 - 0.999**count)
            correction = np.sqrt(1 - 0.999**count)
            moved = rate * (stage_rates or {}).get(stage, 1.0) * mean / (np.sqrt(square) + 1e-7 / correction)
            variable.assign((value - moved).astype(np.float32))
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def assert_close(one: Weights, other: Weights, tolerance: float = 2e-5) -> None:
    assert one.keys() == other.keys()
    for name in one:
        for a, b in zip(one[name], other[name], strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, err_msg=name)


def trained(backbone: str, setup: Setup, rates: np.ndarray, teacher: np.ndarray | None = None) -> tuple[Weights, ...]:
    """First and last weights of a program after some steps."""
    program = Program(get_backbone(backbone), SHAPE, CLASSES, precision="float32", setup=setup)
    start = program.fresh_weights(0)
    program.restart(start)
    x, y = images()
    assert program.fit(program.hold(x, y, teacher), order(len(rates)), rates) == len(rates)
    return start, program.weights()


# --- the optimiser ----------------------------------------------------------------------------------------------------


def test_every_step_has_its_own_rate() -> None:
    rates = (OneCycle().factors(STEPS) * 3e-3).astype(np.float32)
    start, end = trained("mlp", Setup(), rates)
    assert_close(end, by_hand("mlp", start, order(STEPS), rates))
    flat = by_hand("mlp", start, order(STEPS), np.full(STEPS, rates.mean()))
    assert max(np.abs(a - b).max() for a, b in zip(end["dense1"], flat["dense1"], strict=True)) > 1e-4


def test_a_rate_of_nothing_changes_nothing() -> None:
    rates = np.zeros(3, dtype=np.float32)
    start, end = trained("mlp", Setup(), rates)
    assert_close(start, end, 0)


def test_stages_learn_at_their_own_rates() -> None:
    """One stage at a third, one at a hundredth, the head at the whole: as three hand-set Adams."""
    rates = np.linspace(1e-3, 5e-3, STEPS, dtype=np.float32)
    factors = {"dense1": 0.01, "dense2": 1 / 3}
    start, end = trained("mlp", Setup(stage_rates=tuple(factors.items())), rates)
    assert_close(end, by_hand("mlp", start, order(STEPS), rates, stage_rates=factors))


@pytest.mark.parametrize("setup", [Setup(), Setup(stage_rates=(("stem", 0.1),))], ids=["one rate", "two rates"])
def test_steps_in_a_graphs_loop_and_in_a_call_each_are_the_same(monkeypatch: pytest.MonkeyPatch, setup: Setup) -> None:
    rates = np.linspace(1e-4, 1e-3, 5, dtype=np.float32)
    _, looped = trained("mini_resnet_bn", setup, rates)
    monkeypatch.setattr(loops, "MOST_LOOPED", 0)  # as for a network of keras.applications
    _, called = trained("mini_resnet_bn", setup, rates)
    assert_close(looped, called)


@pytest.mark.usefixtures("eager")
def test_a_restart_forgets_the_moments_of_every_stages_optimiser() -> None:
    program = Program(
        get_backbone("mlp"),
        SHAPE,
        CLASSES,
        precision="float32",
        setup=Setup(stage_rates=(("dense1", 0.1),), pull=Pull()),
    )
    data, rates = program.hold(*images()), np.full(3, 1e-2, dtype=np.float32)
    results: list[Weights] = []
    for spoil in (False, True):
        if spoil:
            program.restart(program.fresh_weights(7))
            program.fit(data, order(3), 10 * rates)
        program.restart(program.fresh_weights(0))
        program.fit(data, order(3), rates)
        results.append(program.weights())
    assert_close(results[0], results[1], 0)


# --- what is made small -----------------------------------------------------------------------------------------------


def test_the_pull_is_the_gradient_of_l2_sp() -> None:
    """Towards the first weights for the stages, towards zero for the head, biases included."""
    rates = np.full(STEPS, 3e-3, dtype=np.float32)
    start, end = trained("mlp", Setup(pull=Pull(start=0.4, zero=0.2)), rates)
    assert_close(end, by_hand("mlp", start, order(STEPS), rates, pull=(0.4, 0.2)), 1e-4)
    free = by_hand("mlp", start, order(STEPS), rates)
    moved = [np.linalg.norm(weights["dense1"][0] - start["dense1"][0]) for weights in (end, free)]
    assert moved[0] < moved[1]
    assert np.linalg.norm(end[HEAD][0]) < np.linalg.norm(free[HEAD][0])


def test_a_student_learns_from_its_teacher() -> None:
    teacher = np.random.default_rng(3).normal(0, 4, (ROWS, CLASSES)).astype(np.float32)
    rates = np.full(STEPS, 2e-3, dtype=np.float32)
    setup = Setup(distillation=Distillation(TEACHER, temperature=2.5, weight=0.7))
    start, end = trained("mlp", setup, rates, teacher)
    expected = by_hand("mlp", start, order(STEPS), rates, teacher=teacher, temperature=2.5, weight=0.7)
    assert_close(end, expected)


@given(st.integers(1, 5), st.integers(2, 6), st.floats(0, 1), st.floats(0.5, 8), st.integers(0, 999))
def test_the_loss_is_the_formula(count: int, classes: int, weight: float, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, teacher = (rng.normal(0, 3, (count, classes)).astype(np.float32) for _ in range(2))
    labels = rng.integers(0, classes, count)
    values, towards = (
        [rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)] for _ in range(2)
    )
    pulls = (0.3, 0.0)
    p, q = softmax(teacher.astype(float) / temperature), softmax(logits.astype(float) / temperature)
    expected = -np.log(softmax(logits.astype(float)))[np.arange(count), labels].mean() * (1 - weight)
    expected += weight * temperature**2 * (p * (np.log(p) - np.log(q))).sum(axis=1).mean()
    expected += 0.15 * np.square(values[0] - towards[0]).sum()
    found = Objective(pulls, temperature, weight)(
        keras.ops.convert_to_tensor(logits), labels, keras.ops.convert_to_tensor(teacher), values, towards
    )
    assert float(found) == pytest.approx(expected, rel=2e-4, abs=1e-5)


def test_an_objective_knows_what_it_pulls() -> None:
    assert not Objective((0.0, 0.0)).pulls_back
    assert Objective((0.0, 0.1)).pulls_back


# --- low-rank updates -------------------------------------------------------------------------------------------------


def plain_variables(program: Program) -> dict[str, list[Any]]:
    """The variables of every stage that the backbone has without low-rank updates."""
    stages = [layer for layer in program.model.layers if layer.weights and layer.name != HEAD]
    return {layer.name: [v for v in layer.weights if not v.name.startswith(LOW_RANK)] for layer in stages}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("backbone", SMALL)
def test_low_rank_updates_leave_every_weight_and_add_a_product(backbone: str) -> None:
    rank, network = 2, get_backbone(backbone)
    program = Program(network, SHAPE, CLASSES, precision="float32", setup=Setup(low_rank=rank))
    start = program.fresh_weights(0)
    rng = np.random.default_rng(5)
    for name in network.stage_names:  # statistics that are not their first ones
        start[name] = [array + np.abs(rng.normal(0, 0.1, array.shape)).astype(np.float32) for array in start[name]]
    plain = Forward(build_model(network, SHAPE, CLASSES, "float32"))
    set_weights(plain.model, start)
    x, y = images()
    program.restart(start, seed=3)
    # The second factor starts at nothing: step 0 is the source.
    np.testing.assert_allclose(program.logits(x), plain(x), atol=1e-5)
    factors = [v for v in program.model.trainable_variables if v.name.startswith(LOW_RANK)]
    assert all(not v.numpy().any() for v in factors if v.name.endswith("_b"))
    assert all(v.numpy().any() for v in factors if v.name.endswith("_a"))
    head = program.model.get_layer(HEAD).weights
    assert {id(v) for v in program.model.trainable_variables} == {id(v) for v in [*factors, *head]}
    assert program.trainable_parameters == sum(int(np.prod(v.shape)) for v in [*factors, *head])

    program.fit(program.hold(x, y), order(3), np.full(3, 1e-2, dtype=np.float32))
    program.assert_frozen(start)
    for name, variables in plain_variables(program).items():
        for variable, old in zip(variables, start[name], strict=True):
            np.testing.assert_array_equal(variable.numpy(), old, err_msg=variable.path)
    merged = program.weights()
    kernels = 0
    for name in network.stage_names:
        for old, new in zip(start[name], merged[name], strict=True):
            if old.ndim < 2:
                np.testing.assert_array_equal(new, old, err_msg=name)
                continue
            kernels += 1
            change = (new.astype(np.float64) - old).reshape(-1, old.shape[-1])
            sizes = np.linalg.svd(change, compute_uv=False)
            assert sizes[0] > 1e-4, f"{name} did not change"
            assert (sizes[rank:] < 1e-5 * max(1.0, sizes[0])).all(), f"{name} changed by more than rank {rank}"
    assert kernels == len(factors) / 2
    set_weights(plain.model, merged)
    np.testing.assert_allclose(plain(x), program.logits(x), atol=2e-4)
    assert {name: [a.shape for a in arrays] for name, arrays in merged.items()} == {
        name: [a.shape for a in arrays] for name, arrays in start.items()
    }


@pytest.mark.usefixtures("eager")
def test_low_rank_updates_start_afresh_with_every_restart() -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32", setup=Setup(low_rank=2))
    data, rates = program.hold(*images()), np.full(3, 1e-2, dtype=np.float32)
    results: dict[str, list[Weights]] = {"3": [], "4": []}
    for seed in ("3", "4", "3"):
        program.restart(program.fresh_weights(0), int(seed))
        program.fit(data, order(3), rates)
        results[seed].append(program.weights())
    assert_close(results["3"][0], results["3"][1], 0)
    assert not np.array_equal(results["3"][0]["dense1"][0], results["4"][0]["dense1"][0])


@pytest.mark.usefixtures("eager")
def test_a_base_kernel_that_changed_under_low_rank_updates_is_an_error() -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32", setup=Setup(low_rank=2))
    start = program.fresh_weights(0)
    program.restart(start)
    program.assert_frozen(start)
    start["dense1"][0][0, 0] += 1e-6
    with pytest.raises(RuntimeError, match="dense1 was frozen"):
        program.assert_frozen(start)


# --- running statistics -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager")
def test_recalibrating_gives_the_mean_of_the_batches_own_statistics() -> None:
    network = get_backbone("mini_resnet_bn")
    program = Program(network, SHAPE, CLASSES, precision="float32")
    start = program.fresh_weights(0)
    for name in network.stage_names:
        start[name] = [array + np.float32(0.25) if array.ndim == 1 else array for array in start[name]]
    program.restart(start)
    x, _ = images()
    batches = np.arange(ROWS).reshape(4, 10)
    program.recalibrate(x, batches)
    norm = normalization_layers(program.model)[0]
    convolved = keras.ops.convert_to_numpy(
        keras.ops.conv(x.astype(np.float32) / 255, start["stem"][0], padding="same")
    ).reshape(4, 10, 28, 28, -1)
    np.testing.assert_allclose(norm.moving_mean.numpy(), convolved.mean(axis=(1, 2, 3)).mean(0), atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance.numpy(), convolved.var(axis=(1, 2, 3)).mean(0), atol=1e-5)
    # Deeper ones see what training would show them. One batch makes its own statistics the running ones.
    program.recalibrate(x, batches[:1])
    inference = program.logits(x[:10])
    np.testing.assert_allclose(inference, program.model(x[:10].astype(np.float32) / 255, training=True), atol=2e-3)
    after = program.weights()
    for name in (*network.stage_names, HEAD):
        layer = program.model.get_layer(name)
        for variable, old, new in zip(layer.weights, start[name], after[name], strict=True):
            assert np.array_equal(old, new) == ("moving_" not in variable.name), variable.path
    assert {layer.momentum for layer in normalization_layers(program.model)} == {0.9}


@pytest.mark.usefixtures("eager")
def test_recalibrating_leaves_frozen_statistics_alone() -> None:
    network = get_backbone("mini_resnet_bn")
    policy = FreezePolicy(frozenset(network.stage_names[:2]))
    program = Program(network, SHAPE, CLASSES, precision="float32", setup=Setup(policy))
    start = program.fresh_weights(0)
    program.restart(start)
    program.recalibrate(images()[0], np.arange(ROWS).reshape(4, 10))
    program.assert_frozen(start)
    assert not np.array_equal(program.weights()["block2"][3], start["block2"][3])  # a running mean


# --- inputs and outputs -----------------------------------------------------------------------------------------------


def test_bytes_train_as_their_255th_part() -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    x, y = images()
    results: list[Weights] = []
    for inputs in (x, x.astype(np.float32) / np.float32(255)):
        program.restart(program.fresh_weights(0))
        program.fit(program.hold(inputs, y), order(STEPS), np.full(STEPS, 1e-3, dtype=np.float32))
        results.append(program.weights())
    assert_close(results[0], results[1], 1e-5)
    np.testing.assert_allclose(program.logits(x), program.logits(x.astype(np.float32) / np.float32(255)), atol=1e-5)


def test_only_bytes_are_scaled() -> None:
    assert keras.ops.convert_to_numpy(in_unit_range(np.array([0, 51, 255], dtype=np.uint8))).tolist() == pytest.approx(
        [0, 0.2, 1]
    )
    floats = np.array([0.5, 2.0], dtype=np.float32)
    assert in_unit_range(floats) is floats


def test_another_training_set_and_other_batches_need_no_other_program() -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    x, y = images()
    program.restart(program.fresh_weights(0))
    for rows, batch, steps in ((40, 8, 30), (7, 3, 1), (40, 40, 2)):
        picked = np.random.default_rng(0).integers(0, rows, (steps, batch))
        assert program.fit(program.hold(x[:rows], y[:rows]), picked, np.full(steps, 1e-3, dtype=np.float32)) == steps
    (traced,) = program._loop._traced.values()  # pyright: ignore[reportAttributeAccessIssue]
    assert traced.experimental_get_tracing_count() == 1


def test_outputs_in_parts_are_outputs_at_once() -> None:
    forward = Forward(build_model(get_backbone("mlp"), SHAPE, CLASSES, "float32"))
    set_weights(forward.model, initial_weights(get_backbone("mlp"), SHAPE, CLASSES, 0))
    x = np.random.default_rng(0).integers(0, 256, (2 * EVALUATION_BATCH + 100, *SHAPE), dtype=np.uint8)
    parts = forward(x)
    assert parts.shape == (len(x), CLASSES)
    assert parts.dtype == np.float32
    edge = slice(EVALUATION_BATCH - 5, EVALUATION_BATCH + 5)
    np.testing.assert_allclose(parts[edge], forward(x[edge]), atol=1e-5)


@pytest.mark.usefixtures("eager")
def test_large_images_are_given_a_few_at_a_time() -> None:
    """A thousand pictures of 224 pixels would need 13 GB in the first layer of a VGG."""
    given: list[int] = []

    class Noting(keras.Model):
        def call(self, x: Any, training: bool = False) -> Any:
            given.append(len(x))
            return keras.ops.mean(x, axis=(1, 2))

    model = Noting()
    model(np.zeros((1, 224, 224, 3), dtype=np.float32))
    forward = Forward.__new__(Forward)
    forward.model, forward._tensor = model, model
    given.clear()
    assert forward(np.ones((70, 224, 224, 3), dtype=np.uint8)).shape == (70, 3)
    assert sum(given) == 70
    assert max(given) * 224 * 224 <= EVALUATION_PIXELS
