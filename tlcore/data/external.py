"""Sources of which only the learned weights are at hand, and what may be a source or a target."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from tlcore.data.registry import DATASETS, DatasetSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGENET = "imagenet"


@dataclass(frozen=True)
class ExternalSource:
    """A task that published weights have learned; its pictures are not here.

    Args:
        name: What the command line, the URL and records call it.
        title: What a page calls it.
        sentence: What it is, in one sentence.
        classes: Number of its classes.
        images: Number of its training images.
    """

    name: str
    title: str
    sentence: str
    classes: int
    images: int


EXTERNAL: Mapping[str, ExternalSource] = MappingProxyType(
    {
        IMAGENET: ExternalSource(
            IMAGENET,
            "ImageNet",
            "1.28 million photographs of 1,000 kinds of things; only the weights learned from them are loaded.",
            1000,
            1_281_167,
        )
    }
)
SOURCES: Mapping[str, DatasetSpec | ExternalSource] = MappingProxyType({**DATASETS, **EXTERNAL})
TARGETS: Mapping[str, DatasetSpec] = MappingProxyType(
    {name: spec for name, spec in DATASETS.items() if not spec.source_only}
)
