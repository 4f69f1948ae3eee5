"""Presets: named experiments and studies kept as files, and where their recorded results are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlcore.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.estimate import Estimate
    from tlcore.results import Comparison
    from tlcore.scenario import Scenario
    from tlcore.sweep import Sweep

DATA = Path(__file__).resolve().parent.parent / "data"
RECORDS = DATA / "records"


@dataclass(frozen=True)
class Preset:
    """An experiment with a name, or several that belong together.

    Args:
        name: Name of its file, and of its recorded result's.
        title: What a page calls it.
        question: What it finds out.
        given: Fields of the experiment.
        vary: For a sweep, ``FACTOR=VALUE,VALUE,…``.
        scenario: For a 2 × 2 map, its ``near``, ``far``, ``few`` and ``many``.
        sources: For an estimate, the sources it judges.
        against: For an estimate, the recorded result with the gains that it is held against.
    """

    name: str
    title: str
    question: str
    given: dict[str, Any]
    vary: str = ""
    scenario: dict[str, Any] = field(default_factory=dict[str, Any])
    sources: tuple[str, ...] = ()
    against: str = ""

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Everything that it runs, in order."""
        from tlcore.estimate import plan_estimate
        from tlcore.scenario import plan_scenario
        from tlcore.sweep import plan_sweep

        if self.vary:
            return plan_sweep(self.vary, self.given).experiments
        if self.scenario:
            return plan_scenario(**self.scenario, given=self.given).experiments
        if self.sources:
            return plan_estimate(self.sources, self.given)
        return (Experiment.of(**self.given),)

    @property
    def experiment(self) -> Experiment:
        """The experiment, or the first one of several."""
        return self.experiments[0]

    @property
    def record_path(self) -> Path:
        """Where its recorded result is."""
        return RECORDS / f"{self.name}.json"

    def measure(self, run: Callable[[Experiment], Comparison]) -> Comparison | Sweep | Scenario | Estimate:
        """Measure it.

        Args:
            run: Runs one comparison.

        Returns:
            What is recorded of it.

        Raises:
            UserError: If data, a source model or the result that an estimate is held against cannot be had.
        """
        from tlcore.estimate import estimate
        from tlcore.saved import records_in
        from tlcore.scenario import plan_scenario, scenario
        from tlcore.sweep import plan_sweep, sweep

        if self.vary:
            return sweep(plan_sweep(self.vary, self.given), run)
        if self.scenario:
            return scenario(plan_scenario(**self.scenario, given=self.given), run)
        if self.sources:
            return estimate(self.experiments).against(records_in(RECORDS / f"{self.against}.json"))
        return run(self.experiment)


def _read(path: Path) -> Preset:
    values = json.loads(path.read_text(encoding="utf-8"))
    return Preset(
        path.stem,
        values["title"],
        values["question"],
        values["experiment"],
        values.get("vary", ""),
        values.get("scenario", {}),
        tuple(values.get("sources", ())),
        values.get("against", ""),
    )


PRESETS: dict[str, Preset] = {path.stem: _read(path) for path in sorted((DATA / "presets").glob("*.json"))}
