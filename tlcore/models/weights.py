"""Published ImageNet weights as plain arrays by stage, from a file that is here or from Keras's download.

Importing this module does not import Keras, so that a page can say whether a file is here.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcore.errors import UserError
from tlcore.home import data_folders, home, make_room, written_whole
from tlcore.npz import UNREADABLE, by_stage, flat, opened

if TYPE_CHECKING:
    import keras

    from tlcore.models.build import Shape, Weights
    from tlcore.models.registry import Application, Backbone

KEPT = "published"  # folder in `home`
ROOM = 500_000_000  # bytes in it


@dataclass(frozen=True, eq=False)
class PublishedWeights:
    """A network's weights as somebody else has trained them.

    Args:
        weights: Arrays by stage; there is no head.
        provenance: Where they come from, in words.
        sha256: Hash of the file.
        top1: Published ImageNet top-1 accuracy, in [0, 1]; None for a file that is not one of the published ones.
        top1_source: Who published that; empty without one.
        licence: Licence of the weights; empty for a file that is not one of the published ones.
    """

    weights: Weights
    provenance: str
    sha256: str
    top1: float | None
    top1_source: str
    licence: str


def weights_folders() -> tuple[Path, ...]:
    """Where weight files are looked for, in order: the folders of `TLCORE_DATA_DIR` and the ``weights`` folder beside
    each, this project's own, Keras's cache."""
    keras_cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    data = (place for folder in data_folders() for place in (folder, folder.parent / "weights"))
    return (*data, own_folder(), keras_cache)


def find_weights(backbone: Backbone, file: str | None = None) -> Path | None:
    """Find a file of ImageNet weights on this machine, without reading it.

    Args:
        backbone: A backbone with an `Application`.
        file: Bare name of a file in one of `weights_folders`, or an absolute path; None for the published names.

    Returns:
        The file, or None if it would be downloaded.

    Raises:
        UserError: If there are no published weights for the backbone, or a named file is not here.
    """
    if file is None:
        names = _application(backbone).files
        return next((path for name in names for folder in weights_folders() if (path := folder / name).is_file()), None)
    named = Path(file).expanduser()
    if named.is_absolute():
        candidates = [named]
    elif named.name == file and file not in ("", ".."):
        candidates = [folder / file for folder in weights_folders()]
    else:
        raise UserError(f"weights file '{file}': give the bare name of a file in {own_folder()} or an absolute path")
    for path in candidates:
        if path.is_file():
            return path
    where = f"put it into {own_folder()} or a folder named by TLCORE_DATA_DIR"
    raise UserError(f"there is no weights file {file}: {'check the path' if named.is_absolute() else where}")


def own_folder() -> Path:
    """This project's own folder for weights files, which `weights_folders` has after those of the data."""
    return home() / "weights"


def file_digest(path: Path, like: str) -> str:
    """Hash of a file.

    Args:
        path: The file.
        like: A published hash: 32 digits are an MD5, more a SHA-256.

    Returns:
        The same kind of hash, in hexadecimal.
    """
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "md5" if len(like) == 32 else "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Hash of a folder: the names and the contents of all its files, in the order of their names.

    Args:
        folder: The folder.

    Returns:
        A SHA-256, in hexadecimal.
    """
    digest = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(files):
        digest.update(f"{name} {file_digest(files[name], '')}\n".encode())
    return digest.hexdigest()


def imagenet_weights(backbone: Backbone, input_shape: Shape, file: str | None = None) -> PublishedWeights:
    """Load what a network has learned from ImageNet.

    Args:
        backbone: A backbone with an `Application`.
        input_shape: Height, width, channels of the images that it will see; the arrays do not depend on it.
        file: A file to load instead of the published one: its bare name, or an absolute path where the caller is the
            person whose machine this is.

    Returns:
        The weights and where they come from.

    Raises:
        UserError: If the backbone has no published weights, does not take such images, the file is not here and cannot
            be downloaded, or it is not a file of this network's weights.
    """
    application = _application(backbone)
    backbone.check_input(input_shape)
    path, downloaded = find_weights(backbone, file), False
    if path is None:
        path, downloaded = _download(backbone), True
    published = path.name in application.files
    if path.name == application.files[0] and application.digest:
        _verify(path, application.digest)
    sha256 = file_digest(path, "sha256")
    return PublishedWeights(
        weights=_kept_or_read(path, sha256, backbone),
        provenance=f"{'downloaded by keras.applications' if downloaded else 'local file'}, {path.name}",
        sha256=sha256,
        top1=application.top1 if published else None,
        top1_source=application.top1_source if published else "",
        licence=application.licence if published else "",
    )


def _application(backbone: Backbone) -> Application:
    if backbone.application is None:
        raise UserError(f"nobody has trained {backbone.name} on ImageNet: choose a network of keras.applications")
    return backbone.application


def _verify(path: Path, digest: str) -> None:
    """Check before Keras does: offline, Keras deletes a cached file whose hash is wrong."""
    found = file_digest(path, digest)
    if found != digest:
        raise UserError(
            f"{path} is damaged or another file: its hash is {found[:8]}… and not {digest[:8]}…; replace it or delete "
            "it, and it is downloaded again"
        )


def _download(backbone: Backbone) -> Path:
    """Have Keras download the published file into its cache."""
    application = _application(backbone)
    name = application.files[0]
    try:
        _keras_download(application, backbone.trained_size)
    except Exception as error:  # keras.utils.get_file raises a bare Exception when the network is absent
        raise UserError(
            f"{backbone.name}'s ImageNet weights are not on this machine and could not be downloaded "
            f"({_reason(error)}): connect once, or put {name} into {own_folder()} or a folder named by TLCORE_DATA_DIR"
        ) from None
    path = find_weights(backbone)
    if path is None:  # a cache that cannot be written: Keras then uses one of its own choice
        raise UserError(f"Keras put {name} into a place of its own: set KERAS_HOME to a folder that can be written")
    return path


def _keras_download(application: Application, side: int) -> None:
    import keras

    getattr(keras.applications, application.constructor)(
        weights="imagenet", include_top=False, input_shape=(side, side, 3), **dict(application.arguments)
    )


def _kept_or_read(path: Path, sha256: str, backbone: Backbone) -> Weights:
    """The arrays of a file; kept as they are, for to read them a whole network is built, in every process anew."""
    import keras

    described = f"{sha256} {keras.__version__} {_application(backbone)} {backbone.stages}"
    name = f"{backbone.name}-{hashlib.sha256(described.encode()).hexdigest()[:16]}.npz"
    with suppress(*UNREADABLE, UserError), opened(home() / KEPT / name) as arrays:
        return {stage: [] for stage in backbone.stage_names} | by_stage(arrays)
    weights = _read(path, backbone)
    with suppress(OSError, UserError):  # a disk that is full costs no one a result
        kept = home() / KEPT / name
        kept.parent.mkdir(exist_ok=True)
        with written_whole(kept) as file:
            np.savez(file, allow_pickle=False, **flat(weights))
        make_room(kept, ROOM)
    return weights


def _read(path: Path, backbone: Backbone) -> Weights:
    """Load a file into the whole network and cut it, so that every tensor is matched by Keras's own rules."""
    from tlcore.models.applications import cut_application, whole_application

    if path.suffix != ".h5":
        raise UserError(f"{path} is not a weights file that Keras writes: it must end in .h5 or .weights.h5")
    side = backbone.min_size
    whole = whole_application(backbone, (side, side, 3), "float32")
    for variable in whole.weights:
        variable.assign(np.full(variable.shape, np.nan, dtype=np.float32))
    try:
        held = _numbers_in(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras warns of here is checked below
            whole.load_weights(path)
    except Exception as error:  # a file can be wrong in any way, and Keras and h5py raise as many errors
        raise UserError(f"{path} does not hold {backbone.name}'s weights without its top ({_reason(error)})") from None
    missing = [variable.path for variable in whole.weights if np.isnan(np.asarray(variable.numpy())).any()]
    wanted = _numbers(whole)
    if missing or held != wanted:
        why = f"{len(missing)} tensors are missing" if missing else f"it holds {held:,} numbers and not {wanted:,}"
        raise UserError(f"{path} does not hold {backbone.name}'s weights without its top ({why})")
    return {part.name: [np.array(array) for array in part.get_weights()] for part in cut_application(backbone, whole)}


def _numbers(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.weights)


def _numbers_in(path: Path) -> int:
    """How many floating-point numbers a file holds; states of random generators are whole ones."""
    import h5py  # which Keras needs anyway

    total = 0

    def count(_: str, item: Any) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            total += int(item.size or 0)

    with h5py.File(path, "r") as opened:
        opened.visititems(count)
    return total


def _reason(error: Exception) -> str:
    """The first line of an error, short."""
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
