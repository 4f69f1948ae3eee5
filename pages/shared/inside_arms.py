"""The arms of a run that can be looked into, and what is said where one cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tlcore import inside as kept
from tlcore import views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tlcore.experiment import Experiment, RunRecord
    from tlcore.inside import Inside


class Arms:
    """The arms of an experiment's first seed, as far as they were kept from inside."""

    def __init__(self, records: Iterable[RunRecord], experiment: Experiment) -> None:
        self.records = {record.strategy: record for record in records if record.seed == experiment.first_seed}
        found = {strategy: kept.find_of(record) for strategy, record in self.records.items()}
        self.insides: dict[str, Inside] = {name: inside for name, inside in found.items() if inside is not None}
        self.seed = experiment.first_seed

    def such_that(self, holds: Callable[[Inside], bool]) -> dict[str, Inside]:
        return {strategy: inside for strategy, inside in self.insides.items() if holds(inside)}

    def name_of(self, strategy: str) -> tuple[str, float]:
        """What tells this arm's files from all others."""
        return self.records[strategy].arm_hash, self.insides[strategy].test_accuracy

    def classes(self, strategy: str) -> tuple[str, ...]:
        return tuple(self.records[strategy].datasets["target"].classes)

    def say_if_of_another_run(self, strategies: Iterable[str]) -> None:
        for strategy in strategies:
            if not kept.is_of(self.insides[strategy], self.records[strategy]):
                say_another_run(self.insides[strategy], self.records[strategy])


def say_another_run(inside: Inside, record: RunRecord) -> None:
    """Say that another run of the same arm is shown, and where it ended."""
    st.caption(
        f":material/info: {views.title_of(record.strategy)}: what is shown here is of another run of the same arm, on "
        f"the same images. It ended at {100 * inside.test_accuracy:.1f} % on the test images, this one at "
        f"{100 * record.test_accuracy:.1f} %."
    )


def say_empty(what: str) -> None:
    """Say that there is nothing to look into, and why."""
    st.info(
        f"{what} Only arms that were trained on this machine can be opened, and of those the first seed.",
        icon=":material/visibility_off:",
    )


def answer_words(answer: int, classes: Sequence[str]) -> str:
    """The class that an arm answered, in words."""
    return classes[answer] if answer < len(classes) else "a class that only the source has"
