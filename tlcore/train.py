"""Training: a `Program` is a network (or its trained tail) compiled once for one freeze policy.

Nothing changes `trainable` after the optimiser is built, which TensorFlow would silently ignore: another policy is
another program. A new arm, seed or rate loads weights and sets the optimiser back to its first state, which is what
building afresh does, without building and tracing again.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlcore.loops import Forward, Objective, Rate, loop_for
from tlcore.models.build import (
    HEAD,
    Weights,
    build_model,
    freeze,
    get_weights,
    initial_weights,
    inner_layers,
    normalization_layers,
    set_weights,
)
from tlcore.policy import FreezePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tlcore.models.build import Shape
    from tlcore.models.registry import Backbone
    from tlcore.policy import Distillation, Pull

STEPS_PER_CALL = 25  # so often is asked whether to stop
LOW_RANK = "lora_"  # what Keras calls the variables of low-rank updates


@dataclass(frozen=True)
class Setup:
    """What a program is compiled for, besides its network.

    Args:
        policy: What is frozen.
        stage_rates: Factors on the learning rate by stage; the head has 1.
        pull: Penalty on leaving the start, or None.
        distillation: What is learned from a teacher's outputs, or None.
        low_rank: Rank of the low-rank updates that stand in for training the kernels; 0 for none.
    """

    policy: FreezePolicy = field(default_factory=FreezePolicy)
    stage_rates: tuple[tuple[str, float], ...] = ()
    pull: Pull | None = None
    distillation: Distillation | None = None
    low_rank: int = 0


class Program:
    """Stages ``first`` to the last and the head, compiled once.

    Args:
        backbone: The whole backbone.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the head.
        precision: Number format of the stages.
        first: Index of the first stage held here; the ones before are frozen and their outputs come from
            `tlcore.features`.
        setup: What is trained, and how.
    """

    def __init__(
        self,
        backbone: Backbone,
        input_shape: Shape,
        classes: int,
        *,
        precision: str,
        first: int = 0,
        setup: Setup | None = None,
    ) -> None:
        setup = setup or Setup()
        self.first = first
        self._backbone, self._input_shape, self._classes = backbone, input_shape, classes
        self.model = build_model(backbone, input_shape, classes, precision, first)
        freeze(self.model, setup.policy.frozen, setup.policy.normalization)
        self._low_rank = setup.low_rank
        if self._low_rank:
            _add_low_rank(self.model, backbone.stage_names, self._low_rank)
        self._fixed = setup.policy.frozen
        self._fixed_statistics = setup.policy.fixed == setup.policy.frozen
        self.optimizer, rates = _optimizer(self.model, dict(setup.stage_rates))
        # Moments start at zero, of which no copy is needed: for a large network they would be hundreds of megabytes.
        self._optimizer_start = [_copy(v) if not v.shape else None for v in self.optimizer.variables]
        pull, head = setup.pull, self.model.get_layer(HEAD)
        in_head = {id(variable) for variable in head.trainable_variables}
        self._objective = Objective(
            pulls=[
                (pull.zero if id(variable) in in_head else pull.start) if pull else 0.0
                for variable in self.model.trainable_variables
            ],
            temperature=setup.distillation.temperature if setup.distillation else 1.0,
            weight=setup.distillation.weight if setup.distillation else 0.0,
        )
        self._in_head = [id(variable) in in_head for variable in self.model.trainable_variables]
        self._forward = Forward(self.model)
        self._loop = loop_for(self.model, self.optimizer, self._objective, rates)

    def fresh_weights(self, seed: int) -> Weights:
        """First weights of the whole network for a seed."""
        return initial_weights(self._backbone, self._input_shape, self._classes, seed)

    def restart(self, weights: Mapping[str, list[NDArray[np.float32]]], seed: int = 0) -> None:
        """Load weights and start with a fresh optimiser.

        Args:
            weights: Arrays of at least the stages held here.
            seed: Seed of the low-rank updates' first factors, where there are any.
        """
        self.load(weights, seed)
        for variable, start in zip(self.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(np.zeros(variable.shape, dtype=np.float32) if start is None else start)
        if self._objective.pulls_back:
            self._loop.pull_to(
                [
                    np.zeros(variable.shape, dtype=np.float32) if in_head else _copy(variable)
                    for variable, in_head in zip(self.model.trainable_variables, self._in_head, strict=True)
                ]
            )

    def load(self, weights: Mapping[str, list[NDArray[np.float32]]], seed: int = 0) -> None:
        """Load weights, whatever the optimiser remembers.

        Args:
            weights: Arrays of at least the stages held here.
            seed: As in `restart`.
        """
        if not self._low_rank:
            set_weights(self.model, weights)
            return
        for layer in self.model.layers:
            plain = [variable for variable in layer.weights if not variable.name.startswith(LOW_RANK)]
            for variable, array in zip(plain, weights.get(layer.name, ()), strict=True):
                variable.assign(array)
        for index, variable in enumerate(self._low_rank_variables()):
            variable.assign(_first_factor(variable, seed, index))

    def hold(
        self,
        x: NDArray[Any],
        y: NDArray[np.int64],
        teacher: NDArray[np.float32] | None = None,
    ) -> Any:
        """Put a training set where the training loop reads it.

        Args:
            x: Inputs of the first stage held here; uint8 images are scaled to [0, 1] batch by batch.
            y: Labels.
            teacher: The teacher's logits for the same inputs, shape (n, classes), for a program that distils.

        Returns:
            What `fit` takes.
        """
        return self._loop.hold(x, y, teacher)

    def fit(
        self,
        data: Any,
        order: NDArray[np.int64],
        rates: NDArray[np.float32],
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """Train for some optimiser steps.

        Args:
            data: From `hold`.
            order: Positions of each step's inputs in the training set, shape (steps, batch size).
            rates: Learning rate of each step, shape (steps,).
            should_stop: Asked every `STEPS_PER_CALL` steps.

        Returns:
            Steps done.
        """
        for start in range(0, len(order), STEPS_PER_CALL):
            if start and should_stop is not None and should_stop():
                return start
            self._loop.run(data, order[start : start + STEPS_PER_CALL], rates[start : start + STEPS_PER_CALL])
        return len(order)

    def recalibrate(self, x: NDArray[np.uint8] | NDArray[np.float32], order: NDArray[np.int64]) -> None:
        """Measure the running statistics of batch normalisation anew, as plain means over some batches.

        Args:
            x: Inputs.
            order: Positions of each batch's inputs, shape (batches, batch size).
        """
        layers = [layer for layer in normalization_layers(self.model) if layer.trainable]
        momentum = [layer.momentum for layer in layers]
        for count, rows in enumerate(order, start=1):
            for layer in layers:
                layer.momentum = (count - 1) / count
            self.model(keras.ops.convert_to_tensor(scaled(x[rows])), training=True)
        for layer, usual in zip(layers, momentum, strict=True):
            layer.momentum = usual

    def logits(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Outputs before the softmax, shape (n, classes)."""
        return self._forward(x)

    def weights(self) -> Weights:
        """Copies of the weights held here, by stage; low-rank updates are added to their kernels."""
        if not self._low_rank:
            return get_weights(self.model)
        return {
            layer.name: [_copy(value).astype(np.float32, copy=False) for value in _merged(layer)]
            for layer in self.model.layers
            if layer.weights
        }

    def assert_frozen(self, before: Mapping[str, list[NDArray[np.float32]]]) -> None:
        """Compare the frozen weights with what they were.

        Args:
            before: Arrays by stage before training.

        Raises:
            RuntimeError: If one changed: the engine is wrong, and the result with it.
        """
        for layer in self.model.layers:
            if layer.name not in self._fixed and not (self._low_rank and layer.name in self._backbone.stage_names):
                continue
            plain = [variable for variable in layer.weights if not variable.name.startswith(LOW_RANK)]
            for variable, old in zip(plain, before[layer.name], strict=True):
                # Statistics of a policy that lets them drift, and what it trains, are not frozen.
                may_move = variable.trainable or (not self._fixed_statistics and "moving_" in variable.name)
                if not may_move and not np.array_equal(_copy(variable), old, equal_nan=True):
                    raise RuntimeError(f"stage {layer.name} was frozen and {variable.path} changed in training")

    @property
    def trainable_parameters(self) -> int:
        """Number of weights that training may change."""
        return sum(int(np.prod(variable.shape)) for variable in self.model.trainable_variables)

    def _low_rank_variables(self) -> list[Any]:
        return [variable for variable in self.model.trainable_variables if variable.name.startswith(LOW_RANK)]


def _optimizer(model: keras.Model, stage_rates: Mapping[str, float]) -> tuple[Any, list[Rate]]:
    """Adam, or one Adam for each stage that has a rate of its own."""
    rest = keras.optimizers.Adam(1e-3)
    rates = [Rate(rest, 1.0)]
    chosen: dict[int, Any] = {}
    # By the model's list: a frozen stage gives none itself, also where its batch normalisation learns.
    learned = {id(variable) for variable in model.trainable_variables}
    for layer in model.layers:
        own = [id(variable) for variable in layer.variables if id(variable) in learned]
        if layer.name in stage_rates and own:
            rates.append(Rate(keras.optimizers.Adam(1e-3), stage_rates[layer.name]))
            chosen |= dict.fromkeys(own, rates[-1].optimizer)
    if not chosen:
        rest.build(model.trainable_variables)
        return rest, rates
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: chosen.get(id(variable), rest))
    optimizer.build(model.trainable_variables)
    return optimizer, rates


def _sublayers(layer: Any) -> Iterator[Any]:
    """A layer, or the layers inside it that have no layers of their own, or have weights besides those."""
    inner = inner_layers(layer)
    if isinstance(layer, keras.Model) or (inner and len(layer.weights) == sum(len(one.weights) for one in inner)):
        for one in inner:
            yield from _sublayers(one)
    else:
        yield layer


def _add_low_rank(model: keras.Model, stages: Sequence[str], rank: int) -> None:
    """Fix everything in the stages and add low-rank updates to every kernel that Keras can give them."""
    for layer in model.layers:
        if layer.name not in stages:
            continue
        for inner in normalization_layers(layer):
            inner.trainable = False  # or it would move its statistics
        for inner in _sublayers(layer):
            if isinstance(inner, keras.layers.BatchNormalization):
                continue
            if hasattr(inner, "enable_lora") and inner.weights:
                inner.enable_lora(rank)
            for variable in inner.trainable_variables:
                # Keras leaves biases trainable; the paper trains the two factors and nothing else.
                variable.trainable = variable.name.startswith(LOW_RANK)


def _merged(layer: Any) -> Iterator[Any]:
    for inner in _sublayers(layer):
        for variable in inner.weights:
            if variable.name.startswith(LOW_RANK):
                continue
            yield inner.kernel if variable.name == "kernel" and getattr(inner, "lora_enabled", False) else variable


def _first_factor(variable: Any, seed: int, index: int) -> NDArray[np.float32]:
    """The first factor starts uniform within ``±√(6 / fan_in)``, the second at zero: the product starts at nothing."""
    shape = tuple(variable.shape)
    if variable.name.endswith("_b"):
        return np.zeros(shape, dtype=np.float32)
    rng = np.random.default_rng([seed, zlib.crc32(LOW_RANK.encode()), index])
    limit = np.sqrt(6 / np.prod(shape[:-1]))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def _copy(variable: Any) -> NDArray[Any]:
    # A copy: on the CPU `convert_to_numpy` may give a view of the variable's own memory.
    # Through a tensor: NumPy 2 warns of a variable's own `__array__`, which does not know the copy keyword.
    return np.array(keras.ops.convert_to_numpy(keras.ops.copy(variable)))


def scaled(x: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Images in [0, 1]: bytes divided by 255, anything else as it is."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32, copy=False)


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of inputs whose largest output is their label's, in [0, 1]."""
    return float((logits.argmax(axis=1) == labels).mean())


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean of ``-ln softmax(logits)[label]`` in nats; NaN or infinite if the logits are."""
    exact = logits.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = exact - exact.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean())
