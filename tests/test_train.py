"""Training: frozen means frozen, a restart is a fresh start, and the steps done are the steps asked for."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcore import arm, pretrain
from tlcore.arm import run_arm
from tlcore.errors import Stopped
from tlcore.experiment import Experiment, fits
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import HEAD, Weights, build_model, get_weights, initial_weights, set_weights
from tlcore.strategies import STRATEGIES
from tlcore.train import STEPS_PER_CALL, Program, accuracy, cross_entropy, predict, scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE, CLASSES, BATCH = (28, 28, 1), 10, 8
TRAINED = [
    (backbone, strategy)
    for backbone in BACKBONES
    for strategy in STRATEGIES
    if fits(strategy, BACKBONES[backbone], None) and STRATEGIES[strategy].recipe(BACKBONES[backbone], None).phases
]
# More than one call of the compiled function, and not a whole number of them.
STEPS = 2 * STEPS_PER_CALL + 10


def batches(steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, steps * BATCH)
    x = rng.random((steps * BATCH, *SHAPE), dtype=np.float32) * 0.3
    x[np.arange(len(y)), 2 * y + 2] += 0.7  # a bright row says the class
    return x, y


def assert_close(one: Weights, other: Weights, tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        for a, b in zip(one[name], other[name], strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def short_sources() -> Iterator[None]:
    """Source models of 40 steps instead of 3,000: what they know does not matter here, that they are loaded does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "PretrainingRecipe", partial(pretrain.PretrainingRecipe, steps=40))
        yield


@pytest.mark.usefixtures("short_sources")
@pytest.mark.parametrize(("backbone", "strategy"), TRAINED)
def test_frozen_stages_keep_every_bit_and_trained_ones_change(backbone: str, strategy: str) -> None:
    experiment = Experiment(
        source="drawn_digits",
        target="uci_digits",
        backbone=backbone,
        strategies=(strategy,),
        labels_per_class=3,
        steps=30,
        batch_size=BATCH,
        learning_rate=3e-3,
        precision="float32",
    )
    trial = arm._Arm(experiment, strategy, 0, lambda _: None, lambda: False)
    before = trial.first_weights()
    after = trial._train(before, 3e-3, trial.everything).weights
    trained = {HEAD} | {
        stage
        for stage in get_backbone(backbone).stage_names
        for phase in trial.recipe.phases
        if phase.policy.mode(stage) == "trained"
    }
    for name, arrays in before.items():
        for position, (old, new) in enumerate(zip(arrays, after[name], strict=True)):
            assert (not np.array_equal(old, new)) == (name in trained), f"array {position} of {name}"
    fresh = initial_weights(get_backbone(backbone), SHAPE, CLASSES, 0)
    for name in fresh:
        same = np.array_equal(fresh[name][0], before[name][0])
        assert same == (name not in trial.recipe.transferred), f"{name} does not start where its recipe says"


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_stage_frozen_inside_a_program_keeps_every_bit(backbone: str) -> None:
    """No strategy freezes a stage behind a trained one yet, but a policy can."""
    network = get_backbone(backbone)
    frozen = network.stage_names[-1]
    program = Program(network, SHAPE, CLASSES, precision="float32", frozen=frozenset({frozen}))
    start = program.fresh_weights(0)
    program.restart(start, 1e-2)
    program.fit(*batches(5), BATCH)
    program.assert_frozen(start)
    after = program.weights()
    for name in start:
        assert np.array_equal(start[name][0], after[name][0]) == (name == frozen)
    assert program.trainable_parameters == sum(a.size for name in start if name != frozen for a in start[name])


def test_a_frozen_stage_that_changed_is_an_error() -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32", frozen=frozenset({"dense1"}))
    start = program.fresh_weights(0)
    program.restart(start, 1e-3)
    start["dense1"][0][0, 0] += 1e-6
    with pytest.raises(RuntimeError, match="dense1 was frozen and changed"):
        program.assert_frozen(start)


# --- a restart is what compiling afresh does --------------------------------------------------------------------------


def plainly(backbone: str, weights: Weights, rate: float, x: np.ndarray, y: np.ndarray) -> Weights:
    """What Keras gives when the same network is built, compiled and fitted with nothing of this project."""
    model = build_model(get_backbone(backbone), SHAPE, CLASSES, "float32")
    set_weights(model, weights)
    model.compile(
        optimizer=keras.optimizers.Adam(rate), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return get_weights(model)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_restarted_program_is_a_freshly_compiled_model(backbone: str) -> None:
    x, y = batches(STEPS)
    program = Program(get_backbone(backbone), SHAPE, CLASSES, precision="float32")
    program.restart(program.fresh_weights(9), 1e-1)  # leaves large moments behind
    program.fit(*batches(STEPS, seed=5), BATCH)
    program.restart(program.fresh_weights(0), 1e-3)
    assert program.fit(x, y, BATCH) == STEPS
    assert_close(program.weights(), plainly(backbone, program.fresh_weights(0), 1e-3, x, y), 1e-6)


@pytest.mark.parametrize("steps", [1, 7, STEPS_PER_CALL - 1, STEPS_PER_CALL, STEPS_PER_CALL + 1, STEPS])
def test_the_steps_done_are_the_batches_given(steps: int) -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    program.restart(program.fresh_weights(0), 1e-3)
    assert program.fit(*batches(steps), BATCH) == steps
    assert int(program.model.optimizer.iterations) == steps


def test_two_calls_of_fit_are_one() -> None:
    x, y = batches(STEPS)
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    results = []
    for cuts in ((0, STEPS), (0, 13, 14, STEPS)):
        program.restart(program.fresh_weights(0), 1e-3)
        for start, end in pairwise(cuts):
            program.fit(x[start * BATCH : end * BATCH], y[start * BATCH : end * BATCH], BATCH)
        results.append(program.weights())
    assert_close(results[0], results[1], 1e-6)


def test_the_same_seed_gives_the_same_bits() -> None:
    results = []
    for _ in range(2):
        program = Program(get_backbone("cnn_small"), SHAPE, CLASSES, precision="float32")
        program.restart(program.fresh_weights(1), 3e-3)
        program.fit(*batches(STEPS), BATCH)
        results.append(program.weights())
    assert_close(results[0], results[1], 0)


def test_fit_stops_when_asked() -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    program.restart(program.fresh_weights(0), 1e-3)
    assert program.fit(*batches(4 * STEPS_PER_CALL), BATCH, lambda: True) == STEPS_PER_CALL
    assert int(program.model.optimizer.iterations) == STEPS_PER_CALL


# --- it learns --------------------------------------------------------------------------------------------------------


def test_a_small_network_learns_digits_from_scratch() -> None:
    """Measured .95 and .96; the bound leaves room for another machine's arithmetic."""
    experiment = Experiment(
        source="drawn_digits",
        target="uci_digits",
        strategies=("scratch",),
        labels_per_class=40,
        steps=200,
        learning_rate=3e-3,
        precision="float32",
    )
    record = run_arm(experiment, "scratch", 0)
    assert record.status == "finished"
    assert record.test_accuracy >= 0.85
    assert record.train_accuracy >= 0.95
    first, last = record.curve[0].train_loss, record.curve[-1].train_loss
    assert first is not None
    assert last is not None
    assert last < first / 5


# --- when it does not -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_sources")
def test_a_run_that_diverges_says_so_and_is_kept() -> None:
    """A source model whose outputs overflow float32: the loss is not a number from the first step on."""
    experiment = Experiment(
        source="drawn_digits",
        target="uci_digits",
        backbone="mlp",
        strategies=("fine_tune_all",),
        labels_per_class=3,
        steps=30,
        precision="float32",
    )
    trial = arm._Arm(experiment, "fine_tune_all", 0, lambda _: None, lambda: False)
    assert trial.checkpoint is not None
    huge = {name: [array * np.float32(1e25) for array in stage] for name, stage in trial.checkpoint.weights.items()}
    trial.checkpoint.weights.update(huge)
    record = trial.run_network()
    assert record.status == "diverged"
    assert "diverged" in record.message
    assert f"{record.learning_rate:g}" in record.message
    assert len(record.message.splitlines()) == 1
    assert record.curve[-1].train_loss is None
    assert set(record.selection.losses.values()) == {None}
    # Every candidate failed alike, so the most careful one was taken.
    assert record.selection.chosen == min(experiment.learning_rates)
    assert 0 <= record.test_accuracy <= 1
    assert type(record).model_validate_json(record.model_dump_json()) == record


def test_a_candidate_that_diverged_is_never_chosen_before_one_that_did_not() -> None:
    chosen = arm._chosen("learning_rate", (0.1, 0.2, 0.3), {}, {"0.1": None, "0.2": 9.0, "0.3": None})
    assert chosen.chosen == 0.2
    tied = arm._chosen("learning_rate", (0.1, 0.2, 0.3), {}, {"0.1": 2.0, "0.2": 1.0, "0.3": 1.0})
    assert tied.chosen == 0.2


def test_a_stopped_arm_raises_stopped() -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    experiment = Experiment(
        source="drawn_digits", target="uci_digits", backbone="mlp", labels_per_class=3, steps=500, precision="float32"
    )
    with pytest.raises(Stopped):
        run_arm(experiment, "scratch", 0, should_stop=stop)


# --- small functions --------------------------------------------------------------------------------------------------


def test_bytes_are_scaled_and_floats_are_not() -> None:
    assert scaled(np.array([0, 51, 255], dtype=np.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    floats = np.array([0.5, 2.0], dtype=np.float32)
    assert scaled(floats) is floats


def test_predicting_in_parts_is_predicting_at_once() -> None:
    model = build_model(get_backbone("mlp"), SHAPE, CLASSES, "float32")
    x = np.random.default_rng(0).integers(0, 256, (2100, *SHAPE), dtype=np.uint8)
    parts = predict(model, x)
    assert parts.shape == (2100, CLASSES)
    np.testing.assert_allclose(parts[1990:2010], predict(model, x[1990:2010]), atol=1e-5)


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 1000))
def test_cross_entropy_is_keras_cross_entropy(count: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 10, (count, classes)).astype(np.float32)
    labels = rng.integers(0, classes, count)
    exact = -np.log(np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(1, keepdims=True))
    assert cross_entropy(logits, labels) == pytest.approx(exact[np.arange(count), labels].mean(), rel=1e-9)
    assert accuracy(logits, logits.argmax(1)) == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_cross_entropy_of_what_is_not_finite_is_not_finite(bad: float) -> None:
    assert not np.isfinite(cross_entropy(np.array([[bad, 0.0]], dtype=np.float32), np.array([1])))
