"""`tlcore predict`: what a finished arm says of a picture."""

from __future__ import annotations

from pathlib import Path

import click

from tlcore.console import out, table, write_text
from tlcore.errors import UserError
from tlcore.quiet import import_quietly
from tlcore.results import Comparison


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="RESULT.json")
@click.argument("picture", type=click.Path(path_type=Path), metavar="PICTURE")
@click.option("--strategy", metavar="NAME", help="Which arm to ask.  [default: the first]")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the answer here.")
def predict(file: Path, picture: Path, strategy: str | None, json_path: Path | None) -> None:
    """Ask a finished arm about a new picture, and which pictures that it learned from are nearest to it.

    RESULT.json is what `compare` wrote with --json on this machine, which keeps the weights of the newest runs.

    \b
    Example:
      python -m tlcore predict out.json leaf.jpg --strategy feature_extraction
    """
    from tlcore import kept_weights
    from tlcore.data.own.pictures import Refused, square
    from tlcore.export.files import record_of

    comparison = Comparison.read(file)
    if not comparison.records:
        raise UserError(f"{file} holds no record: name a file that compare wrote with --json")
    record = record_of(comparison, strategy or comparison.records[0].strategy)
    try:
        pixels = square(picture.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {picture} ({error.strerror})") from None
    except Refused as error:
        raise UserError(f"{picture.name} {error}") from None
    kept = kept_weights.find(record)
    if kept is None:
        raise UserError("the weights of this arm are not kept on this machine any more: run the comparison again")
    import_quietly("keras")  # here, so that what is refused is refused without waiting for it
    from tlcore.predict import predict as ask

    (found,) = ask(record, kept, [pixels])
    if json_path is not None:
        write_text(json_path, found.to_json())
        return
    shown = table("class", "probability")
    for share, name in sorted(zip(found.probabilities, found.classes, strict=True), reverse=True):
        shown.add_row(name, f"{100 * share:.1f} %")
    out.print(shown)
    near = ", ".join(f"{found.classes[one.label]} ({one.similarity:.2f})" for one in found.neighbours)
    out.print(f"nearest pictures that it learned from: {near}")
