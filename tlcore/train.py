"""Training: a `Program` is a network (or its trained tail) compiled once with one freeze policy.

Nothing changes `trainable` after `compile`, which TensorFlow would silently ignore: another policy is another program.
A new arm, seed or rate loads weights and sets the optimiser back to its first state, which is what compiling afresh
does, without building and tracing again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlcore.models.build import Weights, build_model, get_weights, initial_weights, set_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tlcore.models.build import Shape
    from tlcore.models.registry import Backbone

STEPS_PER_CALL = 25
EVALUATION_BATCH = 1000


class Program:
    """Stages ``first`` to the last and the head, compiled once.

    Args:
        backbone: The whole backbone.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the head.
        precision: Number format of the stages.
        first: Index of the first stage held here; the ones before are frozen and their outputs come from
            `tlcore.features`.
        frozen: Names of stages held here that may not change all the same.
    """

    def __init__(
        self,
        backbone: Backbone,
        input_shape: Shape,
        classes: int,
        *,
        precision: str,
        first: int = 0,
        frozen: frozenset[str] = frozenset(),
    ) -> None:
        self._backbone, self._input_shape, self._classes = backbone, input_shape, classes
        self.model = build_model(backbone, input_shape, classes, precision, first)
        for layer in self.model.layers:
            if layer.name in frozen:
                layer.trainable = False
        self.model.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=STEPS_PER_CALL,
            # XLA halves the speed of these nets on a CPU; Keras types the flag as text.
            jit_compile=keras.backend.backend() == "jax",  # pyright: ignore[reportArgumentType]
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self._optimizer_start = [_copy(variable) for variable in self.model.optimizer.variables]
        self._frozen = frozen

    def fresh_weights(self, seed: int) -> Weights:
        """First weights of the whole network for a seed."""
        return initial_weights(self._backbone, self._input_shape, self._classes, seed)

    def restart(self, weights: Mapping[str, list[NDArray[np.float32]]], rate: float) -> None:
        """Load weights and start with a fresh optimiser.

        Args:
            weights: Arrays of at least the stages held here.
            rate: Adam's learning rate.
        """
        set_weights(self.model, weights)
        for variable, start in zip(self.model.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(start)
        self.model.optimizer.learning_rate.assign(rate)

    def fit(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.int64],
        batch_size: int,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """Train on batches in the order given.

        Args:
            x: Inputs, a whole number of batches.
            y: Labels.
            batch_size: Inputs a step.
            should_stop: Asked every `STEPS_PER_CALL` steps.

        Returns:
            Steps done.
        """
        watch = _StopWhen(should_stop or (lambda: False))
        batches = len(x) // batch_size
        verbose: Any = 0  # which Keras types as text
        self.model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=verbose, callbacks=[watch])
        # Keras counts a call that ran out of batches as a full one.
        return min(watch.steps, batches)

    def logits(self, x: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs before the softmax, shape (n, classes)."""
        return predict(self.model, x)

    def weights(self) -> Weights:
        """Copies of the weights held here, by stage."""
        return get_weights(self.model)

    def assert_frozen(self, before: Mapping[str, list[NDArray[np.float32]]]) -> None:
        """Compare the frozen stages with what they were.

        Args:
            before: Arrays by stage before training.

        Raises:
            RuntimeError: If one changed: the engine is wrong, and the result with it.
        """
        after = self.weights()
        for stage in self._frozen & after.keys():
            if any(not np.array_equal(old, new) for old, new in zip(before[stage], after[stage], strict=True)):
                raise RuntimeError(f"stage {stage} was frozen and changed in training")

    @property
    def trainable_parameters(self) -> int:
        """Number of weights that training may change."""
        return sum(int(np.prod(variable.shape)) for variable in self.model.trainable_variables)


def _copy(variable: Any) -> NDArray[Any]:
    # Through `numpy()`: NumPy 2 warns of Keras's own `__array__`, which does not know the copy keyword.
    return np.array(variable.numpy())


class _StopWhen(keras.callbacks.Callback):
    """Counts steps and ends `fit` when asked to."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        super().__init__()
        self._should_stop = should_stop
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps = batch + 1
        if self._should_stop() and self.model is not None:
            self.model.stop_training = True


def scaled(x: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Images in [0, 1]: bytes divided by 255, anything else as it is."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32, copy=False)


def predict(model: keras.Model, x: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs of a model for many inputs, a large batch at a time.

    Args:
        model: Any model with one input and one output.
        x: Inputs, at least one; uint8 images are scaled to [0, 1] batch by batch, so that a test set is never held as
            floats.

    Returns:
        Outputs in float32.
    """
    parts = [
        np.asarray(model.predict_on_batch(scaled(x[start : start + EVALUATION_BATCH])), dtype=np.float32)
        for start in range(0, len(x), EVALUATION_BATCH)
    ]
    return np.concatenate(parts)


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of inputs whose largest output is their label's, in [0, 1]."""
    return float((logits.argmax(axis=1) == labels).mean())


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean of ``-ln softmax(logits)[label]`` in nats; NaN or infinite if the logits are."""
    exact = logits.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = exact - exact.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean())
