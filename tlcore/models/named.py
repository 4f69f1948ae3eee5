"""Models on the host's own disk, named by whoever runs the host: `.keras` files, Keras Hub presets and SavedModels.

`TLCORE_MODELS` names a YAML file, else ``models.yaml`` in this project's home is read: a list of entries, each with
``name``, ``path`` or ``preset``, ``title``, ``licence``, ``scaling`` and, where the model leaves it open,
``input_size``. Nothing is ever uploaded, and only ``python -m tlcore models`` downloads a preset. Importing this module
does not import Keras; `tlcore.models.named_loading` opens the files.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tlcore.errors import UserError, explain
from tlcore.models.registry import Backbone, HostKind, HostModel, Stage

FILE = "models.yaml"
KINDS: dict[HostKind, str] = {"keras": "model", "preset": "Keras Hub preset", "saved_model": "SavedModel"}
Scaling = Literal["unit", "tf", "caffe", "torch", "bytes"]


class NamedModel(BaseModel):
    """One entry of the host's list.

    Args:
        name: What the command line and records call it.
        path: A `.keras` file, or the folder of a SavedModel or of a preset as Keras Hub's `save_to_preset` writes it;
            relative to the list's folder or absolute.
        preset: In place of a path, a preset that Keras Hub downloads: its name, or ``hf://…`` or ``kaggle://…``.
        title: What a page calls it.
        licence: Licence of its weights.
        scaling: What it takes: ``unit`` ([0, 1]), ``tf`` ([-1, 1]), ``caffe`` or ``torch`` as `keras.applications` mean
            them, ``bytes`` (0 to 255: its own layers scale them).
        input_size: Side of its pictures in pixels, where the file does not say.
        trained_on: What it has learned, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    path: Path | None = None
    preset: Annotated[str, Field(pattern=r"^((hf|kaggle)://[\w./-]+|[a-z0-9][\w.-]*)$", max_length=200)] | None = None
    title: Annotated[str, Field(min_length=1, max_length=60)]
    licence: Annotated[str, Field(min_length=1, max_length=60)]
    scaling: Scaling
    input_size: Annotated[int, Field(ge=16, le=512)] | None = None
    trained_on: str = ""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.preset is None):
            raise ValueError("give either path or preset")
        return self

    @property
    def place(self) -> Path:
        """Where it is on this host: its path, or where a preset is kept once it is downloaded."""
        return self.path or description_file(self.name).with_suffix("").absolute()


def list_file() -> Path:
    """The host's list, whether it is there or not."""
    named = os.environ.get("TLCORE_MODELS")
    if named:
        return Path(named).expanduser()
    kept = os.environ.get("TLCORE_HOME")  # asked for at every look at the registry, so nothing is created here
    return (Path(kept).expanduser() if kept else user_data_path("tlcore")) / FILE


def named_models() -> dict[str, NamedModel]:
    """The models that whoever runs the host has named.

    Returns:
        The entries by name, their paths absolute; none without a list.

    Raises:
        UserError: If the list cannot be read, or an entry is wrong.
    """
    path = list_file()
    if not path.is_file():
        if os.environ.get("TLCORE_MODELS"):
            raise UserError(f"TLCORE_MODELS names {path}, which is not there: write it or unset the variable")
        return {}
    found: dict[str, NamedModel] = {}
    for number, entry in enumerate(_entries(path), start=1):
        try:
            model = NamedModel.model_validate(entry)
        except ValidationError as error:
            raise UserError(f"{path}, entry {number}: {explain(error)}") from None
        if model.name in found:
            raise UserError(f"{path}: two models are called {model.name}: rename one")
        if model.path is not None:
            model = model.model_copy(update={"path": (path.parent / model.path.expanduser()).absolute()})
        found[model.name] = model
    return found


def _entries(path: Path) -> list[Any]:
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not a YAML file that can be read: {str(error).splitlines()[0]}") from None
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise UserError(f"{path}: write a list of models, each with name, path, title, licence and scaling")
    return entries


class Description(BaseModel):
    """What was found when a host's model was opened: enough for pages to show it without Keras.

    Args:
        entry: The entry of the list that it was opened for.
        sha256: Hash of its file, or of its folder's files.
        side: Side of the pictures that it takes.
        stages: Name and width of every stage.
        cuts: Where it is cut, as in `HostModel`.
        normalization: Kind of its normalisation layers.
        kind: What it is kept as.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: NamedModel
    sha256: str
    side: int
    stages: tuple[tuple[str, int], ...]
    cuts: tuple[int, ...]
    normalization: Literal["none", "group", "layer", "batch"]
    kind: HostKind = "keras"

    def backbone(self) -> Backbone:
        """The network as the registry describes its own."""
        entry = self.entry
        sentence = f"A {KINDS[self.kind]} on this host's disk, {entry.trained_on or 'trained on what its maker knows'}."
        if self.kind == "saved_model":
            sentence += (
                " It can be neither trained nor started afresh: it only gives features, and they cannot be compared "
                "with those of random weights or with training from scratch."
            )
        return Backbone(
            entry.name,
            entry.title,
            sentence,
            tuple(Stage(name, "application", width) for name, width in self.stages),
            normalization=self.normalization,
            pooling="average",
            min_size=32,
            input_size=max(32, self.side),
            trained_size=max(32, self.side),
            channels=3,
            host=HostModel(
                str(entry.place), self.sha256, entry.scaling, self.side, entry.licence, self.cuts, self.kind
            ),
        )


def description_file(name: str) -> Path:
    """Where a model's description is kept."""
    return list_file().parent / "described" / f"{name}.json"


def described_models() -> dict[str, Description | None]:
    """What is known of each model that the host names.

    Returns:
        Its description; None for one that was not looked into since its entry was written.

    Raises:
        UserError: As `named_models`.
    """
    found: dict[str, Description | None] = {}
    for name, entry in named_models().items():
        try:
            described = Description.model_validate(json.loads(description_file(name).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            described = None
        found[name] = described if described is not None and described.entry == entry else None
    return found


def host_backbones() -> dict[str, Backbone]:
    """The host's models that were opened and described, by name.

    A list that cannot be read gives none: the other networks are of use without, and the Models page and
    ``python -m tlcore models`` say what is wrong with it.
    """
    try:
        found = described_models()
    except UserError:
        return {}
    return {name: described.backbone() for name, described in found.items() if described is not None}


def why_unknown(name: str) -> str:
    """Say why a model that the host's list may name is no backbone yet.

    Args:
        name: The name that was asked for.

    Returns:
        What to do; empty if the list is in order and does not name it.
    """
    try:
        return f"{name} was not looked into yet: run `python -m tlcore models`" if name in named_models() else ""
    except UserError as error:
        return str(error)
