"""Model files for a page, which may not load Keras: made by a process of their own and kept for next time."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import tlcore
from tlcore.apart import alone, run_apart
from tlcore.data import own
from tlcore.errors import UserError
from tlcore.export.files import File, Kind, name_of
from tlcore.home import home, make_room, written_whole
from tlcore.results import Comparison

if TYPE_CHECKING:
    from tlcore.experiment import RunRecord

ROOM = 200_000_000  # bytes in `home`
LONGEST = 900  # seconds; the conversion of a large network takes a minute or two


def find_made(record: RunRecord, kind: Kind) -> File | None:
    """Find a file that was made before.

    Args:
        record: The arm's record.
        kind: The kind of file.

    Returns:
        It, or None where it was not made yet or made room for others.
    """
    with suppress(OSError, UserError):
        return File(name_of(record, kind), _path(record, kind).read_bytes())
    return None


def make(record: RunRecord, kind: Kind, *, again: bool = False) -> File:
    """Make a file of an arm's model, by ``python -m tlcore export`` in a process that ends with it.

    Args:
        record: The arm's record.
        kind: A kind that holds a model.
        again: Whether to train the arm again where its weights are not kept.

    Returns:
        The file; it is kept, too.

    Raises:
        UserError: If the weights are not kept on this machine, or the file could not be made.
    """
    command = ["export", "run.json", "--to", ".", "--formats", kind.name]
    command += ["--strategies", record.strategy, *(["--again"] if again else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.json").write_text(Comparison(record.experiment, (record,)).to_json(), encoding="utf-8")
        with alone():
            run_apart(command, LONGEST, "the file could not be made", folder)
        made = File(name_of(record, kind), (folder / name_of(record, kind)).read_bytes())
    _keep(_path(record, kind), made.content)
    return made


def _path(record: RunRecord, kind: Kind) -> Path:
    # Another run of it may end elsewhere, and another version may write another file.
    said = f"{tlcore.__version__} {record.datasets['target'].sha256} {record.test_accuracy!r}"
    run = hashlib.sha256(said.encode()).hexdigest()[:8]
    return home() / "exports" / f"{record.arm_hash}{own.mark(record.experiment.target)}-{run}{kind.ending}"


def _keep(path: Path, content: bytes) -> None:
    """Keep a file; where there is no room, it is made again next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(content)
        make_room(path, ROOM)
