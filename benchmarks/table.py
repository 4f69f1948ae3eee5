"""The speed figures with the bar that each has to clear: one command, one table, one file."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.watch import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Figures = dict[str, Any]

RESULTS = Path(__file__).resolve().parent / "results.json"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        part: Module that measures it.
        measured: What is measured.
        bar: What it has to clear, in words.
        here: The figure in words, from what the part measured.
        holds: Whether it clears the bar.
    """

    part: str
    measured: str
    bar: str
    here: Callable[[Figures], str]
    holds: Callable[[Figures], bool]


def _training_holds(figures: Figures) -> bool:
    least = 2 if figures["number format here"] == "mixed_bfloat16" else 1
    return min(figures["times Keras fit, float32, batch 32"], figures["times PyTorch eager, batch 32"]) >= least


ROWS = (
    Row(
        "headline",
        "source model (60,000 digits, 3 epochs) + 4 arms × 3 seeds × 600 steps + test, against plain Keras",
        "≥ 8× faster, test accuracy within 1 point",
        lambda f: f"{f['times faster']:.1f}×, {f['largest difference, points']:.1f} points",
        lambda f: f["times faster"] >= 8 and f["largest difference, points"] <= 1,
    ),
    Row(
        "training",
        "training images a second of one arm, batch 32, against plain Keras float32 / PyTorch eager",
        "≥ 2× both with bfloat16 units, ≥ 1× without",
        lambda f: f"{f['times Keras fit, float32, batch 32']:.1f}× / {f['times PyTorch eager, batch 32']:.1f}×",
        _training_holds,
    ),
    Row(
        "features",
        "`feature_extraction` on cached features against a frozen `fit`: "
        "MobileNetV2(0.35), 96 px, 500 images, 20 epochs",
        "≥ 20×",
        lambda f: f"{f['times faster']:.1f}×",
        lambda f: f["times faster"] >= 20,
    ),
    Row(
        "overhead",
        "engine overhead over bare `fit` of the same compiled model",
        "≤ 3 %",
        lambda f: f"{f['overhead, %']:.1f} %",
        lambda f: f["overhead, %"] <= 3,
    ),
    Row(
        "heads",
        "16 heads (4 rates × 4 seeds) on 128 features as one program, against the same one after another / Keras `fit`",
        "≥ 6×",
        lambda f: f"{f['times the same one after another']:.1f}× / {f['times Keras fit one after another']:.0f}×",
        lambda f: f["times the same one after another"] >= 6,
    ),
    Row(
        "warm",
        "second run with another seed in a warm process: time before the first step",
        "≤ 100 ms",
        lambda f: f"{f['ms before the first step, slowest strategy and seed']} ms",
        lambda f: f["ms before the first step, slowest strategy and seed"] <= 100,
    ),
    Row(
        "memory",
        "peak memory of a comparison on CIFAR-10, source model included, all processes",
        "≤ 1.5 GB",
        lambda f: f"{_gigabytes(f):.2f} GB",
        lambda f: _gigabytes(f) <= 1.5,
    ),
    Row(
        "growth",
        "growth of the cost with labels, seeds, arms and network size: largest exponent",
        "linear or better",
        lambda f: f"{f['largest exponent']:.2f}",
        lambda f: f["largest exponent"] <= 1.1,
    ),
)


def _gigabytes(figures: Figures) -> float:
    """Shared pages once, where the system says so."""
    once = figures["peak, GB, shared pages counted once"]
    return figures["peak, GB, shared pages counted for every process"] if once is None else once


def measure_all(parts: Iterable[str] = (), results: Path = RESULTS) -> dict[str, Figures]:
    """Measure speed parts, each in a process of its own, and keep what came out.

    Args:
        parts: Names of the parts to measure again; none for all. The others are taken from the file.
        results: The file.

    Returns:
        Figures by part.
    """
    wanted = tuple(parts) or tuple(row.part for row in ROWS)
    kept: dict[str, Figures] = json.loads(results.read_text(encoding="utf-8"))["parts"] if results.is_file() else {}
    for name in wanted:
        print(f"measuring {name} …", file=sys.stderr)
        figures = run("benchmarks", "--json", name).answer
        kept[name] = figures | {"measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "host": host()}
        text = json.dumps({"parts": kept}, indent=1, ensure_ascii=False)
        results.write_text(text + "\n", encoding="utf-8")
    return kept


def host() -> str:
    """Processor, cores, memory, system and versions, in words."""
    from tlcore.backend import environment, machine

    packages = ", ".join(f"{name} {number}" for name, number in environment("float32").packages.items())
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    memory = psutil.virtual_memory().total / 1e9
    return f"{machine()}, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}, {packages}, {load}"


def markdown(measured: dict[str, Figures]) -> str:
    """The table for the README.

    Args:
        measured: Figures by part; parts that are not there are left out.
    """
    lines = ["| measured | bar | here |", "| --- | --- | --- |"]
    for row in ROWS:
        if row.part in measured:
            figures = measured[row.part]
            missed = "" if row.holds(figures) else " (missed)"
            lines.append(f"| {row.measured} | {row.bar} | {row.here(figures)}{missed} |")
    return "\n".join(lines)
