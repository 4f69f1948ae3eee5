"""The quiz, the glossary and the claims: the shipped files fit together, and what they say was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlcore import course, recorded
from tlcore.errors import UserError
from tlcore.estimate import Estimate
from tlcore.experiment import Experiment
from tlcore.lessons import LANGUAGES, lessons, places
from tlcore.recorded import Check, Number, read_recorded

CLAIMS = course.claims()
every_claim = pytest.mark.parametrize("name", CLAIMS)


def here(*numbers: Number | float | None) -> None:
    """Skip where a recorded result is not here yet."""
    for number in numbers:
        if isinstance(number, Number) and not (recorded.RECORDS / f"{number.record}.json").is_file():
            pytest.skip(f"{number.record} is not recorded yet: python -m tlcore record {number.record}")


def checks(kind: str) -> list[object]:
    """Every check or prediction of every claim, each a test of its own."""
    return [
        pytest.param(check, id=f"{name}-{at}")
        for name, claim in CLAIMS.items()
        for at, check in enumerate(getattr(claim, kind))
    ]


# --- the shipped files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", checks("checks"))
def test_what_a_claim_says_was_measured(check: Check) -> None:
    here(check.number, check.above, check.below)
    assert check.problem() == ""


@every_claim
def test_every_number_of_a_claim_fills(name: str) -> None:
    claim = CLAIMS[name]
    assert places(claim.finding) <= set(claim.numbers)
    here(*claim.numbers.values())
    found = course.measured(claim)
    assert found.missing == ""
    assert "{{" not in found.finding


@every_claim
def test_a_claim_has_a_verdict_that_its_words_agree_with(name: str) -> None:
    claim = CLAIMS[name]
    asked = [bound for check in claim.predicts for bound in (check.number, check.above, check.below)]
    here(*claim.numbers.values(), *asked)
    standing = course.measured(claim).standing
    assert standing not in ("not judged", "not measured"), "say what the claim predicts: `predicts` in the file"
    if claim.finding.startswith("Borne out."):
        assert standing == "borne out"
    if claim.finding.startswith("Not borne out."):
        assert standing == "not borne out"


@every_claim
def test_a_claims_link_repeats_a_recorded_experiment(name: str) -> None:
    claim = CLAIMS[name]
    here(*claim.numbers.values())
    repeated = course.experiment_of(claim)
    assert repeated is not None
    experiment, corrected = Experiment.from_query(repeated.to_query())
    assert corrected == ()
    first = read_recorded(next(iter(claim.numbers.values())).record)
    experiments = first.experiments if isinstance(first, Estimate) else [record.experiment for record in first.records]
    assert experiment in experiments


def test_every_lesson_named_exists() -> None:
    named = {item.lesson for items in (course.questions(), course.terms(), CLAIMS) for item in items.values()}
    assert named - {""} <= set(lessons())


def test_every_lessons_claims_are_claims_and_back() -> None:
    assert {name for lesson in lessons().values() for name in lesson.claims} <= set(CLAIMS)


def test_every_question_explains_every_choice() -> None:
    for name, question in course.questions().items():
        assert question.answer in question.choices, name
        assert all(choice.text and choice.explain for choice in question.choices.values()), name
        assert len({choice.text for choice in question.choices.values()}) == len(question.choices), name


def test_the_right_answer_is_not_always_in_the_same_place() -> None:
    at = [list(question.choices).index(question.answer) for question in course.questions().values()]
    assert max(at.count(place) for place in set(at)) <= len(at) / 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same(language: str) -> None:
    for name, question in course.questions(language).items():
        original = course.questions()[name]
        assert (set(question.choices), question.answer) == (set(original.choices), original.answer), name
    for name, claim in course.claims(language).items():
        assert (claim.numbers, claim.checks) == (CLAIMS[name].numbers, CLAIMS[name].checks), name
        assert places(claim.finding) <= set(claim.numbers), name
    assert set(course.terms(language)) == set(course.terms())


# --- files that others write ------------------------------------------------------------------------------------------

QUESTION = "lesson: pre_training\n  question: Why?\n  choices: {a: {text: A, explain: x}, b: {text: B, explain: y}}\n"
DIFFERENCE = "{record: made, strategy: fine_tune_all, value: difference}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for the files, and no recorded result."""
    for name in ("quiz", "glossary", "claims", "records"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(course, "FOLDER", tmp_path)
    monkeypatch.setattr(recorded, "RECORDS", tmp_path / "records")
    readers = (course.questions, course.terms, course.claims)
    for reader in readers:
        reader.cache_clear()
    yield tmp_path
    for reader in readers:
        reader.cache_clear()


def test_a_translation_holds_words_only_and_the_rest_is_english(folder: Path) -> None:
    (folder / "glossary" / "en.yaml").write_text("terms:\n  Head: {text: last, lesson: l}\n  Epoch: {text: once}\n")
    (folder / "glossary" / "de.yaml").write_text("terms:\n  Head: {title: Kopf, text: zuletzt}\n")
    german = course.terms("de")
    assert (german["Head"].title, german["Head"].text, german["Head"].lesson) == ("Kopf", "zuletzt", "l")
    assert (german["Head"].language, german["Epoch"].language) == ("de", "en")
    assert course.terms("es") == course.terms()


def test_a_language_from_an_address_names_no_file(folder: Path) -> None:
    (folder / "glossary" / "en.yaml").write_text("terms: {Head: {text: last}}\n")
    (folder / "other.yaml").write_text("terms: {Head: {text: stolen}}\n")
    assert course.terms("../other")["Head"].text == "last"


def test_a_translation_of_what_is_not_there_is_named(folder: Path) -> None:
    (folder / "glossary" / "en.yaml").write_text("terms: {Head: {text: last}}\n")
    (folder / "glossary" / "de.yaml").write_text("terms: {Haed: {text: zuletzt}}\n")
    with pytest.raises(UserError, match=r"de\.yaml.*Haed"):
        course.terms("de")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"questions:\n q:\n  {QUESTION}  answer: c\n", "right answer is not among"),
        (f"questions:\n q:\n  {QUESTION}", "answer"),
        (f"questions:\n q:\n  {QUESTION}  answer: a\n  hint: no\n", "no such setting"),
        ("questions: [", "not YAML"),
    ],
)
def test_a_wrong_quiz_is_named(folder: Path, text: str, words: str) -> None:
    (folder / "quiz" / "en.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        course.questions()
    assert "en.yaml" in str(caught.value)


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"claims.*en\.yaml"):
        course.claims()


def test_a_finding_may_only_use_its_own_numbers(folder: Path) -> None:
    (folder / "claims" / "en.yaml").write_text("claims: {C1: {claim: c, lesson: l, finding: 'it is {{gain}}'}}\n")
    with pytest.raises(UserError, match="unknown number 'gain'"):
        course.claims()


def test_without_its_record_a_claim_is_not_measured(folder: Path) -> None:
    (folder / "claims" / "en.yaml").write_text(
        f"claims: {{C1: {{claim: c, lesson: l, finding: '{{{{g}}}}', numbers: {{g: {DIFFERENCE}}}}}}}\n"
    )
    found = course.measured_claims()["C1"]
    assert found.standing == "not measured"
    assert "python -m tlcore record made" in found.missing


@pytest.mark.parametrize(
    ("predicted", "standing"),
    [
        ((), "not judged"),
        (("helps",), "borne out"),
        (("hurts",), "not borne out"),
        (("helps", "no clear difference"), "depends"),
    ],
)
def test_the_verdict_is_how_many_predictions_were_measured(predicted: tuple[str, ...], standing: str) -> None:
    number = Number(record="cars_to_trucks", strategy="feature_extraction", value="difference")
    claim = course.Claim(
        claim="Cars help trucks.",
        lesson="cars_to_trucks",
        finding="{{gain}}",
        numbers={"gain": number},
        predicts=tuple(Check.model_validate({"number": number, "verdict": word}) for word in predicted),
    )
    found = course.measured(claim)
    assert found.standing == standing
    assert found.finding == found.effects[0].words
    assert course.described(number) == "Feature extraction against From scratch (cars_to_trucks)"


def test_a_claim_without_numbers_has_no_link() -> None:
    claim = course.Claim(claim="c", lesson="l", finding="Nothing to measure.")
    assert course.measured(claim).experiment is None


def test_a_lesson_that_is_not_there_has_no_link() -> None:
    assert course.lesson_link("nowhere") == course.lesson_link("") == ""
    name, lesson = next(iter(lessons().items()))
    assert course.lesson_link(name).endswith(f"({lesson.slug})")
    assert course.lesson_link(name, "de").endswith(f"({lesson.slug}?lang=de)")
