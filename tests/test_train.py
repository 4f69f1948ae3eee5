"""Training: frozen means frozen, a restart is a fresh start, and the steps done are the steps asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tlcore import arm
from tlcore.arm import run_arm
from tlcore.errors import Stopped
from tlcore.experiment import Experiment, RunRecord, SourceModel, fits
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import (
    HEAD,
    Weights,
    build_model,
    get_weights,
    initial_weights,
    normalization_layers,
    set_weights,
    weights_sha256,
)
from tlcore.policy import FreezePolicy, Recipe, stream_of
from tlcore.pretrain import Checkpoint
from tlcore.strategies import STRATEGIES
from tlcore.train import STEPS_PER_CALL, Program, Setup, accuracy, cross_entropy, scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlcore.models import Backbone

SHAPE, CLASSES, BATCH = (28, 28, 1), 10, 8
SMALL = [name for name, network in BACKBONES.items() if network.family == "small"]
TRAINED = [
    (backbone, strategy)
    for backbone in SMALL
    for strategy in STRATEGIES
    if fits(strategy, BACKBONES[backbone], None) and STRATEGIES[strategy].recipe(BACKBONES[backbone]).phases
]
# More than one call of the compiled function, and not a whole number of them.
STEPS = 2 * STEPS_PER_CALL + 10


def batches(steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, steps * BATCH)
    x = rng.random((steps * BATCH, *SHAPE), dtype=np.float32) * 0.3
    x[np.arange(len(y)), 2 * y + 2] += 0.7  # a bright row says the class
    return x, y


def fit(program: Program, x: np.ndarray, y: np.ndarray, rate: float) -> int:
    """Train on batches as they come."""
    order = np.arange(len(x)).reshape(-1, BATCH)
    return program.fit(program.hold(x, y), order, np.full(len(order), rate, dtype=np.float32))


def assert_close(one: Weights, other: Weights, tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        for a, b in zip(one[name], other[name], strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance, err_msg=name)


def made_up(backbone: str) -> Checkpoint:
    """A source model that nobody trained: what it knows does not matter here, that it is loaded does."""
    weights = initial_weights(get_backbone(backbone), SHAPE, CLASSES, 99)
    rng = np.random.default_rng(99)
    for name in weights:  # gains, offsets and statistics are not their first ones either
        weights[name] = [
            array if array.ndim > 1 else array + rng.uniform(0.05, 0.15, array.shape).astype(np.float32)
            for array in weights[name]
        ]
    info = SourceModel(key="0", provenance="made up", sha256="0", epochs=1, images=1, test_accuracy=None, seconds=1)
    return Checkpoint(weights, info, "", "made up")


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm, "source_checkpoint", lambda experiment, *_: made_up(experiment.backbone))
    monkeypatch.setattr(arm, "check_pair", lambda *_: "nothing was learned from the source")


@pytest.fixture
def eager() -> Iterator[None]:
    """Without tracing, which costs far more than a few steps; `test_arm` and the tests below do it with."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def trial(backbone: str, strategy: str, **values: object) -> arm._Arm:
    """An arm of three steps that has its images and its source, and has not started."""
    experiment = Experiment.model_validate(
        {
            "source": "mnist",
            "target": "uci_digits",
            "backbone": backbone,
            "strategies": (strategy,),
            "labels_per_class": 3,
            "steps": 3,
            "batch_size": BATCH,
            "learning_rate": 1e-2,
            "precision": "float32",
            **values,
        }
    )
    return arm._Arm(experiment, strategy, 0, lambda _: None, lambda: False)


# --- frozen means frozen ----------------------------------------------------------------------------------------------


@cache
def variable_names(network: Backbone) -> dict[str, list[str]]:
    """What the arrays of every stage are called, from one model for all tests: building it takes a while."""
    model = build_model(network, SHAPE, CLASSES, "float32")
    return {layer.name: [variable.path for variable in layer.weights] for layer in model.layers if layer.weights}


def may_change(recipe: Recipe, policy: FreezePolicy, network: Backbone, stage: str, variable: str) -> bool:
    """Whether training under a policy changes an array: what the documents promise, said once more."""
    if stage == HEAD:
        return True
    part = variable.rpartition("/")[2]
    if recipe.low_rank:
        return part == "kernel"
    batch = network.normalization == "batch" and "norm" in variable
    if not batch:
        return policy.mode(stage) == "trained"
    if policy.mode(stage) == "trained":
        return policy.normalization != "freeze"
    moves = {"train": (), "freeze": (), "drift": ("moving",), "always": ("moving", "gamma", "beta")}
    return part.startswith(moves[policy.normalization])


def check_phases(waiting: arm._Arm) -> None:
    """Go through an arm's phases one at a time and compare every array with what it was."""
    network, recipe = waiting.network, waiting.recipe
    names = variable_names(network)
    weights, teacher = waiting._prepared(1e-2, waiting.everything)
    for phase in recipe.phases:
        alone = replace(recipe, phases=(replace(phase, share=1.0, cycle=None),))
        after = waiting._train(alone, weights, 1e-2, waiting.everything, teacher).weights
        assert after.keys() == weights.keys() == names.keys()
        for stage, arrays in weights.items():
            for variable, old, new in zip(names[stage], arrays, after[stage], strict=True):
                changed = not np.array_equal(old, new)
                expected = may_change(recipe, phase.policy, network, stage, variable)
                assert changed == expected, f"{stage}: {variable} under {phase.policy}"
        weights = after


@pytest.mark.usefixtures("sources", "eager")
@pytest.mark.parametrize(("backbone", "strategy"), TRAINED)
def test_what_is_frozen_keeps_every_bit_and_what_is_trained_changes(backbone: str, strategy: str) -> None:
    check_phases(trial(backbone, strategy, steps=2))


@pytest.mark.usefixtures("sources", "eager")
@pytest.mark.parametrize("strategy", [strategy for backbone, strategy in TRAINED if backbone == "mini_resnet_bn"])
def test_statistics_that_an_experiment_freezes_keep_every_bit(strategy: str) -> None:
    waiting = trial("mini_resnet_bn", strategy, steps=2, normalization="freeze")
    check_phases(waiting)


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize(("backbone", "strategy"), TRAINED)
def test_every_stage_starts_where_its_recipe_says(backbone: str, strategy: str) -> None:
    waiting = trial(backbone, strategy)
    network, recipe = waiting.network, waiting.recipe
    start = waiting.first_weights(recipe)
    fresh, source = initial_weights(network, SHAPE, CLASSES, stream_of(0)), made_up(backbone).weights
    assert start.keys() == fresh.keys()
    for stage in (*network.stage_names, HEAD):
        origin = "random" if stage == HEAD else recipe.origin(stage)
        if origin == "transferred":
            assert weights_sha256({stage: start[stage]}) == weights_sha256({stage: source[stage]})
        elif origin == "matched":
            for first, drawn, learned in zip(fresh[stage], start[stage], source[stage], strict=True):
                if learned.ndim == 1:  # biases, gains, offsets and statistics are fresh
                    np.testing.assert_array_equal(drawn, first)
                    continue
                assert not np.array_equal(drawn, first)
                error = 5 * learned.std() / np.sqrt(learned.size)
                assert drawn.mean() == pytest.approx(learned.mean(), abs=error)
                assert drawn.std() == pytest.approx(learned.std(), abs=error)
        else:  # a network of its own is trained later, from other first weights
            assert weights_sha256({stage: start[stage]}) == weights_sha256({stage: fresh[stage]})


@pytest.mark.parametrize("backbone", SMALL)
def test_a_stage_frozen_inside_a_program_keeps_every_bit(backbone: str) -> None:
    """No strategy freezes a stage behind a trained one yet, but a policy can."""
    network = get_backbone(backbone)
    frozen = network.stage_names[-1]
    setup = Setup(FreezePolicy(frozenset({frozen})))
    program = Program(network, SHAPE, CLASSES, precision="float32", setup=setup)
    start = program.fresh_weights(0)
    program.restart(start)
    assert fit(program, *batches(5), 1e-2) == 5
    program.assert_frozen(start)
    after, names = program.weights(), variable_names(network)
    for name in start:
        for variable, old, new in zip(names[name], start[name], after[name], strict=True):
            assert np.array_equal(old, new) == (name == frozen), variable
    learned = [
        array.size
        for name in start
        for variable, array in zip(names[name], start[name], strict=True)
        if name != frozen and "moving_" not in variable
    ]
    assert program.trainable_parameters == sum(learned)


@pytest.mark.usefixtures("eager")
def test_frozen_means_frozen_in_a_network_of_keras_applications() -> None:
    """Its own tests say the rest; here that a policy reaches the layers inside a stage, trained ones included."""
    network = get_backbone("mobilenet_v2_035")
    first = frozenset(network.stage_names[:-1])
    program = Program(network, (32, 32, 3), CLASSES, precision="float32", setup=Setup(FreezePolicy(first, "drift")))
    start = program.fresh_weights(0)
    program.restart(start)
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    held = program.hold(x, np.arange(4))
    assert program.fit(held, np.arange(4).reshape(1, 4), np.full(1, 1e-2, dtype=np.float32)) == 1
    program.assert_frozen(start)
    after = program.weights()
    for layer in program.model.layers:
        for variable, old, new in zip(layer.weights, start.get(layer.name, ()), after.get(layer.name, ()), strict=True):
            if layer.name in first:
                assert np.array_equal(old, new) == ("moving_" not in variable.path), variable.path
    assert not np.array_equal(after[HEAD][0], start[HEAD][0])


def test_a_frozen_stage_that_changed_is_an_error() -> None:
    setup = Setup(FreezePolicy(frozenset({"dense1"})))
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32", setup=setup)
    start = program.fresh_weights(0)
    program.restart(start)
    program.assert_frozen(start)
    start["dense1"][0][0, 0] += 1e-6
    with pytest.raises(RuntimeError, match="dense1 was frozen"):
        program.assert_frozen(start)


def test_statistics_that_moved_are_an_error_unless_the_policy_lets_them() -> None:
    network = get_backbone("mini_resnet_bn")
    frozen = frozenset(network.stage_names)
    for normalization, fails in (("train", True), ("freeze", True), ("drift", False), ("always", False)):
        program = Program(
            network, SHAPE, CLASSES, precision="float32", setup=Setup(FreezePolicy(frozen, normalization))
        )
        start = program.fresh_weights(0)
        program.restart(start)
        mean = normalization_layers(program.model)[0].moving_mean
        mean.assign(np.ones(mean.shape))
        if fails:
            with pytest.raises(RuntimeError, match="moving_mean changed"):
                program.assert_frozen(start)
        else:
            program.assert_frozen(start)


# --- what Keras does where nobody compiles again ----------------------------------------------------------------------


@pytest.mark.parametrize("normalized", [False, True])
def test_keras_goes_on_with_what_was_compiled_for_the_first_fit(normalized: bool) -> None:
    """What the strategy `no_recompile` means, measured: on TensorFlow, without an error or a warning."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 8)).astype(np.float32), rng.integers(0, 3, 64)

    def compiled(*, trainable: bool) -> tuple[keras.Model, keras.Model]:
        keras.utils.set_random_seed(0)
        norm = [keras.layers.BatchNormalization()] if normalized else []
        backbone = keras.Sequential([keras.layers.Dense(6, activation="relu"), *norm])
        backbone.trainable = trainable
        image = keras.Input((8,))
        model = keras.Model(image, keras.layers.Dense(3)(backbone(image)))
        model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model, backbone

    def fit(model: keras.Model) -> None:
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)

    def same(one: list[np.ndarray], other: list[np.ndarray]) -> list[bool]:
        return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]

    model, backbone = compiled(trainable=False)
    fit(model)
    before, head = backbone.get_weights(), model.layers[-1].get_weights()
    backbone.trainable = True
    fit(model)  # not compiled again
    assert len(model.trainable_variables) == (6 if normalized else 4)  # a summary says that the backbone learns
    assert all(same(before, backbone.get_weights()))  # it did not
    assert not any(same(head, model.layers[-1].get_weights()))
    stayed, _ = compiled(trainable=False)
    fit(stayed)
    fit(stayed)
    assert all(same(model.get_weights(), stayed.get_weights()))  # as if nobody had unfrozen anything, to the bit

    # The other way round: what was frozen too late goes on learning.
    model, backbone = compiled(trainable=True)
    fit(model)
    before = backbone.get_weights()
    backbone.trainable = False
    fit(model)
    assert not any(same(before, backbone.get_weights()))

    # Before the first call of `fit` nothing is fixed: what counts is the flag when it begins.
    model, backbone = compiled(trainable=False)
    before = backbone.get_weights()
    backbone.trainable = True
    fit(model)
    assert not any(same(before, backbone.get_weights()))


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


@pytest.mark.parametrize("backbone", SMALL)
def test_a_restarted_program_is_a_freshly_compiled_model(backbone: str) -> None:
    steps = STEPS_PER_CALL + 5
    x, y = batches(steps)
    program = Program(get_backbone(backbone), SHAPE, CLASSES, precision="float32")
    program.restart(program.fresh_weights(9))
    fit(program, *batches(5, seed=5), 1e-1)  # leaves large moments, and statistics of another network, behind
    program.restart(program.fresh_weights(0))
    assert fit(program, x, y, 1e-3) == steps
    start, ours = program.fresh_weights(0), program.weights()
    theirs = plainly(backbone, start, 1e-3, x, y)
    for name in start:
        # Rounding turns Adam's steps where gradients are nearly nothing (measured: at most 1.5 % of the way).
        for first, one, other in zip(start[name], ours[name], theirs[name], strict=True):
            assert np.linalg.norm(one - other) < 0.05 * np.linalg.norm(other - first), name


@pytest.mark.parametrize("steps", [1, 7, STEPS_PER_CALL - 1, STEPS_PER_CALL, STEPS_PER_CALL + 1, STEPS])
def test_the_steps_done_are_the_batches_given(steps: int) -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    program.restart(program.fresh_weights(0))
    assert fit(program, *batches(steps), 1e-3) == steps
    assert int(program.optimizer.iterations) == steps


def test_two_calls_of_fit_are_one() -> None:
    x, y = batches(STEPS)
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    results = []
    for cuts in ((0, STEPS), (0, 13, 14, STEPS)):
        program.restart(program.fresh_weights(0))
        for start, end in pairwise(cuts):
            fit(program, x[start * BATCH : end * BATCH], y[start * BATCH : end * BATCH], 1e-3)
        results.append(program.weights())
    assert_close(results[0], results[1], 1e-6)


def test_the_same_seed_gives_the_same_bits() -> None:
    results = []
    for _ in range(2):
        program = Program(get_backbone("cnn_small"), SHAPE, CLASSES, precision="float32")
        program.restart(program.fresh_weights(1))
        fit(program, *batches(STEPS), 3e-3)
        results.append(program.weights())
    assert_close(results[0], results[1], 0)


def test_fit_stops_when_asked() -> None:
    program = Program(get_backbone("mlp"), SHAPE, CLASSES, precision="float32")
    program.restart(program.fresh_weights(0))
    data, order = program.hold(*batches(4)), np.arange(4 * BATCH).reshape(4, BATCH)
    many, rates = np.tile(order, (STEPS_PER_CALL, 1)), np.full(4 * STEPS_PER_CALL, 1e-3, dtype=np.float32)
    assert program.fit(data, many, rates, lambda: True) == STEPS_PER_CALL
    assert int(program.optimizer.iterations) == STEPS_PER_CALL


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


def assert_no_nan(record: RunRecord) -> None:
    """JSON has no NaN and no infinity: Python would write them all the same, pydantic writes null."""
    json.dumps(record.model_dump(mode="python", exclude={"created"}), allow_nan=False)


def blow_up(waiting: arm._Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    """First weights whose outputs overflow float32, whether they are the source's or the seed's."""
    first_weights = waiting.first_weights

    def huge(*given: object) -> Weights:
        weights = first_weights(*given)  # pyright: ignore[reportArgumentType]
        return {name: [array * np.float32(1e25) for array in stage] for name, stage in weights.items()}

    monkeypatch.setattr(waiting, "first_weights", huge)


@pytest.mark.usefixtures("sources", "eager")
@pytest.mark.parametrize("strategy", [strategy for backbone, strategy in TRAINED if backbone == "cnn_small"])
def test_a_run_that_diverges_says_so_and_is_kept(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is not a number from the first step on."""
    waiting = trial("cnn_small", strategy, learning_rate=None, learning_rates=(1e-3, 1e-2))
    blow_up(waiting, monkeypatch)
    record = waiting.run_network()
    assert record.status == "diverged"
    assert "diverged" in record.message
    assert f"{record.learning_rate:g}" in record.message
    assert len(record.message.splitlines()) == 1
    # Max pooling passes over what is not a number, so that weights may be none while the loss still is one.
    assert record.curve[-1].train_loss is None or waiting.recipe.own
    assert set(record.selection.losses.values()) == {None}
    # Every candidate failed alike, so the most careful one was taken.
    assert record.selection.chosen == 1e-3
    assert 0 <= record.test_accuracy <= 1
    assert_no_nan(record)
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("strategy", ["fine_tune_all", "discriminative_lr", "l2_sp", "lora"])
def test_a_rate_far_too_high_diverges_in_training(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From weights that are as they should be: what overflows is the training, traced as it always is."""
    waiting = trial("mlp", strategy, steps=10)
    monkeypatch.setattr(arm._Arm, "_look_steps", lambda _: (5, 10))
    # No experiment may ask for such a rate; `model_copy` does not check.
    waiting.experiment = waiting.experiment.model_copy(update={"learning_rate": 1e30})
    record = waiting.run_network()
    assert record.status == "diverged"
    assert record.steps == 5  # nothing is trained on after the look that saw it
    assert "step 5" in record.message
    assert_no_nan(record)


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
