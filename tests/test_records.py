"""The recorded results: they answer their presets' experiments, and measuring an arm again agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tlcore.arm import run_arm
from tlcore.metrics.stats import mean_interval
from tlcore.presets import PRESETS, RECORDS
from tlcore.results import Comparison

HOW = "run python -m tlcore record"
# Cheap arms of two kinds: one trains a head on the source's features, the other has no network at all.
CHEAP = ("feature_extraction", "pixel_baseline")
every_preset = pytest.mark.parametrize("name", PRESETS)


def recorded(name: str) -> Comparison:
    """A preset's record."""
    path = PRESETS[name].record_path
    assert path.is_file(), f"there is no {path}: {HOW}"
    return Comparison.read(path)


@every_preset
def test_a_record_answers_its_presets_experiment(name: str) -> None:
    comparison, experiment = recorded(name), PRESETS[name].experiment
    assert comparison.experiment == experiment, f"the preset has changed since: {HOW}"
    arms = [(strategy, seed) for strategy in experiment.strategies for seed in experiment.seed_values]
    assert [(record.strategy, record.seed) for record in comparison.records] == arms
    for record in comparison.records:
        assert record.experiment == experiment
        assert record.status == "finished", record.message
        assert {use.name for use in record.datasets.values()} == {experiment.source, experiment.target}
        confusion = np.array(record.confusion)
        assert np.trace(confusion) / confusion.sum() == pytest.approx(record.test_accuracy)
        assert record.steps in (0, experiment.steps)
    assert {item.strategy for item in comparison.comparisons} == set(experiment.strategies) - {"scratch"}


@every_preset
def test_every_arm_of_a_record_was_measured_alike(name: str) -> None:
    records = recorded(name).records
    for seed in PRESETS[name].experiment.seed_values:
        assert len({record.labels.sha256 for record in records if record.seed == seed}) == 1
    assert len({record.datasets["target"].sha256 for record in records}) == 1
    assert len({record.environment.precision for record in records}) == 1
    assert len({record.source_model.sha256 for record in records if record.source_model}) == 1


def test_every_record_is_a_presets() -> None:
    assert {path.stem for path in RECORDS.glob("*.json")} == set(PRESETS), HOW


@pytest.mark.real_data
@pytest.mark.parametrize("strategy", CHEAP)
@every_preset
def test_measuring_an_arm_again_agrees(name: str, strategy: str) -> None:
    comparison = recorded(name)
    arms = [record for record in comparison.records if record.strategy == strategy]
    assert arms, f"{name} has no {strategy}"
    interval = mean_interval([record.test_accuracy for record in arms])
    half = math.inf if interval.low is None else interval.mean - interval.low
    again = run_arm(comparison.experiment, strategy, arms[0].seed)
    assert again.labels == arms[0].labels
    assert again.test_accuracy == pytest.approx(arms[0].test_accuracy, abs=max(half, 0.02))
