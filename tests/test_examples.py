"""Every example runs as it is, says something, and leaves nothing but what it measured."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_says_what_it_found(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TLCORE_FULL", raising=False)
    names = runpy.run_path(str(path))
    said = capsys.readouterr().out
    assert said.strip()
    assert "Traceback" not in said
    assert names["FULL"] is False


def test_there_is_an_example_of_every_experiment() -> None:
    assert {path.stem for path in EXAMPLES} >= {
        *("compare", "labels", "cut", "source", "source_size", "depth", "steps", "unfreezing", "forgetting"),
        *("estimate", "advice", "scenario", "several_tasks"),
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_reads_as_cells(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n# %% ") >= 2
    assert "TLCORE_FULL" in text
    assert len(text.splitlines()) <= 60
