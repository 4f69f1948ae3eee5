"""What a learner expects, asked before a run: skippable, and kept with the learner's progress."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from tlcore.views import Guess, title_of

if TYPE_CHECKING:
    from tlcore.lessons import Lesson


def ask(lesson: Lesson, question: str, before: Guess | None) -> Guess | None:
    """Ask for a lesson's prediction.

    Args:
        lesson: The lesson.
        question: How it is asked.
        before: What was said the last time, or None.

    Returns:
        The guess; None if none was made, or an order is not complete.
    """
    st.markdown(f"**{question}** :gray[(skip it if you like)]")
    arms = lesson.prediction.arms
    if lesson.prediction.kind == "accuracy":
        said = before.accuracy if before and before.accuracy is not None else None
        value = st.slider(
            f"{title_of(arms[0])} will reach, in percent of the test images",
            0,
            100,
            int(said) if said is not None else 50,
            format="%d %%",
            key=f"{lesson.name}.guess",
        )
        made = said is not None or value != 50 or st.checkbox("Yes, 50 %", key=f"{lesson.name}.half")
        return Guess(accuracy=float(value), strategy=arms[0]) if made else None
    order = st.multiselect(
        "Choose them one after another, the highest first",
        arms,
        default=[name for name in before.order if name in arms] if before else None,
        format_func=title_of,
        key=f"{lesson.name}.guess",
        placeholder="The highest …",
    )
    if len(order) == len(arms) - 1:  # what is left has one place left
        order = [*order, *(name for name in arms if name not in order)]
    return Guess(order=tuple(order)) if len(order) == len(arms) else None


def write(guess: Guess) -> str:
    """A guess as the store keeps it: JSON with ``order``, ``accuracy`` in percent and ``strategy``."""
    return json.dumps(guess._asdict())


def read(kept: str | None, lesson: Lesson) -> Guess | None:
    """A guess that the store has kept; None if there is none, or the lesson asks for another kind by now."""
    try:
        values = json.loads(kept or "null")
        guess = Guess(tuple(values["order"]), values["accuracy"], values["strategy"])
    except (ValueError, TypeError, KeyError):
        return None
    return guess if bool(guess.order) == (lesson.prediction.kind == "order") else None
