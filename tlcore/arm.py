"""One arm: a strategy with a seed, from its labelled images to its `RunRecord`."""

from __future__ import annotations

import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tlcore import inside, kept_weights
from tlcore.backend import environment, resolve_precision
from tlcore.changes import (
    WATCHED,
    as_rows,
    feature_changes,
    remembered,
    stage_outputs,
    weight_changes,
    whole_network,
)
from tlcore.data import Dataset, get_dataset, load
from tlcore.data.adapt import adapt, describe_adaptation
from tlcore.data.external import SOURCES
from tlcore.data.labels import Split, augment, batch_order, split_labels, tested
from tlcore.data.pairs import check_pair
from tlcore.errors import Stopped
from tlcore.experiment import (
    CurvePoint,
    DatasetUse,
    Event,
    Experiment,
    LabelBudget,
    RunRecord,
    Selection,
    StageUse,
)
from tlcore.features import FrozenStages, in_range
from tlcore.models import Backbone, get_backbone
from tlcore.models.build import HEAD, Shape, Weights, count_parameters, initial_weights, set_weights
from tlcore.policy import FreezePolicy, Recipe, stream_of
from tlcore.pretrain import Checkpoint, source_checkpoint
from tlcore.train import Program, Setup, accuracy, cross_entropy, scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from tlcore.policy import Phase

    Teacher = Callable[[NDArray[np.uint8] | NDArray[np.float32], str], NDArray[np.float32]]

LOOKS = 12
LOOK_AT_MOST = 256  # training images that a look evaluates
AUGMENTED_AT_ONCE = 3_200  # images; bounds the copy that changing them makes
FEATURES_AT_ONCE = 100_000_000  # bytes; a whole test set's maps of an early stage of a large network are gigabytes
OWN_SEED = 1_000_003  # first weights of a network that an arm trains for itself: other ones than the arm's own
C_GRID = (0.01, 0.1, 1.0, 10.0)
WIDE = 10_000  # pixels of an image from which the pixel baseline is fitted among the images' sums


def run_arm(
    experiment: Experiment,
    strategy: str,
    seed: int,
    on_event: Callable[[Event], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunRecord:
    """Train and measure one arm.

    The learning rate is chosen on the validation part of the label budget, every candidate trained for the full number
    of steps on the rest; then the arm trains on the whole budget with the chosen rate, and the test set is read once.

    Args:
        experiment: What to run.
        strategy: Name of the arm's strategy.
        seed: Seed of its labelled images, first weights and batch order.
        on_event: Told what happens, in this thread.
        should_stop: Asked every few steps.

    Returns:
        The record.

    Raises:
        UserError: If data or a source model cannot be had, or the two tasks share images.
        Stopped: If `should_stop` said so.
    """
    on_event(Event(kind="arm_started", strategy=strategy, seed=seed, text="preparing the images"))
    arm = _Arm(experiment, strategy, seed, on_event, should_stop)
    if arm.recipe.learner == "pixels":
        record = arm.run_pixels()
    elif not arm.recipe.phases:
        record = arm.run_untrained()
    else:
        record = arm.run_network()
    on_event(Event(kind="arm_finished", strategy=strategy, seed=seed, fraction=1.0, text=record.message, record=record))
    return record


@dataclass(frozen=True, eq=False)
class _Task:
    """The target as every arm of an experiment sees it."""

    dataset: Dataset
    shape: Shape
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    adaptation: str
    sha256: str
    """Hash of the images as this arm has them."""
    drawn: NDArray[np.int64] | None
    """Rows of the training images that are the test images, where each seed draws its own."""

    @property
    def classes(self) -> int:
        return len(self.dataset.spec.classes)

    @property
    def name(self) -> str:
        return f"{self.sha256}/{self.shape}"

    def test_images(self, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some test images as they are in the dataset."""
        dataset = self.dataset
        return dataset.x_test[at] if self.drawn is None else dataset.x_train[self.drawn[at]]


@lru_cache(maxsize=2)
def _task(source: str, target: str, shape: Shape, seed: int | None) -> _Task:
    """Images are fitted to the source's input, for every arm alike: the architecture that is given sets the input."""
    check_pair(source, target)
    dataset = load(target)
    test = tested(dataset, seed or 0)
    adaptation = describe_adaptation(dataset.spec.shape, shape)
    return _Task(dataset, shape, adapt(test.images, shape), test.labels, adaptation, test.sha256, test.rows)


@lru_cache(maxsize=24)
def _program(
    backbone: Backbone, shape: Shape, classes: int, precision: str, first: int, setup: Setup, *, whole: bool
) -> Program:
    """Programs are kept: another seed or rate of the same policy starts at once.

    `whole` says that inputs are images as bytes: tracing belongs to no arm's time, so one step is made here.
    """
    program = Program(backbone, shape, classes, precision=precision, first=first, setup=setup)
    inputs = np.zeros((1, *program.model.input_shape[1:]), dtype=np.uint8 if whole else np.float32)
    held = program.hold(inputs, np.zeros(1, dtype=np.int64), np.zeros((1, classes), dtype=np.float32))
    program.fit(held, np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.float32))
    program.logits(inputs)
    return program


@dataclass(frozen=True, eq=False)
class _Trained:
    """What a pass through a recipe's phases gave."""

    weights: Weights
    steps: int
    seconds: float
    diverged_at: int | None
    curve: tuple[CurvePoint, ...] = ()


@dataclass(eq=False)
class _Arm:
    experiment: Experiment
    strategy: str
    seed: int
    on_event: Callable[[Event], None]
    should_stop: Callable[[], bool]
    phase_seconds: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        values = self.experiment
        self.backbone = get_backbone(values.backbone)
        self.recipe: Recipe = values.recipe(self.strategy)
        self.precision = resolve_precision(values.precision, self.backbone.family)
        draws = self.seed if get_dataset(values.target).by_seed else None
        self.task = _task(values.source, values.target, values.shape, draws)
        self.split: Split = split_labels(
            self.task.dataset, values.labels_per_class, values.validation_per_class, self.seed, self.task.drawn
        )
        images = self.task.dataset.x_train
        self.labelled = adapt(images[self.split.labelled], self.task.shape)
        self.labels = self.task.dataset.y_train[self.split.labelled]
        self.observed = adapt(images[self.split.observation], self.task.shape)
        self.observed_labels = self.task.dataset.y_train[self.split.observation]
        # Positions within the label budget: its first rows are the validation part (see `split_labels`).
        validation = len(self.split.validation)
        self.everything = np.arange(len(self.labels))
        self.validation, self.training = self.everything[:validation], self.everything[validation:]
        self.checkpoint: Checkpoint | None = None
        if self.recipe.needs_source:
            self.checkpoint = source_checkpoint(values, self.precision, self.on_event, self.should_stop)

    # --- the three kinds of arm ---------------------------------------------------------------------------------

    def run_network(self) -> RunRecord:
        # Before the rates are tried, so that whoever watches sees at once where the arm sets out from; an arm that
        # trains a network for itself first sets out from there, later.
        first = None if self.recipe.own else self._first_look(self.first_weights(self.recipe))
        rates = (self.experiment.learning_rate,) if self.experiment.learning_rate else self.experiment.learning_rates
        if len(rates) == 1:
            selection = Selection(setting="learning_rate", method="fixed by the experiment", chosen=rates[0])
        else:
            selection = self._select_rate(rates)
        assert selection.chosen is not None  # by construction of both branches
        with self._timed("preparation"):
            start, teacher = self._prepared(selection.chosen, self.everything)
        first = first or self._first_look(start)
        trained = self._train(self.recipe, start, selection.chosen, self.everything, teacher, self._look_steps())
        trained = replace(trained, curve=(first, *trained.curve))
        if trained.diverged_at is None and not _finite(trained.weights):
            trained = replace(trained, diverged_at=trained.steps)
        self.phase_seconds["training"] = trained.seconds
        message = ""
        if trained.diverged_at is not None:
            message = (
                f"diverged: the loss or a weight was no longer a finite number by step {trained.diverged_at} "
                f"at learning rate {selection.chosen:g}; a lower rate would be the thing to try"
            )
        with self._timed("test"):
            logits = self._logits(trained.weights, self.task.x_test, f"{self.task.name}/test")
            labelled = self._logits(trained.weights, self.labelled, self._labelled_name)
            observed = self._logits(trained.weights, self.observed, self._observed_name)
        return self._record(
            test_logits=logits,
            train_accuracy=accuracy(labelled, self.labels),
            validation_accuracy=accuracy(observed, self.observed_labels),
            trained=trained,
            selection=selection,
            weights=trained.weights,
            message=message,
            start=start,
        )

    def run_untrained(self) -> RunRecord:
        """Direct reuse: the source model as it is, its outputs read as if they were the target's classes."""
        assert self.checkpoint is not None  # a recipe without phases keeps the source's head, and so needs it
        weights = self.checkpoint.weights
        whole = whole_network(self.backbone, self.task.shape, weights[HEAD][1].size)
        set_weights(whole.model, weights)
        with self._timed("test"):
            outputs = {
                name: whole(images)
                for name, images in (("test", self.task.x_test), ("train", self.labelled), ("seen", self.observed))
            }
        return self._record(
            test_logits=outputs["test"],
            train_accuracy=accuracy(outputs["train"], self.labels),
            validation_accuracy=accuracy(outputs["seen"], self.observed_labels),
            trained=_Trained(weights, 0, 0.0, None),
            selection=Selection(setting="none", method="nothing is trained"),
            weights=weights,
            message="",
        )

    def run_pixels(self) -> RunRecord:
        """Logistic regression on the same labelled images; its C chosen as the networks' rate is."""
        flat = scaled(self.labelled).reshape(len(self.labelled), -1)
        held_out, truth = flat[self.validation], self.labels[self.validation]
        scores: dict[str, float] = {}
        losses: dict[str, float | None] = {}
        with self._timed("selection"):
            for done, c in enumerate(C_GRID):
                fitted = fit_pixels(flat[self.training], self.labels[self.training], c)
                scores[f"{c:g}"] = float(fitted.score(held_out, truth))
                losses[f"{c:g}"] = float(log_loss(truth, fitted.predict_proba(held_out), labels=fitted.classes_))
                self._tell("select", (done + 1) / (len(C_GRID) + 1), f"tried C = {c:g}")
        selection = _chosen("C", C_GRID, scores, losses)
        assert selection.chosen is not None  # a convex problem has no diverged candidates
        begin = time.perf_counter()
        with self._timed("training"):
            fitted = fit_pixels(flat, self.labels, selection.chosen)
        seconds = time.perf_counter() - begin
        with self._timed("test"):
            test = self._pixel_scores(fitted, scaled(self.task.x_test))
            observed = self._pixel_scores(fitted, scaled(self.observed))
        return self._record(
            test_logits=test,
            train_accuracy=float(fitted.score(flat, self.labels)),
            validation_accuracy=accuracy(observed, self.observed_labels),
            trained=_Trained({}, 0, seconds, None),
            selection=selection,
            weights={"pixels": [np.asarray(fitted.coef_), np.asarray(fitted.intercept_)]},
            message="",
        )

    # --- their parts --------------------------------------------------------------------------------------------

    @property
    def network(self) -> Backbone:
        """The network that this arm trains."""
        return self._network(self.recipe)

    def _network(self, recipe: Recipe) -> Backbone:
        return get_backbone(self.backbone.student) if recipe.small else self.backbone

    def first_weights(self, recipe: Recipe, seed: int | None = None) -> Weights:
        """The seed's own weights, with the source's, or some of the same scale, in the stages that get them."""
        weights = initial_weights(
            self._network(recipe), self.task.shape, self.task.classes, stream_of(self.seed if seed is None else seed)
        )
        if self.checkpoint is not None and recipe.own is None:
            weights |= {stage: self.checkpoint.weights[stage] for stage in recipe.transferred}
        if self.checkpoint is not None:
            for stage in recipe.matched:
                weights[stage] = _of_the_same_scale(weights[stage], self.checkpoint.weights[stage], self.seed, stage)
        return weights

    def _prepared(self, rate: float, rows: NDArray[np.int64]) -> tuple[Weights, Teacher | None]:
        """The weights that the recipe starts from and its teacher, both made from these rows alone."""
        weights, recipe = self.first_weights(self.recipe), self.recipe
        if recipe.own is not None:
            own = self._train(recipe.own, self.first_weights(recipe.own, self.seed + OWN_SEED), rate, rows)
            weights |= {stage: own.weights[stage] for stage in recipe.transferred}
        if recipe.distillation is None:
            return weights, None
        by = recipe.distillation.teacher
        taught = self._train(by, self.first_weights(by), rate, rows)
        if not _finite(taught.weights):
            classes = self.task.classes
            return weights, lambda images, _: np.full((len(images), classes), np.nan, dtype=np.float32)
        return weights, lambda images, name: self._logits(taught.weights, images, name, by)

    def _select_rate(self, rates: Sequence[float]) -> Selection:
        scores: dict[str, float] = {}
        losses: dict[str, float | None] = {}
        with self._timed("selection"):
            for done, rate in enumerate(rates):
                start, teacher = self._prepared(rate, self.training)
                trained = self._train(self.recipe, start, rate, self.training, teacher)
                logits = self._logits(trained.weights, self.labelled, self._labelled_name)[self.validation]
                labels = self.labels[self.validation]
                loss = cross_entropy(logits, labels)
                scores[f"{rate:g}"] = accuracy(logits, labels)
                losses[f"{rate:g}"] = loss if np.isfinite(loss) and _finite(trained.weights) else None
                self._tell("select", (done + 1) / (len(rates) + 1), f"tried learning rate {rate:g}")
        return _chosen("learning_rate", rates, scores, losses)

    def _train(
        self,
        recipe: Recipe,
        start: Weights,
        rate: float,
        rows: NDArray[np.int64],
        teacher: Teacher | None = None,
        look_at: Sequence[int] = (),
    ) -> _Trained:
        """Go through a recipe's phases on some of the labelled images, looking at the model on the way."""
        values, total = self.experiment, self.experiment.steps
        order = batch_order(len(rows), values.batch_size, total, self.seed)
        weights, step, seconds = dict(start), 0, 0.0
        curve: list[CurvePoint] = []
        limit = values.seconds if look_at else None
        for phase, end in _phase_ends(recipe.compiled, total):
            begun = step
            if end == begun:
                continue  # fewer steps than phases
            program, frozen = self._phase_program(recipe, phase, weights)
            with self._timed("features"):
                inputs = None if values.augmentation != "none" else frozen(self.labelled, self._labelled_name)
            program.restart(weights, self.seed)
            rates = phase.rates(rate, end - begun)
            held = None
            if inputs is not None:
                taught = teacher(self.labelled, self._labelled_name) if teacher else None
                held = program.hold(inputs, self.labels, taught)
            most = max(1, AUGMENTED_AT_ONCE // values.batch_size) if held is None else end
            for stop in _chunk_ends(step, end, look_at, most):
                positions, data = rows[order[step:stop]], held
                if data is None:
                    picked = positions.reshape(-1)
                    first = step * values.batch_size
                    changed = augment(self.labelled[picked], values.augmentation, self.seed, first=first)
                    taught = teacher(changed, "") if teacher else None
                    data = program.hold(frozen(changed), self.labels[picked], taught)
                    positions = np.arange(len(picked)).reshape(positions.shape)
                begin = time.perf_counter()
                spent = seconds
                done = program.fit(
                    data,
                    positions,
                    rates[step - begun : stop - begun],
                    lambda spent=spent, begin=begin: (
                        self.should_stop() or (limit is not None and spent + time.perf_counter() - begin >= limit)
                    ),
                )
                seconds += time.perf_counter() - begin
                step += done
                if self.should_stop():
                    raise Stopped
                out_of_time = limit is not None and seconds >= limit
                if step == total or out_of_time:
                    self._recalibrate(recipe, program, frozen, rows, order)
                if look_at and (step in look_at or out_of_time):
                    curve.append(self._look(program, frozen, step, seconds))
                    if curve[-1].train_loss is None:
                        return _Trained(weights | program.weights(), step, seconds, step, tuple(curve))
                if out_of_time:
                    return _Trained(weights | program.weights(), step, seconds, None, tuple(curve))
            program.assert_frozen(weights)
            weights = weights | program.weights()
        return _Trained(weights, step, seconds, None, tuple(curve))

    def _recalibrate(
        self,
        recipe: Recipe,
        program: Program,
        frozen: FrozenStages,
        rows: NDArray[np.int64],
        order: NDArray[np.int64],
    ) -> None:
        """Measure running statistics anew on the images that were trained on, unchanged."""
        if recipe.recalibrate and self._network(recipe).normalization == "batch":
            batches = rows[order[: _passes(len(rows), self.experiment.batch_size)]]
            program.recalibrate(frozen(self.labelled, self._labelled_name), batches)

    def _phase_program(self, recipe: Recipe, phase: Phase, weights: Weights) -> tuple[Program, FrozenStages]:
        network, shape = self._network(recipe), self.task.shape
        names, policy = network.stage_names, phase.policy
        # Stages before the first one in which anything moves are computed once. Low-rank updates move every stage.
        still = policy.fixed if network.normalization == "batch" else policy.frozen
        still = frozenset[str]() if recipe.low_rank else still
        first = next((i for i, name in enumerate(names) if name not in still), len(names))
        setup = Setup(
            policy=FreezePolicy(policy.frozen.difference(names[:first]), policy.normalization),
            stage_rates=tuple((name, factor) for name, factor in phase.stage_rates if name in names[first:]),
            pull=recipe.pull,
            distillation=recipe.distillation,
            low_rank=recipe.low_rank,
        )
        whole = first == 0 and self.experiment.augmentation == "none"
        program = _program(network, shape, self.task.classes, self.precision, first, setup, whole=whole)
        frozen = FrozenStages(network, shape, self.precision, first, weights, recipe.input_scale)
        if network.normalization == "batch" and first == len(names) and recipe.origin(names[-1]) == "random":
            # Random layers with statistics that fit no data give features in the tens of thousands, or next to nothing.
            # A control that cannot learn controls nothing, so its features are brought to unit size.
            seen = frozen(self.labelled, self._labelled_name)[self.training]
            frozen.scale = 1 / max(float(np.sqrt(np.square(seen).mean())), 1e-12)
        return program, frozen

    def _first_look(self, start: Weights) -> CurvePoint:
        program, frozen = self._phase_program(self.recipe, self.recipe.compiled[0], start)
        program.load(start)
        return self._look(program, frozen, 0, 0.0)

    def _look(self, program: Program, frozen: FrozenStages, step: int, seconds: float) -> CurvePoint:
        with self._timed("looks"):
            seen = frozen(self.labelled, self._labelled_name)[:LOOK_AT_MOST]
            logits = program.logits(seen)
            observed = program.logits(frozen(self.observed, self._observed_name))
            loss = cross_entropy(logits, self.labels[:LOOK_AT_MOST])
            point = CurvePoint(
                step=step,
                seconds=round(seconds, 4),
                train_loss=loss if np.isfinite(loss) else None,
                train_accuracy=accuracy(logits, self.labels[:LOOK_AT_MOST]),
                validation_accuracy=accuracy(observed, self.observed_labels),
            )
        candidates = 0 if self.experiment.learning_rate else len(self.experiment.learning_rates)
        fraction = (candidates + step / self.experiment.steps) / (candidates + 1)
        if not step and self.recipe.own is None:
            fraction = 0.0  # the look at where the arm sets out from comes before the rates are tried
        self.on_event(
            Event(kind="point", strategy=self.strategy, seed=self.seed, fraction=fraction, text="training", point=point)
        )
        return point

    def _logits(
        self,
        weights: Weights,
        images: NDArray[np.uint8] | NDArray[np.float32],
        name: str,
        recipe: Recipe | None = None,
    ) -> NDArray[np.float32]:
        """Outputs of the whole network, through the last phase's program and its cached features."""
        recipe = recipe or self.recipe
        program, frozen = self._phase_program(recipe, recipe.compiled[-1], weights)
        program.load(weights)
        inputs = program.model.input_shape[1:]
        most = max(1, FEATURES_AT_ONCE // (4 * int(np.prod(inputs))))
        if len(images) <= most or program.first == 0:
            return program.logits(frozen(images, name))
        parts = [program.logits(frozen(images[at : at + most])) for at in range(0, len(images), most)]
        return np.concatenate(parts)

    def _look_steps(self) -> tuple[int, ...]:
        total = self.experiment.steps
        return tuple(sorted({round(total * part / LOOKS) for part in range(1, LOOKS + 1)} - {0}))

    @staticmethod
    def _pixel_scores(fitted: LogisticRegression, images: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = np.asarray(fitted.decision_function(images.reshape(len(images), -1)), dtype=np.float32)
        # Two classes give one column, the second class's score.
        return outputs if outputs.ndim == 2 else np.stack([-outputs, outputs], axis=1)

    @property
    def _labelled_name(self) -> str:
        return f"{self.task.name}/{self.split.sha256}"

    @property
    def _observed_name(self) -> str:
        return f"{self.task.name}/observation"

    def _tell(self, kind: str, fraction: float, text: str) -> None:
        self.on_event(
            Event.model_validate(
                {"kind": kind, "strategy": self.strategy, "seed": self.seed, "fraction": fraction, "text": text}
            )
        )
        if self.should_stop():
            raise Stopped

    @contextmanager
    def _timed(self, what: str) -> Generator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phase_seconds[what] = self.phase_seconds.get(what, 0.0) + time.perf_counter() - start

    def _record(
        self,
        *,
        test_logits: NDArray[np.float32],
        train_accuracy: float,
        validation_accuracy: float,
        trained: _Trained,
        selection: Selection,
        weights: Weights,
        message: str,
        start: Weights | None = None,
    ) -> RunRecord:
        values, spec = self.experiment, self.task.dataset.spec
        truth, predicted = self.task.y_test, test_logits.argmax(axis=1)
        classes = self.task.classes
        confusion = np.zeros((classes, max(classes, test_logits.shape[1])), dtype=np.int64)
        np.add.at(confusion, (truth, predicted), 1)
        if confusion.shape[1] > classes:  # classes that only the source has: one column for all of them
            confusion = np.concatenate([confusion[:, :classes], confusion[:, classes:].sum(1, keepdims=True)], axis=1)
        stages = self._stages(weights)
        source = SOURCES[values.source]
        source_classes = source.classes if not isinstance(source.classes, int) else ()
        known = self.checkpoint
        with self._timed("inspection"):
            changes, features = self._changes(start, weights)
            if self.seed == values.first_seed:
                self._keep_inside(test_logits, start, weights, features)
                self._keep_weights(weights, accuracy(test_logits, truth))
        return RunRecord(
            experiment=values,
            strategy=self.strategy,
            seed=self.seed,
            status="finished" if trained.diverged_at is None else "diverged",
            message=message,
            test_accuracy=accuracy(test_logits, truth),
            validation_accuracy=validation_accuracy,
            train_accuracy=train_accuracy,
            confusion=tuple(tuple(row) for row in confusion.tolist()),
            curve=trained.curve,
            steps=trained.steps,
            seconds=round(trained.seconds, 4),
            phase_seconds={name: round(seconds, 4) for name, seconds in self.phase_seconds.items()},
            learning_rate=selection.chosen if selection.setting == "learning_rate" else None,
            selection=selection,
            trainable_parameters=self._trainable(stages),
            total_parameters=sum(stage.parameters for stage in stages),
            stages=stages,
            network=self.network.name if self.recipe.small else "",
            surgery=self._surgery(),
            **changes,
            labels=LabelBudget(
                training=len(self.labels),
                validation=len(self.validation),
                observation=len(self.observed_labels),
                test=len(truth),
                sha256=self.split.sha256,
                pool=0 if self.task.drawn is None else len(self.task.dataset.y_train),
            ),
            datasets={
                "source": DatasetUse(
                    name=source.name,
                    title=source.title,
                    provenance=known.dataset_provenance if known else "not used by this arm",
                    sha256=known.dataset_sha256 if known else "",
                    classes=source_classes,
                ),
                "target": DatasetUse(
                    name=spec.name,
                    title=spec.title,
                    provenance=self.task.dataset.provenance,
                    sha256=self.task.sha256,
                    classes=spec.classes,
                    adaptation=self.task.adaptation,
                ),
            },
            source_model=known.info if known else None,
            environment=environment(self.precision),
            created=datetime.now(UTC).replace(microsecond=0),
        )

    def _stages(self, weights: Weights) -> tuple[StageUse, ...]:
        if self.recipe.learner == "pixels":
            count = count_parameters(weights["pixels"])
            return (StageUse(name=HEAD, kind="logistic regression", parameters=count, origin="random", mode="trained"),)
        stages = [
            StageUse(
                name=stage.name,
                kind=stage.kind,
                parameters=count_parameters(weights[stage.name]),
                origin=self.recipe.origin(stage.name),
                mode=self.recipe.mode(stage.name),
            )
            for stage in self.network.stages
        ]
        head = StageUse(
            name=HEAD,
            kind="dense",
            parameters=count_parameters(weights[HEAD]),
            origin="transferred" if self.recipe.head == "source" else "random",
            mode="trained" if self.recipe.phases else "frozen",
        )
        return (*stages, head)

    def _trainable(self, stages: Sequence[StageUse]) -> int:
        """Weights that the final training could change: those of its widest phase."""
        if not self.recipe.phases:
            return sum(stage.parameters for stage in stages if stage.mode == "trained")
        start = self.first_weights(self.recipe)
        return max(
            self._phase_program(self.recipe, phase, start)[0].trainable_parameters for phase in self.recipe.compiled
        )

    def _surgery(self) -> tuple[str, ...]:
        """What was done so that the target fits the network it was given."""
        if self.recipe.learner == "pixels":
            return (self.task.adaptation,) if self.task.adaptation else ()
        done = [self.task.adaptation] if self.task.adaptation else []
        if self.recipe.needs_source and self.recipe.head == "new":
            had = SOURCES[self.experiment.source]
            outputs = had.classes if isinstance(had.classes, int) else len(had.classes)
            done.append(f"output layer of {outputs} classes replaced by a new one of {self.task.classes}")
        if self.recipe.input_scale != 1:
            done.append(f"pixels from 0 to {self.recipe.input_scale:.3g} where the network learned from 0 to 1")
        return tuple(done)

    def _changes(self, start: Weights | None, end: Weights) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
        """What training moved: weights and features by stage, and what is left of the source's task.

        Also the features themselves before and after, where they are numbers.
        """
        changes: dict[str, Any] = {}
        features: list[NDArray[np.float64]] = []
        if start is not None:
            stages = self.network.stage_names
            seen = in_range(self.observed[self._watched], self.recipe.input_scale)
            moved, alike = feature_changes(
                self.network,
                self.task.shape,
                start,
                end,
                seen,
                lambda before, after: features.extend((before, after)),
            )
            changes = {
                "weight_change": weight_changes(start, end, (*stages, HEAD)),
                "feature_change": moved,
                "feature_cka": alike,
            }
        whole = self.recipe.own is None and self.recipe.transferred == frozenset(self.backbone.stage_names)
        if self.checkpoint is not None and whole:
            for when, weights in (("before", self.checkpoint.weights), ("after", end)):
                changes[f"source_accuracy_{when}"] = remembered(
                    self.checkpoint, self.backbone, self.task.shape, self.experiment.source, weights
                )
        return changes, features

    @property
    def _watched(self) -> NDArray[np.int64]:
        """Observation images whose features are compared: the first, or some of all where sets sorted by class would
        give the first classes only."""
        every = np.arange(len(self.observed_labels))
        if len(set(self.observed_labels[:WATCHED].tolist())) == self.task.classes:
            return every[:WATCHED]
        return np.linspace(0, len(every) - 1, min(WATCHED, len(every))).astype(np.int64)

    def _keep_weights(self, weights: Weights, test_accuracy: float) -> None:
        """Keep what an exported model is made of."""
        scale = 1.0
        if self.recipe.phases:
            scale = self._phase_program(self.recipe, self.recipe.compiled[-1], weights)[1].scale
        kept = kept_weights.KeptWeights(weights, scale, self.task.sha256, test_accuracy)
        kept_weights.keep(self.experiment, self.strategy, self.seed, kept)

    def _keep_inside(
        self,
        test_logits: NDArray[np.float32],
        start: Weights | None,
        weights: Weights,
        features: Sequence[NDArray[np.float64]],
    ) -> None:
        """Keep what a page shows of the arm from inside."""
        sha256, shape, every = self.task.sha256, self.task.shape, self.task.y_test
        shown = inside.shown_images(len(every))
        truth, answers = every[shown], test_logits[shown].argmax(axis=1)
        kept = inside.answers_only(sha256, shape, accuracy(test_logits, every), truth, answers)
        if self.recipe.learner == "network":
            first = self.network.stage_names[0]
            kept = inside.with_kernels(kept, (start or weights)[first], weights[first])
            followed = inside.pictured_images(truth)
            pictures = in_range(self.task.x_test[shown[followed]], self.recipe.input_scale)
            kept = inside.with_activations(
                kept, followed, stage_outputs(self.network, shape, weights, pictures) if _finite(weights) else {}
            )
            if start is None:  # nothing was trained
                seen = in_range(self.observed[self._watched], self.recipe.input_scale)
                outputs = stage_outputs(self.network, shape, weights, seen)
                features = [as_rows(self.network, outputs[self.network.stage_names[-1]])] * 2
            if features:
                before, after = features
                kept = inside.with_features(kept, before, after, self.observed_labels[self._watched])
        inside.keep(self.experiment, self.strategy, self.seed, kept)
        if not inside.has_pictures(sha256, shape, len(shown)):
            images = adapt(self.task.test_images(shown), inside.picture_shape(shape, len(shown)))
            inside.keep_pictures(self.experiment.target, sha256, inside.Pictures(images, truth.astype(np.int16)))


def _of_the_same_scale(fresh: list[Any], learned: list[Any], seed: int, stage: str) -> list[Any]:
    """Normal weights with the mean and standard deviation of each learned kernel; biases and the like stay fresh."""
    rng = np.random.default_rng([seed, zlib.crc32(stage.encode()), 5])
    return [
        rng.normal(old.mean(), old.std(), old.shape).astype(np.float32) if old.ndim > 1 else new
        for new, old in zip(fresh, learned, strict=True)
    ]


def _finite(weights: Weights) -> bool:
    """Whether every weight is a number. TensorFlow's max-pooling hides one that is not from the loss."""
    return all(bool(np.isfinite(array).all()) for arrays in weights.values() for array in arrays)


def _passes(rows: int, batch_size: int) -> int:
    """Batches that show every row about twice, at least eight."""
    return max(8, 2 * -(-rows // batch_size))


def fit_pixels(x: NDArray[np.float32], y: NDArray[np.int64], c: float) -> LogisticRegression:
    """scikit-learn's logistic regression on flattened pixels.

    Args:
        x: Pixels in [0, 1], shape (n, pixels).
        y: Labels, shape (n,).
        c: Inverse strength of the L2 penalty.

    Returns:
        The fitted model.
    """
    if x.shape[1] < max(WIDE, len(x)):
        return LogisticRegression(C=c, max_iter=1000).fit(x, y)
    # The best weights are a sum of the images, for the penalty is on their length alone (Schölkopf et al. 2001,
    # representer theorem): large pictures are fitted among those sums, a hundred numbers in place of tens of thousands.
    basis, coordinates = np.linalg.qr(x.T)
    fitted = LogisticRegression(C=c, max_iter=10_000, tol=1e-7).fit(coordinates.T.astype(np.float64), y)
    fitted.coef_ = fitted.coef_ @ basis.T
    fitted.n_features_in_ = x.shape[1]
    return fitted


def _chosen(
    setting: Literal["learning_rate", "C"],
    values: Sequence[float],
    scores: dict[str, float],
    losses: dict[str, float | None],
) -> Selection:
    """Take the value with the lowest validation cross-entropy, the first of equals.

    A handful of validation images gives accuracy a few steps only, so most candidates tie; cross-entropy tells them
    apart.
    If every candidate diverged the lowest value is taken: it is the one most likely to survive.
    """

    def loss_of(value: float) -> float:
        loss = losses[f"{value:g}"]
        return float("inf") if loss is None else loss

    return Selection(
        setting=setting,
        method="lowest cross-entropy on the validation part",
        scores=scores,
        losses=losses,
        chosen=min(values, key=loss_of),
    )


def _phase_ends(phases: Sequence[Phase], total: int) -> Iterator[tuple[Phase, int]]:
    done = 0.0
    for phase in phases:
        done += phase.share
        yield phase, round(done * total)


def _chunk_ends(start: int, end: int, look_at: Sequence[int], most: int) -> Iterator[int]:
    """Steps at which to pause between two steps: at every look, and so often that no call is too large."""
    step = start
    while step < end:
        step = min([end, step + most, *(look for look in look_at if look > step)])
        yield step
