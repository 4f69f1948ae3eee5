"""Many small networks trained as one program, on JAX.

An accelerator spends most of a small network's step waiting for the next operation to be started. Arms that differ in
first weights, rate, batch order and frozen stages, and in nothing else, are stacked along a new first axis and do
each operation together (`jax.vmap`). A processor has nothing to gain: there arms run faster one after another, or in
processes of their own.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tlcore.errors import UserError
from tlcore.heads import adam
from tlcore.models.build import HEAD, build_model, freeze

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tlcore.models.build import Shape, Weights
    from tlcore.models.registry import Backbone

STEPS_PER_CALL = 25  # so often is asked whether to stop


def train_arms(
    backbone: Backbone,
    input_shape: Shape,
    classes: int,
    starts: Sequence[Weights],
    frozen: Sequence[frozenset[str]],
    rates: Sequence[float] | NDArray[np.float32],
    images: NDArray[np.uint8] | NDArray[np.float32],
    labels: NDArray[np.int64],
    orders: NDArray[np.int64],
    *,
    precision: str = "float32",
    factors: NDArray[np.float32] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Weights]:
    """Train whole networks side by side, each with an Adam of its own (`tlcore.heads` has the formula).

    All arms read one pool of images; an arm's labelled images are the rows that its order names.

    Args:
        backbone: The backbone of every arm.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the heads.
        starts: First weights of each arm, by stage.
        frozen: Names of each arm's frozen stages; ``head`` for a head that does not learn.
        rates: Learning rate of each arm, shape (arms,).
        images: uint8, or floats in [0, 1]; shape (n, height, width, channels).
        labels: Class indices, shape (n,).
        orders: Rows of each arm's batches, shape (arms, steps, batch size).
        precision: ``float32`` or ``mixed_bfloat16`` for the stages.
        factors: Factors on every arm's rate, one a step, shape (steps,); None for constant rates.
        should_stop: Asked every `STEPS_PER_CALL` steps.

    Returns:
        Weights of each arm after its last step; the frozen ones are bit by bit what they were.

    Raises:
        UserError: If Keras does not run on JAX, or the backbone has running statistics or random numbers of its own.
        ValueError: If the arguments do not have one entry for each arm, or a row, label or stage does not exist.
    """
    if keras.backend.backend() != "jax":
        raise UserError(
            f"training many networks as one program needs JAX, and Keras runs on {keras.backend.backend()}: "
            "install jax, set KERAS_BACKEND=jax and start again"
        )
    _check(backbone, classes, starts, frozen, rates, labels, orders)
    if factors is None:
        factors = np.ones(orders.shape[1], dtype=np.float32)
    program = _program(backbone, input_shape, classes, precision, frozenset.intersection(*frozen))
    learned = program.run(starts, frozen, _Plan(images, labels, orders, factors, np.asarray(rates)), should_stop)
    return [
        {
            stage: [
                np.array(learned[stage, index][arm]) if (stage, index) in learned else array.copy()
                for index, array in enumerate(arrays)
            ]
            for stage, arrays in start.items()
        }
        for arm, start in enumerate(starts)
    ]


def _check(
    backbone: Backbone,
    classes: int,
    starts: Sequence[Weights],
    frozen: Sequence[frozenset[str]],
    rates: Sequence[float] | NDArray[np.float32],
    labels: NDArray[np.int64],
    orders: NDArray[np.int64],
) -> None:
    counts = {"starts": len(starts), "frozen": len(frozen), "rates": len(rates), "orders": len(orders)}
    if len(set(counts.values())) > 1 or not starts:
        raise ValueError(f"give one of each for every arm, not {counts}")
    if unknown := frozenset().union(*frozen) - {*backbone.stage_names, HEAD}:
        raise ValueError(f"frozen: {backbone.name} has no stage {', '.join(sorted(unknown))}")
    # An accelerator reads another row where one is out of range, and says nothing.
    for name, values, limit in (("orders", orders, len(labels)), ("labels", labels, classes)):
        if values.size and (values.min() < 0 or values.max() >= limit):
            raise ValueError(f"{name}: give whole numbers from 0 to {limit - 1}")


class _Plan(NamedTuple):
    """What the arms learn from, and when; the arguments of `train_arms`."""

    images: Any
    labels: Any
    orders: Any
    factors: Any
    rates: Any


class _State(NamedTuple):
    """What a step changes: arrays of each trained variable, with the arms as the first axis."""

    values: list[Any]
    m: list[Any]
    v: list[Any]


@lru_cache(maxsize=8)
def _program(backbone: Backbone, input_shape: Shape, classes: int, precision: str, fixed: frozenset[str]) -> _Program:
    """Programs are kept: other arms of the same backbone start at once."""
    return _Program(backbone, input_shape, classes, precision, fixed)


class _Program:
    """A network compiled for any number of arms.

    Args:
        backbone: The backbone.
        input_shape: Height, width, channels of the images.
        classes: Outputs of the head.
        precision: Number format of the stages.
        fixed: Stages that are frozen in every arm, for which no gradient is computed.
    """

    def __init__(
        self, backbone: Backbone, input_shape: Shape, classes: int, precision: str, fixed: frozenset[str]
    ) -> None:
        import jax  # pyright: ignore[reportMissingImports] - only where it is the backend

        self.model = build_model(backbone, input_shape, classes, precision)
        if self.model.non_trainable_variables:
            raise UserError(
                f"{backbone.name} has running statistics or random numbers of its own, which frozen and trained stages "
                "treat differently: train its arms one after another"
            )
        freeze(self.model, fixed)
        for layer in _convolutions(self.model):
            layer.convolution_op = partial(_convolve, layer)
        place = {
            id(variable): (layer.name, index)
            for layer in self.model.layers
            for index, variable in enumerate(layer.weights)
        }
        self._trained = [place[id(variable)] for variable in self.model.trainable_variables]
        self._fixed = [place[id(variable)] for variable in self.model.non_trainable_variables]
        arms = jax.vmap(self._arm, in_axes=(0, 0, 0, None, None, 0, 0, None))

        def step(number: Any, state: _State, fixed: Any, learns: Any, plan: _Plan) -> _State:
            rows, rates = plan.orders[:, number], plan.rates * plan.factors[number]
            return arms(state, fixed, learns, plan.images, plan.labels, rows, rates, number + 1)

        def many(start: Any, end: Any, state: _State, *held: Any) -> _State:
            return jax.lax.fori_loop(start, end, lambda number, state: step(number, state, *held), state)

        self._step, self._many = jax.jit(step, donate_argnums=1), jax.jit(many, donate_argnums=2)

    def run(
        self,
        starts: Sequence[Weights],
        frozen: Sequence[frozenset[str]],
        plan: _Plan,
        should_stop: Callable[[], bool] | None,
    ) -> dict[tuple[str, int], NDArray[np.float32]]:
        """Train; what may have changed, by stage and position in it, with the arms as the first axis."""
        import jax.numpy as jnp  # pyright: ignore[reportMissingImports] - only where it is the backend

        def stacked(places: Sequence[tuple[str, int]]) -> list[Any]:
            return [jnp.asarray(np.stack([start[stage][index] for start in starts])) for stage, index in places]

        values, fixed = stacked(self._trained), stacked(self._fixed)
        state = _State(values, *([jnp.zeros_like(value) for value in values] for _ in range(2)))
        learns = [jnp.asarray([stage not in names for names in frozen]) for stage, _ in self._trained]
        steps, plan = len(plan.factors), _Plan(*(jnp.asarray(array) for array in plan))
        for start in range(0, steps, STEPS_PER_CALL):
            if start and should_stop is not None and should_stop():
                break
            end = min(start + STEPS_PER_CALL, steps)
            if _loops():
                state = self._many(start, end, state, fixed, learns, plan)
            else:
                for number in range(start, end):
                    state = self._step(number, state, fixed, learns, plan)
        return {place: np.asarray(value) for place, value in zip(self._trained, state.values, strict=True)}

    def _arm(
        self, state: _State, fixed: Any, learns: Any, images: Any, labels: Any, rows: Any, rate: Any, count: Any
    ) -> _State:
        """One step of one arm."""
        import jax  # pyright: ignore[reportMissingImports]

        x: Any = ops.take(images, rows, axis=0)
        y = ops.take(labels, rows, axis=0)
        if images.dtype == "uint8":
            x = x.astype("float32") / 255.0
        call: Any = self.model.stateless_call

        def loss_of(values: Any) -> Any:
            logits, _ = call(values, fixed, x, training=True)
            return ops.mean(ops.sparse_categorical_crossentropy(y, logits, from_logits=True))

        after = _State([], [], [])
        for learn, gradient, *old in zip(learns, jax.grad(loss_of)(state.values), *state, strict=True):
            weights, m, v = old
            new = adam(weights, m, v, gradient, rate, count)
            for arrays, one, other in zip(after, new, old, strict=True):
                # A choice, not a product with 0 or 1: NaN, of an arm that diverged, times 0 is NaN.
                arrays.append(ops.where(learn, one, other))
        return after


def _loops() -> bool:
    """Whether many steps are one call: not on a processor, where XLA's loops slow convolutions three times and more."""
    import jax  # pyright: ignore[reportMissingImports]

    return jax.default_backend() != "cpu"


def _convolutions(layer: Any) -> Iterator[Any]:
    """Every two-dimensional convolution at any depth."""
    if isinstance(layer, keras.layers.Conv2D):
        yield layer
    for inner in getattr(layer, "layers", ()):
        yield from _convolutions(inner)


def _convolve(layer: Any, inputs: Any, kernel: Any) -> Any:
    """A convolution as one product of matrices, which many arms can do together.

    `jax.vmap` turns a convolution into one with a group for each arm, whose gradient costs as much as if every arm's
    channels met every other's (jax-ml/jax issue 13800).

    Args:
        layer: The layer, whose padding is ``same``.
        inputs: Shape (batch, height, width, channels).
        kernel: Shape (kernel height, kernel width, channels, filters).

    Returns:
        Shape (batch, ⌈height / stride⌉, ⌈width / stride⌉, filters).
    """
    if layer.padding != "same" or layer.groups != 1 or tuple(layer.dilation_rate) != (1, 1):
        return type(layer).convolution_op(layer, inputs, kernel)
    batch, *size, _ = inputs.shape
    taps, channels, filters = kernel.shape[:2], kernel.shape[2], kernel.shape[3]
    out = [-(-side // stride) for side, stride in zip(size, layer.strides, strict=True)]
    spare = [
        max((count - 1) * stride + tap - side, 0)
        for count, stride, tap, side in zip(out, layer.strides, taps, size, strict=True)
    ]
    padded: Any = ops.pad(inputs, [(0, 0), *((extra // 2, extra - extra // 2) for extra in spare), (0, 0)])
    down, across = layer.strides
    windows = [
        padded[:, i : i + (out[0] - 1) * down + 1 : down, j : j + (out[1] - 1) * across + 1 : across]
        for i in range(taps[0])
        for j in range(taps[1])
    ]
    rows = ops.reshape(ops.concatenate(windows, axis=-1), (-1, taps[0] * taps[1] * channels))
    return ops.reshape(ops.matmul(rows, ops.reshape(kernel, (-1, filters))), (batch, *out, filters))
