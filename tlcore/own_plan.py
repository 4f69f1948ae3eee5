"""The first comparison on somebody's own pictures: small enough to be over while they watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlcore.data.external import IMAGENET
from tlcore.data.registry import get_dataset
from tlcore.experiment import Experiment
from tlcore.models.registry import BACKBONES
from tlcore.models.weights import find_weights

if TYPE_CHECKING:
    from tlcore.data.own import OwnSet

STRATEGIES = ("scratch", "feature_extraction", "fine_tune_last", "pixel_baseline")
SEEDS, STEPS, BATCH, RATE = 5, 30, 8, 1e-3
"""One rate for all arms: a search on so few labels says little, and takes several times as long."""
IMAGE_SIZE = 96
MOST_LABELS = 50
SHIPPED = ("cifar10", "cnn_deep")
"""A source whose trained weights come with the project."""


@dataclass(frozen=True)
class Start:
    """Something learned that can be reused here and now.

    Args:
        source: Name of the source.
        backbone: Name of the network.
        title: Both, for people.
    """

    source: str
    backbone: str
    title: str


def starts() -> tuple[Start, ...]:
    """What is on this host to start from: networks with ImageNet weights, the quickest first, then a small one.

    Returns:
        At least the small network, whose weights come with the project.
    """
    found = [
        Start(IMAGENET, network.name, f"{network.title}, trained on ImageNet")
        for network in BACKBONES.values()
        if network.application is not None and find_weights(network) is not None
    ]
    source, backbone = SHIPPED
    title = f"{BACKBONES[backbone].title}, trained on {get_dataset(source).title}"
    return (*found, Start(source, backbone, title))


def plan(own_set: OwnSet, start: Start) -> Experiment:
    """The experiment that is proposed.

    Args:
        own_set: The pictures.
        start: What to start from.

    Returns:
        It, with as many labels as the smallest class can give, up to `MOST_LABELS`.

    Raises:
        UserError: If the pictures are gone.
    """
    labels = min(get_dataset(own_set.name).labels_per_class_limit, MOST_LABELS)
    return Experiment.of(
        source=start.source,
        target=own_set.name,
        backbone=start.backbone,
        strategies=STRATEGIES,
        labels_per_class=labels,
        seeds=SEEDS,
        steps=STEPS,
        batch_size=BATCH,
        learning_rate=RATE,
        image_size=max(IMAGE_SIZE, BACKBONES[start.backbone].min_size) if start.source == IMAGENET else None,
    )
