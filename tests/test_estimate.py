"""Estimates before training: every score on the very images of a comparison, judged against measured gains."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.views import samples
from tlcore.errors import UserError
from tlcore.estimate import SCORES, Estimate, SourceScores, estimate, look, measured_gains, plan_estimate, scores_of
from tlcore.experiment import Experiment
from tlcore.metrics.ranking import ESTIMATORS

GIVEN = {"target": "uci_digits", "labels_per_class": 5, "seeds": 2}
SOURCES = ("mnist", "fashion_mnist", "drawn_digits")


@cache
def found() -> Estimate:
    """Two shipped sources, really looked at."""
    return estimate(plan_estimate(SOURCES[:2], GIVEN))


def made(values: dict[str, float], score: str = "leep") -> Estimate:
    """An estimate with given scores."""
    return Estimate(
        experiments=plan_estimate(tuple(values), GIVEN),
        sources=tuple(
            SourceScores(source=name, scores={score: (value,)}, seconds={}) for name, value in values.items()
        ),
    )


def measured(gains: dict[str, float]) -> list[samples.RunRecord]:
    """Records in which each source's transfer gains so much."""
    return [
        samples.record(experiment, strategy, seed, 0.6 + 0.01 * seed + (0 if strategy == "scratch" else gain))
        for source, gain in gains.items()
        for experiment in plan_estimate((source,), GIVEN)
        for strategy in experiment.strategies
        for seed in (0, 1)
    ]


def test_every_score_is_computed_for_every_seed() -> None:
    assert set(ESTIMATORS) < set(SCORES)
    for scores in found().sources:
        assert set(scores.scores) | set(scores.missing) == set(SCORES)
        assert all(len(values) == 2 for values in scores.scores.values())
        assert "proxy_a_distance" in scores.scores or scores.missing  # its source pictures may not be here
        assert {"features", "leep", "cka_labels"} <= set(scores.seconds)
        interval = scores.interval("log_me")
        assert interval is not None
        assert interval.n == 2
        assert scores.interval("nothing") is None


def test_digits_are_nearer_to_digits_than_clothes_are() -> None:
    near, far = found().sources
    for name in ("leep", "nce", "h_score", "log_me", "cka_labels"):
        assert min(near.scores[name]) > max(far.scores[name]), name


def test_an_estimate_comes_back_from_its_json() -> None:
    assert Estimate.from_json(found().to_json()) == found()
    assert len(found().table()) == len(SCORES)


def test_the_images_are_those_of_a_comparison() -> None:
    from tlcore.data import load
    from tlcore.data.labels import split_labels

    experiment = plan_estimate(("mnist",), GIVEN)[0]
    seen = look(experiment, 1)
    target = load("uci_digits")
    rows = split_labels(target, 5, experiment.validation_per_class, 1).labelled
    assert np.array_equal(np.asarray(seen.evidence.labels), target.y_train[rows])
    assert seen.pixels.shape == (50, 784)
    probabilities = np.asarray(seen.evidence.source_probabilities)
    assert probabilities.shape == (50, 10)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    # The source model reads these digits: its own classes are the right ones far more often than chance.
    assert (probabilities.argmax(axis=1) == target.y_train[rows]).mean() > 0.5


def test_scores_repeat() -> None:
    experiment = plan_estimate(("mnist",), GIVEN | {"seeds": 1})[0]
    assert scores_of(experiment).scores == scores_of(experiment).scores


# --- against measured gains -------------------------------------------------------------------------------------------


def test_agreement_is_perfect_where_the_order_is() -> None:
    gains = {"mnist": 0.2, "drawn_digits": 0.1, "fashion_mnist": 0.02}
    judged = made({"mnist": -0.5, "drawn_digits": -1.0, "fashion_mnist": -2.0}).against(measured(gains))
    assert {item.strategy for item in judged.agreements} == {"feature_extraction", "fine_tune_all"}
    for item in judged.agreements:
        assert item.weighted_tau == pytest.approx(1)
        assert item.pearson > 0.9
        assert dict(zip(item.sources, item.gains, strict=True)) == pytest.approx(gains)
    assert len(judged.records) == 18
    assert Estimate.from_json(judged.to_json()) == judged


def test_a_distance_is_turned() -> None:
    gains = {"mnist": 0.2, "drawn_digits": 0.1, "fashion_mnist": 0.02}
    distances = {"mnist": 0.1, "drawn_digits": 1.0, "fashion_mnist": 2.0}
    judged = made(distances, "proxy_a_distance").against(measured(gains))
    assert all(item.weighted_tau == pytest.approx(1) for item in judged.agreements)
    assert judged.agreements[0].scores == (0.1, 1.0, 2.0)


def test_scores_that_are_all_equal_have_no_order() -> None:
    gains = {"mnist": 0.2, "drawn_digits": 0.1, "fashion_mnist": 0.02}
    assert made(dict.fromkeys(gains, 1.0)).against(measured(gains)).agreements == ()


def test_two_sources_are_too_few() -> None:
    gains = {"mnist": 0.2, "drawn_digits": 0.1}
    with pytest.raises(UserError, match="3 or more"):
        made(dict.fromkeys(gains, 1.0)).against(measured(gains))


def test_records_of_another_question_do_not_count() -> None:
    gains = {"mnist": 0.2, "drawn_digits": 0.1, "fashion_mnist": 0.02}
    other = [
        record.model_copy(update={"experiment": record.experiment.model_copy(update={"labels_per_class": 9})})
        for record in measured(gains)
    ]
    with pytest.raises(UserError, match="known for 0"):
        made(dict.fromkeys(gains, 1.0)).against(other)


def test_gains_are_paired_by_seed() -> None:
    asked = Experiment(source="mnist", target="uci_digits")
    records = [
        samples.record(asked, "scratch", 0, 0.5),
        samples.record(asked, "scratch", 1, 0.9),
        samples.record(asked, "fine_tune_all", 1, 0.95),
        samples.record(asked, "fine_tune_all", 2, 0.1),
    ]
    assert measured_gains(records, "fine_tune_all") == pytest.approx({"mnist": 0.05})
    assert measured_gains(records, "lp_ft") == {}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ((), "at least one source"),
        (("mnist", "mnist"), "twice"),
        (("mnits",), "did you mean mnist"),
        (("uci_digits",), "two different"),
    ],
)
def test_a_wrong_list_of_sources_is_refused(sources: tuple[str, ...], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        plan_estimate(sources, GIVEN)
