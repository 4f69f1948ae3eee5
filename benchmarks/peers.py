"""The same work as a learner writes it without this project: plain Keras, and plain PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def keras_cnn(input_shape: tuple[int, int, int], classes: int) -> Any:
    """The small CNN in plain Keras, its kernels started as ours are: He in the stages, Glorot in the head."""
    import keras

    he = keras.initializers.HeUniform()
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer=he, name="conv1"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu", kernel_initializer=he, name="conv2"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu", kernel_initializer=he, name="dense1"),
            keras.layers.Dense(classes, name="head"),
        ]
    )


def compiled(model: Any, rate: float = 1e-3) -> Any:
    """A Keras model, compiled with Adam as everybody does."""
    import keras

    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def keras_epoch(x: NDArray[np.float32], y: NDArray[np.int64], batch_size: int) -> Callable[[], object]:
    """One epoch of `fit` in float32, with Keras's defaults."""
    model = compiled(keras_cnn(x.shape[1:], 10))
    return lambda: model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)


def torch_epoch(
    x: NDArray[np.float32], y: NDArray[np.int64], batch_size: int, threads: int, channels_last: bool = False
) -> Callable[[], object]:
    """One epoch of the usual PyTorch loop, eager, the batches cut from tensors by a permutation."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    side = x.shape[1] // 4
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = nn.Sequential(
        nn.Conv2d(x.shape[3], 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * side * side, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    ).to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=layout)
    labels = torch.from_numpy(y)

    def epoch() -> None:
        model.train()
        for rows in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            loss_of(model(images[rows]), labels[rows]).backward()
            optimizer.step()

    return epoch


def keras_arm(
    strategy: str,
    source: Any,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    test: tuple[NDArray[np.float32], NDArray[np.int64]],
    *,
    steps: int,
    looks: int,
    seed: int,
) -> float:
    """One arm as a tutorial writes it: a fresh model, frozen or not, and `fit` with the test set as validation data.

    Args:
        strategy: ``scratch``, ``feature_extraction``, ``fine_tune_last`` or ``fine_tune_all``.
        source: The model trained on the source.
        x: Labelled target images.
        y: Their labels.
        test: Test images and labels.
        steps: Optimiser steps.
        looks: Epochs they are divided into, each followed by a pass over the test set.
        seed: Seed of weights and order.

    Returns:
        Test accuracy after the last epoch.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    model = keras_cnn(x.shape[1:], 10)
    if strategy != "scratch":
        for layer in model.layers[:-1]:
            layer.set_weights(source.get_layer(layer.name).get_weights() if layer.weights else [])
    frozen = {"feature_extraction": ("conv1", "conv2", "dense1"), "fine_tune_last": ("conv1", "conv2")}.get(
        strategy, ()
    )
    for name in frozen:
        model.get_layer(name).trainable = False
    compiled(model)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed).repeat().batch(32)
    history = model.fit(data, epochs=looks, steps_per_epoch=steps // looks, validation_data=test, verbose=0)
    return float(history.history["val_accuracy"][-1])
