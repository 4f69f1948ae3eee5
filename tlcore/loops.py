"""The training loop: one optimiser step on each of Keras's backends, and many of them in a call.

Keras's own `fit` costs 40 ms a call and sets one rate an epoch. Here the training set lies where the arithmetic is
done, each step picks its rows by position and has its own learning rate; TensorFlow runs many steps in one graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tlcore.fused import fuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

EVALUATION_BATCH = 256  # larger ones are no faster on a CPU and need more memory
EVALUATION_PIXELS = 1_000_000  # at once: a first layer of 64 channels makes 256 MB of them
JAX_BATCHES = (16, 128, EVALUATION_BATCH)
# A graph's loop hands every variable on at each step. With a network of hundreds that costs more than a call for each
# step does, and tracing takes twice as long; small networks are 10 to 50 % faster in the loop (EPYC, 2 cores).
MOST_LOOPED = 100


@dataclass(frozen=True)
class Objective:
    """What training makes small.

    Args:
        pulls: Strength of the pull for each trainable variable, in the model's order; 0 for none.
        temperature: Temperature of a teacher's and the student's outputs.
        weight: Weight of the teacher's part, in [0, 1]; 0 for no teacher.
    """

    pulls: Sequence[float]
    temperature: float = 1.0
    weight: float = 0.0

    @property
    def pulls_back(self) -> bool:
        """Whether any variable is pulled."""
        return any(self.pulls)

    def __call__(self, logits: Any, labels: Any, teacher: Any, variables: Sequence[Any], towards: Sequence[Any]) -> Any:
        """The loss of one batch.

        Args:
            logits: Outputs, shape (batch, classes).
            labels: Class indices, shape (batch,).
            teacher: The teacher's logits, like `logits`; not read without a teacher.
            variables: Values of the trainable variables.
            towards: What each is pulled to; not read without a pull.

        Returns:
            A scalar in nats.
        """
        loss: Any = ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        if self.weight:
            soft: Any = ops.softmax(teacher / self.temperature)
            theirs: Any = ops.log_softmax(teacher / self.temperature)
            ours: Any = ops.log_softmax(logits / self.temperature)
            apart: Any = ops.mean(ops.sum(soft * (theirs - ours), axis=-1))
            loss = (1 - self.weight) * loss + self.weight * self.temperature**2 * apart
        if self.pulls_back:
            for pull, variable, target in zip(self.pulls, variables, towards, strict=True):
                squares: Any = ops.sum(ops.square(variable - target))
                loss = loss + pull / 2 * squares
        return loss


@dataclass(frozen=True)
class Rate:
    """An optimiser's learning rate, as a factor on the program's.

    Args:
        optimizer: The optimiser.
        factor: The factor.
    """

    optimizer: Any
    factor: float


@dataclass(frozen=True)
class Data:
    """A training set on the device: inputs, labels and the teacher's logits (zeros without a teacher)."""

    x: Any
    y: Any
    teacher: Any


class _Loop(ABC):
    """What the three backends share.

    Args:
        model: The network; its `trainable` flags are final.
        optimizer: Built for the model's trainable variables.
        objective: The loss.
        rates: Every optimiser inside `optimizer`, with its factor.
    """

    def __init__(self, model: keras.Model, optimizer: Any, objective: Objective, rates: Sequence[Rate]) -> None:
        self.model, self.optimizer, self.objective, self.rates = model, optimizer, objective, rates
        self.towards: list[Any] = [
            keras.Variable(np.zeros(variable.shape, dtype=np.float32), trainable=False, name=f"start_{index}")
            for index, variable in enumerate(model.trainable_variables if objective.pulls_back else ())
        ]

    def pull_to(self, values: Sequence[NDArray[np.float32]]) -> None:
        """Set what the trainable variables are pulled to, in their order."""
        for variable, value in zip(self.towards, values, strict=True):
            variable.assign(value)

    def hold(self, x: NDArray[Any], y: NDArray[np.int64], teacher: NDArray[np.float32] | None) -> Data:
        """Copy a training set to the device."""
        if teacher is None:
            teacher = np.zeros((len(y) if self.objective.weight else 1, 1), dtype=np.float32)
        return Data(ops.convert_to_tensor(x), ops.convert_to_tensor(y), ops.convert_to_tensor(teacher))

    @abstractmethod
    def run(self, data: Data, order: NDArray[np.int64], rates: NDArray[np.float32]) -> None:
        """Do one optimiser step for each row of `order`, at the rates given."""

    def _picked(self, data: Data, rows: Any) -> tuple[Any, Any, Any]:
        """One step's inputs in [0, 1], labels and teacher's logits."""
        x = in_unit_range(ops.take(data.x, rows, axis=0))
        teacher = ops.take(data.teacher, rows, axis=0) if self.objective.weight else data.teacher
        return x, ops.take(data.y, rows, axis=0), teacher


class _TensorFlowLoop(_Loop):
    def __init__(self, model: keras.Model, optimizer: Any, objective: Objective, rates: Sequence[Rate]) -> None:
        super().__init__(model, optimizer, objective, rates)
        fuse(model)
        self._traced: dict[str, Any] = {}

    def run(self, data: Data, order: NDArray[np.int64], rates: NDArray[np.float32]) -> None:
        import tensorflow as tf

        looped = len(self.model.variables) <= MOST_LOOPED
        kind = data.x.dtype.name
        if kind not in self._traced:
            # The shapes are given, so that no number of images, steps or rows makes it trace again.
            self._traced[kind] = tf.function(
                self._many if looped else self._one,
                input_signature=[
                    tf.TensorSpec([None, *data.x.shape[1:]], data.x.dtype),
                    tf.TensorSpec([None], data.y.dtype),
                    tf.TensorSpec([None, None], tf.float32),
                    tf.TensorSpec([None, None] if looped else [None], tf.int32),
                    tf.TensorSpec([None] if looped else [], tf.float32),
                ],
                autograph=False,  # nothing to rewrite, and looking for it takes half of the time to trace a small net
                jit_compile=False,  # XLA halves the speed of these nets on a CPU
            )
        run, positions = self._traced[kind], order.astype(np.int32)
        for rows, rate in [(positions, rates)] if looped else zip(positions, rates, strict=True):
            run(data.x, data.y, data.teacher, tf.constant(rows), tf.constant(rate))

    def _picked(self, data: Data, rows: Any) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        # Not `ops.take`, which looks for negative positions at every step.
        teacher = tf.gather(data.teacher, rows) if self.objective.weight else data.teacher
        return in_unit_range(tf.gather(data.x, rows)), tf.gather(data.y, rows), teacher

    def _many(self, x: Any, y: Any, teacher: Any, order: Any, rates: Any) -> None:
        import tensorflow as tf

        def step(at: Any) -> tuple[Any]:
            self._one(x, y, teacher, order[at], rates[at])
            return (at + 1,)

        tf.while_loop(lambda at: at < tf.shape(order)[0], step, (0,))

    def _one(self, x: Any, y: Any, teacher: Any, rows: Any, rate: Any) -> None:
        import tensorflow as tf

        variables = self.model.trainable_variables
        inputs, labels, taught = self._picked(Data(x, y, teacher), rows)
        with tf.GradientTape() as tape:
            logits = self.model(inputs, training=True)
            loss = self.objective(logits, labels, taught, variables, self.towards)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        if len(self.rates) == 1:
            self._adam(gradients, rate)
            return
        for one in self.rates:
            one.optimizer.learning_rate.assign(rate * one.factor)
        self.optimizer.apply(gradients, variables)

    def _adam(self, gradients: Sequence[Any], rate: Any) -> None:
        """Keras's Adam on its own variables, one operation a weight array instead of a dozen: 6 to 17 % faster."""
        import tensorflow as tf

        adam = self.optimizer
        step = tf.cast(adam.iterations.value, tf.float32) + 1
        adam.learning_rate.assign(rate)
        powers = {"beta1_power": tf.pow(adam.beta_1, step), "beta2_power": tf.pow(adam.beta_2, step)}
        # The optimiser's variables are its step, its rate, and the two moments of each array in turn.
        first, second = adam.variables[2::2], adam.variables[3::2]
        for variable, m, v, gradient in zip(self.model.trainable_variables, first, second, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.value.handle,
                m=m.value.handle,
                v=v.value.handle,
                lr=rate,
                beta1=adam.beta_1,
                beta2=adam.beta_2,
                epsilon=adam.epsilon,
                grad=gradient,
                **powers,
            )
        adam.iterations.assign_add(1)


class _JaxLoop(_Loop):
    def __init__(self, model: keras.Model, optimizer: Any, objective: Objective, rates: Sequence[Rate]) -> None:
        super().__init__(model, optimizer, objective, rates)
        import jax  # pyright: ignore[reportMissingImports] - only where it is the backend

        # Positions of the learning rates among the optimiser's variables, with their factors.
        positions = {id(variable): index for index, variable in enumerate(optimizer.variables)}
        self._rate_at = [(positions[id(rate.optimizer.learning_rate)], rate.factor) for rate in rates]
        self._step = jax.jit(self._one)

    def run(self, data: Data, order: NDArray[np.int64], rates: NDArray[np.float32]) -> None:
        held = (self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables)
        state = tuple([variable.value for variable in variables] for variables in held)
        towards = [variable.value for variable in self.towards]
        for rows, rate in zip(order, rates, strict=True):
            state = self._step(state, towards, data.x, data.y, data.teacher, rows, rate)
        for variables, values in zip(held, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _one(self, state: Any, towards: Any, x: Any, y: Any, teacher: Any, rows: Any, rate: Any) -> Any:
        import jax  # pyright: ignore[reportMissingImports]

        trainable, fixed, remembered = state
        inputs, labels, taught = self._picked(Data(x, y, teacher), rows)

        def loss_of(values: Any) -> Any:
            logits, others, *_ = self.model.stateless_call(values, fixed, inputs, training=True)
            return self.objective(logits, labels, taught, values, towards), others

        gradients, fixed = jax.grad(loss_of, has_aux=True)(trainable)
        remembered = list(remembered)
        for index, factor in self._rate_at:
            remembered[index] = rate * factor
        trainable, remembered = self.optimizer.stateless_apply(remembered, gradients, trainable)
        return trainable, fixed, remembered


class _TorchLoop(_Loop):
    def run(self, data: Data, order: NDArray[np.int64], rates: NDArray[np.float32]) -> None:
        import torch  # pyright: ignore[reportMissingImports] - only where it is the backend

        variables = self.model.trainable_variables
        for rows, rate in zip(order, rates, strict=True):
            inputs, labels, taught = self._picked(data, ops.convert_to_tensor(rows))
            for variable in variables:  # `zero_grad` does not know the variables of low-rank updates
                variable.value.grad = None
            logits = self.model(inputs, training=True)
            self.objective(
                logits, labels, taught, [variable.value for variable in variables], [v.value for v in self.towards]
            ).backward()
            gradients = [variable.value.grad for variable in variables]
            for scale in self.rates:
                scale.optimizer.learning_rate.assign(float(rate) * scale.factor)
            with torch.no_grad():
                self.optimizer.apply(gradients, variables)


class Forward:
    """A model's outputs in inference, a large batch at a time, compiled once whatever the number of inputs.

    Args:
        model: Any model with one input and one output, but for `fuse` nobody else's; its weights may change between
            calls.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._tensor = {"tensorflow": self._tensorflow, "jax": self._jax, "torch": self._torch}[
            keras.backend.backend()
        ]()

    def __call__(self, x: NDArray[Any], at_once: int | None = None) -> NDArray[np.float32]:
        """Outputs for at least one input.

        Args:
            x: Inputs; uint8 images are scaled to [0, 1] batch by batch, so that a test set is never held as floats.
            at_once: Inputs a batch; None for as many as the images' size allows.

        Returns:
            Outputs in float32.
        """
        most = at_once or evaluated_at_once(x.shape)
        parts = [through([self], x[start : start + most]) for start in range(0, len(x), most)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def tensor(self, x: Any) -> Any:
        """Outputs on the device.

        Args:
            x: Few enough inputs to go through at once, as an array or a tensor of this backend.

        Returns:
            A tensor in float32.
        """
        return self._tensor(x)

    def _outputs(self, x: Any) -> Any:
        return ops.cast(self.model(in_unit_range(x), training=False), "float32")

    def _tensorflow(self) -> Callable[[Any], Any]:
        import tensorflow as tf

        fuse(self.model)
        shape = [None, *self.model.input_shape[1:]]
        options = {"autograph": False, "jit_compile": False}
        traced = {
            kind: tf.function(self._outputs, input_signature=[tf.TensorSpec(shape, kind)], **options)
            for kind in ("uint8", "float32")
        }
        return lambda x: traced[x.dtype.name](tf.convert_to_tensor(x))

    def _jax(self) -> Callable[[Any], Any]:
        import jax  # pyright: ignore[reportMissingImports]

        def outputs(trainable: Any, fixed: Any, x: Any) -> Any:
            return ops.cast(self.model.stateless_call(trainable, fixed, in_unit_range(x), training=False)[0], "float32")

        compiled = jax.jit(outputs)

        def call(x: Any) -> Any:
            # XLA compiles anew for every shape: batches are filled up to the next of few sizes.
            size = next((size for size in JAX_BATCHES if size >= len(x)), len(x))
            short = size - len(x)
            filled = np.concatenate([x, np.zeros((short, *x.shape[1:]), dtype=x.dtype)]) if short else x
            trainable = [variable.value for variable in self.model.trainable_variables]
            fixed = [variable.value for variable in self.model.non_trainable_variables]
            return compiled(trainable, fixed, filled)[: len(x)]

        return call

    def _torch(self) -> Callable[[Any], Any]:
        import torch  # pyright: ignore[reportMissingImports]

        def call(x: Any) -> Any:
            with torch.no_grad():
                return self._outputs(ops.convert_to_tensor(x))

        return call


def through(forwards: Sequence[Forward], x: NDArray[Any]) -> NDArray[np.float32]:
    """What the last of several models makes of the outputs of those before it, which stay on the device.

    Args:
        forwards: At least one model.
        x: Few enough inputs to go through at once.

    Returns:
        The last one's outputs.
    """
    outputs: Any = x
    for forward in forwards:
        outputs = forward.tensor(outputs)
    return np.asarray(ops.convert_to_numpy(outputs))


def evaluated_at_once(shape: tuple[int, ...]) -> int:
    """How many inputs go through a network at once without a gradient.

    Args:
        shape: Shape of all inputs; of images (n, height, width, channels).

    Returns:
        The number, at least 16.
    """
    if len(shape) != 4:
        return EVALUATION_BATCH
    return max(16, min(EVALUATION_BATCH, EVALUATION_PIXELS // (shape[1] * shape[2])))


def in_unit_range(x: Any) -> Any:
    """A tensor of bytes divided by 255, any other as it is."""
    floats: Any = ops.cast(x, "float32")
    return floats / 255.0 if "uint8" in str(x.dtype) else x


_LOOPS: dict[str, type[_Loop]] = {"tensorflow": _TensorFlowLoop, "jax": _JaxLoop, "torch": _TorchLoop}


def loop_for(model: keras.Model, optimizer: Any, objective: Objective, rates: Sequence[Rate]) -> _Loop:
    """The loop for the backend that Keras runs on.

    Args:
        model: The network; its `trainable` flags are final.
        optimizer: Built for the model's trainable variables.
        objective: The loss.
        rates: Every optimiser inside `optimizer`, with its factor on the learning rate.

    Returns:
        A loop with `hold`, `pull_to` and `run`.
    """
    return _LOOPS[keras.backend.backend()](model, optimizer, objective, rates)
