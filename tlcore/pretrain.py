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
from tlcore.data.external import EXTERNAL, HOST_MODEL, IMAGENET
from tlcore.data.labels import augment, batch_order
from tlcore.errors import Stopped, UserError
from tlcore.experiment import Environment, Event, Experiment, SourceModel
from tlcore.home import home
from tlcore.models import get_backbone
from tlcore.models.build import Weights, initial_weights, weight_shapes, weights_sha256
from tlcore.npz import UNREADABLE, by_stage, flat, opened
from tlcore.policy import PRETRAINING_PARTS, PretrainingRecipe
from tlcore.train import STEPS_PER_CALL, Program, accuracy

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


def find_checkpoint(source: str, backbone: str, images: int | None = None) -> Checkpoint | None:
    """Find a trained source model without training one.

    Args:
        source: Name of the source dataset.
        backbone: Name of the backbone.
        images: Number of images it learned from; None for all.

    Returns:
        The shipped one, this host's own, or None.
    """
    shipped = SHIPPED / f"{source}-{backbone}.npz"
    if images is None and shipped.is_file() and (found := _read(shipped, "shipped with the project")) is not None:
        return found
    folder = home() / "checkpoints"
    for path in sorted(folder.glob(f"{source}-{backbone}-*.npz")):
        found = _read(path, "trained on this host")
        # A source that has changed since (another copy, a new drawing) is another source.
        if found is not None and path.stem.endswith(_key(source, backbone, found.dataset_sha256, images)):
            known = _known_sha256(source)
            if known is None or known == found.dataset_sha256:
                return found
    return None


def source_checkpoint(
    experiment: Experiment,
    precision: str,
    on_event: Callable[[Event], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Checkpoint:
    """Find an experiment's source model, or train and keep it.

    Args:
        experiment: What it is wanted for.
        precision: Number format to train with.
        on_event: Told how far the training is.
        should_stop: Asked now and then.

    Returns:
        The checkpoint.

    Raises:
        UserError: If the source's data or weights are needed and cannot be had, or the checkpoint cannot be written.
        Stopped: If `should_stop` said so.
    """
    source, backbone, images = experiment.source, experiment.backbone, experiment.source_images
    return known_checkpoint(experiment) or train_checkpoint(
        source, backbone, precision, on_event, should_stop, folder=None, images=images
    )


def known_checkpoint(experiment: Experiment) -> Checkpoint | None:
    """Find an experiment's source model without training one.

    Args:
        experiment: What it is wanted for.

    Returns:
        The checkpoint, or None if it has to be trained.

    Raises:
        UserError: If it is one that others published and cannot be had.
    """
    if experiment.source == HOST_MODEL:
        return _host_checkpoint(experiment.backbone)
    if experiment.source == IMAGENET:
        return published_checkpoint(experiment.backbone, experiment.shape, experiment.weights)
    return find_checkpoint(experiment.source, experiment.backbone, experiment.source_images)


@lru_cache(maxsize=1)
def published_checkpoint(backbone: str, shape: tuple[int, int, int], file: str | None) -> Checkpoint:
    """Load ImageNet weights that others trained and published.

    Args:
        backbone: Name of a backbone that has some.
        shape: Height, width and channels of the network's input.
        file: Name of the weights file; None for the published one.

    Returns:
        The checkpoint, without an output layer.

    Raises:
        UserError: If the weights cannot be had or do not fit the network.
    """
    from tlcore.models.weights import imagenet_weights

    published = imagenet_weights(get_backbone(backbone), shape, file)
    info = SourceModel(
        key=published.sha256[:16],
        provenance=published.provenance,
        sha256=weights_sha256(published.weights),
        epochs=None,
        images=EXTERNAL[IMAGENET].images,
        test_accuracy=published.top1,
        seconds=None,
    )
    return Checkpoint(published.weights, info, published.sha256, published.provenance)


@lru_cache(maxsize=1)
def _host_checkpoint(backbone: str) -> Checkpoint:
    """What a model on the host's disk has learned."""
    from tlcore.models.named_loading import host_weights

    network = get_backbone(backbone)
    assert network.host is not None  # or its source would be another
    weights, provenance = host_weights(network), f"this host's file {Path(network.host.path).name}"
    info = SourceModel(
        key=network.host.sha256[:16],
        provenance=provenance,
        sha256=weights_sha256(weights),
        epochs=None,
        images=0,
        test_accuracy=None,
        seconds=None,
    )
    return Checkpoint(weights, info, network.host.sha256, provenance)


def train_checkpoint(
    source: str,
    backbone: str,
    precision: str,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
    folder: Path | None,
    images: int | None = None,
) -> Checkpoint:
    """Train a source model on its training images and keep it.

    Args:
        source: Name of the source dataset.
        backbone: Name of the backbone.
        precision: Number format to train with.
        on_event: Told how far the training is.
        should_stop: Asked now and then.
        folder: Where to keep it under its plain name; None for this host's own, under its content's.
        images: Number of images to learn from, the first ones of an order that the recipe's seed draws, so that fewer
            are among more; None for all. The steps stay the same.

    Returns:
        The checkpoint.

    Raises:
        UserError: If the source's data cannot be had or the checkpoint cannot be written.
        Stopped: If `should_stop` said so.
    """
    dataset, recipe, network = load(source), PretrainingRecipe(), get_backbone(backbone)
    spec = dataset.spec
    rows = np.random.default_rng([recipe.seed, 4]).permutation(len(dataset.x_train))[:images]
    program = Program(network, spec.shape, len(spec.classes), precision=precision)
    program.restart(initial_weights(network, spec.shape, len(spec.classes), recipe.seed))
    order = batch_order(len(rows) if images else len(dataset.x_train), recipe.batch_size, recipe.steps, recipe.seed)
    if images:
        order = rows[order]
    changes = "shift_flip" if spec.mirrored else "none"
    held = program.hold(dataset.x_train, dataset.y_train) if changes == "none" else None
    start, chunk = time.perf_counter(), recipe.steps // PRETRAINING_PARTS
    for done in range(0, recipe.steps, chunk):
        on_event(
            Event(kind="pretrain", fraction=done / recipe.steps, text=f"pre-training {network.title} on {spec.title}")
        )
        rates = np.full(chunk, recipe.rate * (1 - 0.9 * done / recipe.steps), dtype=np.float32)
        picked = order[done : done + chunk]
        if held is not None:
            program.fit(held, picked, rates, should_stop)
        else:
            # A few steps at a time: changing images takes several copies of them.
            for at in range(0, chunk, STEPS_PER_CALL):
                flat = picked[at : at + STEPS_PER_CALL].reshape(-1)
                first = (done + at) * recipe.batch_size
                changed = augment(dataset.x_train[flat], changes, recipe.seed, first=first)
                positions = np.arange(len(flat)).reshape(-1, recipe.batch_size)
                data = program.hold(changed, dataset.y_train[flat])
                program.fit(data, positions, rates[at : at + STEPS_PER_CALL], should_stop)
                if should_stop():
                    break
        if should_stop():
            raise Stopped
    seconds = time.perf_counter() - start
    weights = program.weights()
    info = SourceModel(
        key=_key(source, backbone, dataset.sha256, images),
        provenance="trained on this host",
        sha256=weights_sha256(weights),
        epochs=max(1, round(recipe.steps * recipe.batch_size / len(rows))),
        images=len(rows),
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


def _key(source: str, backbone: str, dataset_sha256: str, images: int | None) -> str:
    network = get_backbone(backbone)
    stages = [asdict(stage) for stage in network.stages]
    more = [network.name] if network.normalization != "none" else []
    more += [images] if images else []
    described = json.dumps([source, dataset_sha256, stages, asdict(PretrainingRecipe()), *more], sort_keys=True)
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
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(partial, **flat(checkpoint.weights))  # pyright: ignore[reportArgumentType]
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
        with opened(path) as arrays:
            weights = by_stage(arrays)
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
