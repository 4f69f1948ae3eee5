"""Networks of `keras.applications`, cut into one model a stage."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from collections.abc import Generator

    from tlcore.models.registry import Application, Backbone

# What `preprocess_input` does to bytes; here the pixels are in [0, 1].
CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
TORCH_MEAN, TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def application_stages(
    backbone: Backbone, input_shape: tuple[int, int, int], precision: str, *, pooled: bool = True
) -> list[keras.Model]:
    """Build a network and cut it.

    Args:
        backbone: A backbone with an `Application`.
        input_shape: Height, width, channels of the images.
        precision: Number format of the layers; pixels are scaled in float32.
        pooled: Whether the last stage averages its maps.

    Returns:
        One model a stage, named after it. The first takes pixels in [0, 1]; the last gives one feature a channel, or
        the maps themselves.
    """
    if backbone.host is not None:
        from tlcore.models.named_loading import host_stages  # which needs this module

        return host_stages(backbone, input_shape)
    return cut_application(backbone, whole_application(backbone, input_shape, precision, pooled=pooled))


def whole_application(
    backbone: Backbone, input_shape: tuple[int, int, int], precision: str, *, pooled: bool = True
) -> keras.Model:
    """Build a network in one piece, without its output layers, with random weights.

    Args:
        backbone: A backbone with an `Application`.
        input_shape: Height, width, channels of the images.
        precision: Number format of the layers; pixels are scaled in float32.
        pooled: Whether it ends by averaging its maps.

    Returns:
        The model, from pixels in [0, 1] to one feature a channel, or to the last maps.
    """
    application = _of(backbone)
    pixels = keras.Input(input_shape, name="pixels")
    with _dtype_policy(precision):
        return getattr(keras.applications, application.constructor)(
            weights=None,
            include_top=False,
            pooling="avg" if pooled else None,
            input_shape=input_shape,
            input_tensor=scaled(pixels, application.scaling),
            **dict(application.arguments),
        )


def cut_application(backbone: Backbone, whole: keras.Model) -> list[keras.Model]:
    """Cut a network into one model a stage; they share its layers and weights.

    Args:
        backbone: A backbone with an `Application`.
        whole: From `whole_application`.

    Returns:
        The stages' models, named after them.
    """
    cuts = [whole.input, *(_end(whole, end) for end in _of(backbone).ends), whole.output]
    return [keras.Model(*ends, name=stage.name) for stage, ends in zip(backbone.stages, pairwise(cuts), strict=True)]


def _of(backbone: Backbone) -> Application:
    if backbone.application is None:
        raise ValueError(f"{backbone.name} is not a network of keras.applications")
    return backbone.application


def scaled(pixels: Any, scaling: str) -> Any:
    """Layers without weights in place of `preprocess_input`, which writes into the array that it is given.

    Args:
        pixels: In [0, 1].
        scaling: As in `Application`, or ``bytes`` for 0 to 255.

    Returns:
        What the network takes.
    """
    scale: Any
    offset: Any
    if scaling == "caffe":
        pixels = keras.ops.flip(pixels, axis=-1)
        scale, offset = 255.0, [-mean for mean in CAFFE_MEAN]
    elif scaling == "torch":
        scale = [1 / one for one in TORCH_DEVIATION]
        offset = [-mean / one for mean, one in zip(TORCH_MEAN, TORCH_DEVIATION, strict=True)]
    else:
        scale, offset = (255.0, 0.0) if scaling == "bytes" else (2.0, -1.0)
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="scaled")(pixels)


def _end(model: keras.Model, end: str) -> Any:
    """The tensor that a name of `Application.ends` means."""
    kind, _, number = end.partition("#")
    if not number:
        return model.get_layer(end).output
    of_kind: list[Any] = [one for one in model.operations if type(one).__name__ == kind]
    return of_kind[int(number) - 1].output


@contextmanager
def _dtype_policy(name: str) -> Generator[None]:
    """Keras's applications take no number format, so it is set for everything that is made meanwhile."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
