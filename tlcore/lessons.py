"""Lessons as data: `data/lessons/<name>/lesson.yaml` says what is asked and run, `<language>.md` holds the words.

A lesson in another language is one more file, a new lesson one more folder; neither needs code. Numbers in a text are
written ``{{name}}`` and read from recorded results.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tlcore.errors import UserError, explain, unknown_name
from tlcore.experiment import Experiment
from tlcore.presets import DATA
from tlcore.recorded import UNITS, Check, Number
from tlcore.saved import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from tlcore.metrics.stats import Interval

LESSONS = DATA / "lessons"
DEFAULT_LANGUAGE = "en"
LANGUAGES = {"en": "English", "de": "Deutsch", "es": "Español"}
SECTIONS = ("intro", "recorded", "seen")
"""What every text has, in this order; ``pitfalls`` may come before ``seen``."""
T = TypeVar("T")
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Look = Literal[
    "filters", "activations", "embedding", "cka", "confusion", "fixed_and_broken", "changes", "models", "recipe"
]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Prediction(_Value):
    """What the learner says before the run.

    Args:
        kind: ``order``: put the arms in order of their accuracy; ``accuracy``: say what one arm will reach.
        arms: The arms to order, or the one arm.
    """

    kind: Literal["order", "accuracy"]
    arms: Annotated[tuple[Name, ...], Field(min_length=1)]


class Why(_Value):
    """The question after the run.

    Args:
        choices: Names of the answers, in the order shown.
        answer: Name of the right one.
    """

    choices: Annotated[tuple[Name, ...], Field(min_length=2, max_length=5)]
    answer: Name


class Change(_Value):
    """One thing to change: a second run beside the first.

    Args:
        name: Name of the change; the text says what it is.
        set: Fields of the experiment that differ from the live preset.
    """

    name: Name
    set: dict[str, Any]


class Pitfall(_Value):
    """A mistake to run, with what it should have been beside it.

    Args:
        name: Name of the pitfall; the text says what it is.
        set: Fields of the experiment that differ from the live preset.
    """

    name: Name
    set: dict[str, Any]


class Lesson(_Value):
    """What a lesson asks, runs and shows; its words are in `Text`.

    Args:
        name: Name of its folder, and of its page's address.
        number: Its place in the course, from 1.
        minutes: How long a learner takes.
        claims: What it shows, by id.
        live: Fields of the experiment that answers at once.
        prediction: What is asked before it.
        recorded: Recorded results shown beside it.
        why: The question after it.
        changes: One thing to change.
        pitfalls: Mistakes to run.
        inside: What is looked into.
        numbers: Numbers that the text uses, by name.
        checks: What the text says of the recorded results.
    """

    name: str
    number: int
    minutes: int
    claims: tuple[Annotated[str, Field(pattern=r"^C\d+$")], ...]
    live: dict[str, Any]
    prediction: Prediction
    recorded: Annotated[tuple[str, ...], Field(min_length=1)]
    why: Why
    changes: Annotated[tuple[Change, ...], Field(min_length=1)]
    pitfalls: tuple[Pitfall, ...] = ()
    inside: tuple[Look, ...] = ()
    numbers: dict[Name, Number] = {}
    checks: tuple[Check, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Lesson:
        arms = self.experiment.strategies
        if unknown := set(self.prediction.arms) - set(arms):
            raise ValueError(f"the prediction asks for arms that do not run: {', '.join(sorted(unknown))}")
        if self.prediction.kind == "accuracy" and len(self.prediction.arms) != 1:
            raise ValueError("an accuracy is predicted of one arm")
        if self.why.answer not in self.why.choices:
            raise ValueError("the right answer is not among the choices")
        for change in (*self.changes, *self.pitfalls):
            self.changed(change)
        return self

    @property
    def experiment(self) -> Experiment:
        """The experiment that answers at once."""
        return Experiment.of(**self.live)

    @property
    def slug(self) -> str:
        """Its page's address."""
        return self.name.replace("_", "-")

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return LESSONS / self.name

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that it is written in, English first."""
        there = {path.stem for path in self.folder.glob("*.md")}
        return tuple(language for language in LANGUAGES if language in there)

    def changed(self, change: Change | Pitfall) -> Experiment:
        """The experiment with one thing changed.

        Args:
            change: What to change.

        Returns:
            The experiment.
        """
        return Experiment.of(**(self.live | change.set))


class Choice(_Value):
    """One answer to a question.

    Args:
        text: The answer.
        explain: What is right or wrong about it.
    """

    text: str
    explain: str


class Question(_Value):
    """A question and its answers, by name."""

    question: str
    choices: dict[str, Choice]


class Step(_Value):
    """Words for something to run: a change or a pitfall.

    Args:
        title: What the button says.
        text: What to look for.
    """

    title: str
    text: str


class Heading(_Value):
    """The short words of a lesson: the head of its text file.

    Args:
        title: The page's title.
        question: The question that the lesson answers.
        prediction: What the learner is asked before the run.
        why: The question after it.
        changes: Words for each change.
        pitfalls: Words for each pitfall.
    """

    title: str
    question: str
    prediction: str
    why: Question
    changes: dict[str, Step]
    pitfalls: dict[str, Step] = {}


class Text(_Value):
    """A lesson's words in one language.

    Args:
        language: Which.
        heading: The short ones.
        sections: Markdown by section.
    """

    language: str
    heading: Heading
    sections: dict[str, str]

    def section(self, name: str, lesson: Lesson) -> str:
        """A section with its numbers filled in.

        Args:
            name: Name of the section.
            lesson: Whose numbers.

        Returns:
            Markdown; empty if there is no such section.

        Raises:
            UserError: If a recorded result is missing.
        """
        return filled(self.sections.get(name, ""), lesson.numbers, self.language)


@lru_cache(maxsize=1)
def lessons() -> dict[str, Lesson]:
    """Every lesson in the order of the course, by name.

    Raises:
        UserError: If a lesson's file is not as it should be.
    """
    found = [_lesson(path.parent) for path in LESSONS.glob("*/lesson.yaml")]
    return {lesson.name: lesson for lesson in sorted(found, key=lambda lesson: lesson.number)}


def lesson_named(name: str) -> Lesson:
    """A lesson by its name.

    Args:
        name: Name of its folder.

    Returns:
        The lesson.

    Raises:
        UserError: If there is none of that name.
    """
    if name not in lessons():
        raise UserError(unknown_name("lesson", name, lessons()))
    return lessons()[name]


@lru_cache(maxsize=64)
def text_of(name: str, language: str = DEFAULT_LANGUAGE) -> Text:
    """A lesson's words.

    Args:
        name: Name of the lesson.
        language: Code of the language; English where the lesson is not written in it.

    Returns:
        The text.

    Raises:
        UserError: If the file is not as it should be.
    """
    lesson = lesson_named(name)
    language = language if language in lesson.languages else DEFAULT_LANGUAGE
    path = lesson.folder / f"{language}.md"
    head, sections = split_text(read_text(path), path)
    text = validated(Text, {"language": language, "heading": head, "sections": sections}, path)
    wanted = {
        "answers": (set(lesson.why.choices), set(text.heading.why.choices)),
        "changes": ({change.name for change in lesson.changes}, set(text.heading.changes)),
        "pitfalls": ({pitfall.name for pitfall in lesson.pitfalls}, set(text.heading.pitfalls)),
    }
    for what, (asked, written) in wanted.items():
        if asked != written:
            raise UserError(f"{path}: its {what} are {sorted(written)}, lesson.yaml has {sorted(asked)}")
    if missing := [section for section in SECTIONS if not sections.get(section)]:
        raise UserError(f"{path}: the section {missing[0]} is missing: write a heading “# {missing[0]}”")
    return text


def split_text(text: str, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Take a text file apart: YAML between two lines of ``---``, then sections under ``# name``.

    Args:
        text: The file's text.
        path: The file, for messages.

    Returns:
        The YAML's values, and Markdown by section.

    Raises:
        UserError: If it has no such head.
    """
    parts = re.split(r"^---\s*$", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) != 3 or parts[0].strip():
        raise UserError(f"{path}: it has to begin with its short words between two lines of ---")
    sections: dict[str, str] = {}
    for part in re.split(r"^# ", parts[2], flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        sections[name.strip()] = body.strip()
    return read_yaml(parts[1], path), sections


def read_yaml(text: str, path: Path) -> dict[str, Any]:
    """Read YAML.

    Args:
        text: The text.
        path: Where it is from, for messages.

    Returns:
        Its values by name.

    Raises:
        UserError: If it is not YAML, or no mapping.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no names with values")
    return values


def validated(kind: type[T], values: object, path: Path) -> T:
    """Build a value from what a file says, with an error that names the file.

    Args:
        kind: What to build.
        values: What it is built of.
        path: The file.

    Returns:
        The value.

    Raises:
        UserError: If a field is missing, unknown or wrong.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from None


def _lesson(folder: Path) -> Lesson:
    path = folder / "lesson.yaml"
    return validated(Lesson, {"name": folder.name, **read_yaml(read_text(path), path)}, path)


# --- numbers in texts -------------------------------------------------------------------------------------------------

_PLACE = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)(?:\s*\|\s*(mean))?\s*\}\}")
_WORDS = {
    "en": {"points": "points", "steps": "steps", "to": "to", "weights": "weights", "point": ".", "thousands": ","},
    "de": {"points": "Punkte", "steps": "Schritte", "to": "bis", "weights": "Gewichte", "point": ",", "thousands": "."},
    "es": {"points": "puntos", "steps": "pasos", "to": "a", "weights": "pesos", "point": ",", "thousands": "."},
}


def places(text: str) -> set[str]:
    """Names of the numbers that a text asks for."""
    return {found.group(1) for found in _PLACE.finditer(text)}


def filled(text: str, numbers: dict[str, Number], language: str = DEFAULT_LANGUAGE) -> str:
    """Fill in a text's numbers: ``{{name}}`` with the interval, ``{{name|mean}}`` without.

    Args:
        text: Markdown.
        numbers: The numbers by name.
        language: Language of units and decimal signs.

    Returns:
        The text.

    Raises:
        UserError: If a number has no name here, or its recorded result is missing.
    """

    def put(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in numbers:
            raise UserError(unknown_name("number", name, numbers))
        return in_words(numbers[name].read(), numbers[name].value, language, short=found.group(2) == "mean")

    return _PLACE.sub(put, text)


def in_words(interval: Interval, quantity: str, language: str = DEFAULT_LANGUAGE, *, short: bool = False) -> str:
    """A number as a text says it: ``−8.7 points (−11.9 to −5.5)``.

    Args:
        interval: Mean and interval.
        quantity: What it is, which gives its unit.
        language: Language of the unit and the decimal sign.
        short: Whether to leave the interval out.

    Returns:
        The words.
    """
    words, unit = _WORDS.get(language, _WORDS[DEFAULT_LANGUAGE]), UNITS.get(quantity, "")
    signed = quantity in ("difference", "gap_difference", "tau", "score")
    digits = 0 if unit in ("steps", "weights") else 1 if unit else 2

    def number(value: float) -> str:
        text = f"{value:{'+' if signed else ''},.{digits}f}".replace("-", "−")
        return text.replace(",", " ").replace(".", words["point"]).replace(" ", words["thousands"])

    named = words.get(unit, unit)
    said = f"{number(interval.mean)} {named}".strip()
    if short or interval.low is None or interval.high is None or interval.low == interval.high:
        return said
    return f"{said} ({number(interval.low)} {words['to']} {number(interval.high)})"
