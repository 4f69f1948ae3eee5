"""Model files for a page, which may not load Keras: made by a process of their own and kept for next time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import tlcore
from tlcore.errors import UserError
from tlcore.export.files import KINDS, File, Kind, name_of
from tlcore.home import home
from tlcore.lock import FileLock
from tlcore.results import Comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        run_apart(command, folder, LONGEST, "the file could not be made")
        made = File(name_of(record, kind), (folder / name_of(record, kind)).read_bytes())
    _keep(_path(record, kind), made.content)
    return made


def run_apart(arguments: Sequence[str], folder: Path, longest: float, failed: str) -> None:
    """Run one of this project's commands that load Keras in a process of its own, one on a host at a time.

    Args:
        arguments: The command and its arguments.
        folder: Folder that it runs in.
        longest: Seconds after which it is given up.
        failed: What to say where the command says nothing itself.

    Raises:
        UserError: What the command says, or that it took too long.
    """
    # Where this package is, whatever folder the process starts in. On TensorFlow, because ONNX and LiteRT are made
    # through it, and without an accelerator, whose memory belongs to those who train.
    folders = (str(Path(tlcore.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")]))
    where = {"PYTHONPATH": os.pathsep.join(folders)}
    environment = os.environ | where | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", "tlcore", *arguments]
    try:
        # One at a time: each takes as much memory as a process that trains.
        with FileLock(home() / "exports.lock"):
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=longest, cwd=folder, env=environment
            )
    except subprocess.TimeoutExpired:
        minutes = round(longest / 60)
        raise UserError(f"{failed} within {minutes} minutes: try again when less runs") from None
    if done.returncode:
        said = [line.removeprefix("tlcore: ") for line in done.stderr.splitlines() if line.startswith("tlcore: ")]
        raise UserError(said[-1] if said else f"{failed}: see the log of the app")


def _path(record: RunRecord, kind: Kind) -> Path:
    # Named by its arm, so that it can be deleted with it. Another run of it may end elsewhere, and another version may
    # write another file.
    said = f"{tlcore.__version__} {record.datasets['target'].sha256} {record.test_accuracy!r}"
    run = hashlib.sha256(said.encode()).hexdigest()[:8]
    return home() / "exports" / f"{record.arm_hash}-{run}{kind.ending}"


def _keep(path: Path, content: bytes) -> None:
    """Keep a file so that no reader ever sees half of it; where there is no room, it is made again next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        _make_room(path)


def _make_room(newest: Path) -> None:
    endings = tuple(kind.ending for kind in KINDS.values() if kind.model)
    files = [(path.stat(), path) for path in newest.parent.iterdir() if path.name.endswith(endings)]
    used = sum(state.st_size for state, _ in files)
    for state, path in sorted(files, key=lambda item: item[0].st_mtime_ns):
        if used <= ROOM or path == newest:
            return
        path.unlink(missing_ok=True)
        used -= state.st_size
