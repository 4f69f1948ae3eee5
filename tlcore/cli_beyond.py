"""`tlcore beyond`: segmentation, localisation and verification on a frozen backbone."""

from __future__ import annotations

from pathlib import Path

import click

from tlcore.beyond.results import ARM_TITLES, TASKS, TaskName
from tlcore.console import err, out, table, write_text
from tlcore.quiet import import_quietly


@click.command()
@click.argument("task", type=click.Choice(list(TASKS)), metavar="TASK")
@click.option("--source", default="mnist", show_default=True, help="What the backbone has learned.")
@click.option("--target", default="drawn_garments", show_default=True, help="Pictures that verification compares.")
@click.option("--backbone", default="cnn_small", show_default=True, help="A backbone with convolutions.")
@click.option("--labelled", default=40, show_default=True, type=click.IntRange(10, 1000), help="Scenes to learn from.")
@click.option("--steps", default=300, show_default=True, type=click.IntRange(1, 5000), help="Optimiser steps.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 30), help="Repetitions.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the result here.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def beyond(
    task: TaskName,
    source: str,
    target: str,
    backbone: str,
    labelled: int,
    steps: int,
    seeds: int,
    json_path: Path | None,
    quiet: bool,
) -> None:
    """Measure what is beyond one class a picture: the same frozen backbone under another head.

    TASK is segmentation (which pixels?), localisation (which box?) or verification (same or different?).

    \b
    Examples:
      python -m tlcore beyond segmentation
      python -m tlcore beyond verification --source fashion_mnist --target uci_digits --seeds 5
    """
    import_quietly("keras")
    from tlcore.beyond.measure import measure
    from tlcore.views.beyond import beyond_sentences

    found = measure(
        task,
        source=source,
        target=target,
        backbone=backbone,
        labelled=labelled,
        steps=steps,
        seeds=range(seeds),
        on_arm=lambda one: None if quiet else err.print(f"{ARM_TITLES[one.arm]}, seed {one.seed}: {one.score:.3f}"),
    )
    if json_path is not None:
        write_text(json_path, found.to_json())
    if quiet:
        return
    shown = table("arm", "score", "95 % interval")
    for arm in TASKS[found.task].arms:
        interval = found.interval(arm)
        ends = "–" if interval.low is None else f"{interval.low:.3f} to {interval.high:.3f}"
        shown.add_row(ARM_TITLES[arm], f"{interval.mean:.3f}", ends)
    out.print(shown)
    out.print("\n".join(beyond_sentences(found)))
