"""The registry of backbones: their stages as values, readable without Keras.

The Streamlit process lists and draws backbones and may not import Keras, so a `Backbone` holds descriptions only;
`tlcore.models.build` turns one into a Keras model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tlcore.errors import UserError, unknown_name


@dataclass(frozen=True)
class Stage:
    """A named block of layers that is loaded, frozen and trained as one.

    Args:
        name: Unique within its backbone.
        kind: ``conv`` (3×3 convolution, ReLU, 2×2 max-pooling) or ``dense`` (fully connected, ReLU).
        width: Output channels or units.
    """

    name: str
    kind: Literal["conv", "dense"]
    width: int


@dataclass(frozen=True)
class Backbone:
    """A network without its output layer.

    Args:
        name: What the command line, the URL and records call it.
        title: What a page calls it.
        sentence: What it is, in one sentence.
        stages: From the input to the features.
    """

    name: str
    title: str
    sentence: str
    stages: tuple[Stage, ...]

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, from the input to the features."""
        return tuple(stage.name for stage in self.stages)

    @property
    def feature_width(self) -> int:
        """Number of features that the head sees."""
        return self.stages[-1].width


# None of these nets has running statistics: with momentum .99 they make a short scratch run look like chance.
BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            "cnn_small",
            "Small CNN",
            "Two convolutions and one fully connected stage: trains in seconds.",
            (Stage("conv1", "conv", 16), Stage("conv2", "conv", 32), Stage("dense1", "dense", 128)),
        ),
        Backbone(
            "cnn_deep",
            "Deeper CNN",
            "Four convolutions and one fully connected stage: more stages to cut between.",
            (
                Stage("conv1", "conv", 16),
                Stage("conv2", "conv", 32),
                Stage("conv3", "conv", 32),
                Stage("conv4", "conv", 64),
                Stage("dense1", "dense", 128),
            ),
        ),
        Backbone(
            "mlp",
            "Fully connected net",
            "Two fully connected stages and no convolution: what is left to transfer?",
            (Stage("dense1", "dense", 256), Stage("dense2", "dense", 128)),
        ),
    )
}


def get_backbone(name: str) -> Backbone:
    """Find a backbone by name.

    Args:
        name: A key of `BACKBONES`.

    Returns:
        The backbone's description.

    Raises:
        UserError: If there is none of that name; the message holds the near names.
    """
    try:
        return BACKBONES[name]
    except KeyError:
        raise UserError(unknown_name("backbone", name, BACKBONES)) from None
