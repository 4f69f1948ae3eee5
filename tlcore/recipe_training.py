"""How the steps of `tlcore.recipe` are trained: a frozen network, the recipe's own head, one loop for all."""

from __future__ import annotations

import math
import time
import zlib
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlcore.data import load
from tlcore.data.adapt import adapt, describe_adaptation
from tlcore.data.labels import Tested, batch_order, split_labels, tested
from tlcore.data.pairs import check_pair
from tlcore.experiment import DatasetUse
from tlcore.features import FrozenStages
from tlcore.loops import Forward, Objective, Rate, loop_for
from tlcore.models import get_backbone
from tlcore.models.applications import application_stages
from tlcore.models.build import calm, freeze, get_weights, set_weights
from tlcore.pretrain import known_checkpoint
from tlcore.recipe import HIDDEN, RecipeRun
from tlcore.train import accuracy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tlcore.experiment import Experiment
    from tlcore.models.build import Shape, Weights
    from tlcore.models.registry import Backbone
    from tlcore.pretrain import Checkpoint
    from tlcore.recipe import RecipeStep

DENSE, OUTPUT = "dense", "output"
BLOCK = 1000  # test images whose maps are held at once


class Kitchen:
    """What all steps share: the images, the network's weights and the programs that were compiled.

    Args:
        experiment: The task.

    Raises:
        UserError: If the images or weights cannot be had.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment, self._backbone = experiment, get_backbone(experiment.backbone)
        checkpoint = known_checkpoint(experiment)
        assert checkpoint is not None  # published weights are never trained here
        self.checkpoint: Checkpoint = checkpoint
        check_pair(experiment.source, experiment.target)
        target, self._shape = load(experiment.target), experiment.shape
        self._target, self._classes = target, len(target.spec.classes)
        self.dataset = DatasetUse(
            name=target.spec.name,
            title=target.spec.title,
            provenance=target.provenance,
            sha256=target.sha256,
            classes=target.spec.classes,
            adaptation=describe_adaptation(target.spec.shape, self._shape),
        )

    @property
    def overlap(self) -> float:
        """How much the test images of two seeds share, for the intervals."""
        return max(tested(self._target, seed).overlap for seed in self._experiment.seed_values)

    def run(self, step: RecipeStep, seed: int) -> RecipeRun:
        """Train one step from a seed and test it.

        Args:
            step: The step.
            seed: The seed.

        Returns:
            What was measured.
        """
        experiment, stages = self._experiment, len(self._backbone.stages)
        test = self._test(seed if self._target.spec.by_seed else 0)
        split = split_labels(
            self._target, experiment.labels_per_class, experiment.validation_per_class, seed, test.rows
        )
        x = adapt(self._target.x_train[split.labelled], self._shape)
        y = self._target.y_train[split.labelled]
        batches = math.ceil(len(y) / experiment.batch_size)
        order = batch_order(len(y), experiment.batch_size, (step.epochs + step.further) * batches, seed)
        parts = [(order[: step.epochs * batches], stages if step.cached else 0, 0, 1.0)]
        if step.further:
            parts.append(
                (order[step.epochs * batches :], stages - step.unfrozen, int(step.unfrozen), step.stage_factor)
            )
        weights: Weights = dict(self.checkpoint.weights)
        seconds, trained = 0.0, None
        for rows, first, unfrozen, factor in parts:
            trained = self._compiled(step.head, first, unfrozen, factor)
            weights |= {name: a for name, a in trained.first_head(seed).items() if name not in weights}
            trained.restart(weights)
            prefix = self._prefix(first)
            begin = time.perf_counter()
            trained.fit(prefix(x), y, rows, step.rate)
            seconds += time.perf_counter() - begin
            weights |= trained.weights()
        assert trained is not None  # every step has a first part
        self._check_frozen(step, weights)
        # What is frozen is the same for all steps and seeds, so the test set goes through it once.
        whole = step.head == "average" and not step.unfrozen
        tail = self._compiled(step.head, stages if whole else stages - 1, int(step.unfrozen), parts[-1][3])
        tail.restart(weights)
        draw = "" if test.rows is None else f"/{seed}"
        answers = np.concatenate(
            [
                self._logits(tail, test.images[at : at + BLOCK], f"test{draw}/{at}")
                for at in range(0, len(test.labels), BLOCK)
            ]
        )
        return RecipeRun(
            step=step.name,
            seed=seed,
            test_accuracy=accuracy(answers, test.labels),
            train_accuracy=accuracy(self._logits(tail, x), y),
            seconds=round(seconds, 4),
            steps=len(order),
            trainable_parameters=trained.trainable_parameters,
        )

    @lru_cache(maxsize=1)  # noqa: B019 - one kitchen a measurement
    def _test(self, seed: int) -> Tested:
        """What a seed is tested on, fitted to the network."""
        test = tested(self._target, seed)
        return replace(test, images=adapt(test.images, self._shape))

    def _logits(self, trained: _Trained, x: NDArray[np.uint8], name: str = "") -> NDArray[np.float32]:
        return trained.logits(self._prefix(trained.first)(x, name and f"{self._target.sha256}/{self._shape}/{name}"))

    def _check_frozen(self, step: RecipeStep, weights: Weights) -> None:
        """Frozen means frozen, statistics included."""
        for stage in self._backbone.stage_names[: len(self._backbone.stages) - step.unfrozen]:
            pairs = zip(weights[stage], self.checkpoint.weights[stage], strict=True)
            if not all(np.array_equal(now, before) for now, before in pairs):
                raise RuntimeError(f"stage {stage} was frozen and changed in step {step.name}")

    @lru_cache(maxsize=16)  # noqa: B019 - one kitchen a measurement, and its programs are what it is for
    def _compiled(self, head: str, first: int, unfrozen: int, factor: float) -> _Trained:
        return _Trained(self._backbone, self._shape, self._classes, head, first, unfrozen, factor)

    @lru_cache(maxsize=4)  # noqa: B019
    def _prefix(self, count: int) -> FrozenStages:
        prefix = FrozenStages(self._backbone, self._shape, "float32", count, self.checkpoint.weights)
        prefix(np.zeros((1, *self._shape), dtype=np.uint8))  # traces
        return prefix


class _Trained:
    """Stages ``first`` to the last and the recipe's head, compiled once.

    Args:
        backbone: The network.
        shape: Height, width, channels of its images.
        classes: Outputs.
        head: ``flatten`` or ``average``.
        first: Index of the first stage held here.
        unfrozen: How many of the last stages are trained.
        factor: Their rate, as a factor on the head's.
    """

    def __init__(
        self, backbone: Backbone, shape: Shape, classes: int, head: str, first: int, unfrozen: int, factor: float
    ) -> None:
        self.first = first
        self._model = _model(backbone, shape, classes, head, first)
        held = len(backbone.stages) - unfrozen
        freeze(self._model, frozenset(backbone.stage_names[:held]), "train")
        rest, slow = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
        self._optimizer: Any = rest
        rates, of_stages = [Rate(rest, 1.0)], self._of_stages(backbone.stage_names[held:])
        if factor != 1 and of_stages:
            rates.append(Rate(slow, factor))
            self._optimizer = keras.optimizers.MultiOptimizer(lambda one: slow if id(one) in of_stages else rest)
        self._optimizer.build(self._model.trainable_variables)
        # Through a tensor: NumPy 2 warns of a variable's own `__array__`.
        self._start = [np.array(keras.ops.convert_to_numpy(keras.ops.copy(one))) for one in self._optimizer.variables]
        pulls = [0.0] * len(self._model.trainable_variables)
        self._loop = loop_for(self._model, self._optimizer, Objective(pulls), rates)
        self._forward = Forward(self._model)
        # Tracing belongs to no step's time.
        inputs = np.zeros((1, *self._model.input_shape[1:]), dtype=np.float32 if first else np.uint8)
        self.fit(inputs, np.zeros(1, dtype=np.int64), np.zeros((1, 1), dtype=np.int64), 0.0)

    def _of_stages(self, names: tuple[str, ...]) -> set[int]:
        learned = {id(one) for one in self._model.trainable_variables}
        layers = [layer for layer in self._model.layers if layer.name in names]
        return {id(one) for layer in layers for one in layer.variables} & learned

    def first_head(self, seed: int) -> Weights:
        """The head's first weights: Keras's own choice (Glorot & Bengio 2010), from a stream for each layer."""
        head: Weights = {}
        for name in (DENSE, OUTPUT):
            kernel, bias = (tuple(one.shape) for one in self._model.get_layer(name).weights)
            limit = np.sqrt(6 / sum(kernel))
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            head[name] = [rng.uniform(-limit, limit, kernel).astype(np.float32), np.zeros(bias, dtype=np.float32)]
        return head

    def restart(self, weights: Mapping[str, list[NDArray[np.float32]]]) -> None:
        """Load weights, with a fresh optimiser."""
        set_weights(self._model, weights)
        for variable, start in zip(self._optimizer.variables, self._start, strict=True):
            variable.assign(start)

    def fit(self, x: NDArray[Any], y: NDArray[np.int64], order: NDArray[np.int64], rate: float) -> None:
        """Train for the steps of an order, at one rate."""
        self._loop.run(self._loop.hold(x, y, None), order, np.full(len(order), rate, dtype=np.float32))

    def logits(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Outputs before the softmax."""
        return self._forward(x)

    def weights(self) -> Weights:
        """Copies of what is held here."""
        return get_weights(self._model)

    @property
    def trainable_parameters(self) -> int:
        """Number of weights that training may change."""
        return sum(int(np.prod(one.shape)) for one in self._model.trainable_variables)


def _model(backbone: Backbone, shape: Shape, classes: int, head: str, first: int) -> keras.Model:
    stages = application_stages(backbone, shape, "float32", pooled=head == "average")[first:]
    tensor = inputs = keras.Input(stages[0].input_shape[1:] if stages else (backbone.feature_width,), name="input")
    for stage in stages:
        calm(stage)
        tensor = stage(tensor)
    if head == "flatten":
        tensor = keras.layers.Flatten(name="flatten")(tensor)
    tensor = keras.layers.Dense(HIDDEN, activation="relu", name=DENSE)(tensor)
    return keras.Model(inputs, keras.layers.Dense(classes, name=OUTPUT)(tensor))
