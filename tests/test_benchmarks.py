"""The benchmarks run: tiny versions of every part, for what comes out, not for how fast."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import math
import time
from pathlib import Path

import pytest

from benchmarks.__main__ import PARTS, SPEED
from benchmarks.table import RESULTS, ROWS, markdown
from benchmarks.timing import Apart, race

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_imported_and_measures(part: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{part}").measure)


def test_the_table_has_a_row_for_every_speed_part() -> None:
    assert tuple(row.part for row in ROWS) == SPEED


def test_a_race_keeps_the_best_turn_and_leaves_the_first_out() -> None:
    turns: list[str] = []
    best = race({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=2)
    assert turns == ["a", "b", "a", "b", "a", "b"]
    assert all(turn.seconds >= 0 and turn.cpu >= 0 for turn in best.values())


def test_a_candidate_may_race_in_a_process_of_its_own() -> None:
    best = race({"here": lambda: sum(range(10)), "apart": Apart(functools.partial, time.sleep, 0.02)}, rounds=2)
    assert best["apart"].seconds >= 0.02
    assert best["apart"].cpu < 0.02


def test_exponents_of_known_growth() -> None:
    from benchmarks.growth import exponent

    assert exponent([(1, 2), (2, 4), (4, 8)]) == pytest.approx(1)
    assert exponent([(1, 3), (10, 3)]) == pytest.approx(0)


def test_watching_a_process_sees_its_answer_and_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import watch

    module = (
        "import json, time\nheld = bytearray(50_000_000)\ntime.sleep(0.5)\nprint(json.dumps({'held': len(held)}))\n"
    )
    (tmp_path / "holds_memory.py").write_text(module, encoding="utf-8")
    monkeypatch.setattr(watch, "ROOT", tmp_path)
    watched = watch.run("holds_memory", memory=True)
    assert watched.answer == {"held": 50_000_000}
    assert watched.seconds >= 0.5
    assert watched.rss > 50_000_000


def test_a_process_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import watch

    (tmp_path / "fails_at_once.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    monkeypatch.setattr(watch, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="ended with 3"):
        watch.run("fails_at_once")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch, the peer, is in requirements-bench.txt")
def test_training() -> None:
    from benchmarks.training import measure

    figures = measure(images=64, rounds=1, batch_sizes=(32,))
    row(figures, "training")


def test_features() -> None:
    from benchmarks.features import measure

    row(measure(images=8, epochs=1, rounds=1), "features")


def test_overhead() -> None:
    from benchmarks.overhead import measure

    row(measure(steps=4, rounds=1), "overhead")


def test_heads() -> None:
    from benchmarks.heads import measure

    row(measure(rows=20, width=6, classes=3, steps=4, rounds=1), "heads")


def test_warm() -> None:
    from benchmarks.warm import measure

    row(measure(source="mnist", target="uci_digits", seeds=1), "warm")


def test_memory_and_growth(tmp_path: Path) -> None:
    from benchmarks import growth, memory

    figures = memory.measure("noise_grey", "uci_digits", "mlp", labels_per_class=4, steps=2, seeds=1)
    row(figures, "memory")
    assert figures["peak, GB, shared pages counted for every process"] > 0.1
    page = tmp_path / "growth.html"
    grown = growth.measure((2, 4), (1, 2), (1, 2), ("cnn_tiny", "mlp"), steps=2, backbone="mlp", figure=page)
    row(grown, "growth")
    assert "seconds" in page.read_text(encoding="utf-8")


@pytest.mark.real_data
def test_headline() -> None:
    from benchmarks.headline import STRATEGIES, measure

    # The source model of the smallest network takes a tenth of the time.
    figures = measure(source_images=200, epochs=1, steps=2, seeds=1, test_images=50, backbone="mlp")
    assert set(figures["difference in points"]) == set(STRATEGIES)
    row(figures, "headline")


def row(figures: dict[str, object], part: str) -> None:
    """The part's row can be written from its figures, after a trip through JSON."""
    kept = json.loads(json.dumps(figures))
    assert all(math.isfinite(value) for value in kept.values() if isinstance(value, float))
    line = markdown({part: kept}).splitlines()[-1]
    assert line.count(" | ") == 2


@pytest.mark.skipif(not RESULTS.is_file(), reason="nothing is measured yet")
def test_what_is_kept_gives_the_table() -> None:
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["parts"]
    assert set(kept) <= set(SPEED)
    assert len(markdown(kept).splitlines()) == 2 + len(kept)
