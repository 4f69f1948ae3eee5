"""What goes with the lessons, as data: the quiz, the glossary, and what is claimed beside what was measured.

`data/quiz/en.yaml`, `data/glossary/en.yaml` and `data/claims/en.yaml` hold everything. A file of another language
holds only words: what it leaves out (numbers, checks, whole entries) is taken from the English one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tlcore import recorded
from tlcore.errors import UserError, unknown_name
from tlcore.estimate import SCORES, Estimate
from tlcore.lessons import (
    DEFAULT_LANGUAGE,
    LANGUAGES,
    Choice,
    Name,
    filled,
    in_words,
    lessons,
    places,
    read_yaml,
    text_of,
    validated,
)
from tlcore.presets import DATA
from tlcore.recorded import Check, Number, comparison_at, read_recorded
from tlcore.saved import read_text
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

    from tlcore.experiment import Experiment
    from tlcore.metrics.stats import Interval

FOLDER = DATA
QUIZ = "quiz"
"""Name of the quiz among a learner's lessons."""
T = TypeVar("T")
Key = Annotated[str, Field(min_length=1, max_length=80)]
ClaimId = Annotated[str, Field(pattern=r"^C\d+$")]
Standing = Literal["borne out", "depends", "not borne out", "not judged", "not measured"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    language: str = DEFAULT_LANGUAGE
    """Which language its words are in: English where the translation does not have it."""


class QuizQuestion(_Entry):
    """A question with its answers.

    Args:
        lesson: The lesson that answers it.
        question: The question.
        choices: The answers by name, in the order shown.
        answer: Name of the right one.
    """

    lesson: Name
    question: str
    choices: Annotated[dict[Key, Choice], Field(min_length=2, max_length=6)]
    answer: Key

    @model_validator(mode="after")
    def _has_its_answer(self) -> QuizQuestion:
        if self.answer not in self.choices:
            raise ValueError("the right answer is not among the choices")
        return self


class Term(_Entry):
    """A word of the glossary.

    Args:
        text: What it means.
        lesson: The lesson that shows it; empty for none.
        title: The word itself, where a translation has another; empty for the entry's name.
    """

    text: str
    lesson: Name | Literal[""] = ""
    title: str = ""


class Claim(_Entry):
    """Something that is said of transfer learning, and what was measured.

    Args:
        claim: What is said.
        lesson: The lesson that shows it.
        finding: What was measured, its numbers as ``{{name}}``.
        numbers: The numbers by name; the first is the one that a link repeats.
        checks: What the finding says of the recorded results.
        predicts: What the recorded results would show if the claim held in all of them; how many of these they do show
            is the verdict.
    """

    claim: str
    lesson: Name
    finding: str
    numbers: dict[Name, Number] = {}
    checks: tuple[Check, ...] = ()
    predicts: tuple[Check, ...] = ()

    @model_validator(mode="after")
    def _has_its_numbers(self) -> Claim:
        if unknown := sorted(places(self.finding) - set(self.numbers)):
            raise ValueError(unknown_name("number", unknown[0], self.numbers))
        return self


@lru_cache(maxsize=8)
def questions(language: str = DEFAULT_LANGUAGE) -> dict[str, QuizQuestion]:
    """The quiz, by name of the question.

    Args:
        language: Code of the language; what it does not have is English.

    Returns:
        The questions in the file's order.

    Raises:
        UserError: If a file is missing or not as it should be.
    """
    return _read(dict[Key, QuizQuestion], QUIZ, "questions", language)


@lru_cache(maxsize=8)
def terms(language: str = DEFAULT_LANGUAGE) -> dict[str, Term]:
    """The glossary, by word.

    Args:
        language: Code of the language; what it does not have is English.

    Returns:
        The terms in the file's order.

    Raises:
        UserError: If a file is missing or not as it should be.
    """
    return _read(dict[Key, Term], "glossary", "terms", language)


@lru_cache(maxsize=8)
def claims(language: str = DEFAULT_LANGUAGE) -> dict[str, Claim]:
    """The claims, by id.

    Args:
        language: Code of the language; what it does not have is English.

    Returns:
        The claims in the file's order.

    Raises:
        UserError: If a file is missing or not as it should be.
    """
    return _read(dict[ClaimId, Claim], "claims", "claims", language)


def lesson_link(name: str, language: str = DEFAULT_LANGUAGE) -> str:
    """A link to a lesson.

    Args:
        name: Name of the lesson.
        language: Code of the language.

    Returns:
        Markdown; empty if there is no such lesson.
    """
    lesson = lessons().get(name)
    if lesson is None:
        return ""
    title = text_of(lesson.name, language).heading.title
    return f"[{lesson.number} · {title}]({lesson.slug}{'' if language == DEFAULT_LANGUAGE else f'?lang={language}'})"


def _read(kind: type[T], folder: str, key: str, language: str) -> T:
    path = FOLDER / folder / f"{DEFAULT_LANGUAGE}.yaml"
    entries = _entries(path, key)
    translation = FOLDER / folder / f"{language}.yaml"
    # The code comes from an address: only what is a language may name a file.
    if language in LANGUAGES and language != DEFAULT_LANGUAGE and translation.is_file():
        path = translation
        words = _entries(path, key)
        if unknown := sorted(words.keys() - entries.keys()):
            raise UserError(f"{path}: the English file has no “{unknown[0]}”: translate what is there")
        entries |= {name: entries[name] | said | {"language": language} for name, said in words.items()}
    return validated(kind, entries, path)


def _entries(path: Path, key: str) -> dict[str, Any]:
    """What a file of one key holds."""
    values = read_yaml(read_text(path), path)
    if values.keys() != {key} or not isinstance(values[key], dict):
        raise UserError(f"{path}: it has to hold “{key}”, with a name for each, and nothing else")
    return values[key]


# --- claims -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """One measured number of a claim.

    Args:
        name: Its name in the claim.
        number: What was read.
        interval: Its mean and 95 % interval.
        words: It as a text says it, with its unit and interval.
    """

    name: str
    number: Number
    interval: Interval
    words: str


@dataclass(frozen=True)
class Measured:
    """What the recorded results say of a claim.

    Args:
        standing: Whether they bear it out.
        finding: The finding, its numbers filled in; empty if a record is missing.
        effects: The numbers.
        experiment: What repeats the first of them; None without one.
        missing: What is missing and how to make it; empty if nothing is.
    """

    standing: Standing
    finding: str = ""
    effects: tuple[Effect, ...] = ()
    experiment: Experiment | None = None
    missing: str = ""


def measured_claims(language: str = DEFAULT_LANGUAGE) -> dict[str, Measured]:
    """What was measured of every claim, worked out again only after a recorded result has changed.

    Args:
        language: Code of the language of the words.

    Returns:
        What was measured, by the claim's id.

    Raises:
        UserError: If the claims' file is missing or not as it should be.
    """
    return _measured_claims(
        language, tuple(sorted((path.name, path.stat().st_mtime_ns) for path in recorded.RECORDS.glob("*.json")))
    )


@lru_cache(maxsize=4)
def _measured_claims(language: str, changed: tuple[tuple[str, int], ...]) -> dict[str, Measured]:
    # All of them take a second, and a page asks with every letter of a search.
    return {name: measured(claim) for name, claim in claims(language).items()}


def measured(claim: Claim) -> Measured:
    """Hold a claim against the recorded results.

    Args:
        claim: The claim.

    Returns:
        What was measured; where a record is missing, that.
    """
    try:
        effects = tuple(_effect(name, number, claim.language) for name, number in claim.numbers.items())
        finding = filled(claim.finding, claim.numbers, claim.language)
        return Measured(_standing(claim), finding, effects, experiment_of(claim))
    except UserError as error:
        return Measured("not measured", missing=str(error))


def experiment_of(claim: Claim) -> Experiment | None:
    """The experiment that repeats a claim: the one behind its first number.

    Args:
        claim: The claim.

    Returns:
        The experiment; None for a claim without numbers.

    Raises:
        UserError: If the recorded result is missing.
    """
    number = next(iter(claim.numbers.values()), None)
    if number is None:
        return None
    found = read_recorded(number.record)
    if isinstance(found, Estimate):
        return next((item for item in found.experiments if item.source == number.at), found.experiments[0])
    return comparison_at(found, number.at).experiment


def _effect(name: str, number: Number, language: str) -> Effect:
    interval = number.read()
    return Effect(name, number, interval, in_words(interval, number.value, language))


def _standing(claim: Claim) -> Standing:
    """Whether all, some or none of what a claim predicts was measured."""
    if not claim.predicts:
        return "not judged"
    held = [not check.problem() for check in claim.predicts]
    return "borne out" if all(held) else "depends" if any(held) else "not borne out"


_WHAT = {
    "accuracy": "accuracy of {arm}",
    "difference": "{arm} against {against}",
    "gap": "training less test accuracy, {arm}",
    "gap_difference": "training less test accuracy, {arm} against {against}",
    "source_before": "source accuracy before, {arm}",
    "source_after": "source accuracy after, {arm}",
    "forgotten": "source accuracy lost, {arm}",
    "weight_change": "relative change of the weights, {arm}",
    "feature_change": "relative change of the features, {arm}",
    "steps_to_threshold": "steps to nine tenths of where scratch ends, {arm}",
    "seconds": "seconds of training, {arm}",
    "source_seconds": "seconds of training the source model, {arm}",
    "trainable": "weights trained, {arm}",
    "total": "weights in all, {arm}",
    "tau": "agreement of {score} with the gain of {arm}",
    "score": "{score}",
    "diverged": "share of seeds that diverged, {arm}",
}


def described(number: Number) -> str:
    """What a number is, in words.

    Args:
        number: The number.

    Returns:
        The words, and in brackets the recorded result that holds it.
    """
    what = _WHAT[number.value].format(
        arm=_title(number.strategy), against=_title(number.against), score=_score_title(number.score)
    )
    at = "" if number.at is None else f" at {number.at}"
    stage = f", stage {number.stage}" if number.stage else ""
    return f"{what}{stage} ({number.record}{at})"


def _title(strategy: str) -> str:
    return STRATEGIES[strategy].title if strategy in STRATEGIES else strategy


def _score_title(name: str) -> str:
    return SCORES[name].title if name in SCORES else name
