"""Batch normalisation in one operation on TensorFlow, where Keras 3 makes some forty of them for each layer."""

from __future__ import annotations

from typing import Any, cast

import keras

from tlcore.models.build import normalization_layers


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, to the same numbers but for rounding.

    A step of MobileNetV2 takes two thirds of the time, and is traced in six tenths of it. What the operation cannot do
    (other axes than the last of four, masks, renormalisation) is Keras's.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise.

        Args:
            inputs: Shape (n, height, width, channels).
            training: Whether a layer that is trainable takes the statistics of these inputs, and moves its own.
            mask: Which inputs count; None for all.

        Returns:
            Outputs like the inputs.
        """
        if len(inputs.shape) != 4 or self.axis not in (-1, 3) or mask is not None or self.renorm:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        x = tf.cast(inputs, tf.float32)  # as Keras does: half precision overflows here
        kept_mean, kept_variance = cast("Any", self.moving_mean), cast("Any", self.moving_variance)
        mean, variance, channels = kept_mean.value, kept_variance.value, kept_mean.shape
        learns = bool(training and self.trainable)
        none = tf.zeros([0])
        outputs, seen_mean, seen_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=cast("Any", self.gamma).value if self.scale else tf.ones(channels),
            offset=cast("Any", self.beta).value if self.center else tf.zeros(channels),
            mean=none if learns else mean,
            variance=none if learns else variance,
            epsilon=self.epsilon,
            is_training=learns,
        )
        if learns:
            # The operation tells an estimate for the population, n / (n - 1) times what Keras keeps.
            count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
            seen_variance *= tf.maximum(count - 1, 1) / count
            kept_mean.assign(mean * self.momentum + seen_mean * (1 - self.momentum))
            kept_variance.assign(variance * self.momentum + seen_variance * (1 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)


def fuse(model: keras.Model) -> None:
    """Have every batch normalisation of a model computed in one operation.

    Args:
        model: Changed in place; not one that is to be saved, for its layers have another class then.
    """
    for layer in normalization_layers(model):
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = FusedBatchNormalization
