"""The recorded results: they answer their presets' experiments, and measuring an arm again agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tlcore.arm import run_arm
from tlcore.beyond.results import TASKS
from tlcore.estimate import Estimate
from tlcore.experiment import RunRecord
from tlcore.metrics.stats import mean_interval
from tlcore.presets import PRESETS, RECORDS
from tlcore.recorded import Recorded, read_recorded
from tlcore.results import Comparison

HOW = "run python -m tlcore record"
# Cheap arms of two kinds: one trains a head on the source's features, the other has no network at all.
CHEAP = ("feature_extraction", "pixel_baseline")
OTHERS = {"costs", "recipe", *(f"beyond_{task}" for task in TASKS)}  # recorded by commands of their own
SINGLE = [name for name, preset in PRESETS.items() if len(preset.experiments) == 1]
every_preset = pytest.mark.parametrize("name", PRESETS)
every_comparison = pytest.mark.parametrize("name", SINGLE)


def recorded(name: str) -> Recorded:
    """A preset's record."""
    assert PRESETS[name].record_path.is_file(), f"there is no {PRESETS[name].record_path}: {HOW}"
    return read_recorded(name)


def comparison_of(name: str) -> Comparison:
    """The record of a preset that runs one comparison."""
    found = recorded(name)
    assert isinstance(found, Comparison)
    return found


@every_preset
def test_a_record_answers_its_preset(name: str) -> None:
    found, experiments = recorded(name), PRESETS[name].experiments
    by_experiment: dict[str, list[RunRecord]] = {}
    for record in found.records:
        by_experiment.setdefault(record.experiment.content_hash(), []).append(record)
    if isinstance(found, Estimate):
        assert found.experiments == experiments, f"the preset has changed since: {HOW}"
        return  # its records are another preset's
    hashes = [experiment.content_hash() for experiment in experiments]
    assert list(by_experiment) == hashes, f"the preset has changed since: {HOW}"
    for experiment in experiments:
        records = by_experiment[experiment.content_hash()]
        arms = [(strategy, seed) for strategy in experiment.strategies for seed in experiment.seed_values]
        assert [(record.strategy, record.seed) for record in records] == arms
        for record in records:
            # A rate that is far too high may blow a network up: that is what such a sweep is there to show.
            assert record.status == "finished" or (experiment.learning_rate or 0) > 0.01, record.message
            assert {use.name for use in record.datasets.values()} == {experiment.source, experiment.target}
            confusion = np.array(record.confusion)
            assert np.trace(confusion) / confusion.sum() == pytest.approx(record.test_accuracy)
            assert record.status == "diverged" or record.steps in (0, experiment.steps)


@every_preset
def test_every_arm_of_a_record_was_measured_alike(name: str) -> None:
    for experiment in PRESETS[name].experiments:
        wanted = experiment.content_hash()
        records = [record for record in recorded(name).records if record.experiment.content_hash() == wanted]
        for seed in experiment.seed_values:
            assert len({record.labels.sha256 for record in records if record.seed == seed}) <= 1
        assert len({record.datasets["target"].sha256 for record in records}) <= 1
        assert len({record.environment.precision for record in records}) <= 1
        assert len({record.source_model.sha256 for record in records if record.source_model}) <= 1


def test_every_record_is_a_presets() -> None:
    assert {path.stem for path in RECORDS.glob("*.json")} - OTHERS == set(PRESETS), HOW


@pytest.mark.real_data
@pytest.mark.parametrize("strategy", CHEAP)
@every_comparison
def test_measuring_an_arm_again_agrees(name: str, strategy: str) -> None:
    comparison = comparison_of(name)
    arms = [record for record in comparison.records if record.strategy == strategy]
    if not arms:
        pytest.skip(f"{name} has no {strategy}")
    interval = mean_interval([record.test_accuracy for record in arms])
    half = math.inf if interval.low is None else interval.mean - interval.low
    again = run_arm(comparison.experiment, strategy, arms[0].seed)
    assert again.labels == arms[0].labels
    assert again.test_accuracy == pytest.approx(arms[0].test_accuracy, abs=max(half, 0.02))
