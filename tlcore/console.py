"""What the command line shows: progress while arms train, and results as tables."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tlcore.errors import UserError
from tlcore.experiment import Event, Experiment
from tlcore.metrics.stats import Interval
from tlcore.results import accuracy_interval
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tlcore.advise import Policy, Recommendation
    from tlcore.costs import Costs
    from tlcore.estimate import Estimate
    from tlcore.recipe import MeasuredRecipe
    from tlcore.results import Comparison
    from tlcore.scenario import Scenario
    from tlcore.summary import Summary
    from tlcore.sweep import Sweep

out, err = Console(), Console(stderr=True)


def table(*columns: str, title: str | None = None, caption: str | None = None, plain: bool = False) -> Table:
    """A table whose first column, the names that people type, is never cut.

    Args:
        *columns: Titles of the columns.
        title: What stands above it.
        caption: What stands below it.
        plain: Whether to draw no lines between rows and columns.

    Returns:
        The table, without rows.
    """
    made = Table(*columns, title=title, caption=caption)
    if plain:
        made.box, made.pad_edge = SIMPLE, False
    made.columns[0].no_wrap = True
    made.columns[0].overflow = "ignore"
    return made


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Runner:
    """Runs comparisons with a progress bar a strategy; Ctrl-C stops at the next step.

    Args:
        processes: Processes to share the arms; None for one a core.
        quiet: Whether to show nothing.
        again: Whether to train arms that were trained before.
        total: How many comparisons there will be, to say which one runs; 1 to say nothing.
        varied: Field by which they differ, to be named.
    """

    processes: int | None = None
    quiet: bool = False
    again: bool = False
    total: int = 1
    varied: str = ""
    done: int = 0

    def check(self, experiments: Sequence[Experiment]) -> None:
        """Refuse tasks that share images, or are not to be had, before the first of several comparisons is run."""
        from tlcore.data import load
        from tlcore.data.pairs import check_pair

        for experiment in experiments:
            load(experiment.target)
            check_pair(experiment.source, experiment.target)

    def __call__(self, experiment: Experiment) -> Comparison:
        """Run one comparison."""
        from tlcore.archive import Archive
        from tlcore.runner import compare

        self.done += 1
        if self.total > 1 and not self.quiet:
            value = getattr(experiment, self.varied) if self.varied else ""
            what = f"{self.varied} {'auto' if value is None else value}" if self.varied else described(experiment)
            err.print(f"[bold]{what}[/bold] ({self.done} of {self.total})", highlight=False)
        stop = threading.Event()
        before = signal.signal(signal.SIGINT, lambda *_: stop.set())
        try:
            with Bars(experiment, self.quiet) as bars:
                archive = None if self.again else Archive()
                return compare(experiment, bars.show, stop.is_set, self.processes or os.cpu_count() or 1, archive)
        finally:
            signal.signal(signal.SIGINT, before)


def described(experiment: Experiment) -> str:
    """The two tasks and the label budget in a few words."""
    return f"{experiment.source} → {experiment.target}, {experiment.labels_per_class} labels a class"


class Bars:
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
        self._preparation_runs = False
        self._preparing = self._progress.add_task("preparation", total=1.0, text="starting")
        self._bars: dict[str, TaskID] = {
            name: self._progress.add_task(STRATEGIES[name].title, total=experiment.seeds, text="waiting", start=False)
            for name in experiment.strategies
        }
        self._done: dict[tuple[str, int], float] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Move the bar that the event is about."""
        if event.kind == "pretrain":
            self._preparation_runs = 0 < event.fraction < 1
            self._progress.update(self._preparing, completed=event.fraction, text=event.text[:26])
            return
        if not self._preparation_runs:  # arms that take nothing from the source do not wait for it
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


# --- showing ----------------------------------------------------------------------------------------------------------


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison: accuracy, difference from the baseline, verdict, cost."""
    experiment = comparison.experiment
    differences = {item.strategy: item for item in comparison.comparisons}
    baseline = next((item.baseline for item in differences.values()), "")
    shown = table(
        "strategy",
        "test accuracy, %",
        f"against {baseline}, points" if baseline else "difference",
        "verdict",
        "s an arm",
        title=f"{described(experiment)}, {experiment.seeds} seeds, {experiment.steps} steps",
        caption="mean and 95 % interval over seeds; differences are paired by seed",
        plain=True,
    )
    for name in experiment.strategies:
        records = [record for record in comparison.records if record.strategy == name]
        accuracy = accuracy_interval(records)
        seconds = sum(sum(record.phase_seconds.values()) for record in records) / len(records)
        row = [STRATEGIES[name].title, percent_with_interval(accuracy)]
        if (item := differences.get(name)) is not None:
            difference = Interval(item.mean_difference, item.ci_low, item.ci_high, item.n)
            row += [percent_with_interval(difference, "{:+.1f}"), item.verdict]
        else:
            row += ["", "baseline" if name == baseline else ""]
        shown.add_row(*row, f"{seconds:.1f}")
    out.print(shown)
    for record in comparison.records:
        if record.message:
            out.print(f"{record.strategy}, seed {record.seed}: {record.message}")


def show_sweep(sweep: Sweep) -> None:
    """Print a sweep: accuracies and differences by value, then the quantities of each value."""
    from tlcore.sweep import FACTORS
    from tlcore.views.sweeps import value_text

    factor, asked = FACTORS[sweep.factor], sweep.comparisons[0].experiment
    fixed = described(asked) if sweep.factor not in ("source", "target", "labels_per_class") else asked.backbone
    caption = "test accuracy in %; in brackets the difference from scratch in points with its 95 % interval, by seed"
    shown = table(
        factor.field,
        *(STRATEGIES[name].title for name in sweep.strategies),
        title=f"{fixed}, {asked.seeds} seeds, {asked.steps} steps",
        caption=caption,
        plain=True,
    )
    by_arm = {(point.value, point.strategy): point for point in sweep.points}
    for value in sweep.values:
        cells: list[str] = []
        for name in sweep.strategies:
            point = by_arm[value, name]
            text = f"{100 * point.accuracy.mean:.1f}"
            if (item := point.difference) is not None:
                difference = Interval(item.mean_difference, item.ci_low, item.ci_high, item.n)
                text += f" [{percent_with_interval(difference, '{:+.1f}')}]"
            cells.append(text.replace("[", "\\["))
        shown.add_row(value_text(value), *cells)
    out.print(shown)
    _show_quantities(sweep)


def _show_quantities(sweep: Sweep) -> None:
    """A table a strategy: what else was measured, value by value."""
    from tlcore.metrics.curves import QUANTITIES
    from tlcore.views.sweeps import efficiency_text, quantity_text, value_text

    for strategy in sweep.strategies:
        points = [point for point in sweep.points if point.strategy == strategy]
        rows: dict[str, dict[int, str]] = {}
        for at, point in enumerate(points):
            for name, measured in point.quantities.items():
                rows.setdefault(QUANTITIES[name].title, {})[at] = quantity_text(measured)
            if point.label_efficiency is not None:
                rows.setdefault("Labels scratch would need", {})[at] = efficiency_text(point.label_efficiency)
            for title, changes in (("Weight change", point.weight_change), ("Feature change", point.feature_change)):
                for stage, interval in changes.items():
                    rows.setdefault(f"{title}, {stage}", {})[at] = number_with_interval(interval)
        if not rows:
            continue
        shown = table(
            "quantity",
            *(value_text(point.value) for point in points),
            title=f"{STRATEGIES[strategy].title}, by {sweep.factor}",
            plain=True,
        )
        for title, cells in rows.items():
            shown.add_row(title, *(cells.get(at, "–") for at in range(len(points))))
        out.print(shown)
    out.print("threshold: nine tenths of where training from scratch ends at the same value")


def show_scenario(scenario: Scenario) -> None:
    """Print the 2 × 2 map: what was measured best in each cell, and whether the textbook's advice holds."""
    near, far = scenario.distances
    experiment = scenario.cells[0].comparison.experiment
    said = f"{scenario.near.source} is taken to be nearer than {scenario.far.source} (their pictures are not here)"
    if near is not None and far is not None:
        distances = f"proxy A-distance {near:.2f} and {far:.2f} of 2"
        said = f"{scenario.near.source} is nearer than {scenario.far.source} ({distances})"
    shown = table(
        "cell",
        "source",
        "labels a class",
        "measured best, %",
        "as good as it",
        "textbook",
        "the advice",
        title=f"target {experiment.target}: {said}",
        caption="as good: the difference, paired by seed, has a 95 % interval that contains zero",
        plain=True,
    )
    for cell in scenario.cells:
        short = cell.shortfall
        loss = "" if short is None else f", {100 * short.mean_difference:+.1f} points"
        shown.add_row(
            f"{'similar' if cell.similar else 'different'}, {'many' if cell.abundant else 'few'}",
            cell.comparison.experiment.source,
            str(cell.comparison.experiment.labels_per_class),
            f"{STRATEGIES[cell.best].title}: {percent_with_interval(cell.best_interval)}",
            ", ".join(STRATEGIES[name].title for name in cell.as_good if name != cell.best) or "none",
            " or ".join(STRATEGIES[name].title for name in cell.advice.strategies),
            f"{cell.verdict}{loss}",
        )
    out.print(shown)


def show_estimate(estimate: Estimate) -> None:
    """Print every score for every source, the seconds it took, and the agreement with measured gains."""
    from tlcore.estimate import SCORES

    asked = estimate.experiments[0]
    shown = table(
        "score",
        *(scores.source for scores in estimate.sources),
        "s",
        title=f"target {asked.target}, {asked.backbone}, {asked.labels_per_class} labels a class, {asked.seeds} seeds",
        caption="mean and 95 % interval over seeds; ↓: lower promises more. Nothing was trained on the target",
        plain=True,
    )
    for score in SCORES.values():
        shown.add_row(
            f"{score.title}{'' if score.higher_is_better else ' ↓'}",
            *(number_with_interval(scores.interval(score.name)) for scores in estimate.sources),
            f"{sum(scores.seconds.get(score.name, 0.0) for scores in estimate.sources):.2f}",
        )
    out.print(shown)
    passes = sum(scores.seconds["features"] for scores in estimate.sources)
    out.print(f"forward passes, shared by all scores: {passes:.1f} s")
    if not estimate.agreements:
        return
    strategies = list(dict.fromkeys(item.strategy for item in estimate.agreements))
    first = {item.strategy: item for item in estimate.agreements}
    for name in strategies:
        gains = zip(first[name].sources, first[name].gains, strict=True)
        said = ", ".join(f"{source} {100 * gain:+.1f}" for source, gain in gains)
        out.print(f"measured gain of {STRATEGIES[name].title} over scratch, points: {said}", highlight=False)
    agreement = table(
        "score",
        *(f"{what}, {STRATEGIES[name].title}" for name in strategies for what in ("weighted τ", "Pearson's r")),
        title="agreement with the measured gains",
        caption=f"over {len(first[strategies[0]].sources)} sources; scores turned so that higher promises more",
        plain=True,
    )
    found = {(item.score, item.strategy): item for item in estimate.agreements}
    for score in SCORES.values():
        cells: list[str] = []
        for name in strategies:
            item = found.get((score.name, name))
            cells += ["–", "–"] if item is None else [f"{item.weighted_tau:+.2f}", f"{item.pearson:+.2f}"]
        agreement.add_row(score.title, *cells)
    out.print(agreement)


def show_recipe(recipe: MeasuredRecipe) -> None:
    """Print the recipe's steps, each against the one before."""
    from tlcore.views.recipe import recipe_table

    experiment, rows = recipe.experiment, recipe_table(recipe).drop(columns=["What changed", "Optimiser steps"])
    shown = table(
        *map(str, rows.columns),
        title=f"{experiment.backbone}, {described(experiment)}, {experiment.seeds} seeds",
        caption="mean and 95 % interval over seeds; differences are paired by seed",
        plain=True,
    )
    for row in rows.itertuples(index=False):
        cells = (
            f"{cell:.2f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell for cell in row
        )
        shown.add_row(*(str(cell).replace("[", "\\[") for cell in cells))
    out.print(shown)


def show_advice(advice: Recommendation, policies: Sequence[Policy]) -> None:
    """Print the advised strategy, the measured cells that the advice rests on, and how good such advice was so far."""
    strategy = STRATEGIES[advice.strategy]
    out.print(f"[bold]{strategy.title}[/bold] ({strategy.name}): {strategy.sentence}", highlight=False)
    for warning in advice.warnings:
        out.print(f"[bold]warning[/bold]: {warning}", highlight=False)
    shown = table(
        "measured cell",
        "labels",
        "distance",
        f"{advice.strategy} − scratch, points",
        "measured best",
        "seeds",
        "date",
        title=f"nearest measured cells to {described(advice.experiment)}",
        caption=f"distance in standard deviations of the atlas, whose cells lie at most {advice.reach:.2f} apart",
        plain=True,
    )
    for neighbour in advice.neighbours:
        cell = neighbour.cell
        item = cell.difference(advice.strategy)
        interval = Interval(item.mean_difference, item.ci_low, item.ci_high, item.n)
        shown.add_row(
            f"{cell.experiment.source} → {cell.experiment.target}",
            str(cell.experiment.labels_per_class),
            f"{neighbour.distance:.2f}",
            percent_with_interval(interval, "{:+.1f}"),
            cell.best,
            str(cell.experiment.seeds),
            f"{cell.measured:%Y-%m-%d}",
        )
    out.print(shown)
    gains = ", ".join(f"{name} {100 * gain:+.1f}" for name, gain in advice.gains.items())
    out.print(f"mean gain over scratch in these cells, points: {gains}", highlight=False)
    advised = next(policy for policy in policies if "pair" in policy.name)
    constant = min((policy for policy in policies if policy.name.startswith("always")), key=lambda p: p.regret.mean)
    out.print(
        f"such advice, for pairs of tasks that were left out: best or as good in {advised.as_good} of {advised.cells} "
        f"cells, mean loss {percent_with_interval(advised.regret)} points; '{constant.name}' would have lost "
        f"{percent_with_interval(constant.regret)}",
        highlight=False,
    )


def show_policies(policies: Sequence[Policy]) -> None:
    """Print how often each way of choosing a strategy was right, and what it lost."""
    shown = table(
        "policy",
        "measured best",
        "best or as good",
        "mean loss, points",
        "largest loss, points",
        title=f"{policies[0].cells} measured cells",
        caption="loss: accuracy below the measured best; its interval is over pairs of tasks",
        plain=True,
    )
    for policy in policies:
        shown.add_row(
            policy.name,
            f"{policy.best} of {policy.cells}",
            f"{policy.as_good} of {policy.cells}",
            percent_with_interval(policy.regret),
            f"{100 * policy.worst:.1f}",
        )
    out.print(shown)


def show_summary(summary: Summary) -> None:
    """Print strategies over several tasks."""
    shown = table(
        "strategy",
        "accuracy, %",
        "against scratch, points",
        "P(better than scratch)",
        title=f"{len(summary.tasks)} tasks, {len(summary.records)} runs",
        caption="interquartile means with 95 % intervals by stratified bootstrap: about these tasks, not about others",
        plain=True,
    )
    for row in summary.rows:
        shown.add_row(
            STRATEGIES[row.strategy].title,
            percent_with_interval(row.accuracy),
            "baseline" if row.difference is None else percent_with_interval(row.difference, "{:+.1f}"),
            "" if row.improvement is None else number_with_interval(row.improvement),
        )
    out.print(shown)
    for task in summary.tasks:
        out.print(f"  {task}", highlight=False)


# --- numbers ----------------------------------------------------------------------------------------------------------


def percent_with_interval(interval: Interval, pattern: str = "{:.1f}") -> str:
    """A share as percent, or a difference of shares as points, with its interval."""
    text = pattern.format(100 * interval.mean)
    if interval.low is None or interval.high is None:
        return f"{text} (one seed)"
    return f"{text} ({pattern.format(100 * interval.low)} to {pattern.format(100 * interval.high)})"


def number_with_interval(interval: Interval | None) -> str:
    """A number with its interval, three digits each; a dash for what is not defined."""
    if interval is None:
        return "–"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.3g}"
    return f"{interval.mean:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def show_costs(costs: Costs) -> None:
    """Print what networks cost."""
    where = costs.environment
    shown = table(
        "network",
        "input",
        "parameters",
        "file",
        "features",
        "images/s",
        "memory",
        "top-1",
        "licence",
        caption=f"{where.machine}, {where.threads} threads, float32, {costs.batch} images a batch; other programs took "
        f"up to {max(cost.others for cost in costs.costs):.0%} of the processor meanwhile",
    )
    for cost in costs.costs:
        shown.add_row(
            cost.backbone,
            "×".join(map(str, cost.input_shape)),
            f"{cost.parameters:,}",
            f"{cost.weights_bytes / 1e6:,.1f} MB",
            f"{cost.feature_width:,}",
            f"{cost.images_per_second:,.0f}",
            f"{cost.memory_bytes / 1e6:,.0f} MB",
            "–" if cost.top1 is None else f"{100 * cost.top1:.1f} %",
            cost.licence or "–",
        )
    out.print(shown)


def write_text(path: Path, text: str) -> None:
    """Write a result beside its place, then rename it.

    Args:
        path: The file.
        text: Its text, to which a line's end is added.

    Raises:
        UserError: If it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): make room or name another file") from None
