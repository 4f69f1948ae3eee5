"""Source checkpoints: trained once, found again by what they were trained on and how.

Search order: the ones that ship with the project (`data/checkpoints/`), this host's own (under `home`), training now.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcore.backend import environment
from tlcore.data import get_dataset, load
from tlcore.data.labels import augment, batch_order
from tlcore.data.sources import UNREADABLE
from tlcore.errors import Stopped, UserError
from tlcore.experiment import Environment, Event, SourceModel
from tlcore.home import home
from tlcore.models import get_backbone
from tlcore.models.build import Weights, initial_weights, weight_shapes, weights_sha256
from tlcore.train import Program, accuracy, scaled

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = Path(__file__).resolve().parent.parent / "data" / "checkpoints"
SHIPPED_PAIRS = (
    ("mnist", "cnn_small"),
    ("fashion_mnist", "cnn_small"),
    ("cifar10_cars", "cnn_small"),
    ("cifar10_cars", "cnn_deep"),
    ("cifar10", "cnn_deep"),
)
LOOKS = 20


@dataclass(frozen=True)
class PretrainingRecipe:
    """How every source model is trained: Adam, the rate falling linearly to a tenth; pictures whose class survives it
    are shifted and mirrored at random.

    Args:
        steps: Optimiser steps.
        batch_size: Images a step.
        rate: First learning rate.
        seed: Seed of weights and order.
        version: Raised when the same values would give other weights.
    """

    steps: int = 3000
    batch_size: int = 64
    rate: float = 2e-3
    seed: int = 0
    version: int = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained source model.

    Args:
        weights: Arrays by stage, the source's own head included.
        info: What a record says about it.
        dataset_sha256: Hash of the source dataset it was trained on.
        dataset_provenance: Where that came from.
    """

    weights: Weights
    info: SourceModel
    dataset_sha256: str
    dataset_provenance: str


def find_checkpoint(source: str, backbone: str) -> Checkpoint | None:
    """Find a trained source model without training one.

    Args:
        source: Name of the source dataset.
        backbone: Name of the backbone.

    Returns:
        The shipped one, this host's own, or None.
    """
    shipped = SHIPPED / f"{source}-{backbone}.npz"
    if shipped.is_file() and (found := _read(shipped, "shipped with the project")) is not None:
        return found
    folder = home() / "checkpoints"
    for path in sorted(folder.glob(f"{source}-{backbone}-*.npz")):
        found = _read(path, "trained on this host")
        # A source that has changed since (another copy, a new drawing) is another source.
        if found is not None and path.stem.endswith(_key(source, backbone, found.dataset_sha256)):
            known = _known_sha256(source)
            if known is None or known == found.dataset_sha256:
                return found
    return None


def source_checkpoint(
    source: str,
    backbone: str,
    precision: str,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> Checkpoint:
    """Find a trained source model, or train and keep it.

    Args:
        source: Name of the source dataset.
        backbone: Name of the backbone.
        precision: Number format to train with.
        on_event: Told how far the training is.
        should_stop: Asked now and then.

    Returns:
        The checkpoint.

    Raises:
        UserError: If the source's data is needed and cannot be had, or the checkpoint cannot be written.
        Stopped: If `should_stop` said so.
    """
    return find_checkpoint(source, backbone) or train_checkpoint(
        source, backbone, precision, on_event, should_stop, folder=None
    )


def train_checkpoint(
    source: str,
    backbone: str,
    precision: str,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
    folder: Path | None,
) -> Checkpoint:
    """Train a source model on all of its training images and keep it.

    Args:
        source: Name of the source dataset.
        backbone: Name of the backbone.
        precision: Number format to train with.
        on_event: Told how far the training is.
        should_stop: Asked now and then.
        folder: Where to keep it under its plain name; None for this host's own, under its content's.

    Returns:
        The checkpoint.

    Raises:
        UserError: If the source's data cannot be had or the checkpoint cannot be written.
        Stopped: If `should_stop` said so.
    """
    dataset, recipe, network = load(source), PretrainingRecipe(), get_backbone(backbone)
    spec = dataset.spec
    program = Program(network, spec.shape, len(spec.classes), precision=precision)
    program.restart(initial_weights(network, spec.shape, len(spec.classes), recipe.seed), recipe.rate)
    order = batch_order(len(dataset.x_train), recipe.batch_size, recipe.steps, recipe.seed)
    changes = "shift_flip" if spec.mirrored else "none"
    start, chunk = time.perf_counter(), recipe.steps // LOOKS
    for done in range(0, recipe.steps, chunk):
        on_event(
            Event(kind="pretrain", fraction=done / recipe.steps, text=f"pre-training {network.title} on {spec.title}")
        )
        program.model.optimizer.learning_rate.assign(recipe.rate * (1 - 0.9 * done / recipe.steps))
        rows = order[done : done + chunk].reshape(-1)
        images = augment(scaled(dataset.x_train[rows]), changes, recipe.seed, first=done * recipe.batch_size)
        program.fit(images, dataset.y_train[rows], recipe.batch_size, should_stop)
        if should_stop():
            raise Stopped
    seconds = time.perf_counter() - start
    weights = program.weights()
    info = SourceModel(
        key=_key(source, backbone, dataset.sha256),
        provenance="trained on this host",
        sha256=weights_sha256(weights),
        epochs=max(1, round(recipe.steps * recipe.batch_size / len(dataset.x_train))),
        images=len(dataset.x_train),
        test_accuracy=accuracy(program.logits(dataset.x_test), dataset.y_test),
        seconds=round(seconds, 2),
    )
    name = f"{source}-{backbone}" if folder is not None else f"{source}-{backbone}-{info.key}"
    path = (folder or home() / "checkpoints") / f"{name}.npz"
    checkpoint = Checkpoint(weights, info, dataset.sha256, dataset.provenance)
    _write(path, checkpoint, backbone, environment(precision))
    on_event(Event(kind="pretrain", fraction=1.0, text=f"{network.title} has learned {spec.title}"))
    return checkpoint


@lru_cache(maxsize=16)
def _known_sha256(source: str) -> str | None:
    """Hash of the source as it is on this machine; None when it is not here (nothing is downloaded to find out)."""
    return load(source).sha256 if get_dataset(source).looks() is not None else None


def _key(source: str, backbone: str, dataset_sha256: str) -> str:
    network = get_backbone(backbone)
    stages = [asdict(stage) for stage in network.stages]
    described = json.dumps([source, dataset_sha256, stages, asdict(PretrainingRecipe())], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _write(path: Path, checkpoint: Checkpoint, backbone: str, where: Environment) -> None:
    described: dict[str, Any] = {
        "backbone": backbone,
        "dataset_sha256": checkpoint.dataset_sha256,
        "dataset_provenance": checkpoint.dataset_provenance,
        "recipe": asdict(PretrainingRecipe()),
        "model": checkpoint.info.model_dump(mode="json"),
        "environment": where.model_dump(mode="json"),
    }
    arrays = {f"{name}.{i}": array for name, stage in checkpoint.weights.items() for i, array in enumerate(stage)}
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(partial, **arrays)  # pyright: ignore[reportArgumentType]
        path.with_suffix(".json").write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        if partial.is_file():
            partial.unlink()
        raise UserError(f"cannot write {path} ({error.strerror}): make room on the disk or set TLCORE_HOME") from None


def _read(path: Path, provenance: str) -> Checkpoint | None:
    """A kept checkpoint, or None if its files are damaged or made by another recipe (then it is trained again)."""
    try:
        described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        info = SourceModel.model_validate(described["model"] | {"provenance": provenance})
        weights: Weights = {}
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for name in arrays.files:
                weights.setdefault(name.rpartition(".")[0], []).append(arrays[name])
        backbone = get_backbone(described["backbone"])
        dataset_sha256, provenance_of_data = described["dataset_sha256"], described["dataset_provenance"]
    except (*UNREADABLE, AttributeError):
        return None
    source = path.stem.partition("-")[0]
    spec = get_dataset(source)
    shapes = {name: [array.shape for array in stage] for name, stage in weights.items()}
    if shapes != weight_shapes(backbone, spec.shape, len(spec.classes)) or weights_sha256(weights) != info.sha256:
        return None
    return Checkpoint(weights, info, dataset_sha256, provenance_of_data)
