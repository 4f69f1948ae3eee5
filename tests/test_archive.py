"""Finished arms are found again, the right ones and no others: a comparison that was interrupted goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tlcore import Comparison, Event, Experiment, RunRecord, Stopped, UserError, archive, backend, engine
from tlcore.archive import Archive
from tlcore.arm import run_arm
from tlcore.data import load
from tlcore.runner import compare

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=("pixel_baseline", "feature_extraction"),
    labels_per_class=4,
    seeds=2,
    steps=5,
    learning_rate=1e-3,
    precision="float32",
)


@cache
def trained(strategy: str, seed: int) -> RunRecord:
    """One arm of `SMALL`, run once for all tests that look at it."""
    return run_arm(SMALL, strategy, seed)


@pytest.fixture
def kept(tmp_path: Path) -> Archive:
    """An archive of its own with both arms of the first seed."""
    kept = Archive(tmp_path / "arms")
    for strategy in SMALL.strategies:
        kept.keep(trained(strategy, 0))
    return kept


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The arms that are really trained; they are trained once for all tests."""
    done: list[tuple[str, int]] = []

    def noting(experiment: Experiment, strategy: str, seed: int, *rest: object) -> RunRecord:
        done.append((strategy, seed))
        return trained(strategy, seed).model_copy(update={"experiment": experiment})

    monkeypatch.setattr(engine, "run_arm", noting)
    return done


def test_what_is_kept_is_found_whole(kept: Archive) -> None:
    for strategy in SMALL.strategies:
        assert kept.find(SMALL, strategy, 0) == trained(strategy, 0)


def test_an_arm_is_found_whatever_it_is_compared_with(kept: Archive) -> None:
    """The record found says what it is wanted for now."""
    other = SMALL.model_copy(update={"strategies": ("feature_extraction", "direct_reuse"), "seeds": 9})
    found = kept.find(other, "feature_extraction", 0)
    assert found is not None
    assert found.experiment == other
    assert found.test_accuracy == trained("feature_extraction", 0).test_accuracy


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 6},
        {"learning_rate": 2e-3},
        {"labels_per_class": 5},
        {"source": "fashion_mnist"},
        {"backbone": "mlp"},
        {"augmentation": "shift"},
        {"cut": 1},
        {"normalization": "freeze"},
        {"source_images": 500},
        {"precision": "mixed_bfloat16"},
        {"seconds": 3.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_arm_is_not_found(kept: Archive, change: dict[str, object]) -> None:
    assert kept.find(SMALL.model_copy(update=change), "feature_extraction", 0) is None


def test_another_seed_and_another_strategy_are_not_found(kept: Archive) -> None:
    assert kept.find(SMALL, "feature_extraction", 1) is None
    assert kept.find(SMALL, "scratch", 0) is None


def test_an_arm_of_another_machine_or_version_is_not_found(kept: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archive.tlcore, "__version__", "0.0.0")
        assert kept.find(SMALL, "feature_extraction", 0) is None
    with monkeypatch.context() as patch:
        patch.setattr(backend, "machine", lambda: "another machine")
        assert kept.find(SMALL, "feature_extraction", 0) is None
    assert kept.find(SMALL, "feature_extraction", 0) is not None


def test_an_arm_whose_target_has_changed_since_is_not_found(kept: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = load("uci_digits")
    from dataclasses import replace

    monkeypatch.setattr("tlcore.data.load", lambda _: replace(changed, sha256="other pictures"))
    assert kept.find(SMALL, "feature_extraction", 0) is None
    assert kept.find(SMALL, "pixel_baseline", 0) is None


def test_an_arm_whose_source_model_has_changed_since_is_not_found(kept: Archive) -> None:
    """Its weights are part of what was measured; an arm that took nothing from them is the same as ever."""
    record = trained("feature_extraction", 0)
    assert record.source_model is not None
    other = record.source_model.model_copy(update={"key": "another", "sha256": "another"})
    kept.keep(record.model_copy(update={"source_model": other}))
    assert kept.find(SMALL, "feature_extraction", 0) is None
    assert kept.find(SMALL, "pixel_baseline", 0) is not None


@pytest.mark.parametrize("how", ["empty", "cut short", "binary", "not a record", "a folder"])
def test_a_damaged_file_is_trained_again(kept: Archive, runs: list[tuple[str, int]], how: str) -> None:
    (path,) = kept.folder.glob(f"{SMALL.arm_hash('feature_extraction', 0)}-*.json")
    content = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "binary": bytes(range(256)), "not a record": b"{}"}.get(how, content[:99]))
    assert kept.find(SMALL, "feature_extraction", 0) is None
    if how == "a folder":  # nothing can be written there: that is said
        with pytest.raises(UserError, match="cannot write"):
            kept.keep(trained("feature_extraction", 0))
        return
    compare(SMALL.model_copy(update={"seeds": 1}), archive=kept)
    assert runs == [("feature_extraction", 0)]
    assert kept.find(SMALL, "feature_extraction", 0) == trained("feature_extraction", 0)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        Archive(tmp_path / "file" / "arms").keep(trained("pixel_baseline", 0))
    assert Archive(tmp_path / "file" / "arms").find(SMALL, "pixel_baseline", 0) is None


def test_an_interrupted_comparison_goes_on_where_it_stopped(tmp_path: Path, runs: list[tuple[str, int]]) -> None:
    kept = Archive(tmp_path / "arms")

    def give_up(event: Event) -> None:
        if event.kind == "arm_started" and event.seed == 1 and event.text != "found: trained before":
            raise Stopped  # in the third of four arms

    real = engine.run_arm

    def started(experiment: Experiment, strategy: str, seed: int, on_event: object, *rest: object) -> RunRecord:
        assert callable(on_event)
        on_event(Event(kind="arm_started", strategy=strategy, seed=seed))
        return real(experiment, strategy, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "run_arm", started)
        with pytest.raises(Stopped):
            compare(SMALL, give_up, archive=kept)
    assert runs == [("pixel_baseline", 0), ("feature_extraction", 0)]
    assert len(list(kept.folder.iterdir())) == 2, "an arm that did not finish was kept, or a partial file is left"

    runs.clear()
    events: list[Event] = []
    comparison = compare(SMALL, events.append, archive=kept)
    assert runs == [("pixel_baseline", 1), ("feature_extraction", 1)]
    assert [(r.strategy, r.seed) for r in comparison.records] == [(s, n) for s in SMALL.strategies for n in (0, 1)]
    assert [e.record for e in events if e.kind == "arm_finished" and e.seed == 0] == [
        trained(strategy, 0) for strategy in SMALL.strategies
    ]
    runs.clear()
    assert compare(SMALL, archive=kept) == comparison
    assert runs == []


def test_without_an_archive_everything_is_trained(runs: list[tuple[str, int]]) -> None:
    compare(SMALL)
    compare(SMALL)
    assert runs == [*SMALL.arms, *SMALL.arms]


SCRIPT = """
import sys
from tlcore import Event, Experiment
from tlcore.archive import Archive
from tlcore.runner import compare

def main():
    experiment = Experiment.model_validate_json(sys.argv[1])
    kept = Archive()
    found = lambda event: event.text == "found: trained before"
    done = []
    first = compare(experiment, done.append, processes=2, archive=kept)
    print(sum(map(found, done)), len(list(kept.folder.glob("*.json"))), len(list(kept.folder.iterdir())))
    done.clear()
    again = compare(experiment, done.append, processes=2, archive=kept)
    print(sum(map(found, done)), again == first)

if __name__ == "__main__":
    main()
"""


def test_several_processes_share_an_archive(tmp_path: Path, root: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT, encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    # One arm was trained before, in this process.
    Archive(home / "arms").keep(trained("pixel_baseline", 0))
    done = subprocess.run(
        [sys.executable, str(script), SMALL.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root), "TLCORE_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "1 4 4"
    assert second == "4 True"


def test_a_comparison_that_was_found_is_one(kept: Archive, runs: list[tuple[str, int]]) -> None:
    comparison = compare(SMALL.model_copy(update={"seeds": 1}), archive=kept)
    assert runs == []
    assert Comparison.from_json(comparison.to_json()) == comparison
