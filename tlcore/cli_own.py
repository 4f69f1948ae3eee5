"""``python -m tlcore own …``: sets of one's own pictures as targets."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tlcore.console import err, out, table
from tlcore.data.own import delete, of_owner

OWNER = "cli"


@click.group()
def own() -> None:
    """Add, list and delete sets of your own pictures; `--target own_ID` compares on one."""


@own.command()
@click.argument("place", type=click.Path(path_type=Path), metavar="FOLDER_OR_ZIP")
@click.option("--title", default="", help="What to call the set.  [default: the folder's name]")
@click.option("--quiet", is_flag=True, help="No progress display.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def add(place: Path, title: str, quiet: bool, as_json: bool) -> None:
    """Add pictures: a folder or a zip in which each class has a folder of its own.

    \b
    Example:
      python -m tlcore own add leaves/ --title "Leaves of our yard"
      python -m tlcore compare --source imagenet --backbone mobilenet_v2_035 --image-size 96 --target own_…
    """
    from tlcore.data.own.adding import add as keep
    from tlcore.data.own.reading import open_place

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with open_place(place) as found, Progress(*columns, console=err, disable=quiet) as bars:
        bar = bars.add_task("reading pictures", total=len(found.files))
        added = keep(found, OWNER, title or place.resolve().stem, lambda done, _: bars.update(bar, completed=done))
    kept = added.own_set
    if as_json:
        out.print_json(json.dumps({"name": kept.name, "classes": dict(zip(kept.classes, kept.counts, strict=True))}))
        return
    for line in added.report.sentences():
        err.print(line, highlight=False, soft_wrap=True)
    counts = ", ".join(f"{name} {count}" for name, count in zip(kept.classes, kept.counts, strict=True))
    out.print(f"{kept.name}: {counts}; kept until {kept.expires:%d %B %Y}", highlight=False, soft_wrap=True)


@own.command("list")
def list_sets() -> None:
    """List the sets that were added here."""
    shown = table("name", "title", "classes", "pictures", "kept until", plain=True)
    for one in of_owner(OWNER):
        classes = ", ".join(one.classes)
        shown.add_row(one.name, one.title, classes, f"{sum(one.counts):,}", f"{one.expires:%d %B %Y}")
    out.print(shown)


@own.command("delete")
@click.argument("id", metavar="ID")
def delete_set(id: str) -> None:  # noqa: A002 - the word everywhere for a set's id
    """Delete a set, and all that was measured with its pictures."""
    delete(id.removeprefix("own_"), OWNER)
