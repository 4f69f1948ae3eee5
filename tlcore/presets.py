"""Presets: named experiments kept as files, and where their recorded results are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tlcore.experiment import Experiment

DATA = Path(__file__).resolve().parent.parent / "data"
RECORDS = DATA / "records"


@dataclass(frozen=True)
class Preset:
    """An experiment with a name.

    Args:
        name: Name of its file, and of its recorded result's.
        title: What a page calls it.
        question: What it finds out.
        experiment: What is run.
    """

    name: str
    title: str
    question: str
    experiment: Experiment

    @property
    def record_path(self) -> Path:
        """Where its recorded comparison is."""
        return RECORDS / f"{self.name}.json"


def _read(path: Path) -> Preset:
    values = json.loads(path.read_text(encoding="utf-8"))
    return Preset(path.stem, values["title"], values["question"], Experiment.of(**values["experiment"]))


PRESETS: dict[str, Preset] = {path.stem: _read(path) for path in sorted((DATA / "presets").glob("*.json"))}
