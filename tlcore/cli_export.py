"""`tlcore export`: what can be taken along of a comparison, as files."""

from __future__ import annotations

from pathlib import Path

import click

from tlcore.console import err, out
from tlcore.errors import UserError
from tlcore.home import written_whole
from tlcore.results import Comparison


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="RESULT.json")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Where to write."
)
@click.option(
    "--formats",
    metavar="NAME,NAME,…",
    help="csv, json, html, tensorboard of the comparison; script, notebook, keras, onnx, tflite of each arm; or all.  "
    "[default: all but the three models]",
)
@click.option("--strategies", metavar="NAME,NAME,…", help="Arms to export.  [default: all]")
@click.option("--seed", type=int, help="Seed of the arms.  [default: each one's first, whose weights are kept]")
@click.option("--again", is_flag=True, help="Train an arm again where its weights are not kept on this machine.")
def export(
    file: Path, folder: Path, formats: str | None, strategies: str | None, seed: int | None, again: bool
) -> None:
    """Write what can be taken along of a comparison: tables, a report, logs, scripts, notebooks, models.

    RESULT.json is what `compare` wrote with --json. A model takes pictures as they are, with values from 0 to 255, and
    gives the probabilities of the classes; it needs nothing of this project.

    \b
    Examples:
      python -m tlcore export out.json --to out
      python -m tlcore export out.json --to out --formats keras,onnx,tflite --strategies fine_tune_all
    """
    from tlcore.cli_own import OWNER
    from tlcore.data.own import may_see
    from tlcore.export.files import KINDS, file_of, file_of_arm, get_kind, record_of

    comparison = Comparison.read(file)
    if not comparison.records:
        raise UserError(f"{file} holds no record: name a file that compare wrote with --json")
    usual = tuple(kind.name for kind in KINDS.values() if not kind.model)
    names = tuple(KINDS) if formats == "all" else _names(formats) if formats else usual
    kinds = [get_kind(name) for name in names]
    arms = _names(strategies) if strategies else tuple(dict.fromkeys(one.strategy for one in comparison.records))
    records = [record_of(comparison, strategy, seed) for strategy in arms]
    pictures = may_see(comparison.experiment.target, OWNER)
    ways = [lambda kind=kind: file_of(comparison, kind, pictures=pictures) for kind in kinds if kind.of == "comparison"]
    ways += [
        lambda kind=kind, record=record: file_of_arm(record, kind, again=again)
        for record in records
        for kind in kinds
        if kind.of == "arm"
    ]
    refused: list[UserError] = []
    for way in ways:
        try:
            made = way()
        except UserError as error:
            if len(ways) == 1:
                raise
            refused.append(error)
            continue
        _write_into(folder, made.name, made.content)
        out.print(f"written to {folder / made.name}", highlight=False, soft_wrap=True)
    for error in refused:
        err.print(f"left out: {error}", highlight=False, soft_wrap=True)
    if len(refused) == len(ways):
        raise UserError("nothing could be written: see why above")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _write_into(folder: Path, name: str, content: bytes) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / name) as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"cannot write {folder / name} ({error.strerror}): make room or name another folder") from None
