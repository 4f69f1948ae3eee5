"""What a pre-trained model costs here: weights to store, images a second, memory, beside its published accuracy.

Importing this module does not import Keras; measuring does, in a process of its own for each network, so that none pays
for what another has left behind.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from tlcore.errors import UserError
from tlcore.experiment import Environment
from tlcore.models import BACKBONES, Backbone, get_backbone
from tlcore.presets import RECORDS
from tlcore.saved import Saved

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

COSTS = RECORDS / "costs.json"
BATCH = 32
ROUNDS, MOST_ROUNDS = 3, 12
QUIET = 0.05  # share of the processor that other programs may take
ROUND_SECONDS = 1.5
POLL = 0.001  # seconds between two looks at the memory
SMALL_SHAPE = (32, 32, 3)  # of this project's own networks, which take images of any size


class Cost(BaseModel):
    """What one network costs.

    Args:
        backbone: Its name.
        title: What a page calls it.
        input_shape: Height, width, channels of the images it was measured with: those of its published weights.
        parameters: Weights without an output layer.
        weights_bytes: Size of the file that Keras saves them in, float32.
        feature_width: Features that a head sees.
        images_per_second: In inference, batches of `Costs.batch` images, the best of some rounds.
        others: Share of the machine's processor time that other programs took in that round, in [0, 1]: a speed is one
            of this machine only where it is small.
        memory_bytes: By how much the process grows at most for one batch, its weights and one image not counted.
        top1: Published ImageNet top-1 accuracy, in [0, 1]; None for a network without published weights.
        top1_source: Who published that.
        licence: Licence of the published weights; empty without.
        paper: Where the network comes from, if anywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    title: str
    input_shape: tuple[int, int, int]
    parameters: int
    weights_bytes: int
    feature_width: int
    images_per_second: float
    others: float
    memory_bytes: int
    top1: float | None
    top1_source: str = ""
    licence: str = ""
    paper: str = ""


class Costs(Saved):
    """What the networks cost on one machine.

    Args:
        costs: One a network, in the order of the registry.
        batch: Images a batch.
        environment: Where it was measured.
        created: When it was finished (UTC).
    """

    kind: ClassVar[str] = "a table of costs"

    costs: tuple[Cost, ...]
    batch: int
    environment: Environment
    created: datetime


def input_shape_of(backbone: Backbone) -> tuple[int, int, int]:
    """Shape of the images that a network's costs are measured with.

    Args:
        backbone: The network.

    Returns:
        Height, width and channels: what its published weights were trained on, or `SMALL_SHAPE`.
    """
    return (backbone.trained_size, backbone.trained_size, 3) if backbone.trained_size else SMALL_SHAPE


def measure_costs(names: Sequence[str] = tuple(BACKBONES), on_network: Callable[[str], None] = lambda _: None) -> Costs:
    """Measure networks one after another, each in a process of its own.

    Weights are random: neither time nor memory nor the size of a file depends on their values.

    Args:
        names: Names of backbones.
        on_network: Told the name of the network that is measured next.

    Returns:
        The costs.

    Raises:
        UserError: If a backbone is unknown, or there is not enough memory for one.
    """
    networks = [get_backbone(name) for name in names]
    found: list[Cost] = []
    environment: Environment | None = None
    for network in networks:
        on_network(network.name)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                cost, environment = pool.submit(_measure, network.name).result()
            except BrokenProcessPool:
                raise UserError(
                    f"measuring {network.name} was ended by the system, most likely for want of memory: "
                    "close other programs or leave it out"
                ) from None
        found.append(cost)
    if environment is None:
        raise UserError("name at least one backbone")
    return Costs(
        costs=tuple(found),
        batch=BATCH,
        environment=environment,
        created=datetime.now(UTC).replace(microsecond=0),
    )


def _measure(name: str) -> tuple[Cost, Environment]:
    """Measure one network in this process, which should have done nothing before."""
    from tlcore import backend

    network = get_backbone(name)
    backend.configure(threads=os.cpu_count() or 1, family=network.family)
    import numpy as np

    from tlcore.loops import Forward
    from tlcore.models.build import build_model

    shape = input_shape_of(network)
    model = build_model(network, shape, None, "float32", pooled=True)
    forward = Forward(model)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *shape), dtype=np.uint8)
    forward(images[:1])  # traces
    with _growth() as grown:
        forward(images, BATCH)
    speed, others = _speed(lambda: forward(images, BATCH))
    cost = Cost(
        backbone=name,
        title=network.title,
        input_shape=shape,
        parameters=int(model.count_params()),
        weights_bytes=_saved_size(model),
        feature_width=int(model.output_shape[-1]),
        images_per_second=round(speed, 1),
        others=round(others, 3),
        memory_bytes=max(grown),
        top1=network.application.top1 if network.application else None,
        top1_source=network.application.top1_source if network.application else "",
        licence=network.licence,
        paper=network.paper,
    )
    return cost, backend.environment("float32")


def _speed(run: Callable[[], Any]) -> tuple[float, float]:
    """Images a second of the best round, for what disturbs it only ever slows it, and others' share in it."""
    best = (0.0, 0.0)
    for _ in range(ROUNDS):
        batches, start, (busy, own) = 0, time.perf_counter(), _processor_seconds()
        while not batches or time.perf_counter() - start < ROUND_SECONDS:
            run()
            batches += 1
        seconds, (busy_then, own_then) = time.perf_counter() - start, _processor_seconds()
        others = (busy_then - busy - (own_then - own)) / (seconds * (os.cpu_count() or 1))
        best = max(best, (BATCH * batches / seconds, min(1.0, max(0.0, others))))
    return best


def _processor_seconds() -> tuple[float, float]:
    """Processor time that was used since the start: by everything on this machine, and by this process."""
    import psutil

    all_of_it = psutil.cpu_times()
    own = psutil.Process().cpu_times()
    idle = all_of_it.idle + getattr(all_of_it, "iowait", 0.0)
    return sum(all_of_it) - idle, own.user + own.system


def _saved_size(model: Any) -> int:
    with tempfile.TemporaryDirectory(prefix="tlcore-costs-") as folder:
        path = Path(folder) / "network.weights.h5"
        model.save_weights(path)
        return path.stat().st_size


@contextmanager
def _growth() -> Generator[list[int]]:
    """By how much this process's resident memory has grown, in bytes, looked at again and again."""
    import psutil

    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    grown = [0]

    def watch() -> None:
        while not done.wait(POLL):
            grown.append(process.memory_info().rss - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield grown
    finally:
        done.set()
        watcher.join()
        grown.append(process.memory_info().rss - before)
