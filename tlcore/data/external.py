"""Sources of which only the learned weights are at hand, and what may be a source or a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from tlcore.data.registry import DATASETS, DatasetSpec, find_dataset

IMAGENET = "imagenet"
HOST_MODEL = "host_model"
T = TypeVar("T")


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
        ),
        HOST_MODEL: ExternalSource(
            HOST_MODEL,
            "This host's own",
            "What a model on this host's disk has learned; whoever runs the host has named it.",
            0,
            0,
        ),
    }
)


class Tasks(Mapping[str, T | DatasetSpec]):
    """Tasks by name: those of the registry are listed; some classes of one, and somebody's own pictures, have a name.

    Args:
        registered: What is listed.
    """

    def __init__(self, registered: Mapping[str, T]) -> None:
        self._registered = dict(registered)

    def __getitem__(self, name: str) -> T | DatasetSpec:
        """A task, listed or not."""
        if name in self._registered:
            return self._registered[name]
        if (found := find_dataset(name)) is not None:
            return found
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Names of what is listed."""
        return iter(self._registered)

    def __len__(self) -> int:
        """Number of what is listed."""
        return len(self._registered)


SOURCES: Mapping[str, DatasetSpec | ExternalSource] = Tasks[DatasetSpec | ExternalSource]({**DATASETS, **EXTERNAL})
TARGETS: Mapping[str, DatasetSpec] = Tasks({name: spec for name, spec in DATASETS.items() if not spec.source_only})
