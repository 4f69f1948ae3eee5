"""Sweeps, maps and estimates as pages show them, and predictions drawn into results: on the recorded results."""

from __future__ import annotations

import pytest

from tests.views import samples
from tlcore import views
from tlcore.estimate import Estimate
from tlcore.experiment import Experiment
from tlcore.presets import PRESETS
from tlcore.recorded import read_recorded
from tlcore.scenario import Scenario
from tlcore.strategies import STRATEGIES
from tlcore.sweep import Sweep

SWEEPS = [name for name, preset in PRESETS.items() if preset.vary]
EXPERIMENT = Experiment(strategies=("scratch", "feature_extraction", "fine_tune_all"))
ORDER = ("fine_tune_all", "scratch", "feature_extraction")


def values_of(figure) -> list[float]:
    """Every number that is drawn along x or y."""
    return [value for trace in figure.data for axis in (trace.x, trace.y) for value in axis]


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_is_told_drawn_and_tabled(name: str) -> None:
    sweep = read_recorded(name)
    assert isinstance(sweep, Sweep)
    sentence = views.sweep_sentence(sweep)
    for strategy in sweep.strategies:
        assert (views.title_of(strategy) in sentence) == (STRATEGIES[strategy].kind == "transfer")
    means = [100 * interval.mean for strategy in sweep.strategies for interval in sweep.accuracy(strategy)]
    drawn = values_of(views.study_figure(sweep))
    assert all(any(abs(mean - value) < 1e-9 for value in drawn) for mean in means)
    table = views.sweep_summary(sweep)
    assert len(table) == len(sweep.values) * len(sweep.strategies)
    assert sorted(table["Test accuracy (%)"]) == pytest.approx(sorted(means))


def test_names_are_said_as_titles() -> None:
    assert views.named_value("source", "mnist") == "MNIST digits"
    assert views.named_value("source_images", 10000) == "10,000"
    assert views.named_value("backbone", "cnn_deep") == "Deeper CNN"


def test_the_map_shows_every_cell() -> None:
    scenario = read_recorded("scenarios")
    assert isinstance(scenario, Scenario)
    figure = views.scenario_figure(scenario)
    arms = sum(len(cell.comparison.experiment.strategies) for cell in scenario.cells)
    assert len(figure.data) == arms
    assert sum(trace.marker.symbol == "star" for trace in figure.data) >= 4


def test_an_estimate_names_its_best_and_its_worst_score() -> None:
    estimate = read_recorded("estimates")
    assert isinstance(estimate, Estimate)
    assert len(views.estimate_figure(estimate).data) == len(estimate.agreements)
    assert f"{len(estimate.agreements[0].sources)} sources" in views.estimate_sentence(estimate)
    assert "points against scratch" in views.gains_sentence(estimate)


def records(**accuracies: tuple[float, ...]):
    return samples.records(EXPERIMENT, **accuracies)


def test_a_predicted_order_is_drawn_and_judged_by_intervals() -> None:
    found = records(
        scratch=(0.70, 0.71, 0.70), feature_extraction=(0.80, 0.81, 0.80), fine_tune_all=(0.705, 0.700, 0.712)
    )
    guess = views.Guess(order=ORDER)
    texts = [note.text for note in views.predicted_figure(found, guess).layout.annotations]
    assert sum("you said" in str(text) for text in texts) == 3
    sentence = views.prediction_sentence(found, guess)
    assert "Of 3 pairs 0 are as you said, 2 the other way round, 1 left open by the interval." in sentence
    best = views.Guess(order=("feature_extraction", "scratch"))
    assert views.prediction_sentence(found, best).endswith("As you said.")


def test_a_predicted_accuracy_is_drawn_beside_the_measured() -> None:
    found = records(scratch=(0.70, 0.71, 0.72), feature_extraction=(0.8, 0.81, 0.8), fine_tune_all=(0.7, 0.7, 0.7))
    near, far = (views.Guess(accuracy=value, strategy="scratch") for value in (71.0, 20.0))
    assert "within the interval" in views.prediction_sentence(found, near)
    assert "51 points away" in views.prediction_sentence(found, far)
    low, high = views.predicted_figure(found, far).layout.xaxis.range
    assert low < 20 < high


def test_nothing_was_predicted() -> None:
    found = records(scratch=(0.7, 0.71, 0.72), feature_extraction=(0.8, 0.81, 0.8), fine_tune_all=(0.7, 0.7, 0.7))
    assert views.prediction_sentence(found, views.Guess()) == ""
    assert views.prediction_sentence(found, views.Guess(order=("lora", "scratch"))) == ""
    assert len(views.predicted_figure(found, None).data) == 6
