"""Downloads of published weights, without Keras: in a process of their own, resumed, checked before they are found.

A page starts one and looks at its progress in a file; whoever downloads holds a lock, so an ended process is noticed.
What arrives is kept as a part until it is whole and its hash is right, and never found by `find_weights` before.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil
import requests
from pydantic import BaseModel, ConfigDict, ValidationError

import tlcore
from tlcore.errors import UserError
from tlcore.home import home
from tlcore.lock import FileLock
from tlcore.models.weights import file_digest, find_weights, own_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.models.registry import Application, Backbone

SERVER = "https://storage.googleapis.com/tensorflow/keras-applications"
BLOCK = 1 << 18  # bytes
TELL_SECONDS = 0.25
CONNECT_SECONDS, READ_SECONDS = 10, 60
SPARE = 50_000_000  # bytes of the disk that a download leaves free
HDF5 = b"\x89HDF\r\n\x1a\n"

State = Literal["running", "failed", "stopped"]
_started: dict[str, subprocess.Popen[bytes]] = {}


class Progress(BaseModel):
    """How far a download is.

    Args:
        state: ``running``, ``failed`` (the message says why) or ``stopped`` (what has arrived is kept).
        done: Bytes that are here.
        total: Bytes of the whole file; None until the server has said.
        message: What went wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    done: int = 0
    total: int | None = None
    message: str = ""

    @property
    def share(self) -> float:
        """Share that is here, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0


def address_of(backbone: Backbone) -> str:
    """Where a network's published weights are downloaded from.

    Args:
        backbone: A network of `keras.applications`.

    Returns:
        The address: Keras's own, or below the one that `TLCORE_WEIGHTS_URL` names, such as a mirror in a classroom.

    Raises:
        UserError: If it has no published weights.
    """
    application = _application(backbone)
    server = os.environ.get("TLCORE_WEIGHTS_URL", "").rstrip("/") or SERVER
    return f"{server}/{application.folder}/{application.files[0]}"


def start(backbone: Backbone) -> None:
    """Download in a process of its own; nothing happens if one does already.

    Args:
        backbone: A network of `keras.applications`.

    Raises:
        UserError: If it has no published weights, or nothing can be written.
    """
    place = _Place(backbone)
    if (running := _started.get(backbone.name)) is not None and running.poll() is None:
        return
    place.tell(Progress(state="running", done=place.arrived))
    root, path = str(Path(tlcore.__file__).parent.parent), os.environ.get("PYTHONPATH")
    _started[backbone.name] = subprocess.Popen(
        [sys.executable, "-m", "tlcore", "weights", backbone.name, "--download"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ
        | {"PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root, "TLCORE_HOME": str(home().resolve())},
        start_new_session=True,  # Ctrl-C in the app's terminal ends the app; what has arrived is kept anyway
    )


def stop(backbone: Backbone) -> None:
    """End a download; what has arrived is kept, and the next one goes on there.

    Args:
        backbone: Its network.
    """
    place = _Place(backbone)
    own = _started.pop(backbone.name, None)
    holder = place.lock.holder()
    for pid in {own.pid if own else None, holder} - {None, 0}:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            process.terminate()
            process.wait(5)
    if own is not None:
        own.wait(5)
    place.tell(Progress(state="stopped", done=place.arrived))


def progress(backbone: Backbone) -> Progress | None:
    """How far a network's download is.

    Args:
        backbone: The network.

    Returns:
        Its progress, or None if there is none: nobody has asked, or the file is whole.
    """
    place = _Place(backbone)
    told = place.told()
    if told is None or told.state != "running":
        return told
    own = _started.get(backbone.name)
    if (own is not None and own.poll() is None) or place.lock.holder() is not None:
        return told.model_copy(update={"done": max(told.done, place.arrived)})
    # It may have ended between the two looks: then it has told.
    told = place.told()
    if told is None or told.state != "running":
        return told
    return Progress(state="stopped", done=place.arrived, total=told.total)


def download(backbone: Backbone, tell: Callable[[Progress], None] = lambda _: None) -> Path:
    """Download a network's published weights into this project's own folder, in this process.

    Args:
        backbone: A network of `keras.applications`.
        tell: Told how far it is, a few times a second.

    Returns:
        The whole file; the one that was here already if there is one.

    Raises:
        UserError: If the server cannot be reached, the file is not what was published, there is no room, or another
            process downloads it.
    """
    application = _application(backbone)
    if (here := find_weights(backbone)) is not None:
        return here
    place = _Place(backbone)
    if not place.lock.acquire(wait=False):
        raise UserError(f"{backbone.name}'s weights are being downloaded by another process: wait for it to end")
    try:

        def heard(found: Progress) -> None:
            place.tell(found)
            tell(found)

        _fetch(address_of(backbone), place, application, heard)
        place.forget()
    except UserError as error:
        place.tell(Progress(state="failed", done=place.arrived, message=str(error)))
        raise
    finally:
        place.lock.release()
    return place.whole


class _Place:
    """The files of one download.

    Args:
        backbone: Its network.
    """

    def __init__(self, backbone: Backbone) -> None:
        name = _application(backbone).files[0]
        folder = home() / "weights" / "downloads"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write to {folder} ({error.strerror}): set TLCORE_HOME to another folder") from None
        self.whole = own_folder() / name
        self.part = folder / f"{name}.part"
        self._told = folder / f"{name}.json"
        self.lock = FileLock(folder / f"{name}.lock")

    @property
    def arrived(self) -> int:
        """Bytes that are here."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def tell(self, found: Progress) -> None:
        """Write how far it is, all at once: a page reads it meanwhile."""
        partial = self._told.with_suffix(f".{os.getpid()}")
        partial.write_text(found.model_dump_json(), encoding="utf-8")
        partial.replace(self._told)

    def told(self) -> Progress | None:
        """What was written last."""
        try:
            return Progress.model_validate_json(self._told.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return None

    def forget(self) -> None:
        """The file is whole: there is no progress to tell."""
        self._told.unlink(missing_ok=True)


def _fetch(address: str, place: _Place, application: Application, tell: Callable[[Progress], None]) -> None:
    """Get what is missing of the part, check it and give it its name."""
    have, host = place.arrived, address.split("/")[2]
    try:
        with requests.get(
            address,
            headers={"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {},
            stream=True,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        ) as response:
            if have and response.status_code == 416:
                # The part is as long as the file, or longer: its process was ended before the check, or it is damaged.
                if not application.digest or file_digest(place.part, application.digest) != application.digest:
                    place.part.unlink()
                    _fetch(address, place, application, tell)
                    return
                total, published = have, application.digest
            else:
                if response.status_code not in (200, 206):
                    raise UserError(
                        f"{host} answers {response.status_code} for {place.whole.name}: {_by_hand(place, address)}"
                    )
                have = have if response.status_code == 206 else 0  # a server that cannot go on in the middle
                total = have + int(response.headers.get("Content-Length") or 0)
                published = application.digest or _hash_in(response.headers.get("x-goog-hash", ""))
                _make_room(place, total - have)
                _receive(response, place, have, total, tell)
    except requests.RequestException as error:
        raise UserError(
            f"cannot download from {host} ({type(error).__name__}): connect this machine to the network and try again, "
            f"or {_by_hand(place, address)}"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write {place.part} ({error.strerror}): make room on the disk") from None
    if total and place.arrived < total:
        raise UserError(
            f"{host} closed the connection at {place.arrived:,} of {total:,} bytes: download again to go on"
        )
    _check(place, published)
    place.part.replace(place.whole)


def _receive(
    response: requests.Response, place: _Place, have: int, total: int, tell: Callable[[Progress], None]
) -> None:
    told_at = 0.0
    with place.part.open("ab" if have else "wb") as part:
        for block in response.iter_content(BLOCK):
            part.write(block)
            have += len(block)
            if time.monotonic() - told_at > TELL_SECONDS:
                told_at = time.monotonic()
                part.flush()
                tell(Progress(state="running", done=have, total=total or None))


def _make_room(place: _Place, needed: int) -> None:
    free = shutil.disk_usage(place.part.parent).free
    if needed + SPARE > free:
        raise UserError(
            f"{place.whole.name} needs {needed / 1e6:,.0f} MB and {place.part.parent} has {free / 1e6:,.0f} MB left: "
            "make room or set TLCORE_HOME to another disk"
        )


def _check(place: _Place, published: str) -> None:
    """Refuse, and delete, what is not the published file."""
    found = file_digest(place.part, published) if published else ""
    with place.part.open("rb") as part:
        is_weights = part.read(len(HDF5)) == HDF5
    if found != published:
        place.part.unlink()
        raise UserError(
            f"what was downloaded as {place.whole.name} is not the published file (hash {found[:8]}… and not "
            f"{published[:8]}…) and was deleted: download it again"
        )
    if not is_weights:
        place.part.unlink()
        raise UserError(
            f"what was downloaded as {place.whole.name} is no weights file and was deleted: look at the address"
        )


def _hash_in(header: str) -> str:
    """The MD5 that Google's servers send of files for which Keras publishes none."""
    found = re.search(r"md5=([A-Za-z0-9+/]+=*)", header)
    return base64.b64decode(found[1]).hex() if found else ""


def _by_hand(place: _Place, address: str) -> str:
    return f"get {address} elsewhere and put it into {place.whole.parent}"


def _application(backbone: Backbone) -> Application:
    if backbone.application is None:
        raise UserError(f"{backbone.name} has no published weights to download: choose a network of keras.applications")
    return backbone.application
