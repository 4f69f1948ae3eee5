"""Everything that can be taken along of a comparison, by name, and the files themselves.

Importing this module does not import Keras; writing a model does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tlcore import kept_weights
from tlcore.errors import UserError, unknown_name
from tlcore.export.events import tensorboard_zip
from tlcore.export.notebook import notebook
from tlcore.export.report import report
from tlcore.export.script import script
from tlcore.export.tables import records_table
from tlcore.quiet import import_quietly
from tlcore.results import Comparison
from tlcore.strategies import get_strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.experiment import RunRecord


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Args:
        name: What the command line calls it.
        title: What a page calls it.
        sentence: What it is, in one sentence.
        ending: Ending of the file's name.
        mime: Its media type.
        of: Whether there is one of a comparison, or one of every arm.
        model: Whether it holds a network and its weights: those are made in a process with Keras.
    """

    name: str
    title: str
    sentence: str
    ending: str
    mime: str
    of: Literal["comparison", "arm"]
    model: bool = False


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("csv", "Records (CSV)", "A row an arm and seed.", ".csv", "text/csv", "comparison"),
        Kind("json", "Records (JSON)", "All there is, to be read again.", ".json", "application/json", "comparison"),
        Kind("html", "Report", "Words, charts and tables in one page.", ".html", "text/html", "comparison"),
        Kind(
            "tensorboard", "TensorBoard", "Curves and settings as logs.", "-tensorboard.zip", "application/zip",
            "comparison",
        ),
        Kind("script", "Keras script", "The arm in plain Keras.", ".py", "text/x-python", "arm"),
        Kind("notebook", "Notebook", "The same in cells.", ".ipynb", "application/x-ipynb+json", "arm"),
        Kind(
            "keras", "Keras model", "For keras.models.load_model.", ".keras", "application/zip", "arm", model=True
        ),
        Kind("onnx", "ONNX", "For ONNX Runtime and others.", ".onnx", "application/octet-stream", "arm", model=True),
        Kind("tflite", "LiteRT", "For telephones.", ".tflite", "application/octet-stream", "arm", model=True),
    )
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file to be written or downloaded.

    Args:
        name: Its name.
        content: Its bytes.
    """

    name: str
    content: bytes


def get_kind(name: str) -> Kind:
    """Find a kind of file by name.

    Args:
        name: A key of `KINDS`.

    Returns:
        The kind.

    Raises:
        UserError: If there is none of that name; the message holds the near names.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise UserError(unknown_name("format", name, KINDS)) from None


def file_of(comparison: Comparison, kind: Kind, *, recorded: bool = False, pictures: bool = True) -> File:
    """Write a file of a whole comparison.

    Args:
        comparison: The comparison; it has at least one record.
        kind: A kind that there is of a comparison.
        recorded: Whether the records come with the project instead of from this host.
        pictures: Whether whoever gets it may see the pictures that the arms were tested on.

    Returns:
        The file.
    """
    writers: dict[str, Callable[[], str | bytes]] = {
        "csv": lambda: records_table(comparison.records).to_csv(index=False),
        "json": comparison.to_json,
        "html": lambda: report(comparison.experiment, comparison.records, recorded=recorded, pictures=pictures),
        "tensorboard": lambda: tensorboard_zip(comparison.records),
    }
    asked = comparison.experiment
    return File(f"{asked.source}-to-{asked.target}{kind.ending}", _bytes(writers[kind.name]()))


def file_of_arm(record: RunRecord, kind: Kind, *, again: bool = False) -> File:
    """Write a file of one arm with one seed.

    Args:
        record: The arm's record.
        kind: A kind that there is of an arm.
        again: Whether to train the arm again where its weights are not kept on this machine.

    Returns:
        The file.

    Raises:
        UserError: If there is no script for the arm, or its weights are not kept.
    """
    arm = (record.experiment, record.strategy, record.seed)
    if kind.name == "script":
        return File(name_of(record, kind), _bytes(script(*arm, record)))
    if kind.name == "notebook":
        return File(name_of(record, kind), _bytes(notebook(*arm, record)))
    return File(name_of(record, kind), _model(record, kind, again=again))


def name_of(record: RunRecord, kind: Kind) -> str:
    """Name of the file of an arm."""
    return f"{record.strategy}-{record.experiment.source}-to-{record.experiment.target}-seed-{record.seed}{kind.ending}"


def record_of(comparison: Comparison, strategy: str, seed: int | None = None) -> RunRecord:
    """Find an arm's record in a comparison.

    Args:
        comparison: The comparison.
        strategy: Name of the strategy.
        seed: The seed; None for the first there is: the one whose weights are kept.

    Returns:
        The record.

    Raises:
        UserError: If there is no such strategy, or it was not run with that seed.
    """
    get_strategy(strategy)
    found = {record.seed: record for record in comparison.records if record.strategy == strategy}
    if not found:
        known = ", ".join(dict.fromkeys(record.strategy for record in comparison.records))
        raise UserError(f"{strategy} was not run here: choose one of {known}")
    wanted = min(found) if seed is None else seed
    if wanted not in found:
        raise UserError(f"{strategy} was not run with seed {wanted}: choose one of {', '.join(map(str, found))}")
    return found[wanted]


def _model(record: RunRecord, kind: Kind, *, again: bool) -> bytes:
    kept = kept_weights.find(record)
    if kept is None and not again:
        raise UserError(
            f"the weights of {record.strategy}, seed {record.seed}, are not kept on this machine "
            "(of every run it keeps the first seed's, the newest 500 MB): add --again to train the arm again"
        )
    import_quietly("keras")  # here, because a process that only reads records may not load it
    from tlcore.export.model import model_file

    if kept is None:
        from tlcore.arm import run_arm

        alone = record.experiment.model_copy(
            update={"strategies": (record.strategy,), "seeds": 1, "first_seed": record.seed}
        )
        record = run_arm(alone, record.strategy, record.seed)
        kept = kept_weights.find(record)
    if kept is None:
        raise UserError(
            f"{record.strategy} was trained again, but its weights could not be kept: make room on the disk, or choose "
            "a lower learning rate where it diverged"
        )
    return model_file(record, kept, kind.name)  # pyright: ignore[reportArgumentType] - one of the three model kinds


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
