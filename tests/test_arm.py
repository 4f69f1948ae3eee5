"""One arm from its images to its record: fair to every strategy, blind to the test set, and what it says is so."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss

from tlcore import arm
from tlcore.arm import C_GRID, LOOKS, run_arm
from tlcore.data import DATASETS, load
from tlcore.errors import Stopped, UserError
from tlcore.experiment import Event, Experiment, RunRecord
from tlcore.models.build import HEAD, weights_sha256
from tlcore.pretrain import find_checkpoint
from tlcore.strategies import STRATEGIES

# The shipped MNIST network and scikit-learn's digits: nothing to download, nothing to pre-train.
BASE = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=tuple(STRATEGIES),
    labels_per_class=5,
    steps=30,
    learning_rates=(1e-3, 3e-3),
    precision="float32",
)
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
NETWORKS = [name for name in STRATEGIES if name not in ("direct_reuse", "pixel_baseline")]
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
    assert record.trainable_parameters == sum(s.parameters for s in record.stages if s.mode == "trained")
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
    recipe = STRATEGIES[strategy].recipe(arm.get_backbone(BASE.backbone), None)
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


@pytest.mark.parametrize("steps", [1, 2, 13, 26, 70, 100])
def test_the_steps_trained_are_the_steps_asked_for(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where they happen: in the optimiser, and in the rows that `fit` was given."""
    given: list[int] = []
    fit = arm.Program.fit

    def counting(program: arm.Program, x: Any, y: Any, batch_size: int, *rest: Any) -> int:
        given.append(len(x) // batch_size)
        return fit(program, x, y, batch_size, *rest)

    experiment = BASE.model_copy(update={"steps": steps, "learning_rate": 1e-3})
    fresh = trial("feature_extraction", experiment)
    program, _ = fresh._phase_program(fresh.recipe.phases[0], fresh.first_weights())
    monkeypatch.setattr(arm.Program, "fit", counting)
    record = fresh.run_network()
    assert sum(given) == steps
    assert int(program.model.optimizer.iterations) == steps
    assert record.steps == steps
    assert [point.step for point in record.curve][-1] == steps
    assert len(record.curve) == min(LOOKS, steps) + 1


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


# --- fair to every strategy -------------------------------------------------------------------------------------------


def test_every_arm_of_a_seed_has_the_same_images() -> None:
    assert len({run(strategy)[0].labels.sha256 for strategy in STRATEGIES}) == 1
    assert run("pixel_baseline", 1)[0].labels.sha256 != run("pixel_baseline", 0)[0].labels.sha256


def test_every_arm_of_a_seed_starts_with_the_same_head_and_the_same_random_stages() -> None:
    starts = {strategy: trial(strategy).first_weights() for strategy in NETWORKS}
    assert len({weights_sha256({HEAD: start[HEAD]}) for start in starts.values()}) == 1
    fresh = {
        weights_sha256({stage: start[stage]})
        for strategy, start in starts.items()
        for stage in ("dense1",)
        if stage not in trial(strategy).recipe.transferred
    }
    assert len(fresh) == 1
    other = trial("scratch", seed=1).first_weights()
    assert weights_sha256({HEAD: other[HEAD]}) != weights_sha256({HEAD: starts["scratch"][HEAD]})


def test_every_arm_of_a_seed_sees_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    fit = arm.Program.fit

    def noting(program: arm.Program, x: Any, y: np.ndarray, *rest: Any) -> int:
        seen.append(y)
        return fit(program, x, y, *rest)

    orders: dict[str, list[int]] = {}
    for strategy in NETWORKS:
        waiting = trial(strategy)
        waiting._phase_program(waiting.recipe.phases[0], waiting.first_weights())  # traces with a batch of its own
        seen.clear()
        with monkeypatch.context() as patch:
            patch.setattr(arm.Program, "fit", noting)
            waiting._train(waiting.first_weights(), 1e-3, waiting.everything, waiting._look_steps())
        orders[strategy] = np.concatenate(seen).tolist()
    assert all(order == orders["scratch"] for order in orders.values())
    assert len(orders["scratch"]) == BASE.steps * BASE.batch_size


@pytest.mark.parametrize("strategy", ["feature_extraction", "scratch"])
def test_the_same_seed_gives_the_same_record(strategy: str) -> None:
    arm._program.cache_clear()  # another program, compiled anew
    assert timeless(run_arm(BASE, strategy, 0)) == timeless(run(strategy)[0])


# --- blind to the test set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["feature_extraction", "fine_tune_all", "pixel_baseline"])
def test_nothing_but_the_final_score_depends_on_the_test_set(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = arm._task(BASE.source, BASE.target)
    # Other images, labels in another order, and another hash, under which no features are kept yet.
    poisoned = replace(task.dataset, y_test=np.roll(task.dataset.y_test, 1), sha256="poisoned")
    changed = replace(task, dataset=poisoned, x_test=255 - task.x_test)
    monkeypatch.setattr(arm, "_task", lambda *_: changed)
    honest, blind = timeless(run(strategy)[0]), timeless(run_arm(BASE, strategy, 0))
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


def test_transfer_of_digits_to_digits_is_worth_more_than_random_features() -> None:
    """Thirty steps on five labels a class: what MNIST taught is most of what is known."""
    assert run("feature_extraction")[0].test_accuracy > run("random_features")[0].test_accuracy + 0.1


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["shift", "shift_flip"])
@pytest.mark.parametrize("strategy", ["feature_extraction", "scratch"])
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
