"""Sentences that follow from records: no number and no verdict is typed in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from tlcore.data.external import SOURCES
from tlcore.results import accuracy_interval
from tlcore.views.common import by_strategy, interval_text, is_transfer, percent, points, title_of
from tlcore.views.curves import bands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import CurvePoint, Experiment, PairedComparison, RunRecord

_FRAMEWORKS = ("keras", "tensorflow", "jax", "torch")
_TRANSFER = {
    "helps": "transfer helps here",
    "hurts": "transfer hurts here",
    "no clear difference": "no clear difference",
    "one seed: no verdict": "one seed has no interval, so there is no verdict; run three or more",
}
_OTHER = {
    "helps": "it scores higher here",
    "hurts": "it scores lower here",
    "no clear difference": "no clear difference",
    "one seed: no verdict": _TRANSFER["one seed: no verdict"],
}


def verdict_sentences(comparisons: Sequence[PairedComparison], experiment: Experiment) -> list[str]:
    """Say for every strategy what the paired difference from the baseline shows.

    Args:
        comparisons: The comparisons.
        experiment: What was asked for; its order is kept.

    Returns:
        One sentence a strategy, transfer strategies first. The words follow from the intervals alone, and speak of
        transfer only where a transfer strategy is compared with training from scratch.
    """
    order = {name: place for place, name in enumerate(experiment.strategies)}
    ranked = sorted(comparisons, key=lambda item: (not is_transfer(item), order.get(item.strategy, len(order))))
    return [_sentence(item) for item in ranked]


def summary_sentence(comparisons: Sequence[PairedComparison]) -> str:
    """Say in one line how many transfer strategies help, hurt, or make no clear difference against scratch.

    Args:
        comparisons: The comparisons of one experiment.

    Returns:
        The line; a line that says what is missing when nothing can be concluded.
    """
    transfer = [item for item in comparisons if is_transfer(item)]
    if not transfer:
        return "No transfer strategy was compared with training from scratch."
    if all(item.ci_low is None for item in transfer):
        return "One seed is not enough to conclude anything."
    count = Counter(item.verdict for item in transfer)
    total = len(transfer)
    if total == 1:
        return f"{_TRANSFER[transfer[0].verdict]}.".capitalize()
    if count["helps"] == total:
        return f"Transfer helps: all {total} strategies score higher than training from scratch."
    if count["hurts"] == total:
        return f"Transfer hurts: all {total} strategies score lower than training from scratch."
    if count["no clear difference"] == total:
        return f"No clear difference: none of the {total} strategies can be told apart from training from scratch."
    parts = [
        f"{count['helps']} of {total} transfer strategies help",
        f"{count['hurts']} hurt" if count["hurts"] != 1 else "1 hurts",
        f"{count['no clear difference']} without a clear difference",
        f"{count['one seed: no verdict']} with one seed only",
    ]
    if count["helps"] == 0:
        parts[0] = f"None of {total} transfer strategies helps"
    elif count["helps"] == 1:
        parts[0] = f"1 of {total} transfer strategies helps"
    others = zip(parts[1:], ("hurts", "no clear difference", "one seed: no verdict"), strict=True)
    return ", ".join([parts[0], *(part for part, word in others if count[word])]) + "."


def accuracy_sentence(records: Sequence[RunRecord]) -> str:
    """Mean test accuracy of every strategy in one line: what the accuracy chart shows, for those who cannot see it.

    Args:
        records: Records of one experiment.

    Returns:
        The line.
    """
    parts: list[str] = []
    for strategy, group in by_strategy(records).items():
        interval = accuracy_interval(group)
        bounds = ""
        if interval.low is not None and interval.high is not None:
            bounds = f" ({percent(interval.low)} to {percent(interval.high)})"
        parts.append(f"{title_of(strategy)} {percent(interval.mean)}{bounds}")
    return "Mean test accuracy, 95 % interval in brackets: " + "; ".join(parts) + "." if parts else "No results yet."


def provenance_sentence(records: Sequence[RunRecord], *, recorded: bool) -> str:
    """Say when, where and with what the numbers were measured.

    Args:
        records: Records of one experiment; at least one.
        recorded: Whether they come with the project instead of from this host.

    Returns:
        One or two sentences.
    """
    where = records[0].environment
    packages = " and ".join(f"{name} {version}" for name, version in where.packages.items() if name in _FRAMEWORKS)
    target = records[0].datasets["target"]
    return (
        f"{'Recorded' if recorded else 'Trained'} on {recorded_label(records)}, "
        f"{where.precision}{f', {packages}' if packages else ''}. {target.title}: {target.provenance}."
    )


def recorded_label(records: Sequence[RunRecord]) -> str:
    """Date, machine and seeds in a few words.

    Args:
        records: Records of one experiment; at least one.

    Returns:
        For instance ``20 November 2026, some processor, 3 seeds (0, 1, 2)``.
    """
    first, last = min(record.created for record in records), max(record.created for record in records)
    seeds = sorted({record.seed for record in records})
    where = records[0].environment
    made = f"{last.day} {last:%B %Y}" if first.date() == last.date() else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    device = "" if where.device == "CPU" else f", {where.device}"
    return f"{made}, {where.machine}{device}, {_seeds(len(seeds))} ({_listed(seeds)})"


def live_sentence(looks: Sequence[tuple[str, int, CurvePoint]]) -> str:
    """Where the curve of every strategy ends at the moment: what the live chart shows, in words.

    Args:
        looks: Strategy, seed and look so far.

    Returns:
        The sentence.
    """
    drawn = bands(looks)
    if not drawn:
        return "The curves begin when the first final training does; before it, each arm tries its learning rates."
    parts = [
        f"{title_of(name)} {percent(band.mean[-1])} at step {band.steps[-1]} ({_seeds(band.seeds[-1])})"
        for name, band in drawn.items()
    ]
    return f"Furthest so far, on images outside the label budget: {', '.join(parts)}."


def experiment_title(experiment: Experiment) -> str:
    """Source and target in words: ``MNIST digits → Fashion-MNIST``."""
    return f"{SOURCES[experiment.source].title} → {SOURCES[experiment.target].title}"


def differing_settings(first: Experiment, second: Experiment) -> list[tuple[str, str, str]]:
    """List the settings in which two experiments differ.

    Args:
        first: One experiment.
        second: Another.

    Returns:
        Field name in words, the first's value, the second's; empty for equal experiments.
    """
    fields = type(first).model_fields
    return [
        (field.replace("_", " "), _shown(field, getattr(first, field)), _shown(field, getattr(second, field)))
        for field in fields
        if getattr(first, field) != getattr(second, field)
    ]


def duration(seconds: float) -> str:
    """A stretch of time as a person says it: ``about 3 minutes``."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} seconds"
    minutes = round(seconds / 60)
    if minutes < 60:
        return "about a minute" if minutes <= 1 else f"about {minutes} minutes"
    hours = round(seconds / 3600)
    return "about an hour" if hours <= 1 else f"about {hours} hours"


def _listed(seeds: Sequence[int]) -> str:
    """Seeds as text, a long unbroken row of them by its ends: ``0, 1, 2`` and ``0–9``."""
    if len(seeds) > 3 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]}–{seeds[-1]}"
    return ", ".join(str(seed) for seed in seeds)


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count != 1 else ''}"


def _sentence(item: PairedComparison) -> str:
    words = (_TRANSFER if is_transfer(item) else _OTHER)[item.verdict]
    evidence = seeds = _seeds(item.n)
    if item.ci_low is not None and item.ci_high is not None:
        evidence = f"95 % interval {interval_text(item.ci_low, item.ci_high)}, {seeds}"
    return (
        f"{title_of(item.strategy)}: {points(item.mean_difference)} points against {title_of(item.baseline)} "
        f"({evidence}): {words}."
    )


def _shown(field: str, value: object) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, tuple):
        items = cast("tuple[Any, ...]", value)
        return ", ".join(title_of(item) if field == "strategies" else f"{item:g}" for item in items)
    if field in ("source", "target"):
        return SOURCES[str(value)].title
    return str(value)
