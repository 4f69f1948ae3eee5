"""Records that look like the engine's, made from a seeded formula: to test how results are shown, never as results."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np

from tlcore.costs import Cost, Costs, input_shape_of
from tlcore.data.registry import get_dataset
from tlcore.experiment import (
    CurvePoint,
    DatasetUse,
    Environment,
    Experiment,
    LabelBudget,
    RunRecord,
    Selection,
    SourceModel,
    StageUse,
    fits,
)
from tlcore.models.registry import get_backbone
from tlcore.strategies import STRATEGIES

FINAL = {
    "scratch": 0.70,
    "feature_extraction": 0.66,
    "freeze_conv": 0.72,
    "fine_tune_last": 0.71,
    "fine_tune_all": 0.735,
    "random_features": 0.58,
    "direct_reuse": 0.104,
    "pixel_baseline": 0.64,
}
"""Accuracy around which an arm's seeds lie; 0.69 for the others."""
ALL_ARMS = tuple(name for name in STRATEGIES if fits(name, get_backbone("cnn_small"), None))
CARS = Experiment(source="cifar10_cars", target="cifar10_trucks", labels_per_class=10)


def curve(experiment: Experiment, strategy: str, seed: int, final: float) -> tuple[CurvePoint, ...]:
    """Thirteen looks that rise towards `final`."""
    if STRATEGIES[strategy].name in ("direct_reuse", "pixel_baseline"):
        return ()
    rng = np.random.default_rng([seed, len(strategy)])
    steps = sorted({round(experiment.steps * part / 12) for part in range(13)})
    start = 1 / len(get_dataset(experiment.target).classes)
    speed = 4.0 if strategy == "scratch" else 8.0
    points: list[CurvePoint] = []
    for step in steps:
        grown = final - (final - start) * math.exp(-speed * step / experiment.steps)
        seen = min(1.0, max(0.0, grown + float(rng.normal(0, 0.006))))
        points.append(
            CurvePoint(
                step=step,
                seconds=step * 0.004,
                train_loss=2.3 * math.exp(-3 * step / experiment.steps) + 0.05,
                train_accuracy=min(1.0, seen + 0.15 * step / experiment.steps),
                validation_accuracy=seen,
            )
        )
    return tuple(points)


def stages(experiment: Experiment, strategy: str) -> tuple[StageUse, ...]:
    """What the recipe does to each stage, with made-up but plausible counts."""
    backbone = get_backbone(experiment.backbone)
    recipe = STRATEGIES[strategy].recipe(backbone, experiment.cut)
    classes = len(get_dataset(experiment.target).classes)
    if recipe.learner == "pixels":
        pixels = 785 * classes
        return (StageUse(name="head", kind="logistic regression", parameters=pixels, origin="random", mode="trained"),)
    if recipe.small:
        backbone = get_backbone(backbone.student)
    uses = [
        StageUse(
            name=stage.name,
            kind=stage.kind,
            parameters=stage.width * (145 if stage.kind == "conv" else 1569),
            origin=recipe.origin(stage.name),
            mode=recipe.mode(stage.name),
        )
        for stage in backbone.stages
    ]
    head = StageUse(
        name="head",
        kind="dense",
        parameters=(backbone.feature_width + 1) * classes,
        origin="transferred" if recipe.head == "source" else "random",
        mode="trained" if recipe.phases else "frozen",
    )
    return (*uses, head)


def confusion(classes: int, accuracy: float, *, foreign: bool, per_class: int = 100) -> tuple[tuple[int, ...], ...]:
    """`per_class` test images a class, `accuracy` of them right, the others spread."""
    right = round(per_class * accuracy)
    rows: list[tuple[int, ...]] = []
    for label in range(classes):
        row = [0] * (classes + foreign)
        row[label] = right
        for wrong in range(per_class - right):
            row[(label + 1 + wrong) % len(row)] += 1
        rows.append(tuple(row))
    return tuple(rows)


def record(
    experiment: Experiment,
    strategy: str,
    seed: int,
    accuracy: float | None = None,
    *,
    created: datetime = datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
) -> RunRecord:
    """One arm with one seed.

    Args:
        experiment: What was asked for.
        strategy: The arm.
        seed: The repetition.
        accuracy: Its test accuracy; None for a value near the arm's usual one.
        created: When it was finished.

    Returns:
        A valid record.
    """
    rng = np.random.default_rng([seed, 7])
    shared = float(rng.normal(0, 0.012))  # a lucky draw of labels helps every arm, as in real life
    own = float(np.random.default_rng([seed, len(strategy), 9]).normal(0, 0.006))
    final = FINAL.get(strategy, 0.69) + shared + own if accuracy is None else accuracy
    source, target = get_dataset(experiment.source), get_dataset(experiment.target)
    classes = len(target.classes)
    recipe = STRATEGIES[strategy].recipe(get_backbone(experiment.backbone), experiment.cut)
    uses = stages(experiment, strategy)
    rate = {"scratch": 3e-3, "fine_tune_all": 1e-3}.get(strategy, 1e-2) if recipe.phases else None
    chosen = rate if recipe.learner == "network" else 1.0
    setting = "C" if recipe.learner == "pixels" else "learning_rate" if recipe.phases else "none"
    points = curve(experiment, strategy, seed, final)
    budget = experiment.labels_per_class * classes
    return RunRecord(
        experiment=experiment,
        strategy=strategy,
        seed=seed,
        test_accuracy=final,
        validation_accuracy=points[-1].validation_accuracy if points else final,
        train_accuracy=min(1.0, final + 0.2),
        confusion=confusion(classes, final, foreign=recipe.head == "source" and len(source.classes) > classes),
        curve=points,
        steps=experiment.steps if recipe.phases else 0,
        seconds=1.2 if recipe.phases else 0.1,
        phase_seconds={"selection": 3.4, "training": 1.2, "test": 0.6} if recipe.phases else {"test": 0.6},
        learning_rate=rate,
        selection=Selection(
            setting=setting,
            method="best accuracy on the validation part" if setting != "none" else "nothing is trained",
            scores={"0.001": 0.6, "0.01": 0.66} if setting == "learning_rate" else {},
            chosen=chosen if setting != "none" else None,
        ),
        trainable_parameters=sum(use.parameters for use in uses if use.mode == "trained"),
        total_parameters=sum(use.parameters for use in uses),
        stages=uses,
        labels=LabelBudget(
            training=budget,
            validation=experiment.validation_per_class * classes,
            observation=target.observation_per_class * classes,
            test=100 * classes,
            sha256=f"{seed:064d}",
        ),
        datasets={
            "source": DatasetUse(
                name=source.name,
                title=source.title,
                provenance="sample",
                sha256="0" * 64,
                classes=source.classes,
            ),
            "target": DatasetUse(
                name=target.name,
                title=target.title,
                provenance="sample",
                sha256="1" * 64,
                classes=target.classes,
            ),
        },
        source_model=SourceModel(
            key="a" * 16,
            provenance="shipped with the project",
            sha256="2" * 64,
            epochs=4,
            images=60000,
            test_accuracy=0.99,
            seconds=80.0,
        )
        if recipe.needs_source
        else None,
        environment=Environment(
            tlcore="0.1.0",
            python="3.11.9",
            packages={"keras": "3.15.1", "tensorflow": "2.21.0"},
            backend="tensorflow",
            device="CPU",
            machine="Sample processor, 2 cores",
            threads=1,
            precision="float32",
        ),
        created=created,
    )


def records(experiment: Experiment | None = None, **accuracies: tuple[float, ...]) -> list[RunRecord]:
    """Every arm of an experiment, in the experiment's order.

    Args:
        experiment: What was asked for; None for MNIST to Fashion-MNIST with every strategy.
        **accuracies: Test accuracies by strategy, one a seed, where the usual ones will not do.

    Returns:
        The records.
    """
    asked = experiment or Experiment(strategies=ALL_ARMS)
    return [
        record(asked, strategy, seed, accuracies[strategy][place] if strategy in accuracies else None)
        for strategy in asked.strategies
        for place, seed in enumerate(asked.seed_values)
    ]


def cars() -> list[RunRecord]:
    """Cars to trucks with transfer far ahead, as real records have it."""
    return records(
        CARS,
        scratch=(0.63, 0.65, 0.66),
        feature_extraction=(0.79, 0.80, 0.81),
        fine_tune_last=(0.80, 0.79, 0.82),
        fine_tune_all=(0.78, 0.81, 0.80),
    )


def costs() -> Costs:
    """What three networks cost, with made-up but plausible measurements."""
    sizes = {"resnet50": (23_587_712, 30.0), "xception": (20_861_480, 21.0), "cnn_small": (267_000, 9000.0)}
    return Costs(
        costs=tuple(
            Cost(
                backbone=name,
                title=get_backbone(name).title,
                input_shape=input_shape_of(get_backbone(name)),
                parameters=parameters,
                weights_bytes=round(4 * parameters / 1e5 + 4.5) * 100_000,
                feature_width=get_backbone(name).feature_width,
                images_per_second=speed,
                others=0.02,
                memory_bytes=300_000_000,
                top1=known.top1 if (known := get_backbone(name).application) else None,
                top1_source=known.top1_source if known else "",
                licence=get_backbone(name).licence,
                paper=get_backbone(name).paper,
            )
            for name, (parameters, speed) in sizes.items()
        ),
        batch=32,
        environment=Environment(
            tlcore="0.1.0",
            python="3.11.9",
            packages={"keras": "3.15.1", "tensorflow": "2.21.0"},
            backend="tensorflow",
            device="CPU",
            machine="Sample processor, 2 cores",
            threads=1,
            precision="float32",
        ),
        created=datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
    )
