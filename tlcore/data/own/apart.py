"""Adding a set in a process of its own: what hostile files do to a decoder, they do there, and not to the app.

The child, `python -m tlcore.data.own`, reads a zip from its standard input, which is a file without a name: whatever
happens, the upload is gone when both let go of it. It writes one JSON value a line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import IO, TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter

import tlcore
from tlcore.data.own import kept
from tlcore.data.own.adding import Added, add
from tlcore.data.own.reading import open_zip, pack
from tlcore.errors import UserError
from tlcore.home import home

if TYPE_CHECKING:
    from tlcore.data.own.adding import Progress

REQUEST = "TLCORE_OWN_REQUEST"
MOST_MEMORY = 3_000_000_000
MOST_SECONDS = 900
MOST_AT_ONCE = 2
WAIT_SECONDS = 120.0
_ADDED = TypeAdapter(Added)
_turns = threading.BoundedSemaphore(MOST_AT_ONCE)


def add_upload(
    upload: IO[bytes] | Sequence[tuple[str, IO[bytes]]],
    owner: str,
    title: str,
    on_progress: Progress | None = None,
) -> Added:
    """Keep an uploaded set of pictures.

    Args:
        upload: A zip whose folders are the classes; or files, each with a path whose folder is its class.
        owner: Whose it is.
        title: What its owner calls it.
        on_progress: Called with how many files were read, and of how many. What it raises ends the work.

    Returns:
        The set, with a report.

    Raises:
        UserError: As `add` and `open_zip` say; if the reading process fails, or many others are adding pictures now.
    """
    if not _turns.acquire(timeout=WAIT_SECONDS):
        raise UserError("many are adding pictures at the moment: try again in a minute")
    with ExitStack() as stack:
        stack.callback(_turns.release)
        with kept.disk():
            file = stack.enter_context(tempfile.TemporaryFile(dir=kept.folder()))
            if isinstance(upload, Sequence):
                pack(upload, file)
            else:
                upload.seek(0)
                while block := upload.read(1 << 20):
                    file.write(block)
            file.flush()
            file.seek(0)
        return _watch(stack.enter_context(_child(file, owner, title)), on_progress)


@contextmanager
def _child(file: IO[bytes], owner: str, title: str) -> Generator[subprocess.Popen[bytes]]:
    """The reading process, which is ended and tidied up after when the `with` is left early."""
    root, path = str(Path(tlcore.__file__).parent.parent), os.environ.get("PYTHONPATH")
    environment = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root,
        "TLCORE_HOME": str(home().resolve()),
        # Not an argument: the owner's name is as good as a password, and anybody may read arguments.
        REQUEST: json.dumps({"owner": owner, "title": title}),
        # Each of its threads would set a stretch of memory aside, which counts towards the limit.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tlcore.data.own"],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    alarm = threading.Timer(MOST_SECONDS, process.kill)
    alarm.start()
    try:
        yield process
    finally:
        alarm.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        # What was killed has not tidied up.
        for partial in kept.folder().glob(f"*.{process.pid}.partial"):
            rmtree(partial, ignore_errors=True)


def _watch(process: subprocess.Popen[bytes], on_progress: Progress | None) -> Added:
    assert process.stdout is not None
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise UserError(said["error"])
        if "added" in said:
            process.wait()
            return _ADDED.validate_python(said["added"])
        if on_progress is not None:
            on_progress(said["done"], said["of"])
    process.wait()
    raise UserError(
        "these files could not be read: one of them brought the reading process down or took too long; "
        "add fewer, or save them again as JPEG"
    )


def main() -> int:
    """Read the zip on standard input: the child's side.

    Returns:
        The exit code: 0 for a set, 2 for a refusal, which is said on standard output.
    """
    _limit_resources()
    request: dict[str, str] = json.loads(os.environ[REQUEST])
    say = _speaker()
    try:
        with open_zip(cast("IO[bytes]", sys.stdin.buffer)) as found:
            added = add(found, request["owner"], request["title"], lambda done, of: say({"done": done, "of": of}))
    except UserError as error:
        say({"error": str(error)})
        return 2
    except MemoryError:
        say({"error": "these files need too much memory: add fewer, or save them smaller"})
        return 2
    say({"added": _ADDED.dump_python(added, mode="json")})
    return 0


def _speaker() -> Callable[[dict[str, Any]], None]:
    def say(value: dict[str, Any]) -> None:
        try:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise SystemExit(1) from None  # nobody listens any more

    return say


def _limit_resources() -> None:
    """Bound what a hostile file can take, where the system can."""
    with suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(AttributeError, OSError):
        os.nice(5)  # pages come first
    with suppress(AttributeError, ValueError):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
