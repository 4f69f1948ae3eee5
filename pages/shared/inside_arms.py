"""The arms of a run that can be looked into, and what is said where one cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.host import may_see_pictures
from tlcore import inside as kept
from tlcore.views.inside import another_run_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tlcore.experiment import Experiment, RunRecord
    from tlcore.inside import Inside


class Arms:
    """The arms of an experiment's first seed, as far as they were kept from inside."""

    def __init__(self, records: Iterable[RunRecord], experiment: Experiment) -> None:
        self.records = {record.strategy: record for record in records if record.seed == experiment.first_seed}
        found = {strategy: kept.find_of(record) for strategy, record in self.records.items()}
        self.insides: dict[str, Inside] = {name: inside for name, inside in found.items() if inside is not None}
        self.seed = experiment.first_seed
        self.pictures = may_see_pictures(experiment.target)

    def such_that(self, holds: Callable[[Inside], bool]) -> dict[str, Inside]:
        return {strategy: inside for strategy, inside in self.insides.items() if holds(inside)}

    def name_of(self, strategy: str) -> tuple[str, float]:
        """What tells this arm's files from all others."""
        return self.records[strategy].arm_hash, self.insides[strategy].test_accuracy

    def classes(self, strategy: str) -> tuple[str, ...]:
        return tuple(self.records[strategy].datasets["target"].classes)

    def say_if_of_another_run(self, strategies: Iterable[str]) -> None:
        for strategy in strategies:
            say_if_of_another_run(self.insides[strategy], self.records[strategy])


def say_if_of_another_run(inside: Inside, record: RunRecord) -> None:
    """Say so where another run of the same arm is shown, and where it ended."""
    if said := another_run_sentence(inside, record):
        st.caption(f":material/info: {said}")


def say_empty(what: str) -> None:
    """Say that there is nothing to look into, and why."""
    st.info(
        f"{what} Only arms that were trained on this machine can be opened, and of those the first seed.",
        icon=":material/visibility_off:",
    )


def say_withheld() -> None:
    """Say why no pictures are shown."""
    st.info(
        "The pictures are somebody's own: only the browser that added them sees them. The numbers are for everybody "
        "who has the link.",
        icon=":material/lock:",
    )
