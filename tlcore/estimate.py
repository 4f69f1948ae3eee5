"""Estimates: how well sources may transfer, from one forward pass over the labelled images, before any training.

The same labelled images and seeds as a comparison's are used, so that a seed's estimate and its measured gain are about
the same images. Nothing here imports Keras until features are computed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from tlcore.data.external import EXTERNAL
from tlcore.errors import UserError
from tlcore.experiment import Experiment, RunRecord
from tlcore.metrics.ranking import ESTIMATORS, Evidence, pearson, weighted_tau
from tlcore.metrics.similarity import debiased_cka, linear_cka
from tlcore.metrics.stats import Interval, mean_interval
from tlcore.saved import Saved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

GAINS = ("feature_extraction", "fine_tune_all")
"""The strategies whose gain over training from scratch an estimate is held against."""
SOURCE_EXAMPLES = 500  # source images that the proxy A-distance sees at most
FEWEST = 3  # sources that an order can be judged on


@dataclass(frozen=True)
class Seen:
    """What one seed shows of a source model on the target: an estimator's `Evidence`, and the pixels themselves.

    Args:
        evidence: Labels, source probabilities and features of both tasks.
        pixels: The target images that the features are of, in [0, 1], shape (n, pixels).
    """

    evidence: Evidence
    pixels: NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """A number that may foretell what transfer gains.

    Args:
        name: What the command line calls it.
        title: What a page calls it.
        sentence: What it measures, in one sentence.
        paper: Where it comes from.
        higher_is_better: Whether a higher value promises more from transfer.
        compute: Computes it; None where what it needs is not at hand.
    """

    name: str
    title: str
    sentence: str
    paper: str
    higher_is_better: bool
    compute: Callable[[Seen], float | None]


def _one_hot(labels: Any) -> NDArray[np.float64]:
    _, codes = np.unique(np.asarray(labels), return_inverse=True)
    return np.eye(int(codes.max()) + 1)[codes]


def _cka_with_labels(index: Callable[[Any, Any], float]) -> Callable[[Seen], float | None]:
    def compute(seen: Seen) -> float | None:
        return None if seen.evidence.features is None else index(seen.evidence.features, _one_hot(seen.evidence.labels))

    return compute


def _cka_with_pixels(seen: Seen) -> float | None:
    return None if seen.evidence.features is None else debiased_cka(seen.evidence.features, seen.pixels)


def _registered(name: str) -> Callable[[Seen], float | None]:
    estimator = ESTIMATORS[name]
    return lambda seen: estimator.compute(seen.evidence) if seen.evidence.has(estimator.needs) else None


KORNBLITH = "Kornblith et al. 2019"
SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        *(
            Score(item.name, item.title, item.sentence, item.paper, item.higher_is_better, _registered(item.name))
            for item in ESTIMATORS.values()
        ),
        Score(
            "cka_labels",
            "CKA with labels",
            "Debiased linear CKA of the source's features with the one-hot target labels: how far the features are "
            "already arranged by class.",
            f"{KORNBLITH}; Nguyen et al. 2021",
            True,
            _cka_with_labels(debiased_cka),
        ),
        Score(
            "linear_cka_labels",
            "Linear CKA with labels",
            "The same without the correction for few examples.",
            KORNBLITH,
            True,
            _cka_with_labels(linear_cka),
        ),
        Score(
            "cka_pixels",
            "CKA with pixels",
            "Debiased linear CKA of the source's features with the raw pixels: how little the source model changes "
            "what a linear model sees.",
            KORNBLITH,
            False,
            _cka_with_pixels,
        ),
    )
}


class SourceScores(Saved):
    """What the estimators say of one source.

    Args:
        source: Name of the source dataset.
        scores: One value a seed, by score.
        seconds: Seconds by score, over all seeds; ``features`` for the forward passes that all of them share.
        missing: Why a score is not there, by score.
    """

    source: str
    scores: dict[str, tuple[float, ...]]
    seconds: dict[str, float]
    missing: dict[str, str] = Field(default_factory=dict)

    def interval(self, score: str) -> Interval | None:
        """A score's mean and t interval over seeds; None where it is missing."""
        return mean_interval(self.scores[score]) if score in self.scores else None


class Agreement(Saved):
    """How well one score foretold the measured gains of one strategy over the sources.

    Args:
        score: Name of the score.
        strategy: The strategy whose gain over training from scratch was measured.
        weighted_tau: Kendall's τ weighted towards the top, of scores turned so that higher is better.
        pearson: Pearson's r, likewise turned.
        sources: The sources compared, in order.
        scores: Mean score of each.
        gains: Mean gain of each, paired by seed, in accuracy.
    """

    score: str
    strategy: str
    weighted_tau: float
    pearson: float
    sources: tuple[str, ...]
    scores: tuple[float, ...]
    gains: tuple[float, ...]


class Estimate(Saved):
    """Estimates of several sources for one target, and how they agree with measured gains where those are known.

    Args:
        experiments: One a source: the target, the backbone, the label budget and the seeds are shared.
        sources: What the estimators say, in the same order.
        agreements: How well each score foretold the gains; empty without measured gains of three sources.
        records: The records that the gains come from.
    """

    kind: ClassVar[str] = "an estimate"
    experiments: tuple[Experiment, ...]
    sources: tuple[SourceScores, ...]
    agreements: tuple[Agreement, ...] = ()
    records: tuple[RunRecord, ...] = ()

    def table(self) -> pd.DataFrame:
        """One row a score: its mean for every source, and the agreements."""
        from tlcore.views.sweeps import estimate_table

        return estimate_table(self)

    def against(self, records: Iterable[RunRecord]) -> Estimate:
        """Hold the estimates against measured gains.

        Args:
            records: Records of any experiments; those of the same target, backbone and label budget count.

        Returns:
            This estimate with the agreements.

        Raises:
            UserError: If they give gains for fewer than three of the sources: an order of two says nothing.
        """
        asked = self.experiments[0]
        fitting = tuple(
            record
            for record in records
            if record.strategy in ("scratch", *GAINS)
            and _question(record.experiment) == _question(asked)
            and record.experiment.source in {scores.source for scores in self.sources}
        )
        gains = {name: measured_gains(fitting, name) for name in GAINS}
        known = max(len(by_source) for by_source in gains.values())
        if known < FEWEST:
            raise UserError(
                f"measured gains are known for {known} of the sources ({asked.target}, {asked.backbone}, "
                f"{asked.labels_per_class} labels a class): judging an order needs {FEWEST} or more"
            )
        found = [
            item
            for strategy, by_source in gains.items()
            for score in SCORES
            if (item := _agreement(score, strategy, self.sources, by_source)) is not None
        ]
        return self.model_copy(update={"agreements": tuple(found), "records": fitting})


def measured_gains(records: Iterable[RunRecord], strategy: str) -> dict[str, float]:
    """Mean gain in accuracy of a strategy over training from scratch, by source.

    Args:
        records: Records of experiments that differ in their source only.
        strategy: Name of the strategy.

    Returns:
        The mean over the seeds that both have, by source; sources without a common seed are left out.
    """
    accuracies: dict[str, dict[str, dict[int, float]]] = {}
    for record in records:
        by_strategy = accuracies.setdefault(record.experiment.source, {})
        by_strategy.setdefault(record.strategy, {})[record.seed] = record.test_accuracy
    gains: dict[str, float] = {}
    for source, by_strategy in accuracies.items():
        ours, scratch = by_strategy.get(strategy, {}), by_strategy.get("scratch", {})
        differences = [ours[seed] - scratch[seed] for seed in sorted(ours) if seed in scratch]
        if differences:
            gains[source] = float(np.mean(differences))
    return gains


def plan_estimate(sources: Sequence[str], given: Mapping[str, Any]) -> tuple[Experiment, ...]:
    """Check every source before anything is computed.

    Args:
        sources: Names of the sources.
        given: The other fields of the experiment.

    Returns:
        One experiment a source, of the strategies whose gains an estimate is held against.

    Raises:
        UserError: If there is no source, one is named twice, or one cannot be used with the rest.
    """
    if not sources:
        raise UserError("name at least one source")
    if len(set(sources)) != len(sources):
        raise UserError("a source is named twice: name each once")
    return tuple(Experiment.of(**{**given, "source": name, "strategies": ("scratch", *GAINS)}) for name in sources)


def estimate(experiments: Sequence[Experiment], on_source: Callable[[str], None] = lambda _: None) -> Estimate:
    """Compute every score for every source.

    Args:
        experiments: One a source, as `plan_estimate` gives them.
        on_source: Told the name of the source that is looked at next.

    Returns:
        The estimates; no arm is trained, but a source model that is not there is.

    Raises:
        UserError: If data or a source model cannot be had, or two tasks share images.
    """
    found: list[SourceScores] = []
    for experiment in experiments:
        on_source(experiment.source)
        found.append(scores_of(experiment))
    return Estimate(experiments=tuple(experiments), sources=tuple(found))


def scores_of(experiment: Experiment) -> SourceScores:
    """Compute every score of one source model on one target.

    Args:
        experiment: Source, target, backbone, label budget and seeds.

    Returns:
        The scores.

    Raises:
        UserError: As `estimate`.
    """
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {"features": 0.0}
    missing: dict[str, str] = {}
    _prepare(experiment)
    for seed in experiment.seed_values:
        begin = time.perf_counter()
        seen = look(experiment, seed)
        seconds["features"] += time.perf_counter() - begin
        for score in SCORES.values():
            begin = time.perf_counter()
            try:
                value = score.compute(seen)
            except ValueError as error:  # features that no such number is defined for
                value, missing[score.name] = None, str(error)
            seconds[score.name] = seconds.get(score.name, 0.0) + time.perf_counter() - begin
            if value is None:
                missing.setdefault(score.name, "what it needs of the source is not on this machine")
            else:
                scores.setdefault(score.name, []).append(value)
    return SourceScores(
        source=experiment.source,
        # A score that fails for one seed has no mean over the seeds.
        scores={name: tuple(values) for name, values in scores.items() if name not in missing},
        seconds={name: round(value, 4) for name, value in seconds.items() if name not in missing},
        missing=missing,
    )


def look(experiment: Experiment, seed: int) -> Seen:
    """Pass a seed's labelled images once through the source model.

    Args:
        experiment: Source, target, backbone and label budget.
        seed: Seed of the labelled images, as in a comparison.

    Returns:
        What was seen: features of the whole backbone, the source head's probabilities, and the features of as many
        source training images (`SOURCE_EXAMPLES` at most) as the seed draws.

    Raises:
        UserError: If data or a source model cannot be had, or the two tasks share images.
    """
    _prepare(experiment)  # first: it loads Keras, and quietly
    from tlcore.data import get_dataset, load
    from tlcore.data.adapt import adapt
    from tlcore.data.labels import split_labels
    from tlcore.features import FrozenStages
    from tlcore.models import get_backbone
    from tlcore.models.build import HEAD
    from tlcore.pretrain import source_checkpoint
    from tlcore.train import scaled

    target, backbone = load(experiment.target), get_backbone(experiment.backbone)
    split = split_labels(target, experiment.labels_per_class, experiment.validation_per_class, seed)
    images = adapt(target.x_train[split.labelled], experiment.shape)
    weights = source_checkpoint(experiment, "float32").weights
    stages = FrozenStages(backbone, experiment.shape, "float32", len(backbone.stages), weights)

    def features(of: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = np.asarray(stages(of))
        if values.ndim == 4 and backbone.pooling == "average":
            return values.mean(axis=(1, 2))
        return values.reshape(len(values), -1).astype(np.float32, copy=False)

    own = features(images)
    theirs: NDArray[np.float32] | None = None
    if experiment.source not in EXTERNAL and get_dataset(experiment.source).looks() is not None:
        source = load(experiment.source)
        count = min(max(len(images), 50), SOURCE_EXAMPLES, len(source.x_train))
        rows = np.random.default_rng([seed, 6]).choice(len(source.x_train), count, replace=False)
        theirs = features(source.x_train[np.sort(rows)])
    evidence = Evidence(
        labels=target.y_train[split.labelled],
        source_probabilities=_softmax(own @ weights[HEAD][0] + weights[HEAD][1]) if HEAD in weights else None,
        features=own,
        source_features=theirs,
    )
    return Seen(evidence, scaled(images).reshape(len(images), -1))


def _prepare(experiment: Experiment) -> None:
    """Do what belongs to no score: read the images, check the pair, train a source model that is not there."""
    from tlcore import backend
    from tlcore.data import load
    from tlcore.data.pairs import check_pair
    from tlcore.pretrain import source_checkpoint

    check_pair(experiment.source, experiment.target)
    load(experiment.target)
    source_checkpoint(experiment, backend.resolve_precision("float32"))


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _question(experiment: Experiment) -> tuple[str, str, int]:
    return experiment.target, experiment.backbone, experiment.labels_per_class


def _agreement(
    score: str, strategy: str, sources: Sequence[SourceScores], gains: Mapping[str, float]
) -> Agreement | None:
    pairs = [
        (item.source, float(np.mean(item.scores[score])), gains[item.source])
        for item in sources
        if score in item.scores and item.source in gains
    ]
    if len(pairs) < FEWEST:
        return None
    names, values, measured = zip(*pairs, strict=True)
    sign = 1 if SCORES[score].higher_is_better else -1
    turned = [sign * value for value in values]
    try:
        tau, r = weighted_tau(turned, measured), pearson(turned, measured)
    except ValueError:  # all sources score alike, or gain alike: there is no order to agree on
        return None
    return Agreement(
        score=score, strategy=strategy, weighted_tau=tau, pearson=r, sources=names, scores=values, gains=measured
    )
