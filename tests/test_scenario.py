"""The 2 × 2 map: which source is near is measured, advice is judged by paired intervals and nothing else."""

from __future__ import annotations

import pytest

from tests.views import samples
from tlcore.errors import UserError
from tlcore.estimate import SourceScores
from tlcore.experiment import Experiment
from tlcore.results import Comparison
from tlcore.scenario import STRATEGIES_COMPARED, TEXTBOOK, Scenario, not_distinguishable, plan_scenario, scenario
from tlcore.strategies import STRATEGIES

ARMS = {
    "scratch": (0.60, 0.61, 0.62),
    "feature_extraction": (0.80, 0.81, 0.82),
    "fine_tune_last": (0.79, 0.82, 0.80),
    "fine_tune_all": (0.70, 0.71, 0.72),
    "random_features": (0.9, 0.9, 0.9),  # a control can never be the advice, however well it does
    "pixel_baseline": (0.5, 0.5, 0.5),
}


def fake(experiment: Experiment) -> Comparison:
    return Comparison(experiment, tuple(samples.records(experiment, **ARMS)))


def scores(experiment: Experiment, near: str = "cifar10_cars") -> SourceScores:
    distance = 0.1 if experiment.source == near else 1.9
    return SourceScores(source=experiment.source, scores={"proxy_a_distance": (distance,) * 3}, seconds={})


def test_the_map_names_best_as_good_and_verdict() -> None:
    found = scenario(plan_scenario(), fake, scores)
    similar_few, similar_many, different_few, different_many = found.cells
    assert [(cell.similar, cell.abundant) for cell in found.cells] == [
        (True, False),
        (True, True),
        (False, False),
        (False, True),
    ]
    assert found.distances == pytest.approx((0.1, 1.9))
    assert similar_few.best == "feature_extraction"
    assert similar_few.as_good == ("feature_extraction", "fine_tune_last")
    assert (similar_few.verdict, similar_few.shortfall) == ("is the measured best", None)
    assert similar_many.verdict == "does not hold"
    assert similar_many.shortfall is not None
    assert similar_many.shortfall.mean_difference == pytest.approx(-0.1)
    assert different_few.verdict == "as good as the best"
    assert different_many.verdict == "does not hold"
    assert "does not hold, -10.0 points" in different_many.sentence()
    assert len(found.table()) == 4
    assert len(found.records) == 4 * 3 * len(STRATEGIES_COMPARED)


def test_one_seed_gives_no_verdict() -> None:
    one = {name: values[:1] for name, values in ARMS.items()}
    run = lambda e: Comparison(e, tuple(samples.records(e, **one)))  # noqa: E731
    found = scenario(plan_scenario(given={"seeds": 1}), run, scores)
    assert found.cells[1].verdict == "one seed: no verdict"
    assert found.cells[1].sentence()
    assert not_distinguishable(found.cells[0].comparison.records, found.cells[0].candidates) == ("feature_extraction",)


def test_near_is_what_was_measured_to_be_near() -> None:
    with pytest.raises(UserError, match="exchange them"):
        scenario(plan_scenario("mnist", "cifar10_cars"), fake, scores)


def test_a_map_comes_back_from_its_json() -> None:
    found = scenario(plan_scenario(), fake, scores)
    assert Scenario.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"near": "mnist", "far": "mnist"}, "name two"),
        ({"few": 20, "many": 20}, "less than"),
        ({"few": "x"}, "whole number"),
        ({"near": "cifar10_trucks"}, "two different"),
        ({"given": {"labels_per_class": 3}}, "few and many"),
        ({"given": {"source": "mnist"}}, "near and far"),
        ({"far": "mnits"}, "did you mean mnist"),
    ],
)
def test_a_wrong_map_is_refused(arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        plan_scenario(**arguments)  # pyright: ignore[reportArgumentType]


def test_every_advice_can_be_measured() -> None:
    assert {(item.similar, item.abundant) for item in TEXTBOOK} == {
        (a, b) for a in (True, False) for b in (True, False)
    }
    for item in TEXTBOOK:
        assert set(item.strategies) <= set(STRATEGIES_COMPARED)
        assert all(STRATEGIES[name].kind != "control" for name in item.strategies)
