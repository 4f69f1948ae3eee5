"""Train and measure what is beyond classification: the backbone's stages frozen, another head on their maps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from tlcore.backend import environment
from tlcore.beyond.results import TASKS, ArmName, ArmScore, Beyond, TaskName
from tlcore.beyond.scenes import SIDE, Scenes, draw_scenes, written
from tlcore.data import load
from tlcore.data.adapt import adapt
from tlcore.data.labels import batch_order, tested
from tlcore.errors import UserError
from tlcore.models import get_backbone
from tlcore.models.build import build_model, initial_weights, set_weights, weights_sha256
from tlcore.policy import stream_of
from tlcore.pretrain import find_checkpoint
from tlcore.train import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tlcore.models import Backbone
    from tlcore.models.build import Weights

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
BATCH = 16
TEST = 300
PAIRS = 2000
EXAMPLES = 6
VALIDATION_SHARE = 0.2
SCENE: tuple[int, int, int] = (SIDE, SIDE, 1)


def measure(
    task: TaskName,
    *,
    source: str = "mnist",
    target: str = "drawn_garments",
    backbone: str = "cnn_small",
    labelled: int = 40,
    steps: int = 300,
    seeds: Sequence[int] = (0, 1, 2),
    on_arm: Callable[[ArmScore], None] = lambda _: None,
) -> Beyond:
    """Measure one task with all of its arms.

    Segmentation and localisation put a new head on the maps of the last convolution, for scenes that the source never
    showed; the source's weights in them are frozen, random and frozen, or random and trained. Each arm chooses its rate
    on a fifth of its labelled scenes, trains on all of them, and is tested once. Verification trains nothing: two
    pictures are taken for the same kind if their features lie close together (cosine), as in face recognition.

    Args:
        task: Name of the task.
        source: Source that has a checkpoint of the backbone here.
        target: For verification, the dataset of the pictures; none of its kinds should be the source's.
        backbone: A backbone whose first stages are convolutions.
        labelled: Scenes to learn from; at least 10.
        steps: Optimiser steps.
        seeds: Repetitions; each draws its own scenes, first weights and batch order.
        on_arm: Told of every arm that is done.

    Returns:
        The result.

    Raises:
        UserError: If there is no such checkpoint here, the backbone has no convolutions, or there are too few pictures
            to make pairs of.
    """
    network = get_backbone(backbone)
    known = find_checkpoint(source, backbone)
    if known is None:
        raise UserError(f"there is no {backbone} that has learned {source} here: compare once with source {source}")
    maps = sum(stage.kind == "conv" for stage in network.stages)
    if not maps:
        raise UserError(f"{backbone} has no convolutions, so it has no maps to find anything in: choose cnn_small")
    scores: list[ArmScore] = []
    floors: list[float] = []
    overlap = 0.0
    for seed in seeds:
        one: _Pairs | _Search
        if task == "verification":
            one = _Pairs(network, known.weights, target, seed)
            overlap = max(overlap, one.overlap)
        else:
            one = _Search(network, known.weights, maps, task, labelled, steps, seed, first=seed == seeds[0])
        floors.append(one.floor())
        for arm in TASKS[task].arms:
            scores.append(one.score(arm))
            on_arm(scores[-1])
    return Beyond(
        task=task,
        source=source,
        target=target if task == "verification" else "uci_digits",
        backbone=backbone,
        labelled=0 if task == "verification" else labelled,
        test=PAIRS if task == "verification" else TEST,
        steps=0 if task == "verification" else steps,
        floor=float(np.mean(floors)),
        scores=tuple(scores),
        environment=environment("float32"),
        overlap=overlap,
    )


class _Search:
    """Finding a digit's pixels or its box in scenes, with one seed."""

    def __init__(
        self,
        network: Backbone,
        learned: Weights,
        maps: int,
        task: TaskName,
        labelled: int,
        steps: int,
        seed: int,
        *,
        first: bool,
    ) -> None:
        self._network, self._learned, self._maps = network, learned, maps
        self._task, self._steps, self._seed, self._first = task, steps, seed, first
        self._train, self._test = draw_scenes(labelled, seed), draw_scenes(TEST, seed, test=True)
        self._held_out = max(1, round(VALIDATION_SHARE * labelled))

    def floor(self) -> float:
        """Score of the one answer for all that the labelled scenes suggest."""
        wanted = self._wanted(self._train)
        if self._task == "localisation":
            return self._measured(np.broadcast_to(np.median(wanted, axis=0), (TEST, 4)))
        mean = wanted.mean(axis=0)
        tried = [self._measured(np.broadcast_to(mean - at, (TEST, *mean.shape))) for at in (mean.mean(), 0.0)]
        return max(tried)

    def score(self, arm: ArmName) -> ArmScore:
        """Choose the rate, train, test."""
        names = self._network.stage_names[: self._maps]
        fresh = initial_weights(self._network, (28, 28, 1), 10, stream_of(self._seed))
        weights = {name: (self._learned if arm == "frozen" else fresh)[name] for name in names}
        body = build_model(self._network, SCENE, None, "float32", last=self._maps)
        set_weights(body, weights)
        seen, tested = scaled(self._train.images), scaled(self._test.images)
        frozen = arm != "scratch"
        if frozen:  # what does not change is worked out once
            seen, tested = (_outputs(body, x) for x in (seen, tested))
        wanted, cut = self._wanted(self._train), self._held_out
        losses: dict[float, float] = {}
        for rate in RATES:
            model = self._model(body, weights, frozen=frozen)
            self._fit(model, seen[cut:], wanted[cut:], rate)
            losses[rate] = float(model.evaluate(seen[:cut], wanted[:cut], verbose=0))
        rate = min(RATES, key=lambda rate: losses[rate] if np.isfinite(losses[rate]) else np.inf)
        model = self._model(body, weights, frozen=frozen)
        begin = time.perf_counter()
        self._fit(model, seen, wanted, rate)
        seconds = time.perf_counter() - begin
        if frozen:
            kept = {name: list(body.get_layer(name).get_weights()) for name in names}
            assert weights_sha256(kept) == weights_sha256(weights), "a frozen stage has changed"
        trained = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
        answers = _outputs(model, tested)
        return ArmScore(
            arm=arm,
            seed=self._seed,
            score=self._measured(answers),
            learning_rate=rate,
            seconds=round(seconds, 3),
            trained=trained,
            examples=tuple(written(self._answer(answer)) for answer in answers[:EXAMPLES]) if self._first else (),
        )

    def _answer(self, output: NDArray[np.float32]) -> NDArray[np.bool_] | NDArray[np.float32]:
        return output if self._task == "localisation" else output[..., 0] > 0

    def _wanted(self, scenes: Scenes) -> NDArray[np.float32]:
        return scenes.boxes if self._task == "localisation" else scenes.masks[..., None].astype(np.float32)

    def _measured(self, answers: NDArray[Any]) -> float:
        if self._task == "localisation":
            return float(box_overlap(np.asarray(answers), self._test.boxes).mean())
        return float(mask_overlap(np.asarray(answers)[..., 0] > 0, self._test.masks).mean())

    def _model(self, body: keras.Model, weights: Weights, *, frozen: bool) -> Any:
        """The head alone on maps, or with the stages below it; first weights by seed, alike in every arm."""
        initializers = iter(range(100))

        def start() -> Any:  # Keras's own hints know names only
            return keras.initializers.GlorotUniform(seed=100 * self._seed + next(initializers))

        def convolution(tensor: Any, width: int, stride: int = 1) -> Any:
            layer = keras.layers.Conv2D(width, 3, stride, "same", activation="relu", kernel_initializer=start())
            return layer(tensor)

        begin = keras.Input(body.output_shape[1:] if frozen else SCENE)
        tensor = begin
        if not frozen:
            own = keras.models.clone_model(body)
            set_weights(own, weights)
            tensor = own(tensor)
        if self._task == "localisation":
            tensor = convolution(convolution(tensor, 32, 2), 32, 2)
            tensor = keras.layers.Flatten()(tensor)
            tensor = keras.layers.Dense(64, activation="relu", kernel_initializer=start())(tensor)
            tensor = keras.layers.Dense(4, activation="sigmoid", kernel_initializer=start())(tensor)
        else:
            tensor = keras.layers.UpSampling2D(2)(convolution(tensor, 32))
            tensor = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer=start())(convolution(tensor, 16))
            # The logits are enlarged and not the maps: a sixteenth of the work, and edges as smooth.
            tensor = keras.layers.UpSampling2D(SIDE // tensor.shape[1], interpolation="bilinear")(tensor)
        return keras.Model(begin, tensor)

    def _fit(self, model: Any, x: NDArray[np.float32], y: NDArray[np.float32], rate: float) -> None:
        loss = "mean_absolute_error" if self._task == "localisation" else keras.losses.BinaryCrossentropy(True)
        model.compile(keras.optimizers.Adam(rate), loss)
        order = batch_order(len(x), BATCH, self._steps, self._seed).reshape(-1)
        model.fit(x[order], y[order], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)


class _Pairs:
    """Same or different, with one seed's pairs."""

    def __init__(self, network: Backbone, learned: Weights, target: str, seed: int) -> None:
        self._network, self._learned, self._seed = network, learned, seed
        dataset = load(target)
        test = tested(dataset, seed)
        self.overlap = test.overlap
        self._shape = (28, 28, 1) if learned[network.stage_names[0]][0].shape[2] == 1 else (32, 32, 3)
        rng = np.random.default_rng([seed, 10])
        classes = len(dataset.spec.classes)
        by_class = [np.flatnonzero(test.labels == label) for label in range(classes)]
        first = rng.integers(classes, size=PAIRS)
        self._same = np.arange(PAIRS) % 2 == 0
        second = np.where(self._same, first, (first + rng.integers(1, classes, size=PAIRS)) % classes)
        pairs = zip(first, second, strict=True)
        drawn = np.array([[rng.choice(by_class[one]), rng.choice(by_class[other])] for one, other in pairs])
        # A picture is like itself, and so is a near copy.
        alike = np.arange(len(test.labels))
        if test.rows is not None and dataset.groups is not None:
            alike = dataset.groups[test.rows]
        self._use = alike[drawn[:, 0]] != alike[drawn[:, 1]]
        if len(set(self._same[self._use].tolist())) < 2:
            raise UserError(
                f"{target}: among the {len(test.labels)} pictures that seed {seed} tests on no two of one class are "
                "different enough to be a pair: add more pictures of each class"
            )
        self._images, self._places = np.unique(drawn, return_inverse=True)
        self._places = self._places.reshape(PAIRS, 2)
        self._pictures = scaled(adapt(test.images[self._images], self._shape))

    def floor(self) -> float:
        """Of a guess: half of the pairs of a same and a different one come out in the right order."""
        return 0.5

    def score(self, arm: ArmName) -> ArmScore:
        """Area under the ROC curve of the cosine between two pictures' features."""
        begin = time.perf_counter()
        features = self._features(arm)
        features = features - features.mean(axis=0)
        features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        one, other = features[self._places[:, 0]], features[self._places[:, 1]]
        score = roc_auc_score(self._same[self._use], (one * other).sum(axis=1)[self._use])
        seconds = round(time.perf_counter() - begin, 3)
        return ArmScore(arm=arm, seed=self._seed, score=float(score), learning_rate=None, seconds=seconds, trained=0)

    def _features(self, arm: ArmName) -> NDArray[np.float64]:
        if arm == "pixels":
            return self._pictures.reshape(len(self._pictures), -1).astype(np.float64)
        model = build_model(self._network, self._shape, None, "float32", pooled=True)
        fresh = initial_weights(self._network, self._shape, 10, stream_of(self._seed))
        weights = self._learned if arm == "frozen" else fresh
        set_weights(model, {name: weights[name] for name in self._network.stage_names})
        return _outputs(model, self._pictures).astype(np.float64)


def _outputs(model: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(model.predict(x, verbose=0))


def mask_overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union of pixels (Jaccard index).

    Args:
        found: Which pixels were found, shape (n, height, width).
        truth: Which there are, the same shape.

    Returns:
        One value a picture, in [0, 1]; 1 where there is nothing and nothing was found.
    """
    both = (found & truth).sum(axis=(1, 2))
    either = (found | truth).sum(axis=(1, 2))
    return np.where(either, both / np.maximum(either, 1), 1.0)


def box_overlap(found: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of boxes.

    Args:
        found: Left, top, right and lower edges, shape (n, 4); edges in the wrong order hold nothing.
        truth: The true ones, the same shape.

    Returns:
        One value a box, in [0, 1].
    """
    low, high = np.maximum(found[:, :2], truth[:, :2]), np.minimum(found[:, 2:], truth[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1) for box in (found, truth)]
    return both / np.maximum(areas[0] + areas[1] - both, 1e-12)
