"""Many heads on one feature set, trained as one program.

Sixteen heads (four learning rates with four seeds each, say) differ in first weights, rate and batch order, and
read the same features: side by side they are one matrix product a step instead of sixteen small ones. The step is
Adam (Kingma & Ba 2015) as Keras 3 writes it, with m and v starting at zero and t counting from 1:

    m ← m + (1 - β₁)(g - m)        v ← v + (1 - β₂)(g² - v)
    W ← W - r · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)        β₁ = 0.9, β₂ = 0.999, ε = 1e-7

The step is proportional to the rate r, so what is kept is U = W / r: every head then learns at rate 1, and one fused
Adam serves all of them. Heads never mix: a head that diverges leaves the others as they are.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
STEPS_PER_CALL = 100  # so often is asked whether to stop
LEAST_RATE = 1e-30  # what is kept is divided by it
LANES = 16  # float32 numbers in the widest registers: a multiple of it multiplies up to a fifth faster


@dataclass(frozen=True, eq=False)
class Heads:
    """Some heads at one step.

    Args:
        kernels: Shape (heads, features, classes).
        biases: Shape (heads, classes).
    """

    kernels: NDArray[np.float32]
    biases: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs before the softmax of every head, shape (heads, n, classes).

        Args:
            features: Shape (n, features).
        """
        return features @ self.kernels + self.biases[:, None, :]


@dataclass(frozen=True, eq=False)
class HeadsResult:
    """What training gave.

    Args:
        final: The heads after the last step.
        snapshots: The heads after the steps that were to be looked at, by step; 0 is the start.
        losses: Mean cross-entropy of each step's batch before the step in nats, shape (heads, steps done).
        steps: Steps done.
    """

    final: Heads
    snapshots: dict[int, Heads]
    losses: NDArray[np.float32]
    steps: int


def train_heads(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    heads: Heads,
    rates: Sequence[float] | NDArray[np.float32],
    orders: NDArray[np.int64],
    *,
    factors: NDArray[np.float32] | None = None,
    look_at: Sequence[int] = (),
    should_stop: Callable[[], bool] | None = None,
) -> HeadsResult:
    """Train dense softmax layers on the same features, each with an Adam of its own.

    A head's labelled images are the rows that its order names. Heads with one order (another rate for the same seed)
    share each batch, and are faster together than heads with an order each.

    Args:
        features: Shape (n, features).
        labels: Class indices, shape (n,).
        heads: First weights.
        rates: Learning rate of each head, at least `LEAST_RATE`, shape (heads,).
        orders: Rows of each head's batches, shape (heads, steps, batch size).
        factors: Factors on every head's rate, one a step, shape (steps,); None for constant rates.
        look_at: Steps after which a snapshot is kept, from 0 (the start) to the number of steps.
        should_stop: Asked every `STEPS_PER_CALL` steps.

    Returns:
        The trained heads. Those whose loss was no longer finite hold NaN or infinite numbers.

    Raises:
        ValueError: If shapes do not fit together, or a rate, row, label or step is out of range.
    """
    rates = np.asarray(rates, dtype=np.float32)
    _check(features, labels, heads, rates, orders, factors, look_at)
    groups = _groups(orders)
    layout = _Layout(groups, rates[groups], heads.kernels.shape[1], heads.kernels.shape[2])
    steps = orders.shape[1]
    problem = _Problem(
        x=layout.widen(np.asarray(features, dtype=np.float32)),
        targets=np.eye(layout.classes, dtype=np.float32)[labels],
        scale=layout.scale,
        start=layout.pack(heads),
        orders=np.ascontiguousarray(orders[groups[:, 0]].transpose(1, 0, 2), dtype=np.int64),
        factors=np.ones(steps, dtype=np.float32) if factors is None else factors.astype(np.float32),
    )
    looks = set(look_at)
    snapshots = {0: Heads(heads.kernels.copy(), heads.biases.copy())} if 0 in looks else {}
    losses: list[NDArray[np.float32]] = []
    ends = sorted({*(look for look in looks if look), *range(STEPS_PER_CALL, steps, STEPS_PER_CALL), steps})
    done = 0
    with _TRAINERS[keras.backend.backend()](problem) as trainer:
        for end in ends:
            if done and should_stop is not None and done % STEPS_PER_CALL == 0 and should_stop():
                break
            losses.append(trainer.run(done, end))
            done = end
            if done in looks:
                snapshots[done] = layout.unpack(trainer.scaled_weights())
        final = layout.unpack(trainer.scaled_weights())
    by_head = np.empty((groups.size, done), dtype=np.float32)
    by_head[groups.reshape(-1)] = np.concatenate(losses).reshape(done, -1).T if losses else 0
    return HeadsResult(final, snapshots, by_head, done)


def _check(
    features: NDArray[Any],
    labels: NDArray[Any],
    heads: Heads,
    rates: NDArray[np.float32],
    orders: NDArray[Any],
    factors: NDArray[Any] | None,
    look_at: Sequence[int],
) -> None:
    """An accelerator reads row 0, or nothing, where a row or label is out of range: so ask before."""
    if heads.kernels.ndim != 3 or orders.ndim != 3 or features.ndim != 2:
        raise ValueError("kernels and orders need three dimensions, features two")
    count, width, classes = heads.kernels.shape
    steps = orders.shape[1]
    expected = {
        "features": (features.shape, (len(labels), width)),
        "biases": (heads.biases.shape, (count, classes)),
        "rates": (rates.shape, (count,)),
        "orders": (orders.shape[:1], (count,)),
        "factors": (np.shape(factors) if factors is not None else (steps,), (steps,)),
    }
    for name, (given, needed) in expected.items():
        if given != needed:
            raise ValueError(f"{name}: shape {given} where {needed} is needed")
    if not orders.size:
        raise ValueError("orders: there has to be a head, a step and a row")
    if not (np.isfinite(rates) & (rates >= LEAST_RATE)).all():
        raise ValueError(f"rates: give finite numbers, at least {LEAST_RATE:g}")
    for name, values, limit in (("orders", orders, len(labels)), ("labels", labels, classes)):
        if values.min() < 0 or values.max() >= limit:
            raise ValueError(f"{name}: give whole numbers from 0 to {limit - 1}")
    if any(not 0 <= look <= steps for look in look_at):
        raise ValueError(f"look_at: give steps from 0 to {steps}")


def _groups(orders: NDArray[Any]) -> NDArray[np.intp]:
    """Heads by batch order, in groups of one size: shape (groups, heads in each).

    The size is the largest that divides every number of heads with one order.
    """
    alike: defaultdict[bytes, list[int]] = defaultdict(list)
    for head, order in enumerate(orders):
        alike[order.tobytes()].append(head)
    size = gcd(*(len(heads) for heads in alike.values()))
    return np.array([head for heads in alike.values() for head in heads], dtype=np.intp).reshape(-1, size)


@dataclass(frozen=True, eq=False)
class _Layout:
    """How heads lie side by side: (groups, features and bias, heads in a group × classes), divided by their rates.

    Args:
        groups: Heads, shape (groups, heads in each).
        rates: Their rates, in the same places.
        width: Number of features.
        classes: Number of classes.
    """

    groups: NDArray[np.intp]
    rates: NDArray[np.float32]
    width: int
    classes: int

    @property
    def rows(self) -> int:
        """Features, the bias, and zeros that fill the registers."""
        return -(-(self.width + 1) // LANES) * LANES

    @property
    def scale(self) -> NDArray[np.float32]:
        """The rate of every column, shape (groups, 1, columns)."""
        return np.repeat(self.rates, self.classes, axis=1)[:, None, :]

    def widen(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features with a column of ones, which the bias multiplies, and the zeros."""
        x = np.zeros((len(features), self.rows), dtype=np.float32)
        x[:, : self.width] = features
        x[:, self.width] = 1
        return x

    def pack(self, heads: Heads) -> NDArray[np.float32]:
        """Heads as one array."""
        count, size = self.groups.shape
        packed = np.zeros((count, size, self.rows, self.classes), dtype=np.float32)
        packed[:, :, : self.width] = heads.kernels[self.groups]
        packed[:, :, self.width] = heads.biases[self.groups]
        return packed.transpose(0, 2, 1, 3).reshape(count, self.rows, size * self.classes) / self.scale

    def unpack(self, packed: NDArray[np.float32]) -> Heads:
        """The heads in an array."""
        count, size = self.groups.shape
        with np.errstate(over="ignore", invalid="ignore"):  # of a head that diverged
            weights = (packed * self.scale).reshape(count, self.rows, size, self.classes).transpose(0, 2, 1, 3)
        kernels = np.empty((count * size, self.width, self.classes), dtype=np.float32)
        biases = np.empty((count * size, self.classes), dtype=np.float32)
        kernels[self.groups] = weights[:, :, : self.width]
        biases[self.groups] = weights[:, :, self.width]
        return Heads(kernels, biases)


# --- one step, and many of them on each backend -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Problem:
    """What a trainer needs.

    Args:
        x: Features, shape (n, rows).
        targets: 1 for an image's class and 0 for the others, shape (n, classes).
        scale: From `_Layout.scale`.
        start: First weights divided by their rates, shape (groups, rows, columns).
        orders: Shape (steps, groups, batch size).
        factors: Shape (steps,).
    """

    x: NDArray[np.float32]
    targets: NDArray[np.float32]
    scale: NDArray[np.float32]
    start: NDArray[np.float32]
    orders: NDArray[np.int64]
    factors: NDArray[np.float32]


class _Trainer(Protocol):
    def run(self, start: int, end: int) -> NDArray[np.float32]:
        """Do the steps from `start` to before `end`; their losses, shape (steps, groups, heads in each)."""
        ...

    def scaled_weights(self) -> NDArray[np.float32]:
        """What the weights divided by their rates are now."""
        ...


def _losses_and_gradient(weights: Any, x: Any, targets: Any, scale: Any, rows: Any) -> tuple[Any, Any]:
    """One batch of every head.

    With z = r · (x U) and p = softmax(z) the loss is ``-mean ln p[label]``, and its gradient with respect to W = r · U
    is ``xᵀ (p - target) / batch``.

    Args:
        weights: U, shape (groups, rows, columns).
        x: Shape (n, rows).
        targets: Shape (n, classes).
        scale: Shape (groups, 1, columns).
        rows: Shape (groups, batch).

    Returns:
        Losses, shape (groups, heads in each), and the gradient with respect to W, shape (groups, rows, columns).
    """
    shape: Any = ops.shape  # integers, or TensorFlow's scalars
    batch: Any = ops.take(x, rows, axis=0)
    groups, size, columns, classes = *shape(rows), shape(weights)[2], shape(targets)[1]
    outputs = ops.reshape(ops.matmul(batch, weights) * scale, (groups, size, columns // classes, classes))
    logs: Any = ops.log_softmax(outputs, axis=-1)
    target: Any = ops.expand_dims(ops.take(targets, rows, axis=0), 2)
    losses = ops.mean(ops.sum(-target * logs, axis=3), axis=1)
    p: Any = ops.exp(logs)
    by_output: Any = ops.reshape(p - target, (groups, size, columns))
    gradient = ops.matmul(ops.transpose(batch, (0, 2, 1)), by_output / ops.cast(size, "float32"))
    return losses, gradient


def adam(weights: Any, m: Any, v: Any, gradient: Any, rate: Any, count: Any) -> tuple[Any, Any, Any]:
    """One step of Adam as this module's text has it, for arrays that are not changed.

    Args:
        weights: What learns.
        m: Running mean of the gradient, like `weights`.
        v: Running mean of its square, like `weights`.
        gradient: Of the loss, like `weights`.
        rate: Learning rate, a scalar.
        count: Steps done with this one, a scalar tensor.

    Returns:
        The new weights, m and v.
    """
    count = ops.cast(count, "float32")
    m = m + (gradient - m) * (1 - BETA_1)
    v = v + (gradient * gradient - v) * (1 - BETA_2)
    size = rate * ops.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
    spread: Any = ops.sqrt(v)
    return weights - size * m / (spread + EPSILON), m, v


class _TensorFlowTrainer:
    """One graph for heads of any number and size: it is traced once a process."""

    def __init__(self) -> None:
        import tensorflow as tf

        self._lock = Lock()
        self._weights, self._m, self._v = (
            tf.Variable(tf.zeros((1, 1, 1)), shape=[None, None, None], trainable=False) for _ in range(3)
        )
        self._many = tf.function(
            self._steps,
            input_signature=[
                tf.TensorSpec([None, None], tf.float32),
                tf.TensorSpec([None, None], tf.float32),
                tf.TensorSpec([None, 1, None], tf.float32),
                tf.TensorSpec([None, None, None], tf.int64),  # of int32 TensorFlow would keep on the processor
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.int32),
            ],
            autograph=False,
            jit_compile=False,  # XLA is faster by a third and compiles longer than this runs, for every new shape
        )

    @contextmanager
    def __call__(self, problem: _Problem) -> Generator[_Trainer]:
        import tensorflow as tf

        with self._lock:
            self._weights.assign(problem.start)
            for moment in (self._m, self._v):
                moment.assign(np.zeros_like(problem.start))
            held = (problem.x, problem.targets, problem.scale, problem.orders, problem.factors)
            self._held = [tf.constant(array) for array in held]
            try:
                yield self
            finally:
                for variable in (self._weights, self._m, self._v):
                    variable.assign(tf.zeros((1, 1, 1)))
                self._held = []

    def run(self, start: int, end: int) -> NDArray[np.float32]:
        import tensorflow as tf

        return self._many(*self._held, tf.constant(start), tf.constant(end)).numpy()

    def scaled_weights(self) -> NDArray[np.float32]:
        return np.array(self._weights.numpy())

    def _steps(self, x: Any, targets: Any, scale: Any, orders: Any, factors: Any, start: Any, end: Any) -> Any:
        import tensorflow as tf

        def body(step: Any, losses: Any) -> tuple[Any, Any]:
            with tf.control_dependencies([step]):  # of the step before, which wrote what is read here
                weights = self._weights.read_value()
            values, gradient = _losses_and_gradient(weights, x, targets, scale, orders[step])
            count = tf.cast(step + 1, tf.float32)
            update = tf.raw_ops.ResourceApplyAdam(
                var=self._weights.handle,
                m=self._m.handle,
                v=self._v.handle,
                beta1_power=tf.pow(BETA_1, count),
                beta2_power=tf.pow(BETA_2, count),
                lr=factors[step],
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=EPSILON,
                grad=gradient,
            )
            with tf.control_dependencies([update]):
                return step + 1, losses.write(step - start, values)

        losses = tf.TensorArray(tf.float32, size=end - start, element_shape=[None, None])
        return tf.while_loop(lambda step, _: step < end, body, (start, losses))[1].stack()


class _JaxTrainer:
    """One compiled loop for each set of shapes; where it starts and ends is no part of them."""

    def __init__(self, problem: _Problem) -> None:
        import jax.numpy as jnp  # pyright: ignore[reportMissingImports] - only where it is the backend

        held = (problem.x, problem.targets, problem.scale, problem.orders, problem.factors)
        self._held = tuple(jnp.asarray(array) for array in held)
        start = jnp.asarray(problem.start)
        heads = problem.start.shape[2] // problem.targets.shape[1]
        losses = jnp.zeros((len(problem.orders), len(problem.start), heads))
        self._state = (start, jnp.zeros_like(start), jnp.zeros_like(start), losses)

    def run(self, start: int, end: int) -> NDArray[np.float32]:
        self._state = _jax_steps()(self._state, self._held, start, end)
        return np.asarray(self._state[3])[start:end]

    def scaled_weights(self) -> NDArray[np.float32]:
        return np.array(self._state[0])


@lru_cache(maxsize=1)
def _jax_steps() -> Any:
    import jax  # pyright: ignore[reportMissingImports]

    def steps(state: Any, held: Any, start: Any, end: Any) -> Any:
        x, targets, scale, orders, factors = held

        def body(step: Any, state: Any) -> Any:
            weights, m, v, losses = state
            values, gradient = _losses_and_gradient(weights, x, targets, scale, orders[step])
            return *adam(weights, m, v, gradient, factors[step], step + 1), losses.at[step].set(values)

        return jax.lax.fori_loop(start, end, body, state)

    return jax.jit(steps)


class _TorchTrainer:
    """A Python loop over steps that write into their own memory."""

    def __init__(self, problem: _Problem) -> None:
        held: list[Any] = [
            ops.convert_to_tensor(array)
            for array in (problem.start.copy(), problem.x, problem.targets, problem.scale, problem.orders)
        ]
        self._weights, self._x, self._targets, self._scale, self._orders = held
        self._m: Any = ops.zeros_like(self._weights)
        self._v: Any = ops.zeros_like(self._weights)
        self._factors = problem.factors

    def run(self, start: int, end: int) -> NDArray[np.float32]:
        import torch  # pyright: ignore[reportMissingImports] - only where it is the backend

        losses: list[Any] = []
        with torch.no_grad():
            for step in range(start, end):
                values, gradient = _losses_and_gradient(
                    self._weights, self._x, self._targets, self._scale, self._orders[step]
                )
                losses.append(values)
                self._m.lerp_(gradient, 1 - BETA_1)
                self._v.lerp_(gradient.square_(), 1 - BETA_2)
                rate = self._factors[step] * (1 - BETA_2 ** (step + 1)) ** 0.5 / (1 - BETA_1 ** (step + 1))
                self._weights.addcdiv_(self._m, self._v.sqrt().add_(EPSILON), value=-float(rate))
            return torch.stack(losses).cpu().numpy()

    def scaled_weights(self) -> NDArray[np.float32]:
        return np.array(ops.convert_to_numpy(self._weights))


@lru_cache(maxsize=1)
def _tensorflow_trainer() -> _TensorFlowTrainer:
    return _TensorFlowTrainer()


_TRAINERS: dict[str, Callable[[_Problem], AbstractContextManager[_Trainer]]] = {
    "tensorflow": lambda problem: _tensorflow_trainer()(problem),
    "jax": lambda problem: nullcontext(_JaxTrainer(problem)),
    "torch": lambda problem: nullcontext(_TorchTrainer(problem)),
}
