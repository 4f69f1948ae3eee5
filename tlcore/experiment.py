"""`Experiment` (what to run) and `RunRecord` (what was measured): validated values with one JSON form.

The same `Experiment` gives a page its controls, the address bar its link, the command line its options, and a result
its content hash. Nothing here imports Keras: the Streamlit process builds and reads these values too.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from tlcore.data import own
from tlcore.data.external import EXTERNAL, IMAGENET, SOURCES, TARGETS
from tlcore.data.registry import get_dataset, shared_classes
from tlcore.errors import UserError, explain, unknown_name
from tlcore.models.named import why_unknown
from tlcore.models.registry import BACKBONES, Backbone, get_backbone
from tlcore.policy import Mode, Origin, Phase, Recipe
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

URL_VERSION = "1"
VALIDATION_SHARE = 0.2
MAX_STEPS = 5000
DEFAULT_STRATEGIES = ("scratch", "feature_extraction", "fine_tune_last", "fine_tune_all")
CONTROLS = tuple(name for name, strategy in STRATEGIES.items() if strategy.kind == "control")
DEFAULT_GRID = (3e-4, 1e-3, 3e-3, 1e-2)

Augmentation = Literal["none", "shift", "shift_flip"]
Precision = Literal["auto", "float32", "mixed_bfloat16"]
NormalizationChoice = Literal["auto", "train", "freeze", "recalibrate"]


class Experiment(BaseModel):
    """What to run: two tasks, a network, the strategies to compare, and the budget they all share.

    The text under each field is also its help on the command line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str = "mnist"
    """Dataset that the backbone learned first."""
    target: str = "fashion_mnist"
    """Dataset of the new task."""
    backbone: str = "cnn_small"
    """Network without its output layer."""
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    """Arms of the comparison, in the order shown, each once."""
    labels_per_class: Annotated[int, Field(ge=2, le=5000)] = 20
    """Labelled target images a class that every arm may use, validation part included."""
    seeds: Annotated[int, Field(ge=1, le=30)] = 3
    """Number of repetitions; each draws its own labelled images, first weights and batch order."""
    first_seed: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Seed of the first repetition; the others follow it."""
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 300
    """Optimiser steps of every arm's training."""
    seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Wall-clock limit of one arm's final training in seconds; auto for none."""
    batch_size: Annotated[int, Field(ge=1, le=512)] = 32
    """Images a step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Adam's rate for every arm; auto to choose it per arm on the validation part of the labels."""
    learning_rates: tuple[Annotated[float, Field(gt=0, le=1)], ...] = DEFAULT_GRID
    """The rates it is chosen from, ascending."""
    augmentation: Augmentation = "none"
    """Random changes to the training images, alike in every arm: shift (up to 2 pixels), shift_flip (and mirrored)."""
    precision: Precision = "auto"
    """Number format of the network's arithmetic; auto takes what was measured faster on this host."""
    cut: Annotated[int, Field(ge=0, le=20)] | None = None
    """Number of first stages that fine_tune_last holds frozen, or that the copying strategies copy; auto for theirs."""
    unfreeze_at: Annotated[float, Field(ge=0.05, le=0.95)] | None = None
    """Share of the steps after which lp_ft and fastai_fine_tune unfreeze the backbone; auto for their own."""
    normalization: NormalizationChoice = "auto"
    """Batch normalisation of trained stages: auto and train let it learn, freeze holds it, recalibrate re-measures."""
    source_images: Annotated[int, Field(ge=10, le=60_000)] | None = None
    """Number of images that the source model learns from; auto for all."""
    image_size: Annotated[int, Field(ge=32, le=320)] | None = None
    """Side in pixels of the input of a network with ImageNet weights; auto for the network's own."""
    weights: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None
    """Name of a weights file of an ImageNet network in a folder of TLCORE_DATA_DIR; auto for the published one."""

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Build an experiment from outside values, with errors a person can act on.

        Args:
            **values: Fields of the experiment.

        Returns:
            The experiment.

        Raises:
            UserError: If any value is unknown or out of range; one line that says what to do.

        Example:
            >>> experiment = Experiment.of(source="mnist", target="uci_digits", labels_per_class=5)
            >>> experiment.strategies
            ('scratch', 'feature_extraction', 'fine_tune_last', 'fine_tune_all')
            >>> Experiment.of(target="uci_digit")
            Traceback (most recent call last):
            ...
            tlcore.errors.UserError: target: unknown dataset 'uci_digit': did you mean uci_digits or drawn_digits?
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise UserError(explain(error)) from None

    @field_validator("source")
    @classmethod
    def _known_source(cls, name: str) -> str:
        if name not in SOURCES:
            raise ValueError(unknown_name("dataset", name, SOURCES))
        if own.is_name(name):
            raise ValueError("own pictures can be a target only: choose a source that a network has learned")
        return name

    @field_validator("target")
    @classmethod
    def _known_target(cls, name: str) -> str:
        if name not in SOURCES or name in EXTERNAL:
            raise ValueError(unknown_name("dataset", name, TARGETS))
        if name not in TARGETS:
            raise ValueError(f"{name} is there to learn from only: choose another target")
        return name

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, name: str) -> str:
        if name not in BACKBONES:
            raise ValueError(why_unknown(name) or unknown_name("backbone", name, BACKBONES))
        return name

    @field_validator("strategies")
    @classmethod
    def _known_strategies(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("choose at least one strategy")
        for name in names:
            if name not in STRATEGIES:
                raise ValueError(unknown_name("strategy", name, STRATEGIES))
        if len(set(names)) != len(names):
            raise ValueError("a strategy is named twice: name each once")
        return names

    @field_validator("learning_rates")
    @classmethod
    def _grid(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(rates) <= 8:
            raise ValueError("give 1 to 8 learning rates to choose from")
        if list(rates) != sorted(set(rates)):
            raise ValueError("give the learning rates in ascending order, each once")
        return rates

    @model_validator(mode="after")
    def _fits(self) -> Self:
        most = get_dataset(self.target).labels_per_class_limit
        if self.labels_per_class > most:
            raise ValueError(
                f"{self.target} has at most {most} labels a class to give "
                f"(some images are kept to watch the training and to test): ask for {most} or fewer, "
                f"not {self.labels_per_class}"
            )
        if self.source == self.target:
            raise ValueError(
                f"source and target are both {self.source}: choose two different datasets, or the source has already "
                "seen the target's images"
            )
        if shared := shared_classes(self.source, self.target):
            raise ValueError(
                f"source and target both have {', '.join(shared[:3])}, so the source has already seen the target's "
                "images: choose classes for one that the other does not have"
            )
        backbone = get_backbone(self.backbone)
        if self.source != backbone.external_source and (self.source in EXTERNAL or backbone.external_source):
            raise ValueError(
                f"{self.backbone} has no {SOURCES[self.source].title} weights: choose "
                + ("one of the networks that have" if self.source in EXTERNAL else f"source {backbone.external_source}")
            )
        if self.source in EXTERNAL:
            if self.image_size is not None and self.image_size < backbone.min_size:
                raise ValueError(f"image_size: {self.backbone} needs pictures of {backbone.min_size} pixels or more")
            if self.source_images is not None:
                raise ValueError("source_images: ImageNet weights were trained elsewhere, on all of its pictures")
            if self.weights is not None and self.source != IMAGENET:
                raise ValueError(f"weights: {self.backbone} has a file of its own: leave weights out")
        elif self.image_size is not None or self.weights is not None:
            raise ValueError(f"image_size and weights belong to source {IMAGENET}: leave them out with {self.source}")
        if self.cut is not None and self.cut > len(backbone.stages):
            raise ValueError(
                f"cut: {self.backbone} has {len(backbone.stages)} stages, so freeze 0 to {len(backbone.stages)} of them"
            )
        for name in self.strategies:
            self.recipe(name)
        return self

    def recipe(self, strategy: str) -> Recipe:
        """How one of the strategies trains its arm here.

        Args:
            strategy: Name of a strategy.

        Returns:
            Its recipe for this backbone, with this experiment's cut, time of unfreezing and normalisation.

        Raises:
            UserError: If the strategy cannot be used with the backbone.
        """
        recipe = STRATEGIES[strategy].recipe(get_backbone(self.backbone), self.cut, self.unfreeze_at)
        changes = {"freeze": _with_fixed_statistics, "recalibrate": _recalibrated}
        return _everywhere(recipe, changes[self.normalization]) if self.normalization in changes else recipe

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input: the source's, to which the target's images are fitted."""
        if self.source in EXTERNAL:
            side = self.image_size or get_backbone(self.backbone).input_size
            return (side, side, 3)
        return get_dataset(self.source).shape

    @property
    def seed_values(self) -> tuple[int, ...]:
        """The seeds themselves, in order."""
        return tuple(range(self.first_seed, self.first_seed + self.seeds))

    @property
    def arms(self) -> tuple[tuple[str, int], ...]:
        """Every (strategy, seed), seed by seed so that the first complete comparison comes early."""
        return tuple((strategy, seed) for seed in self.seed_values for strategy in self.strategies)

    @property
    def validation_per_class(self) -> int:
        """Labels a class, out of `labels_per_class`, that the learning rate is chosen on (at least one)."""
        return max(1, round(self.labels_per_class * VALIDATION_SHARE))

    def content_hash(self) -> str:
        """Hash of everything that was asked for: two experiments share it exactly if they are equal.

        Returns:
            16 hexadecimal digits of the SHA-256 of the JSON form.
        """
        return _digest(self.model_dump(mode="json"))

    def arm_hash(self, strategy: str, seed: int) -> str:
        """Hash of one arm: what else is compared, and how many seeds follow, does not change it.

        Args:
            strategy: The arm's strategy.
            seed: The arm's seed.

        Returns:
            16 hexadecimal digits.

        Example:
            >>> few, many = Experiment(seeds=3), Experiment(seeds=10)
            >>> few.arm_hash("scratch", 2) == many.arm_hash("scratch", 2)
            True
        """
        values = self.model_dump(mode="json", exclude={"strategies", "seeds", "first_seed"})
        return _digest(values | {"strategy": strategy, "seed": seed})

    def to_query(self) -> dict[str, str]:
        """Write the whole experiment as URL parameters, defaults included, so that a link outlives a default.

        Returns:
            Short keys to text, `URL_VERSION` under ``v``.

        Example:
            >>> link = Experiment(labels_per_class=10).to_query()
            >>> link["n"], link["lr"]
            ('10', 'auto')
            >>> Experiment.from_query(link)[0] == Experiment(labels_per_class=10)
            True
        """
        query = {"v": URL_VERSION}
        for key, field in QUERY_KEYS.items():
            value = getattr(self, field)
            if value is None:
                query[key] = "auto"
            elif isinstance(value, tuple):
                query[key] = ",".join(_text(item) for item in value)
            else:
                query[key] = _text(value)
        return query

    @classmethod
    def from_query(cls, query: dict[str, str]) -> tuple[Experiment, tuple[str, ...]]:
        """Read URL parameters, correcting what cannot be run and saying so.

        Args:
            query: Parameters of the address, any of them missing or wrong; foreign keys are ignored.

        Returns:
            The experiment, and one sentence for each value that was corrected.

        Example:
            >>> experiment, notices = Experiment.from_query({"seeds": "99"})
            >>> experiment.seeds, notices
            (30, ('Seeds in the link was 99; it was set to 30, the nearest possible value.',))
        """
        notices: list[str] = []
        version = query.get("v", URL_VERSION)
        if version != URL_VERSION:
            notices.append(f"This link was made for version {version[:12]} of the page; what could be read was kept.")
        values: dict[str, Any] = {}
        for key, field in QUERY_KEYS.items():
            if key in query:
                value, notice = _read_field(field, query[key])
                values[field] = value
                if notice:
                    notices.append(notice)
        experiment, more = _settle(values)
        return experiment, (*notices, *more)


QUERY_KEYS: dict[str, str] = {
    "src": "source",
    "tgt": "target",
    "net": "backbone",
    "arms": "strategies",
    "n": "labels_per_class",
    "seeds": "seeds",
    "s0": "first_seed",
    "steps": "steps",
    "sec": "seconds",
    "bs": "batch_size",
    "lr": "learning_rate",
    "grid": "learning_rates",
    "aug": "augmentation",
    "prec": "precision",
    "cut": "cut",
    "unfreeze": "unfreeze_at",
    "bn": "normalization",
    "srcn": "source_images",
    "px": "image_size",
    "w": "weights",
}


@lru_cache
def field_range(field: str) -> tuple[float, float]:
    """Smallest and largest value that a numeric field of `Experiment` accepts.

    Args:
        field: Name of a numeric field.

    Returns:
        Both ends; an exclusive lower end (rates, seconds) is given as it is declared.

    Raises:
        KeyError: If the field is not a number.
    """
    schema = Experiment.model_json_schema()["properties"][field]
    number = next((option for option in schema.get("anyOf", ()) if option.get("type") != "null"), schema)
    low = number["minimum"] if "minimum" in number else number["exclusiveMinimum"]
    return low, number["maximum"]


def _everywhere(recipe: Recipe, change: Callable[[Recipe], Recipe]) -> Recipe:
    """A change to a recipe and to those of the networks that it trains before: no arm is treated differently."""
    taught = recipe.distillation
    return replace(
        change(recipe),
        own=recipe.own and _everywhere(recipe.own, change),
        distillation=taught and replace(taught, teacher=_everywhere(taught.teacher, change)),
    )


def _with_fixed_statistics(recipe: Recipe) -> Recipe:
    def held(phase: Phase) -> Phase:
        if phase.policy.normalization != "train":  # a strategy that is about the statistics keeps its own way
            return phase
        return replace(phase, policy=replace(phase.policy, normalization="freeze"))

    return replace(recipe, phases=tuple(held(phase) for phase in recipe.phases))


def _recalibrated(recipe: Recipe) -> Recipe:
    return replace(recipe, recalibrate=bool(recipe.phases))


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _text(value: str | float) -> str:
    return repr(value) if isinstance(value, float) else str(value)


_NAMES: dict[str, Collection[str]] = {"source": SOURCES, "target": TARGETS, "backbone": BACKBONES}


def _read_field(field: str, text: str) -> tuple[Any, str]:
    """Read one URL parameter by itself: the value, and a notice if it had to be corrected."""
    info = Experiment.model_fields[field]
    name = field.replace("_", " ").capitalize()
    shown = "".join(character if character.isprintable() else "�" for character in text[:40])
    usual = "automatic" if info.default is None else _text(info.default)
    refused = f"{name} in the link was '{shown}', which does not exist; it was set to {usual}."
    if field in _NAMES:
        return (text, "") if text in _NAMES[field] else (info.default, refused)
    if field == "strategies":
        known = tuple(dict.fromkeys(part for part in text.split(",") if part in STRATEGIES))
        if not known:
            return info.default, f"{name} in the link were '{shown}', of which none exists; the usual ones were set."
        notice = "" if ",".join(known) == text else f"{name} in the link were '{shown}'; those that exist were kept."
        return known, notice
    if text == "auto" and info.default is None:
        return None, ""
    try:
        given: Any = [float(part) for part in text.split(",")] if field == "learning_rates" else text
        return _reader(field).validate_python(given), ""
    except (ValidationError, ValueError):
        nearest = _nearest(field, text)
    if nearest is None:
        return info.default, refused.replace("does not exist", "cannot be used")
    return nearest, f"{name} in the link was {shown}; it was set to {nearest}, the nearest possible value."


@lru_cache
def _reader(field: str) -> TypeAdapter[Any]:
    """What checks one field by itself: its type and its range."""
    info = Experiment.model_fields[field]
    checked: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return TypeAdapter(checked)


def _nearest(field: str, text: str) -> float | None:
    try:
        number = float(text)
        low, high = field_range(field)
    except (ValueError, KeyError):
        return None
    if math.isnan(number):
        return None
    value = min(max(number, low), high)
    if isinstance(Experiment.model_fields[field].default, int) or field in ("cut", "source_images", "image_size"):
        return round(value)
    # The lower end of rates and seconds is not itself allowed.
    return None if value == low and field in ("learning_rate", "seconds") else value


def _settle(values: dict[str, Any]) -> tuple[Experiment, list[str]]:
    """Correct what only fails in combination, field by field, with a notice for each."""
    notices: list[str] = []
    values = {name: info.default for name, info in Experiment.model_fields.items()} | values
    if values["source"] == values["target"]:
        values["source"] = _another_source(values["target"])
        notices.append(f"Source and target in the link were the same; the source was set to {values['source']}.")
    if shared_classes(values["source"], values["target"]):
        values["source"] = _another_source(values["target"])
        notices.append(f"Source and target in the link share classes; the source was set to {values['source']}.")
    notices += _settle_source(values)
    most = get_dataset(values["target"]).labels_per_class_limit
    if values["labels_per_class"] > most:
        notices.append(f"{values['target']} has at most {most} labels a class; the link asked for more.")
        values["labels_per_class"] = most
    backbone = get_backbone(values["backbone"])
    if values["cut"] is not None and values["cut"] > len(backbone.stages):
        values["cut"] = len(backbone.stages)
        notices.append(f"{backbone.name} has {values['cut']} stages; the cut in the link was beyond them.")
    fitting = tuple(name for name in values["strategies"] if fits(name, backbone, values["cut"]))
    if fitting != values["strategies"]:
        left_out = ", ".join(name for name in values["strategies"] if name not in fitting)
        notices.append(f"{left_out} cannot be used with {backbone.name} and was left out.")
        usual = next(name for name in STRATEGIES if fits(name, backbone, values["cut"]))
        values["strategies"] = fitting or (usual,)
    try:
        return Experiment(**values), notices
    except ValidationError:
        # What is left is the learning-rate grid: the one field whose own rule (ascending, 1 to 8) is not in its type.
        values["learning_rates"] = Experiment.model_fields["learning_rates"].default
        return Experiment(**values), [
            *notices,
            "The learning rates in the link could not be used; the usual ones were set.",
        ]


def _another_source(target: str) -> str:
    """The usual source, or the usual target where that is the target's own set or shares classes with it."""
    usual = (Experiment.model_fields["source"].default, Experiment.model_fields["target"].default)
    return next(name for name in usual if name != target and not shared_classes(name, target))


def _settle_source(values: dict[str, Any]) -> list[str]:
    """Bring network and source together: ImageNet's weights and the networks that have them only go together."""
    notices: list[str] = []
    if own.is_name(values["source"]):
        values["source"] = _another_source(values["target"])
        notices.append(f"Own pictures can be a target only; the source in the link was set to {values['source']}.")
    backbone = get_backbone(values["backbone"])
    if values["source"] in EXTERNAL and not backbone.external_source:
        missing = EXTERNAL[values["source"]].title
        values["source"] = _another_source(values["target"])
        notices.append(
            f"There are no {missing} weights of {backbone.name}; the source in the link was set to {values['source']}."
        )
    elif backbone.external_source and values["source"] != backbone.external_source:
        values["source"] = backbone.external_source
        title = EXTERNAL[backbone.external_source].title
        notices.append(f"{backbone.name} starts from {title} weights; the source in the link was set to that.")
    foreign = ("source_images",) if values["source"] in EXTERNAL else ("image_size", "weights")
    foreign += ("weights",) if values["source"] in EXTERNAL and values["source"] != IMAGENET else ()
    for field in foreign:
        if values[field] is not None:
            values[field] = None
            notices.append(f"{field.replace('_', ' ').capitalize()} in the link does not go with this source.")
    if values["image_size"] is not None and values["image_size"] < backbone.min_size:
        values["image_size"] = backbone.min_size
        notices.append(f"{backbone.name} needs pictures of {backbone.min_size} pixels or more; that was set.")
    return notices


def fits(strategy: str, backbone: Backbone, cut: int | None) -> bool:
    """Say whether a strategy can be used with a backbone.

    Args:
        strategy: Name of a strategy.
        backbone: The network.
        cut: The cut point, or None.

    Returns:
        Whether it has a recipe there.
    """
    try:
        STRATEGIES[strategy].recipe(backbone, cut)
    except UserError:
        return False
    return True


class CurvePoint(BaseModel):
    """One look at an arm during its final training.

    Args:
        step: Optimiser steps done; 0 is before training.
        seconds: Seconds of training until then, looks not counted.
        train_loss: Cross-entropy in nats on (at most 256 of) the training images; None once it is not finite.
        train_accuracy: Accuracy on the same images, in [0, 1].
        validation_accuracy: Accuracy on the observation set: images outside the label budget that nothing selects on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    seconds: float
    train_loss: float | None
    train_accuracy: float
    validation_accuracy: float


class DatasetUse(BaseModel):
    """Which dataset was used, and where it came from.

    Args:
        name: Registry name.
        title: What a page calls it.
        provenance: Where the bytes came from, in words.
        sha256: Hash of the decoded arrays (images and labels, training and test).
        classes: Class names by label.
        adaptation: What was done to fit the images to the network, or an empty string.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    provenance: str
    sha256: str
    classes: tuple[str, ...]
    adaptation: str = ""


class LabelBudget(BaseModel):
    """How many target images the arm used, and for what.

    Args:
        training: Images the final training used (the whole label budget).
        validation: Of those, how many the learning rate was chosen on before.
        observation: Images outside the budget that the curve was read on.
        test: Images read once, at the end.
        sha256: Hash of the indices of the labelled images, in order: equal hashes, equal labelled images.
        pool: Images that the test images were drawn from, where every seed draws its own; 0 with a fixed test set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: int
    validation: int
    observation: int
    test: int
    sha256: str
    pool: int = 0

    @property
    def overlap(self) -> float:
        """Test images over the others, where every seed draws its own from one pool; 0 with a fixed test set."""
        return self.test / (self.pool - self.test) if self.pool > self.test else 0.0


class StageUse(BaseModel):
    """What happened to one stage of the network (or to the head).

    Args:
        name: Name of the stage; ``head`` for the output layer.
        kind: Kind of its layers.
        parameters: Number of weights.
        origin: ``transferred`` from the source, ``random``, ``matched`` (random with the source's mean and spread) or
            ``own`` (from a network trained before on the same labelled images).
        mode: ``frozen``, ``trained``, or ``low-rank`` where only low-rank updates to its kernels were trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    parameters: int
    origin: Origin
    mode: Mode


class Selection(BaseModel):
    """How the arm's one free setting was chosen.

    Args:
        setting: ``learning_rate``, ``C`` (the pixel baseline's inverse regularisation) or ``none``.
        method: In words.
        scores: Accuracy on the validation part of the label budget, by value tried.
        losses: Cross-entropy there in nats, by value tried; None where it was not finite. The lowest is chosen.
        chosen: The value that the final training used, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: Literal["learning_rate", "C", "none"]
    method: str
    scores: dict[str, float] = {}
    losses: dict[str, float | None] = {}
    chosen: float | None = None


class SourceModel(BaseModel):
    """The checkpoint that the arm started from.

    Args:
        key: Content hash of how it was trained (dataset bytes, backbone, recipe, seed).
        provenance: ``shipped with the project``, ``trained on this host`` and the like.
        sha256: Hash of the weights.
        epochs: Passes over the source's training images; None where others trained it.
        images: Number of source training images.
        test_accuracy: Accuracy on the source's own test images; None where it is not known.
        seconds: What pre-training took; None where others trained it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    provenance: str
    sha256: str
    epochs: int | None
    images: int
    test_accuracy: float | None
    seconds: float | None


class Environment(BaseModel):
    """Where the arm was trained.

    Args:
        tlcore: Version of this package.
        python: Version of Python.
        packages: Versions of the packages that the numbers depend on.
        backend: Keras's backend.
        device: ``CPU`` or the accelerator's name.
        machine: Processor and number of cores.
        threads: Threads that one arm used.
        precision: Number format of the backbone's arithmetic.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tlcore: str
    python: str
    packages: dict[str, str]
    backend: str
    device: str
    machine: str
    threads: int
    precision: str


class RunRecord(BaseModel):
    """One trained arm with one seed: enough to say from it alone what was run and what came out.

    Args:
        experiment: What was asked for.
        strategy: Which arm this is.
        seed: Which repetition this is.
        status: ``finished``, or ``diverged`` when the loss stopped being finite.
        message: What to know about it, or an empty string.
        test_accuracy: Accuracy on the test images, read once at the end, in [0, 1].
        validation_accuracy: Accuracy on the observation set at the end, in [0, 1].
        train_accuracy: Accuracy on all labelled images at the end, in [0, 1].
        confusion: Test images by true class (row) and predicted class (column). Direct reuse may predict source
            classes that the target does not have: those are in a last column of their own.
        curve: Looks during the final training.
        steps: Optimiser steps of the final training.
        seconds: Seconds of the final training, looks not counted.
        phase_seconds: Seconds by what was done: ``features``, ``preparation`` (of the own network or the
            teacher that some strategies need), ``selection``, ``training``, ``looks``, ``test``, ``inspection``.
        learning_rate: Rate of the final training, or None where there is none.
        selection: How it was chosen.
        trainable_parameters: Weights that the final training could change.
        total_parameters: Weights of the network with its head.
        stages: What happened to each stage, from the input to the head.
        network: The backbone that was trained, where it is not the experiment's (a distilled one is smaller).
        surgery: What was done to make images and network fit each other, in words.
        source_accuracy_before: Accuracy of the source model on (some of) its own test images, in [0, 1]; None where
            they are not at hand or not all of its stages were loaded.
        source_accuracy_after: The same with the stages as they were after training and the source's own head.
        weight_change: ``‖w - w₀‖ / ‖w₀‖`` by stage, over the final training.
        feature_change: ``mean ‖f - f₀‖² / mean ‖f₀‖²`` by stage, over observation images.
        feature_cka: Debiased linear CKA of the stages' outputs before and after, over the same images.
        labels: The label budget.
        datasets: ``source`` and ``target``.
        source_model: The checkpoint used, or None when nothing came from the source.
        environment: Where it was trained.
        created: When it was finished (UTC).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: Experiment
    strategy: str
    seed: int
    status: Literal["finished", "diverged"] = "finished"
    message: str = ""
    test_accuracy: float
    validation_accuracy: float
    train_accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float
    phase_seconds: dict[str, float]
    learning_rate: float | None
    selection: Selection
    trainable_parameters: int
    total_parameters: int
    stages: tuple[StageUse, ...]
    network: str = ""
    surgery: tuple[str, ...] = ()
    source_accuracy_before: float | None = None
    source_accuracy_after: float | None = None
    weight_change: dict[str, float] = {}
    feature_change: dict[str, float] = {}
    feature_cka: dict[str, float] = {}
    labels: LabelBudget
    datasets: dict[Literal["source", "target"], DatasetUse]
    source_model: SourceModel | None
    environment: Environment
    created: datetime

    @property
    def arm_hash(self) -> str:
        """Content hash of the arm that this record answers."""
        return self.experiment.arm_hash(self.strategy, self.seed)


class PairedComparison(BaseModel):
    """One strategy against a baseline, paired by seed.

    Args:
        strategy: The strategy.
        baseline: What it is compared with.
        mean_difference: Mean over seeds of the difference in test accuracy, strategy minus baseline, in [-1, 1].
        ci_low: Lower end of the 95 % Student t interval of that mean, or None with one seed.
        ci_high: Upper end, or None with one seed.
        n: Number of seeds that both have.
        verdict: In words, from the interval alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str
    baseline: str
    mean_difference: float
    ci_low: float | None
    ci_high: float | None
    n: int
    verdict: Literal["helps", "hurts", "no clear difference", "one seed: no verdict"]


class Event(BaseModel):
    """What happened in a run, told while it happens.

    Args:
        kind: ``pretrain`` (source model being trained), ``arm_started``, ``select`` (a learning rate was tried),
            ``point`` (a look at the final training), ``arm_finished``.
        strategy: The arm's strategy; empty for ``pretrain``.
        seed: The arm's seed.
        fraction: How much of the arm (or of pre-training) is done, in [0, 1].
        text: One short sentence for a person.
        point: The look, for ``point``.
        record: The result, for ``arm_finished``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["pretrain", "arm_started", "select", "point", "arm_finished"]
    strategy: str = ""
    seed: int = 0
    fraction: float = 0.0
    text: str = ""
    point: CurvePoint | None = None
    record: RunRecord | None = None
