"""`tlcore similarity`: how far the pictures of two tasks lie apart."""

from __future__ import annotations

import json

import click

from tlcore.console import out


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("--as-json", is_flag=True, help="Print one JSON object and nothing else.")
def similarity(source: str, target: str, *, as_json: bool) -> None:
    """Measure how well a linear classifier tells two tasks' pictures apart, before anything is trained.

    SOURCE and TARGET are datasets, or some classes of one: its name and the classes, joined by hyphens.

    \b
    Examples:
      python -m tlcore similarity mnist uci_digits
      python -m tlcore similarity cifar10-airplane-ship cifar10-automobile-truck
    """
    from tlcore.data.distance import SEEDS, pixel_distance

    found = pixel_distance(source, target)
    interval = found.interval
    if as_json:
        values = {"mean": interval.mean, "low": interval.low, "high": interval.high, "images": found.images}
        click.echo(json.dumps(values))
        return
    low, high = max(interval.low or 0.0, 0.0), min(interval.high or 2.0, 2.0)
    out.print(
        f"proxy A-distance of the pixels: {interval.mean:.2f} of 2 (95 % interval {low:.2f} to {high:.2f}; {SEEDS} "
        f"draws of {found.images} images each)\n0: a linear classifier cannot tell the two apart; 2: it always can"
    )
