"""One arm from its images to its record: fair to every strategy, blind to the test set, and what it says is so."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss

from tlcore import arm
from tlcore.arm import C_GRID, LOOKS, run_arm
from tlcore.data import DATASETS, load
from tlcore.errors import Stopped, UserError
from tlcore.experiment import Event, Experiment, RunRecord, fits
from tlcore.models import get_backbone
from tlcore.models.build import HEAD, initial_weights, weight_shapes, weights_sha256
from tlcore.pretrain import find_checkpoint
from tlcore.strategies import STRATEGIES
from tlcore.train import STEPS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable

# The shipped MNIST network and scikit-learn's digits: nothing to download, nothing to pre-train.
FITTING = [name for name in STRATEGIES if fits(name, get_backbone("cnn_small"), None)]
BASE = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=tuple(FITTING),
    labels_per_class=5,
    steps=24,
    learning_rates=(1e-3, 3e-3),
    precision="float32",
)
every_strategy = pytest.mark.parametrize("strategy", FITTING)
NETWORKS = [name for name in FITTING if name not in ("direct_reuse", "pixel_baseline")]
every_network = pytest.mark.parametrize("strategy", NETWORKS)


@cache
def run(strategy: str, seed: int = 0) -> tuple[RunRecord, tuple[Event, ...]]:
    """One arm of `BASE`, run once for all tests that look at it."""
    events: list[Event] = []
    return run_arm(BASE, strategy, seed, events.append), tuple(events)


def trial(strategy: str, experiment: Experiment = BASE, seed: int = 0) -> arm._Arm:
    """An arm that has its images and its source, and has not started."""
    return arm._Arm(experiment, strategy, seed, lambda _: None, lambda: False)


def timeless(record: RunRecord) -> dict[str, Any]:
    """Everything in a record but when it was made and how long it took."""
    values = record.model_dump(mode="json", exclude={"created", "seconds", "phase_seconds"})
    for point in values["curve"]:
        del point["seconds"]
    return values


# --- what a record says -----------------------------------------------------------------------------------------------


@every_strategy
def test_every_field_of_a_record_is_sane(strategy: str) -> None:
    record, _ = run(strategy)
    target = load("uci_digits")
    assert (record.experiment, record.strategy, record.seed) == (BASE, strategy, 0)
    assert record.status == "finished"
    for value in (record.test_accuracy, record.validation_accuracy, record.train_accuracy):
        assert 0 <= value <= 1
    confusion = np.array(record.confusion)
    assert confusion.sum() == len(target.y_test)
    assert confusion.sum(axis=1).tolist() == np.bincount(target.y_test).tolist()
    assert np.trace(confusion) / confusion.sum() == pytest.approx(record.test_accuracy)
    assert record.total_parameters == sum(stage.parameters for stage in record.stages)
    in_trained_stages = sum(stage.parameters for stage in record.stages if stage.mode == "trained")
    if BASE.recipe(strategy).low_rank:
        assert in_trained_stages < record.trainable_parameters < record.total_parameters / 10
    else:
        assert record.trainable_parameters == in_trained_stages
    assert record.trainable_parameters <= record.total_parameters
    assert record.labels.training == 50
    assert record.labels.validation == 10
    assert record.labels.observation == 10 * DATASETS["uci_digits"].observation_per_class
    assert record.labels.test == len(target.y_test)
    assert record.datasets["target"].sha256 == target.sha256
    assert record.datasets["target"].name == "uci_digits"
    assert record.datasets["source"].name == "mnist"
    assert all(seconds >= 0 for seconds in record.phase_seconds.values())
    assert record.arm_hash == BASE.arm_hash(strategy, 0)
    assert record.environment.precision == "float32"
    assert record.created.utcoffset() is not None


@every_strategy
def test_a_record_comes_back_from_json(strategy: str) -> None:
    record, _ = run(strategy)
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


@every_strategy
def test_a_record_names_the_source_exactly_if_it_used_it(strategy: str) -> None:
    record, _ = run(strategy)
    recipe = BASE.recipe(strategy)
    assert (record.source_model is not None) == recipe.needs_source
    assert bool(record.datasets["source"].sha256) == recipe.needs_source
    if record.source_model is not None:
        shipped = find_checkpoint("mnist", "cnn_small")
        assert shipped is not None
        assert record.source_model == shipped.info
    for stage in record.stages[:-1]:
        assert stage.origin == recipe.origin(stage.name)


@every_network
def test_a_curve_goes_from_before_training_to_the_last_step(strategy: str) -> None:
    record, _ = run(strategy)
    steps = [point.step for point in record.curve]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == record.steps == BASE.steps
    assert len(steps) == LOOKS + 1
    seconds = [point.seconds for point in record.curve]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= record.seconds + 1e-3
    # The last look and the record speak of the same model.
    assert record.curve[-1].validation_accuracy == pytest.approx(record.validation_accuracy)
    assert record.curve[-1].train_accuracy == pytest.approx(record.train_accuracy)


@every_network
def test_the_network_of_a_record_is_the_one_that_was_trained(strategy: str) -> None:
    record, _ = run(strategy)
    student = strategy in ("distillation", "small_scratch")
    assert record.network == ("cnn_tiny" if student else "")
    network = get_backbone("cnn_tiny" if student else "cnn_small")
    assert [stage.name for stage in record.stages] == [*network.stage_names, HEAD]
    shapes = weight_shapes(network, (28, 28, 1), 10)
    assert record.total_parameters == sum(int(np.prod(shape)) for stage in shapes.values() for shape in stage)


@every_network
def test_a_record_says_what_training_moved(strategy: str) -> None:
    """Frozen stages not at all, to the last bit; this is the program as it runs, traced and from cached features."""
    record, _ = run(strategy)
    recipe, network = BASE.recipe(strategy), get_backbone(record.network or BASE.backbone)
    assert set(record.weight_change) == {*network.stage_names, HEAD}
    assert set(record.feature_change) == set(record.feature_cka) == set(network.stage_names)
    for index, stage in enumerate(network.stage_names):
        assert (record.weight_change[stage] > 0) == (recipe.mode(stage) != "frozen")
        still = all(recipe.mode(name) == "frozen" for name in network.stage_names[: index + 1])
        assert (record.feature_change[stage] == 0) == still
        assert (record.feature_cka[stage] == 1) == still
    assert record.weight_change[HEAD] > 0


@every_strategy
def test_a_record_says_how_much_of_the_source_is_left(strategy: str) -> None:
    record, _ = run(strategy)
    recipe = BASE.recipe(strategy)
    whole = recipe.transferred == set(get_backbone("cnn_small").stage_names) and recipe.own is None
    if DATASETS["mnist"].looks() is None or not whole:
        assert record.source_accuracy_before is record.source_accuracy_after is None
        return
    before, after = record.source_accuracy_before, record.source_accuracy_after
    assert before is not None
    assert after is not None
    assert before > 0.9
    if all(recipe.mode(stage) == "frozen" for stage in get_backbone("cnn_small").stage_names):
        assert after == before
    elif not recipe.low_rank and recipe.phases[-1].rate == 1 and not recipe.phases[-1].stage_rates:
        assert after != before


@pytest.mark.parametrize("steps", [1, 2, 13, 26, 70])
def test_the_steps_trained_are_the_steps_asked_for(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where they happen: in the optimiser, and in the rows that `fit` was given."""
    given: list[int] = []
    fit = arm.Program.fit

    def counting(program: arm.Program, data: Any, order: np.ndarray, *rest: Any) -> int:
        given.append(len(order))
        return fit(program, data, order, *rest)

    experiment = BASE.model_copy(update={"steps": steps, "learning_rate": 1e-3})
    fresh = trial("feature_extraction", experiment)
    program, _ = fresh._phase_program(fresh.recipe, fresh.recipe.phases[0], fresh.first_weights(fresh.recipe))
    monkeypatch.setattr(arm.Program, "fit", counting)
    record = fresh.run_network()
    assert sum(given) == steps
    assert int(program.optimizer.iterations) == steps
    assert record.steps == steps
    assert [point.step for point in record.curve][-1] == steps
    assert len(record.curve) == min(LOOKS, steps) + 1


PHASED = [name for name in NETWORKS if len(BASE.recipe(name).phases) > 1]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 24])
@pytest.mark.parametrize("strategy", PHASED)
def test_every_phase_gets_its_share_and_its_rates(strategy: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with fewer steps than phases: then some phases get none, and the steps are all done."""
    fresh = trial(strategy, BASE.model_copy(update={"steps": steps, "learning_rate": 2e-3}))
    phases = fresh.recipe.compiled
    done: dict[int, list[float]] = {}
    asked = fresh._phase_program

    class Watched:
        """A program that is not trained, whose steps are noted."""

        def __init__(self, index: int) -> None:
            self.index = index

        def fit(self, data: Any, order: np.ndarray, rates: np.ndarray, should_stop: Any) -> int:
            done.setdefault(self.index, []).extend(rates.tolist())
            return len(order)

        def __getattr__(self, name: str) -> Any:
            return lambda *_: {} if name == "weights" else None

    def watched(recipe: Any, phase: Any, weights: Any) -> Any:
        return Watched(phases.index(phase)), asked(recipe, phase, weights)[1]

    monkeypatch.setattr(fresh, "_phase_program", watched)
    trained = fresh._train(fresh.recipe, fresh.first_weights(fresh.recipe), 2e-3, fresh.everything)
    assert trained.steps == steps == sum(len(rates) for rates in done.values())
    ends = np.rint(np.cumsum([phase.share for phase in phases]) * steps).astype(int)
    for index, (begin, end) in enumerate(pairwise([0, *ends])):
        rates = done.get(index, [])
        assert len(rates) == end - begin
        np.testing.assert_allclose(rates, phases[index].rates(2e-3, end - begin), rtol=1e-6)


@pytest.mark.parametrize("strategy", PHASED)
@pytest.mark.parametrize("steps", [1, 2])
def test_one_or_two_steps_make_a_record_too(strategy: str, steps: int) -> None:
    experiment = BASE.model_copy(update={"steps": steps, "learning_rate": 1e-3})
    record = run_arm(experiment, strategy, 0)
    assert record.status == "finished"
    assert record.steps == steps
    assert [point.step for point in record.curve] == list(range(steps + 1))


@pytest.mark.parametrize("strategy", ["direct_reuse", "pixel_baseline"])
def test_what_trains_no_network_has_no_steps_and_no_curve(strategy: str) -> None:
    record, _ = run(strategy)
    assert record.curve == ()
    assert record.steps == 0
    assert record.learning_rate is None
    assert record.selection.setting == ("none" if strategy == "direct_reuse" else "C")


@every_network
def test_the_rate_chosen_has_the_lowest_loss_on_the_validation_part(strategy: str) -> None:
    record, _ = run(strategy)
    losses = record.selection.losses
    assert set(losses) == set(record.selection.scores) == {"0.001", "0.003"}
    assert f"{record.selection.chosen:g}" == min(losses, key=lambda rate: losses[rate] or np.inf)
    assert record.learning_rate == record.selection.chosen


def test_a_fixed_rate_is_used_and_nothing_is_tried() -> None:
    record = run_arm(BASE.model_copy(update={"learning_rate": 2e-3}), "feature_extraction", 0)
    assert record.learning_rate == 2e-3
    assert record.selection.scores == {}
    assert "selection" not in record.phase_seconds


def test_without_compiling_again_an_arm_is_feature_extraction_to_the_last_bit() -> None:
    forgotten, frozen = run("no_recompile")[0], run("feature_extraction")[0]
    assert forgotten.curve != ()
    same = timeless(frozen) | {"strategy": "no_recompile"}
    assert timeless(forgotten) == same


@pytest.mark.parametrize("scale", [255.0, 1 / 255])
def test_pixels_in_another_range_are_so_wherever_the_network_sees_them(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as dividing the first convolution's kernel by the factor before the pixels were multiplied by it."""
    usual = trial("feature_extraction")
    with_factor = trial("wrong_preprocessing")
    with_factor.recipe = replace(with_factor.recipe, input_scale=scale)
    assert usual.checkpoint is not None
    weights = dict(usual.checkpoint.weights)
    kernel, bias = weights["conv1"]
    undone = replace(usual.checkpoint, weights=weights | {"conv1": [kernel / np.float32(scale), bias]})
    monkeypatch.setattr(with_factor, "checkpoint", undone)
    seen = [
        np.asarray(one._phase_program(one.recipe, one.recipe.phases[0], one.first_weights(one.recipe))[1](one.observed))
        for one in (usual, with_factor)
    ]
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-4, rtol=1e-4)
    records = [one.run_network() for one in (usual, with_factor)]
    assert records[1].test_accuracy == pytest.approx(records[0].test_accuracy, abs=0.01)
    assert [point.step for point in records[1].curve] == [point.step for point in records[0].curve]
    for one, other in zip(records[0].curve, records[1].curve, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=0.02, abs=0.01)
    assert records[1].feature_change == dict.fromkeys(("conv1", "conv2", "dense1"), 0.0)


def test_a_factor_reaches_images_of_every_kind_of_arm() -> None:
    """Also where nothing is frozen, so that nothing is cached, and where images are changed at random."""
    for values in ({}, {"augmentation": "shift"}):
        waiting = trial("fine_tune_all", BASE.model_copy(update={"steps": 2, "learning_rate": 1e-4, **values}))
        waiting.recipe = replace(waiting.recipe, input_scale=255.0)
        wrong, right = waiting.run_network(), trial("fine_tune_all", waiting.experiment).run_network()
        first, usual = wrong.curve[0].train_loss, right.curve[0].train_loss
        assert first is not None
        assert usual is not None
        assert first > 10 * usual
        assert wrong.surgery[-1] == "pixels from 0 to 255 where the network learned from 0 to 1"
        assert "pixels" not in " ".join(right.surgery)


def test_features_of_pictures_in_another_range_are_kept_apart() -> None:
    outputs = []
    for strategy in ("feature_extraction", "wrong_preprocessing", "feature_extraction"):
        waiting = trial(strategy)
        start = waiting.first_weights(waiting.recipe)
        frozen = waiting._phase_program(waiting.recipe, waiting.recipe.phases[0], start)[1]
        outputs.append(frozen(waiting.observed, waiting._observed_name))
    assert outputs[0] is outputs[2]
    assert not np.allclose(outputs[0], outputs[1])


# --- fair to every strategy -------------------------------------------------------------------------------------------


def test_every_arm_of_a_seed_has_the_same_images() -> None:
    assert len({run(strategy)[0].labels.sha256 for strategy in FITTING}) == 1
    assert run("pixel_baseline", 1)[0].labels.sha256 != run("pixel_baseline", 0)[0].labels.sha256


def test_every_arm_of_a_seed_starts_with_the_same_head_and_the_same_random_stages() -> None:
    starts = {strategy: trial(strategy).first_weights(BASE.recipe(strategy)) for strategy in NETWORKS}
    for small in (False, True):  # a smaller network has a smaller head
        alike = [name for name in NETWORKS if BASE.recipe(name).small == small]
        assert len({weights_sha256({HEAD: starts[name][HEAD]}) for name in alike}) == 1
        for stage in ("conv1", "conv2", "dense1"):
            fresh = {
                weights_sha256({stage: starts[name][stage]})
                for name in alike
                if stage in starts[name] and BASE.recipe(name).origin(stage) in ("random", "own")
            }
            assert len(fresh) <= 1, stage
    other = trial("scratch", seed=1).first_weights(BASE.recipe("scratch"))
    assert weights_sha256({HEAD: other[HEAD]}) != weights_sha256({HEAD: starts["scratch"][HEAD]})


def test_the_rows_of_every_arm_of_a_seed_come_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    fit = arm.Program.fit

    def noting(program: arm.Program, data: Any, order: np.ndarray, rates: np.ndarray, *rest: Any) -> int:
        seen.append(order)
        return fit(program, data, order, rates * 0, *rest)

    orders: dict[str, list[int]] = {}
    for strategy in NETWORKS:
        waiting = trial(strategy)
        for phase in waiting.recipe.phases:  # traces with a batch of its own
            waiting._phase_program(waiting.recipe, phase, waiting.first_weights(waiting.recipe))
        start, teacher = waiting._prepared(1e-3, waiting.everything)
        seen.clear()
        with monkeypatch.context() as patch:
            patch.setattr(arm.Program, "fit", noting)
            waiting._train(waiting.recipe, start, 1e-3, waiting.everything, teacher, waiting._look_steps())
        orders[strategy] = np.concatenate(seen).reshape(-1).tolist()
    assert all(order == orders["scratch"] for order in orders.values())
    assert len(orders["scratch"]) == BASE.steps * BASE.batch_size


def rows_read(waiting: arm._Arm, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> set[int]:
    """Positions in the label budget of all images that something trains on."""
    read: set[int] = set()
    fit, recalibrate = arm.Program.fit, arm.Program.recalibrate

    def noting(program: arm.Program, data: Any, order: np.ndarray, *rest: Any) -> int:
        assert len(data.y) == len(waiting.labels)  # rows are positions in the label budget
        read.update(order.reshape(-1).tolist())
        return fit(program, data, order, *rest)

    def noting_too(program: arm.Program, x: Any, order: np.ndarray) -> None:
        read.update(order.reshape(-1).tolist())
        recalibrate(program, x, order)

    for phase in waiting.recipe.phases:
        waiting._phase_program(waiting.recipe, phase, waiting.first_weights(waiting.recipe))
    for recipe in (waiting.recipe.own, waiting.recipe.distillation and waiting.recipe.distillation.teacher):
        for phase in recipe.phases if recipe else ():
            waiting._phase_program(recipe, phase, waiting.first_weights(recipe))
    with monkeypatch.context() as patch:
        patch.setattr(arm.Program, "fit", noting)
        patch.setattr(arm.Program, "recalibrate", noting_too)
        act()
    return read


@every_network
def test_the_choice_of_a_rate_never_trains_on_what_it_is_judged_by(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what is trained before the arm itself: a teacher, a network of its own, running statistics."""
    waiting = trial(strategy, BASE.model_copy(update={"normalization": "recalibrate"}))
    read = rows_read(waiting, monkeypatch, lambda: waiting._select_rate((1e-3,)))
    assert read == set(waiting.training.tolist())
    assert not read & set(waiting.validation.tolist())


@pytest.mark.parametrize("strategy", [name for name in NETWORKS if BASE.recipe(name).own or "distil" in name])
def test_what_is_prepared_for_the_final_training_learns_from_the_whole_budget(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = trial(strategy)
    read = rows_read(waiting, monkeypatch, lambda: waiting._prepared(1e-3, waiting.everything))
    assert read == set(waiting.everything.tolist())


def test_a_network_of_ones_own_starts_elsewhere_and_gives_its_first_stages() -> None:
    waiting = trial("self_copy_frozen")
    fresh = waiting.first_weights(waiting.recipe)
    start, teacher = waiting._prepared(1e-3, waiting.everything)
    assert teacher is None
    alone = waiting._train(
        BASE.recipe("scratch"),
        initial_weights(get_backbone("cnn_small"), (28, 28, 1), 10, arm.OWN_SEED),
        1e-3,
        waiting.everything,
    )
    assert weights_sha256({"conv1": start["conv1"]}) == weights_sha256({"conv1": alone.weights["conv1"]})
    for stage in ("conv2", "dense1", HEAD):
        assert weights_sha256({stage: start[stage]}) == weights_sha256({stage: fresh[stage]})


def test_a_teacher_is_the_fine_tuned_network_itself() -> None:
    waiting = trial("distillation")
    _, teacher = waiting._prepared(1e-3, waiting.everything)
    assert teacher is not None
    tuned = trial("fine_tune_all")
    trained = tuned._train(tuned.recipe, tuned.first_weights(tuned.recipe), 1e-3, tuned.everything)
    expected = tuned._logits(trained.weights, tuned.labelled, "")
    np.testing.assert_allclose(teacher(waiting.labelled, ""), expected, atol=1e-4)


@pytest.mark.parametrize("strategy", [*PHASED, "l2_sp", "lora", "distillation", "self_copy_fine_tuned"])
def test_an_arm_does_not_depend_on_what_its_programs_did_before(strategy: str) -> None:
    """Optimisers, statistics, low-rank factors and pulls of an earlier seed leave no trace."""
    first = timeless(run(strategy)[0])
    run_arm(BASE.model_copy(update={"learning_rate": 0.5, "steps": 5}), strategy, 3)
    assert timeless(run_arm(BASE, strategy, 0)) == first


@pytest.mark.parametrize("normalization", ["auto", "recalibrate"])
def test_running_statistics_of_an_earlier_arm_leave_no_trace(normalization: str) -> None:
    experiment = BASE.model_copy(
        update={
            "backbone": "mini_resnet_bn",
            "strategies": ("scratch",),
            "learning_rate": 1e-2,
            "steps": 4,
            "normalization": normalization,
        }
    )
    first = timeless(run_arm(experiment, "scratch", 0))
    run_arm(experiment.model_copy(update={"learning_rate": 0.5}), "scratch", 1)
    assert timeless(run_arm(experiment, "scratch", 0)) == first


@pytest.mark.parametrize("strategy", ["feature_extraction", "scratch"])
def test_the_same_seed_gives_the_same_record(strategy: str) -> None:
    arm._program.cache_clear()  # another program, compiled anew
    assert timeless(run_arm(BASE, strategy, 0)) == timeless(run(strategy)[0])


# --- blind to the test set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy", ["feature_extraction", "fine_tune_all", "pixel_baseline", "distillation", "self_copy_frozen"]
)
def test_nothing_but_the_final_score_depends_on_the_test_set(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = timeless(run(strategy)[0])
    task = arm._task(BASE.source, BASE.target, BASE.shape, None)
    # Other images, labels in another order, and another hash, under which no features are kept yet.
    poisoned = replace(task.dataset, y_test=np.roll(task.dataset.y_test, 1), sha256="poisoned")
    changed = replace(task, dataset=poisoned, y_test=poisoned.y_test, x_test=255 - task.x_test)
    monkeypatch.setattr(arm, "_task", lambda *_: changed)
    blind = timeless(run_arm(BASE, strategy, 0))
    assert blind["test_accuracy"] != honest["test_accuracy"]
    for field in ("selection", "curve", "train_accuracy", "validation_accuracy", "labels", "learning_rate"):
        assert blind[field] == honest[field], field


@pytest.mark.parametrize("strategy", ["feature_extraction", "pixel_baseline"])
def test_nothing_is_selected_on_the_observation_set(strategy: str) -> None:
    blind = trial(strategy)
    blind.observed_labels = (blind.observed_labels + 1) % 10
    record = blind.run_pixels() if strategy == "pixel_baseline" else blind.run_network()
    honest, _ = run(strategy)
    assert record.selection == honest.selection
    assert record.test_accuracy == honest.test_accuracy
    assert record.validation_accuracy != honest.validation_accuracy


@pytest.mark.parametrize("strategy", ["feature_extraction", "pixel_baseline"])
def test_the_choice_depends_on_the_validation_part(strategy: str) -> None:
    other = trial(strategy)
    other.labels = other.labels.copy()
    other.labels[other.validation] = (other.labels[other.validation] + 1) % 10
    record = other.run_pixels() if strategy == "pixel_baseline" else other.run_network()
    assert record.selection.losses != run(strategy)[0].selection.losses


# --- the controls -----------------------------------------------------------------------------------------------------


def test_the_pixel_baseline_is_scikit_learns_own_result() -> None:
    record, _ = run("pixel_baseline")
    part, dataset = trial("pixel_baseline").split, load("uci_digits")
    x, x_test = (
        images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
        for images in (dataset.x_train, dataset.x_test)
    )
    losses = {}
    for c in C_GRID:
        candidate = LogisticRegression(C=c, max_iter=1000).fit(x[part.training], dataset.y_train[part.training])
        losses[c] = log_loss(dataset.y_train[part.validation], candidate.predict_proba(x[part.validation]))
        accuracy = candidate.score(x[part.validation], dataset.y_train[part.validation])
        assert record.selection.scores[f"{c:g}"] == pytest.approx(accuracy)
        assert record.selection.losses[f"{c:g}"] == pytest.approx(losses[c])
    best = min(losses, key=lambda c: losses[c])
    final = LogisticRegression(C=best, max_iter=1000).fit(x[part.labelled], dataset.y_train[part.labelled])
    assert record.selection.chosen == best
    assert record.test_accuracy == final.score(x_test, dataset.y_test)
    assert np.array_equal(record.confusion, confusion_matrix(dataset.y_test, final.predict(x_test)))
    assert record.train_accuracy == final.score(x[part.labelled], dataset.y_train[part.labelled])
    assert record.total_parameters == final.coef_.size + final.intercept_.size


def test_direct_reuse_of_digits_reads_digits_and_not_garments() -> None:
    assert run("direct_reuse")[0].test_accuracy > 0.6  # MNIST's network on other people's digits
    garments = run_arm(BASE.model_copy(update={"target": "drawn_garments"}), "direct_reuse", 0)
    assert garments.test_accuracy < 0.3  # ten classes that mean something else: near chance
    assert garments.trainable_parameters == 0
    assert {stage.mode for stage in garments.stages} == {"frozen"}
    assert {stage.origin for stage in garments.stages} == {"transferred"}


def test_a_source_of_two_classes_says_only_those_two() -> None:
    experiment = BASE.model_copy(update={"source": "cifar10_cars", "backbone": "cnn_deep"})
    record = run_arm(experiment, "direct_reuse", 0)
    confusion = np.array(record.confusion)
    assert confusion.shape == (10, 10)
    assert not confusion[:, 2:].any()
    assert record.datasets["target"].adaptation == "grey repeated to three channels, resized from 28×28 to 32×32 pixels"


@pytest.mark.real_data
def test_a_source_with_more_classes_has_them_in_a_column_of_their_own() -> None:
    experiment = BASE.model_copy(update={"target": "cifar10_trucks", "labels_per_class": 2})
    record = run_arm(experiment, "direct_reuse", 0)
    confusion = np.array(record.confusion)
    assert confusion.shape == (2, 3)
    assert confusion.sum() == record.labels.test
    assert confusion[:, 2].sum() > 0
    assert np.trace(confusion) / confusion.sum() == pytest.approx(record.test_accuracy)


def test_a_target_of_two_classes_gives_the_pixel_baseline_two_columns() -> None:
    scores = arm._Arm._pixel_scores(
        arm.fit_pixels(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), 1.0), np.eye(4, dtype=np.float32)
    )
    assert scores.shape == (4, 2)
    assert scores.argmax(axis=1).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", arm.C_GRID)
def test_few_images_of_many_pixels_give_the_same_logistic_regression(classes: int, c: float) -> None:
    rng = np.random.default_rng(classes)
    x, y = rng.random((24, arm.WIDE), dtype=np.float32), np.arange(24) % classes
    plain = LogisticRegression(C=c, max_iter=10_000, tol=1e-8).fit(x.astype(np.float64), y)
    ours, seen = arm.fit_pixels(x, y, c), rng.random((50, arm.WIDE), dtype=np.float32)
    assert ours.coef_.shape == plain.coef_.shape
    assert np.allclose(ours.predict_proba(seen), plain.predict_proba(seen), atol=2e-4)
    assert ours.score(x, y) == plain.score(x, y)


def test_transfer_of_digits_to_digits_is_worth_more_than_random_features() -> None:
    """Thirty steps on five labels a class: what MNIST taught is most of what is known."""
    assert run("feature_extraction")[0].test_accuracy > run("random_features")[0].test_accuracy + 0.1


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["shift", "shift_flip"])
@pytest.mark.parametrize("strategy", ["feature_extraction", "scratch", "distillation"])
def test_augmentation_changes_the_training_and_repeats(how: str, strategy: str) -> None:
    experiment = BASE.model_copy(update={"augmentation": how, "learning_rate": 1e-3, "steps": 10})
    plain = experiment.model_copy(update={"augmentation": "none"})
    first = run_arm(experiment, strategy, 0)
    assert timeless(first)["curve"] == timeless(run_arm(experiment, strategy, 0))["curve"]
    untouched = run_arm(plain, strategy, 0)
    # Looks see the images as they are, so the first one is alike and only the training differs.
    assert timeless(first)["curve"][0] == timeless(untouched)["curve"][0]
    assert timeless(first)["curve"][-1] != timeless(untouched)["curve"][-1]


@pytest.mark.parametrize(("cut", "frozen"), [(0, []), (1, ["conv1"]), (3, ["conv1", "conv2", "dense1"])])
def test_the_cut_says_what_is_frozen(cut: int, frozen: list[str]) -> None:
    experiment = BASE.model_copy(update={"cut": cut, "learning_rate": 1e-3, "steps": 5})
    record = run_arm(experiment, "fine_tune_last", 0)
    assert [stage.name for stage in record.stages if stage.mode == "frozen"] == frozen
    assert all(stage.origin == "transferred" for stage in record.stages[:-1])


def test_a_limit_in_seconds_ends_the_training_early() -> None:
    experiment = BASE.model_copy(update={"seconds": 0.05, "steps": 5000, "learning_rate": 1e-3})
    record = run_arm(experiment, "fine_tune_all", 0)
    assert record.status == "finished"
    assert 0 < record.steps < 5000
    assert record.curve[-1].step == record.steps
    assert record.seconds >= 0.05
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


def test_half_precision_trains_too() -> None:
    experiment = BASE.model_copy(update={"precision": "mixed_bfloat16", "learning_rate": 1e-3, "steps": 10})
    record = run_arm(experiment, "fine_tune_all", 0)
    assert record.environment.precision == "mixed_bfloat16"
    assert record.test_accuracy > 0.3


@pytest.mark.parametrize("augmentation", ["none", "shift"])
def test_statistics_are_measured_anew_when_that_is_asked_for(
    augmentation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever changes the training images; every look and the record show the network that the record is about."""
    experiment = BASE.model_copy(
        update={
            "backbone": "mini_resnet_bn",
            "strategies": ("scratch",),
            "learning_rate": 3e-3,
            "steps": 4,
            "normalization": "recalibrate",
            "augmentation": augmentation,
        }
    )
    calls: list[int] = []
    recalibrate = arm.Program.recalibrate

    def noting(program: arm.Program, x: Any, order: np.ndarray) -> None:
        calls.append(len(x))
        recalibrate(program, x, order)

    monkeypatch.setattr(arm.Program, "recalibrate", noting)
    record = run_arm(experiment, "scratch", 0)
    assert calls == [record.labels.training]
    assert record.curve[-1].validation_accuracy == pytest.approx(record.validation_accuracy)


@pytest.mark.parametrize("strategy", ["lp_ft", "gradual_unfreeze", "head_continued"])
def test_a_limit_in_seconds_may_end_an_arm_in_its_first_phase(strategy: str) -> None:
    experiment = BASE.model_copy(update={"seconds": 1e-6, "steps": 4000, "learning_rate": 1e-3})
    record = run_arm(experiment, strategy, 0)
    assert record.status == "finished"
    assert record.steps == STEPS_PER_CALL
    assert record.weight_change["conv1"] == 0
    assert record.curve[-1].step == record.steps
    assert record.curve[-1].validation_accuracy == pytest.approx(record.validation_accuracy)


def test_published_weights_have_no_output_layer_to_reuse() -> None:
    with pytest.raises(UserError, match="output layer"):
        Experiment.of(source="imagenet", backbone="mobilenet_v2_035", strategies=("direct_reuse",))


# --- while it runs ----------------------------------------------------------------------------------------------------


@every_strategy
def test_events_come_in_order_and_only_go_forward(strategy: str) -> None:
    record, events = run(strategy)
    kinds = [event.kind for event in events]
    assert kinds[0] == "arm_started"
    assert kinds[-1] == "arm_finished"
    assert events[-1].record == record
    ranks = {"arm_started": 0, "select": 1, "point": 2, "arm_finished": 3}
    # The look at where the arm sets out from comes first; nothing was tried yet.
    looks = [event.point.step for event in events if event.point is not None]
    assert looks == sorted(looks)
    later = [ranks[event.kind] for event in events if event.point is None or event.point.step > 0]
    assert later == sorted(later)
    fractions = [event.fraction for event in events]
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {(event.strategy, event.seed) for event in events} == {(strategy, 0)}
    assert tuple(event.point for event in events if event.point) == record.curve


@pytest.mark.parametrize("strategy", ["feature_extraction", "pixel_baseline"])
def test_an_arm_stops_when_asked(strategy: str) -> None:
    with pytest.raises(Stopped):
        run_arm(BASE, strategy, 0, should_stop=lambda: True)


def test_what_on_event_raises_ends_the_arm() -> None:
    def fail(event: Event) -> None:
        if event.kind == "select":
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        run_arm(BASE, "feature_extraction", 0, fail)


@pytest.mark.real_data
def test_a_source_that_holds_the_targets_images_is_refused() -> None:
    experiment = Experiment(source="cifar10", target="cifar10_trucks", labels_per_class=2, steps=1)
    with pytest.raises(UserError, match="share"):
        run_arm(experiment, "scratch", 0)
