"""Lessons: their files are whole, every number fills in, and no text contradicts the recorded result it speaks of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tlcore.errors import UserError
from tlcore.lessons import (
    LANGUAGES,
    SECTIONS,
    Lesson,
    filled,
    in_words,
    lesson_named,
    lessons,
    places,
    read_yaml,
    split_text,
    text_of,
)
from tlcore.metrics.stats import Interval
from tlcore.pretrain import SHIPPED_PAIRS
from tlcore.recorded import Check, Number, comparison_at, read_recorded
from tlcore.results import Comparison

NAMES = tuple(lessons())
every_lesson = pytest.mark.parametrize("name", NAMES)
every_text = pytest.mark.parametrize(
    ("name", "language"), [(name, language) for name in NAMES for language in lessons()[name].languages]
)
MOST_STEPS = 1500  # optimiser steps of a live preset over all arms and seeds: 15 s on two cores, with what is around it


def test_the_course_is_whole() -> None:
    assert [lesson.number for lesson in lessons().values()] == list(range(1, 12))
    claims = [claim for lesson in lessons().values() for claim in lesson.claims]
    assert {f"C{number}" for number in (*range(1, 29), 34)} <= set(claims)


def test_two_labs_are_written_in_another_language() -> None:
    assert len([name for name in NAMES if len(lessons()[name].languages) > 1]) >= 2


@every_text
def test_a_text_says_everything_and_its_numbers_fill_in(name: str, language: str) -> None:
    lesson, text = lessons()[name], text_of(name, language)
    assert text.language == language
    used: set[str] = set()
    for section in (*SECTIONS, "pitfalls"):
        assert "{{" not in text.section(section, lesson)
        used |= places(text.sections.get(section, ""))
    assert used <= set(lesson.numbers)
    assert set(text.sections) <= {*SECTIONS, "pitfalls"}
    assert len(text.sections["intro"].split()) <= 180, "the intro has to fit on one screen"
    if lesson.pitfalls:
        assert text.sections["pitfalls"]


@every_text
def test_a_text_types_no_measured_number(name: str, language: str) -> None:
    for section in text_of(name, language).sections.values():
        assert not re.search(r"[+−-]\d+([.,]\d+)? (points|Punkte|puntos)", section), "a difference is typed in"
        assert not re.search(r"\d[.,]\d ?%", section), "an accuracy is typed in"


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, id=f"{name}-{index}")
        for name in NAMES
        for index, check in enumerate(lessons()[name].checks)
    ],
)
def test_what_a_text_says_is_what_was_measured(name: str, check: Check) -> None:
    assert check.problem() == ""


@every_lesson
def test_the_text_is_checked_and_its_recorded_results_are_here(name: str) -> None:
    lesson = lessons()[name]
    assert lesson.checks, "say what the text claims of its recorded results"
    for record in lesson.recorded:
        assert read_recorded(record).records


@every_lesson
def test_a_live_preset_answers_at_once_and_without_a_network(name: str) -> None:
    experiment = lessons()[name].experiment
    assert (experiment.source, experiment.backbone) in SHIPPED_PAIRS, "its source model would have to be trained first"
    assert experiment.target in ("uci_digits", "drawn_digits", "drawn_garments")
    assert experiment.learning_rate is not None, "trying rates takes several times as long"
    assert experiment.seeds >= 3
    trained = [name for name in experiment.strategies if experiment.recipe(name).phases]
    assert len(trained) * experiment.seeds * experiment.steps <= MOST_STEPS


def test_an_unknown_lesson_is_named() -> None:
    with pytest.raises(UserError, match="feature_extraction"):
        lesson_named("feature_extracton")
    assert text_of("feature_extraction", "xx").language == "en"


def test_a_file_that_is_not_as_it_should_be_is_named(tmp_path: Path) -> None:
    path = tmp_path / "en.md"
    for text, said in (("no head", "begin"), ("---\n[1, 2]\n---\n", "no names"), ("---\na: [\n---\n", "not YAML")):
        with pytest.raises(UserError, match=said):
            split_text(text, path)
    with pytest.raises(UserError, match=str(path)):
        read_yaml("- 1", path)


def test_a_lesson_that_does_not_fit_together_is_refused() -> None:
    good = lessons()["feature_extraction"].model_dump()
    for change in (
        {"prediction": {"kind": "order", "arms": ["lora"]}},
        {"prediction": {"kind": "accuracy", "arms": ["scratch", "feature_extraction"]}},
        {"why": {"choices": ["a", "b"], "answer": "c"}},
        {"changes": [{"name": "x", "set": {"labels_per_class": -1}}]},
        {"unknown": 1},
    ):
        with pytest.raises(ValidationError):
            Lesson.model_validate(good | change)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "−8.7 points (−11.9 to −5.5)"),
        ("de", "−8,7 Punkte (−11,9 bis −5,5)"),
        ("es", "−8,7 puntos (−11,9 a −5,5)"),
    ],
)
def test_numbers_as_languages_write_them(language: str, said: str) -> None:
    assert in_words(Interval(-8.7, -11.9, -5.5, 10), "difference", language) == said
    assert language in LANGUAGES


def test_a_number_without_an_interval_has_none() -> None:
    assert in_words(Interval(206922, 206922, 206922, 3), "trainable") == "206,922 weights"
    assert in_words(Interval(84.25, 80.0, 88.5, 3), "accuracy", short=True) == "84.2 %"
    assert in_words(Interval(0.5, None, None, 1), "tau") == "+0.50"


@given(st.text(max_size=200))
def test_a_text_without_places_stays_as_it_is(text: str) -> None:
    if not places(text):
        assert filled(text, {}) == text


def test_numbers_come_from_their_record() -> None:
    comparison = read_recorded("cars_to_trucks")
    assert isinstance(comparison, Comparison)
    item = next(item for item in comparison.comparisons if item.strategy == "feature_extraction")
    read = Number(record="cars_to_trucks", strategy="feature_extraction", value="difference").read()
    assert read.mean == pytest.approx(100 * item.mean_difference)
    assert read.low == pytest.approx(100 * (item.ci_low or 0))
    with pytest.raises(UserError, match="holds no"):
        Number(record="cars_to_trucks", strategy="lora", value="accuracy").read()
    with pytest.raises(UserError, match="is not here"):
        Number(record="nothing", strategy="scratch", value="accuracy").read()
    with pytest.raises(UserError, match="5"):
        comparison_at(read_recorded("fewer_labels"), 7)


def test_a_check_that_fails_says_what_was_measured() -> None:
    number = Number(record="cars_to_trucks", strategy="feature_extraction", value="difference")
    assert "measured is" in Check(number=number, verdict="hurts").problem()
    assert "wrong side" in Check(number=number, above=100.0).problem()
    assert Check(number=number, verdict="helps", above=0.0, below=100.0).problem() == ""
