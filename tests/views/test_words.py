"""Sentences and tables: every number and every verdict comes from the records."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.views import samples
from tlcore import views
from tlcore.experiment import Experiment, PairedComparison
from tlcore.metrics.stats import Interval, verdict
from tlcore.results import paired_comparisons
from tlcore.views.common import interval_text, points, wrapped
from tlcore.views.tables import DIFFERENCE_COLUMNS, RESULT_COLUMNS


def item(
    mean: float, low: float | None, high: float | None, strategy: str = "fine_tune_all", baseline: str = "scratch"
):
    n = 1 if low is None else 3
    return PairedComparison(
        strategy=strategy,
        baseline=baseline,
        mean_difference=mean,
        ci_low=low,
        ci_high=high,
        n=n,
        verdict=verdict(Interval(mean, low, high, n)),
    )


def test_the_sentence_of_the_brief():
    (sentence,) = views.verdict_sentences([item(0.031, 0.012, 0.05)], Experiment())
    assert sentence == (
        "Fine-tune everything: +3.1 points against From scratch (95 % interval +1.2 to +5.0, 3 seeds): "
        "transfer helps here."
    )


@given(st.floats(-0.5, 0.5), st.floats(1e-6, 0.4))
def test_words_follow_from_the_interval_alone(mean, half):
    low, high = mean - half, mean + half
    (sentence,) = views.verdict_sentences([item(mean, low, high)], Experiment())
    assert ("transfer helps" in sentence) == (low > 0)
    assert ("transfer hurts" in sentence) == (high < 0)
    assert ("no clear difference" in sentence) == (low <= 0 <= high)


def test_one_seed_has_no_verdict():
    (sentence,) = views.verdict_sentences([item(0.2, None, None)], Experiment())
    assert "no verdict" in sentence
    assert "helps" not in sentence
    assert views.summary_sentence([item(0.2, None, None)]) == "One seed is not enough to conclude anything."


def test_transfer_is_not_said_of_controls_or_other_baselines():
    control = item(-0.1, -0.12, -0.08, "random_features")
    other = item(0.1, 0.08, 0.12, "fine_tune_all", "feature_extraction")
    for sentence in views.verdict_sentences([control, other], Experiment()):
        assert "transfer" not in sentence
    assert "No transfer strategy" in views.summary_sentence([control, other])


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        ("+++", "Transfer helps: all 3"),
        ("---", "Transfer hurts: all 3"),
        ("000", "No clear difference: none of the 3"),
        ("+-0", "1 of 3 transfer strategies helps, 1 hurts, 1 without a clear difference."),
        ("++-", "2 of 3 transfer strategies help, 1 hurts."),
        ("0--", "None of 3 transfer strategies helps, 2 hurt, 1 without a clear difference."),
        ("-", "Transfer hurts here."),
        ("+1", "1 of 2 transfer strategies helps, 1 with one seed only."),
    ],
)
def test_the_summary_counts(verdicts, text):
    values = {"+": (0.1, 0.05, 0.15), "-": (-0.1, -0.15, -0.05), "0": (0.0, -0.1, 0.1), "1": (0.1, None, None)}
    names = ("feature_extraction", "fine_tune_last", "fine_tune_all")
    found = [item(*values[sign], strategy) for sign, strategy in zip(verdicts, names, strict=False)]
    assert views.summary_sentence(found).startswith(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.031, "+3.1"), (-0.004, "−0.4"), (0.0, "0.0"), (-0.0001, "0.0"), (0.0001, "0.0"), (1, "+100.0")],
)
def test_differences_carry_their_sign(value, text):
    assert points(value) == text


@given(st.floats(1e-5, 0.3), st.floats(1e-5, 0.3))
def test_an_interval_never_hides_on_which_side_of_zero_it_lies(low, width):
    assert interval_text(low, low + width).count("+") == 2
    assert interval_text(-low - width, -low).count("−") == 2


def test_the_results_table_is_the_records():
    records = samples.records(Experiment(), scratch=(0.5, 0.6, 0.7))
    table = views.results_table(records)
    assert tuple(table.columns) == RESULT_COLUMNS
    first = table.iloc[0]
    assert first["Strategy"] == "From scratch"
    assert first["Test accuracy (%)"] == pytest.approx(60)
    assert first["95 % low (%)"] == pytest.approx(60 - 4.302653 * 10 / math.sqrt(3), abs=1e-3)
    assert first["Each seed (%)"] == "50.0 · 60.0 · 70.0"
    assert first["Train − test (points)"] == pytest.approx(20)
    assert first["With selection (s)"] == pytest.approx(4.6)
    frozen = table[table["Strategy"] == "Feature extraction"].iloc[0]
    assert frozen["Trained weights"] < frozen["All weights"]


def test_tables_of_nothing_and_of_one_seed():
    assert tuple(views.results_table([]).columns) == RESULT_COLUMNS
    assert tuple(views.differences_table([]).columns) == DIFFERENCE_COLUMNS
    one = samples.records(Experiment(seeds=1))
    assert views.results_table(one)["95 % low (%)"].isna().all()
    assert set(views.differences_table(paired_comparisons(one))["Verdict"]) == {"one seed: no verdict"}
    assert views.curves_table([]).empty
    assert views.accuracy_sentence([]) == "No results yet."


def test_a_diverged_arm_is_named_in_the_table():
    records = samples.records()
    broken = [records[0].model_copy(update={"status": "diverged"}), *records[1:]]
    assert views.results_table(broken).iloc[0]["Strategy"] == "From scratch (1 diverged)"


def test_every_strategy_is_in_the_sentence_beside_the_chart():
    records = samples.records()
    sentence = views.accuracy_sentence(records)
    for title in views.results_table(records)["Strategy"]:
        assert title in sentence


def test_provenance_names_date_machine_seeds_and_data():
    recorded = views.provenance_sentence(samples.cars(), recorded=True)
    assert recorded.startswith("Recorded on 20 November 2026, Sample processor, 2 cores, 3 seeds (0, 1, 2), float32")
    assert "keras 3.15.1" in recorded
    assert "Trucks (CIFAR-10): sample." in recorded
    assert views.provenance_sentence(samples.cars(), recorded=False).startswith("Trained on")
    assert "10 seeds (0–9)" in views.recorded_label(samples.records(Experiment(seeds=10, strategies=("scratch",))))


def test_settings_that_differ_are_named():
    first, second = Experiment(), Experiment(labels_per_class=50, learning_rate=0.01, strategies=("scratch",))
    names = {name: (one, other) for name, one, other in views.differing_settings(first, second)}
    assert set(names) == {"labels per class", "learning rate", "strategies"}
    assert names["learning rate"] == ("automatic", "0.01")
    assert names["strategies"][1] == "From scratch"
    assert views.differing_settings(first, first) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "a few seconds"),
        (13, "about 15 seconds"),
        (57, "about a minute"),
        (200, "about 3 minutes"),
        (7300, "about 2 hours"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert views.duration(seconds) == text


def test_live_words_say_how_far_each_curve_is():
    looks = views.points_of(samples.records(Experiment(seeds=2)))
    assert "at step 300 (2 seeds)" in views.live_sentence(looks)
    assert "begin when" in views.live_sentence([])


@given(st.text(alphabet="abc ", max_size=60))
def test_wrapping_keeps_every_word(title):
    assert wrapped(title).replace("<br>", " ").split() == title.split()
