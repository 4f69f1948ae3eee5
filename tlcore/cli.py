"""The command line: ``python -m tlcore …``.

Errors go to stderr in one line that says what to do, with exit code 2.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tlcore.data import DATASETS
from tlcore.errors import Stopped, UserError
from tlcore.experiment import QUERY_KEYS, Event, Experiment
from tlcore.metrics.stats import mean_interval
from tlcore.models import BACKBONES
from tlcore.presets import PRESETS, RECORDS, Preset
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tlcore.results import Comparison

out, err = Console(), Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None for the process's own.

    Returns:
        Exit code: 0 when done, 2 for an error that the person can mend, 130 when interrupted.
    """
    try:
        result = commands.main(
            args=list(arguments) if arguments is not None else None, prog_name="tlcore", standalone_mode=False
        )
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        return _fail(f"{error.format_message().rstrip('.')}: see `{_path_of(error)} --help`")
    except UserError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort, Stopped):
        err.print("stopped: nothing was written")
        return 130
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    # Not through rich, which would wrap the line at the width of the terminal.
    sys.stderr.write(f"tlcore: {message}\n")
    return 2


def _path_of(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx is not None else "tlcore"


@click.group(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Learn transfer learning by measuring it: train several strategies on the same data, steps and seeds."""


def _experiment_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for every field of `Experiment`, so that a new field needs no second list."""
    for field in reversed(QUERY_KEYS.values()):
        info = Experiment.model_fields[field]
        default: Any = info.default
        shown = (
            "auto" if default is None else ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        )
        function = click.option(
            f"--{field.replace('_', '-')}",
            field,
            metavar=_metavar(field),
            help=f"{info.description}  [default: {shown}]",
        )(function)
    return function


def _metavar(field: str) -> str:
    names = {"source": "DATASET", "target": "DATASET", "backbone": "BACKBONE", "strategies": "NAME,NAME,…"}
    return names.get(field, "RATE,RATE,…" if field == "learning_rates" else "VALUE")


def _experiment(given: dict[str, str | None]) -> Experiment:
    values: dict[str, Any] = {}
    for field, text in given.items():
        if text is None:
            continue
        if field in ("strategies", "learning_rates"):
            values[field] = tuple(part.strip() for part in text.split(",") if part.strip())
        elif text == "auto" and Experiment.model_fields[field].default is None:
            values[field] = None
        else:
            values[field] = text
    return Experiment.of(**values)


@commands.command()
@_experiment_options
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the comparison here.")
@click.option("--processes", type=click.IntRange(1, 64), help="Processes to share the arms.  [default: one a core]")
@click.option("--quiet", is_flag=True, help="No progress display and no table.")
def compare(json_path: Path | None, processes: int | None, quiet: bool, **given: str | None) -> None:
    """Run a comparison: every strategy with every seed, on the same images, steps and seeds.

    \b
    Example:
      python -m tlcore compare --source mnist --target fashion_mnist \\
        --strategies scratch,feature_extraction,fine_tune_last,fine_tune_all \\
        --labels-per-class 20 --seeds 3 --json out.json
    """
    experiment = _experiment(given)
    if json_path is not None:
        _check_writable(json_path)
    comparison = _run(experiment, processes, quiet)
    if json_path is not None:
        _write(json_path, comparison.to_json())
    if not quiet:
        _print_comparison(comparison)
        if json_path is not None:
            out.print(f"written to {json_path}")


@commands.command()
@click.argument("names", nargs=-1, metavar="[PRESET]…")
@click.option("--processes", type=click.IntRange(1, 64), help="Processes to share the arms.  [default: one a core]")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=RECORDS, help="Where to write.  [default: data/records]"
)
def record(names: tuple[str, ...], processes: int | None, folder: Path) -> None:
    """Measure the recorded comparisons again, on the real data, and write them to data/records/.

    Without names, all of them. Each preset in data/presets/ gives one file of the same name.
    """
    from tlcore.errors import unknown_name

    for name in names:
        if name not in PRESETS:
            raise UserError(unknown_name("preset", name, PRESETS))
    for name in names or tuple(PRESETS):
        preset: Preset = PRESETS[name]
        path = folder / preset.record_path.name
        _check_writable(path)
        out.print(f"[bold]{preset.title}[/bold]")
        comparison = _run(preset.experiment, processes, quiet=False)
        _write(path, comparison.to_json())
        _print_comparison(comparison)
        out.print(f"written to {path}\n")


@commands.command()
@click.option("--source", metavar="DATASET", help="Only this source.  [default: all that ship]")
@click.option("--backbone", metavar="BACKBONE", help="Only this backbone.  [default: all that ship]")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write.  [default: data/checkpoints]")
def pretrain(source: str | None, backbone: str | None, folder: Path | None) -> None:
    """Train the source checkpoints that ship with the project, from the real data."""
    from tlcore.data import get_dataset
    from tlcore.models import get_backbone
    from tlcore.pretrain import SHIPPED, SHIPPED_PAIRS, train_checkpoint

    if source is not None:
        get_dataset(source)
    if backbone is not None:
        get_backbone(backbone)
    if source is not None and backbone is not None:
        pairs = ((source, backbone),)
    else:
        pairs = tuple(pair for pair in SHIPPED_PAIRS if source in (None, pair[0]) and backbone in (None, pair[1]))
        if not pairs:
            raise UserError("none of the shipped checkpoints is for that: name both --source and --backbone")
    for name, network in pairs:
        with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err) as bars:
            bar = bars.add_task(f"{network} on {name}", total=1.0)
            checkpoint = train_checkpoint(
                name,
                network,
                "float32",  # so that the same weights come out on every host
                lambda event, bars=bars, bar=bar: bars.update(bar, completed=event.fraction),
                lambda: False,
                folder or SHIPPED,
            )
        out.print(f"{name}/{network}: test accuracy {checkpoint.info.test_accuracy:.4f}")


@commands.command()
def datasets() -> None:
    """List the datasets, and where each is found on this machine."""
    table = _table("name", "what", "shape", "classes", "labels a class", "found")
    for spec in DATASETS.values():
        height, width, channels = spec.shape
        table.add_row(
            spec.name,
            spec.sentence,
            f"{height}×{width}×{channels}",
            str(len(spec.classes)),
            f"2–{spec.labels_per_class_limit}",
            spec.looks() or "not here: downloaded at first use",
        )
    out.print(table)


@commands.command()
def strategies() -> None:
    """List the strategies, a sentence and the paper for each."""
    table = _table("name", "kind", "what it does", "paper")
    for strategy in STRATEGIES.values():
        table.add_row(strategy.name, strategy.kind, strategy.sentence, strategy.paper)
    out.print(table)


@commands.command()
def backbones() -> None:
    """List the backbones and their stages."""
    table = _table("name", "what", "stages")
    for backbone in BACKBONES.values():
        stages = " → ".join(f"{stage.name} ({stage.kind} {stage.width})" for stage in backbone.stages)
        table.add_row(backbone.name, backbone.sentence, stages)
    out.print(table)


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(as_json: bool) -> None:
    """Say what this host is: device, number formats measured, datasets, where files are kept."""
    from tlcore import backend
    from tlcore.home import home
    from tlcore.pretrain import find_checkpoint

    backend.configure(threads=1)
    speeds = backend.precision_speeds()
    chosen = backend.resolve_precision("auto")
    environment = backend.environment(chosen)
    found = {name: spec.looks() for name, spec in DATASETS.items()}
    checkpoints = {
        f"{source}/{backbone}": kept.info.provenance
        for source in DATASETS
        for backbone in BACKBONES
        if (kept := find_checkpoint(source, backbone)) is not None
    }
    if as_json:
        out.print_json(
            json.dumps(
                {
                    "environment": environment.model_dump(mode="json"),
                    "images_per_second": speeds,
                    "home": str(home()),
                    "datasets": found,
                    "source_models": checkpoints,
                }
            )
        )
        return
    table = Table(show_header=False, box=None)
    table.add_row("device", f"{environment.device} ({environment.machine})")
    table.add_row(
        "backend",
        f"{environment.backend} {environment.packages[environment.backend]}, Keras {environment.packages['keras']}",
    )
    for name, speed in speeds.items():
        mark = "  ← used" if name == chosen else ""
        table.add_row(name, f"{speed:,.0f} training images a second on one thread{mark}")
    table.add_row("files kept in", str(home()))
    table.add_row("", "")
    for name, where in found.items():
        table.add_row(name, where or "not here: downloaded at first use")
    table.add_row("", "")
    for name, where in checkpoints.items():
        table.add_row(name, f"source model {where}")
    out.print(table)


@commands.command()
@click.option("--slots", type=click.IntRange(1, 64), help="Arms to train at once.  [default: one a core]")
def worker(slots: int | None) -> int:
    """Train what the app's learners ask for; the app starts this by itself."""
    from tlcore.jobs.worker import main as work

    return work(slots)


def _table(*columns: str) -> Table:
    """A table whose first column, the names that people type, is never cut."""
    table = Table(*columns)
    table.columns[0].no_wrap = True
    table.columns[0].overflow = "ignore"
    return table


# --- running and showing ----------------------------------------------------------------------------------------------


def _run(experiment: Experiment, processes: int | None, quiet: bool) -> Comparison:
    """Run a comparison with a progress bar a strategy; Ctrl-C stops it at the next step."""
    from tlcore.runner import compare as run

    stop = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        with _Bars(experiment, quiet) as bars:
            return run(experiment, bars.show, stop.is_set, processes or os.cpu_count() or 1)
    finally:
        signal.signal(signal.SIGINT, before)


class _Bars:
    """One progress bar a strategy, its seeds added up, and one for the preparation."""

    def __init__(self, experiment: Experiment, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TextColumn("{task.fields[text]:<26}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=quiet,
        )
        self._preparing = self._progress.add_task("preparation", total=1.0, text="starting")
        self._bars: dict[str, TaskID] = {
            name: self._progress.add_task(STRATEGIES[name].title, total=experiment.seeds, text="waiting", start=False)
            for name in experiment.strategies
        }
        self._done: dict[tuple[str, int], float] = {}

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Move the bar that the event is about."""
        if event.kind == "pretrain":
            self._progress.update(self._preparing, completed=event.fraction, text=event.text[:26])
            return
        self._progress.update(self._preparing, completed=1.0, text="ready")
        bar = self._bars[event.strategy]
        if event.kind == "arm_started":
            self._progress.start_task(bar)
        self._done[event.strategy, event.seed] = max(self._done.get((event.strategy, event.seed), 0), event.fraction)
        done = sum(fraction for (strategy, _), fraction in self._done.items() if strategy == event.strategy)
        text = f"seed {event.seed}: {event.text}"
        if event.record is not None:
            text = f"seed {event.seed}: {event.record.test_accuracy:.1%} on the test"
        self._progress.update(bar, completed=done, text=text[:26])


def _print_comparison(comparison: Comparison) -> None:
    experiment = comparison.experiment
    differences = {item.strategy: item for item in comparison.comparisons}
    baseline = next((item.baseline for item in differences.values()), "")
    table = Table(
        "strategy",
        "test accuracy, %",
        f"against {baseline}, points" if baseline else "difference",
        "verdict",
        "s an arm",
        title=f"{experiment.source} → {experiment.target}, {experiment.labels_per_class} labels a class, "
        f"{experiment.seeds} seeds, {experiment.steps} steps",
        caption="mean and 95 % interval over seeds; differences are paired by seed",
        box=SIMPLE,
        pad_edge=False,
    )
    table.columns[0].no_wrap = True
    for name in experiment.strategies:
        records = [record for record in comparison.records if record.strategy == name]
        interval = mean_interval([record.test_accuracy for record in records])
        seconds = sum(sum(record.phase_seconds.values()) for record in records) / len(records)
        row = [STRATEGIES[name].title, _with_interval(interval.mean, interval.low, interval.high, "{:.1f}")]
        if (item := differences.get(name)) is not None:
            row += [_with_interval(item.mean_difference, item.ci_low, item.ci_high, "{:+.1f}"), item.verdict]
        else:
            row += ["", "baseline" if name == baseline else ""]
        table.add_row(*row, f"{seconds:.1f}")
    out.print(table)
    for record in comparison.records:
        if record.message:
            out.print(f"{record.strategy}, seed {record.seed}: {record.message}")


def _with_interval(mean: float, low: float | None, high: float | None, pattern: str) -> str:
    text = pattern.format(100 * mean)
    if low is None or high is None:
        return f"{text} (one seed)"
    return f"{text} ({pattern.format(100 * low)} to {pattern.format(100 * high)})"


def _check_writable(path: Path) -> None:
    """Find out before minutes of training that the result cannot be written."""
    folder = path.resolve().parent
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file in it")
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist: create it or name another file")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UserError(f"cannot write {path}: choose a folder that can be written")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): make room or name another file") from None
