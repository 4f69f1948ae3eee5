"""This project's commands in processes of their own, for pages: they may not load Keras, nor work for long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import tlcore
from tlcore.errors import UserError
from tlcore.home import home
from tlcore.lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_apart(arguments: Sequence[str], longest: float, failed: str, folder: Path | None = None) -> str:
    """Run ``python -m tlcore …`` and wait for its end.

    Args:
        arguments: The command and its arguments.
        longest: Seconds after which it is given up.
        failed: What to say where the command says nothing itself.
        folder: Folder that it runs in; None for this process's own.

    Returns:
        What it wrote to standard output.

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
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=longest, cwd=folder, env=environment
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{failed} within {round(longest / 60)} minutes: try again when less runs") from None
    if done.returncode:
        said = [line.removeprefix("tlcore: ") for line in done.stderr.splitlines() if line.startswith("tlcore: ")]
        raise UserError(said[-1] if said else f"{failed}: see the log of the app")
    return done.stdout


def alone() -> FileLock:
    """Keeps commands that load Keras to one at a time on a host: each takes as much memory as one that trains.

    Returns:
        A lock, to be held by `with`.
    """
    return FileLock(home() / "exports.lock")
