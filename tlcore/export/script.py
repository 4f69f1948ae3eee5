"""One arm of an experiment as a stand-alone script of plain Keras, to read, to run and to change.

Importing this module does not import Keras, so that a page can offer the script.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from string import Template
from textwrap import dedent, fill
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import tlcore
from tlcore.data import get_dataset, sources
from tlcore.data.adapt import describe_adaptation
from tlcore.data.external import SOURCES
from tlcore.errors import UserError
from tlcore.experiment import QUERY_KEYS, Experiment
from tlcore.export import templates
from tlcore.models import get_backbone
from tlcore.models.registry import shape_after
from tlcore.policy import PRETRAINING_PARTS, PretrainingRecipe, stream_of
from tlcore.presets import DATA
from tlcore.strategies import get_strategy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tlcore.data.registry import DatasetSpec
    from tlcore.experiment import RunRecord
    from tlcore.models import Backbone
    from tlcore.policy import Recipe

WRITTEN = (
    "scratch",
    "feature_extraction",
    "freeze_conv",
    "fine_tune_last",
    "fine_tune_all",
    "lp_ft",
    "head_continued",
    "copy_frozen",
    "copy_fine_tuned",
    "l2_sp",
    "gradual_unfreeze",
    "discriminative_lr",
    "random_features",
    "direct_reuse",
    "pixel_baseline",
)
C_GRID = (0.01, 0.1, 1.0, 10.0)  # as `tlcore.arm` tries them
FROM_KERAS = ("mnist", "fashion_mnist", "cifar10")
WIDTH = 116  # characters of a line of the command


@dataclass(frozen=True)
class Part:
    """Some functions of a script that belong together.

    Args:
        title: What they are about, in a few words.
        words: What they do, in one or two sentences.
        pieces: Their code, each to be read by itself.
    """

    title: str
    words: str
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Parts:
    """A script in its parts.

    Args:
        title: Strategy and tasks.
        sentence: What the strategy does.
        command: How the engine repeats the arm.
        link: How the app does.
        requirements: The packages it needs, with the versions that it was written for.
        python: Version of Python that it was written for.
        notes: What to know about it, one line each.
        parts: The code, from imports to the last line.
    """

    title: str
    sentence: str
    command: tuple[str, ...]
    link: str
    requirements: tuple[str, ...]
    python: str
    notes: tuple[str, ...]
    parts: tuple[Part, ...]


def script(experiment: Experiment, strategy: str, seed: int = 0, record: RunRecord | None = None) -> str:
    """Write an arm as plain Keras: the same draw, first weights and batches as the engine's.

    Args:
        experiment: What is compared.
        strategy: Name of the arm's strategy, one of `WRITTEN`.
        seed: The arm's seed.
        record: What the engine measured with it, whose versions the script then names; None for this host's.

    Returns:
        Python source; it needs Keras and NumPy, and scikit-learn or Pillow where it imports them.

    Raises:
        UserError: If the strategy is unknown, or there is no such script for it or for the experiment's settings.

    Example:
        >>> text = script(Experiment(source="mnist", target="uci_digits"), "lp_ft")
        >>> text.splitlines()[0]
        'r\"\"\"Probe, then fine-tune: from MNIST digits to UCI digits.'
    """
    _check(experiment, strategy)
    return _Script(experiment, strategy, seed, record).text()


def parts_of(experiment: Experiment, strategy: str, seed: int = 0, record: RunRecord | None = None) -> Parts:
    """The same as `script` in parts, to be run one after another: files are settings instead of options.

    Args:
        experiment: What is compared.
        strategy: Name of the arm's strategy, one of `WRITTEN`.
        seed: The arm's seed.
        record: What the engine measured with it, or None.

    Returns:
        The parts.

    Raises:
        UserError: As `script`.
    """
    _check(experiment, strategy)
    return _Script(experiment, strategy, seed, record, asks=False).parts()


def _check(experiment: Experiment, strategy: str) -> None:
    """Refuse what cannot be written."""
    get_strategy(strategy)
    if strategy not in WRITTEN:
        raise UserError(f"there is no stand-alone script for {strategy}: choose one of {', '.join(WRITTEN)}")
    backbone = get_backbone(experiment.backbone)
    pixels = strategy == "pixel_baseline"
    if backbone.family != "small":
        raise UserError(
            f"scripts are written for this project's own networks and {backbone.name} is not one of them: "
            "choose cnn_small or another of them"
        )
    if backbone.normalization == "batch" and not pixels:
        if experiment.normalization == "recalibrate":
            raise UserError("there is no script for normalization recalibrate: choose train or freeze")
        if strategy == "random_features":
            raise UserError(
                f"the engine scales the random features of {backbone.name}, for which there is no script: "
                "choose mini_resnet or a network without batch normalisation"
            )


class _Script:
    """The pieces for one arm.

    Args:
        experiment: What is compared.
        strategy: Name of the arm's strategy.
        seed: The arm's seed.
        record: What the engine measured with it, or None.
        asks: Whether files are options on the command line; else they are settings at the top.
    """

    def __init__(
        self, experiment: Experiment, strategy: str, seed: int, record: RunRecord | None = None, *, asks: bool = True
    ) -> None:
        self.record, self.asks = record, asks
        self.experiment, self.strategy, self.seed = experiment, get_strategy(strategy), seed
        self.alone = experiment.model_copy(update={"strategies": (strategy,), "seeds": 1, "first_seed": seed})
        self.backbone: Backbone = get_backbone(experiment.backbone)
        self.recipe: Recipe = experiment.recipe(strategy)
        self.target = get_dataset(experiment.target)
        self.source = get_dataset(experiment.source)
        self.pixels = self.recipe.learner == "pixels"
        self.trains = bool(self.recipe.phases)
        self.transfers = self.recipe.needs_source
        # The script reads the data it uses: the source only to train its model anew.
        self.roles = {"target": self.target} | ({"source": self.source} if self.transfers else {})
        self.from_file = [role for role, spec in self.roles.items() if _comes_from_file(spec)]
        self.changes = self.trains and experiment.augmentation != "none"
        self.adapts = self.target.shape != experiment.shape
        self.labelled, self.test = "x_train[chosen]", "x_test"
        if self.adapts:
            self.labelled, self.test = f"fit_to_network({self.labelled})", f"fit_to_network({self.test})"

    def text(self) -> str:
        """The whole script."""
        pieces = [piece for part in self._parts() for piece in part.pieces]
        body = "\n\n".join(piece.strip("\n") + "\n" for piece in pieces)
        return f"{self._header()}\n{body}"

    def parts(self) -> Parts:
        """The script in its parts."""
        return Parts(
            title=f"{self.strategy.title}: {self._about()}",
            sentence=self.strategy.sentence,
            command=tuple(command_line(self.alone)),
            link=self._link(),
            requirements=self._requirements(),
            python=self._python(),
            notes=tuple(self._notes()),
            parts=tuple(self._parts()),
        )

    def _parts(self) -> Iterator[Part]:
        yield Part("Settings", templates.SETTINGS_WORDS, (f"{self._imports()}\n\n{self._settings()}",))
        yield Part("The images", templates.DATA_WORDS, tuple(self._data()))
        if not self.pixels:
            yield Part("The network", templates.NETWORK_WORDS, tuple(self._network()))
        if self.transfers:
            yield Part("The source model", templates.SOURCE_WORDS, tuple(self._source()))
        if self.trains:
            yield Part("Training", templates.TRAINING_WORDS, tuple(self._training()))
        yield Part("Run it", templates.RUN_WORDS, (self._main(),))

    # --- the top ----------------------------------------------------------------------------------------------------

    def _header(self) -> str:
        return _fill(
            templates.HEADER,
            title=self.strategy.title,
            about=f"{self._about()}.",
            sentence=self.strategy.sentence,
            seed=self.seed,
            usage=self._usage(),
            command=_indented(command_line(self.alone)),
            link=self._link(),
            version=self.record.environment.tlcore if self.record else tlcore.__version__,
            python=self._python(),
            packages=" ".join(self._requirements()),
            notes="".join(f"# {note}\n" for note in self._notes()),
        )

    def _about(self) -> str:
        known = SOURCES[self.experiment.source].title
        return f"from {known} to {self.target.title}" if self.transfers else f"on {self.target.title}"

    def _link(self) -> str:
        return f"/compare?{urlencode(self.experiment.to_query(), safe=',')}"

    def _python(self) -> str:
        return self.record.environment.python if self.record else platform.python_version()

    def _requirements(self) -> tuple[str, ...]:
        recorded = self.record.environment.packages if self.record else {}
        versions = {name: recorded.get(name) or _version(name) for name in self._packages()}
        return tuple(f"{name}=={number}" for name, number in versions.items() if number)

    def _notes(self) -> list[str]:
        notes: list[str] = []
        if self.record:
            found, where = self.record, self.record.environment
            notes.append(
                f"The engine's record of {found.created:%Y-%m-%d} ({where.precision}): "
                f"test accuracy {found.test_accuracy:.4f}."
            )
        if self.trains and self.experiment.precision != "float32":
            notes.append("The engine may compute the stages in bfloat16 where that is faster: this is in float32.")
        if self.trains and self.experiment.seconds is not None:
            notes.append(f"The engine stops after {self.experiment.seconds:g} s of training; this does not.")
        return notes

    def _usage(self) -> str:
        name = f"{self.strategy.name}.py"
        files = "".join(f" --{role}-data FILE.npz" for role in self.from_file if role == "target")
        if not self.transfers:
            return _indented([f"python {name}{files}"])
        shipped = DATA / "checkpoints" / f"{self.source.name}-{self.backbone.name}.npz"
        ships = shipped.is_file() and self.experiment.source_images is None
        where = f"data/checkpoints/{shipped.name}" if ships else "CHECKPOINT.npz"
        more = "".join(f" --{role}-data FILE.npz" for role in self.from_file)
        return "\n".join(
            (
                "The source model comes from a file, as the engine keeps them, or is trained here first (minutes):",
                "",
                _indented([f"python {name} {where}{files}", f"python {name}{more}"]),
            )
        )

    def _packages(self) -> list[str]:
        keras = ["keras", self.record.environment.backend if self.record else "tensorflow"]
        networks = [] if self.pixels else keras
        data = keras if self.pixels and _whole(self.target) else []
        digits = self._reads_digits
        learn = ["scikit-learn"] if self.pixels or digits else []
        return [*networks, *data, "numpy", *learn, *(["pillow"] if digits or self._resizes else [])]

    @property
    def _reads_digits(self) -> bool:
        return any(spec.name == "uci_digits" for spec in self.roles.values())

    @property
    def _resizes(self) -> bool:
        return self.target.shape[:2] != self.experiment.shape[:2]

    def _imports(self) -> str:
        packages = self._packages()
        first = ["import argparse"] if self.asks and (self.transfers or self.from_file) else []
        first += [] if self.pixels else ["import zlib"]
        modules = (["import keras"] if "keras" in packages else []) + ["import numpy as np"]
        froms = [] if self.pixels else ["from keras import layers"]
        froms += ["from PIL import Image"] if "pillow" in packages else []
        froms += ["from sklearn.datasets import load_digits"] if self._reads_digits else []
        if self.pixels:
            froms += ["from sklearn.linear_model import LogisticRegression", "from sklearn.metrics import log_loss"]
        groups = ["\n".join(first)] if first else []
        return "\n\n".join([*groups, "\n".join([*modules, *froms])])

    def _settings(self) -> str:
        parts: list[str] = []
        if not self.asks:
            parts += [templates.CHECKPOINT_SETTING] if self.transfers else []
            parts += [_fill(templates.FILE_SETTING, role=role.upper(), name=role) for role in self.from_file]
        if self.trains or self.pixels:
            parts.append(_fill(templates.SETTINGS, seed=self.seed))
        if self.trains:
            stream = stream_of(self.seed)
            why = "" if stream == self.seed else templates.NOT_THE_SOURCES
            parts.append(_fill(templates.STREAM, stream=stream, why=why))
        if self.trains or self.pixels:
            parts.append(
                _fill(
                    templates.BUDGET_SETTINGS,
                    classes=len(self.target.classes),
                    labels=self.experiment.labels_per_class,
                    validation=self.experiment.validation_per_class,
                    observed=self.target.observation_per_class,
                    setting="penalty's strength" if self.pixels else "learning rate",
                )
            )
        if self.transfers:
            stages = [name for name in self.backbone.stage_names if name in self.recipe.transferred]
            parts.append(_fill(templates.TRANSFER_SETTINGS, source_classes=len(self.source.classes)))
            parts.append(_fill(templates.TRANSFERRED, transferred=_tuple(stages)) if self.trains else "")
        parts.append(self._phases() if self.trains else "")
        parts.append("" if self.pixels else templates.LOSS)
        return "".join(parts)

    def _phases(self) -> str:
        steps, done, lines = self.experiment.steps, 0.0, list[str]()
        end = 0
        for phase in self.recipe.compiled:
            done += phase.share
            begun, end = end, round(done * steps)
            if end > begun:
                frozen = _tuple([name for name in self.backbone.stage_names if name in phase.policy.frozen])
                lines.append(f'{{"steps": {end - begun}, "rate": {phase.rate!r}, "frozen": {frozen}}},')
        fixed = self.experiment.learning_rate
        text = _fill(
            templates.TRAINING_SETTINGS,
            batch_size=self.experiment.batch_size,
            rates=_tuple((fixed,) if fixed else self.experiment.learning_rates),
            phases=lines[0] if len(lines) == 1 else "".join(f"\n    {line}" for line in lines) + "\n",
        )
        if self.recipe.pull:
            text += _fill(templates.PULL_SETTINGS, start=self.recipe.pull.start, zero=self.recipe.pull.zero)
        rates = self.recipe.phases[0].stage_rates
        if rates:
            factors = "".join(f'    "{name}": {factor:.6g},\n' for name, factor in rates)
            text = _fill(templates.STAGE_RATES, factors=factors) + text
        return text

    # --- the middle -------------------------------------------------------------------------------------------------

    def _data(self) -> list[str]:
        needs_shape = any(_whole(spec) in FROM_KERAS for spec in self.roles.values())
        parts = [templates.AS_IMAGES] if needs_shape else []
        parts += [_loader(role, spec) for role, spec in self.roles.items()]
        if self.adapts:
            parts.append(self._adaptation())
        parts.append(templates.SCALED)
        if self.trains or self.pixels:
            parts.append(templates.DRAW)
        return parts

    def _adaptation(self) -> str:
        have, want = self.target.shape, self.experiment.shape
        steps = ""
        if have[2] != want[2]:
            steps += templates.TO_GREY if want[2] == 1 else templates.TO_COLOUR
        if have[:2] != want[:2]:
            steps += _fill(templates.RESIZE, height=want[0], width=want[1], channels=want[2])
        described = describe_adaptation(have, want)
        return _fill(templates.ADAPT, adaptation=described[:1].upper() + described[1:], steps=steps)

    def _network(self) -> list[str]:
        network, shape, lines = self.backbone, self.experiment.shape, ""
        flat = False
        for at, stage in enumerate(network.stages):
            if stage.kind == "conv":
                lines += _fill(templates.CONV, width=stage.width, name=stage.name)
                if min(shape_after(network.stages[:at], shape)[:2]) > 1:
                    lines += templates.POOL
            elif stage.kind == "dense":
                lines += "" if flat else templates.FLATTEN
                lines += _fill(templates.DENSE, width=stage.width, name=stage.name)
                flat = True
            else:
                lines += _fill(templates.BLOCK, kind=stage.kind, width=stage.width, name=stage.name)
        lines += templates.AVERAGE if network.pooling == "average" else ""
        build = _fill(
            templates.BUILD,
            backbone=network.title,
            about=_paragraph(network.sentence),
            shape=_tuple(shape),
            stages=lines,
        )
        batch = network.normalization == "batch"
        normalization = templates.BATCH_NORMALIZATION if batch else templates.GROUP_NORMALIZATION
        blocks = [] if network.normalization == "none" else [_fill(templates.BLOCKS, normalization=normalization)]
        return [*blocks, build, templates.FIRST_WEIGHTS, templates.ACCURACY]

    def _source(self) -> list[str]:
        recipe, images = PretrainingRecipe(), self.experiment.source_images
        values = {
            "batch_size": recipe.batch_size,
            "steps": recipe.steps,
            "source_seed": recipe.seed,
            "images": images,
            "parts": PRETRAINING_PARTS,
            "rate": f"{recipe.rate:g}",
        }
        mirrored = f', "shift_flip", seed={recipe.seed}, done=part * len(rows)' if self.source.mirrored else ""
        pretrain = _fill(
            templates.PRETRAIN,
            arguments="path" if "source" in self.from_file else "",
            rows=_fill(templates.SOME_ROWS if images else templates.ALL_ROWS, **values),
            changes=mirrored,
            **values,
        )
        changed = self.source.mirrored or self.changes
        fit = templates.CHANGED_BATCHES if changed else templates.BATCHES
        return [templates.ORDER, fit, templates.LOAD_CHECKPOINT, pretrain]

    def _training(self) -> list[str]:
        batch = self.backbone.normalization == "batch"
        learns = "False" if self.experiment.normalization == "freeze" else "layer.trainable"
        freeze = _fill(templates.FREEZE_STATISTICS, learns=learns) if batch else templates.FREEZE
        rates = self.recipe.phases[0].stage_rates
        parts = [freeze, templates.ADAMS if rates else templates.ADAM]
        parts += [templates.PULL] if self.recipe.pull else []
        if not self.transfers:
            parts = [templates.ORDER, templates.CHANGED_BATCHES if self.changes else templates.BATCHES, *parts]
        train = _fill(
            templates.TRAIN,
            first=self._first,
            source_line="        source: Weights of the source model, by stage.\n" if self.transfers else "",
            load=templates.LOAD_STAGES if self.transfers else "",
            pull=templates.HOLD_NEAR if self.recipe.pull else "",
            changes=f', "{self.experiment.augmentation}", seed=SEED, done=done' if self.changes else "",
        )
        return [*parts, train, *([_fill(templates.CHOOSE, first=self._first)] if self._chooses else [])]

    # --- the end ----------------------------------------------------------------------------------------------------

    def _main(self) -> str:
        text = self._filled_main()
        if self.asks:
            return text
        before, _, body = text.partition("def main():\n")
        for name in ("checkpoint", "source_data", "target_data"):
            body = body.replace(f"given.{name}", name.upper())
        return before + dedent(body.partition("\n\n\nif __name__")[0])

    def _filled_main(self) -> str:
        options = templates.SOURCE_OPTION if self.transfers else ""
        for role in self.from_file:
            options += _fill(templates.FILE_OPTION, role=role, required=str(role == "target"))
        source_file = "given.source_data" if "source" in self.from_file else ""
        title = f"{self.strategy.title} on {self.target.title}"
        shared = {
            "parse": _fill(templates.PARSE, title=title, options=options) if options and self.asks else "",
            "source": _fill(templates.GET_SOURCE, arguments=source_file) if self.transfers else "",
            "target_argument": "given.target_data" if "target" in self.from_file else "",
            "labelled": self.labelled,
            "test": self.test,
        }
        if self.pixels:
            return _fill(templates.PIXEL_MAIN, grid=_tuple(C_GRID), **shared)
        if not self.trains:
            return _fill(templates.REUSE_MAIN, **shared)
        return _fill(
            templates.MAIN,
            rate=f"choose_rate({self._first}images, labels)" if self._chooses else "RATES[0]",
            again=templates.AGAIN if self._chooses else "",
            first=self._first,
            **shared,
        )

    @property
    def _chooses(self) -> bool:
        return not self.experiment.learning_rate and len(self.experiment.learning_rates) > 1

    @property
    def _first(self) -> str:
        """First argument of what trains: the source's weights, where they are used."""
        return "source, " if self.transfers else ""


def command_line(experiment: Experiment) -> list[str]:
    """The command that runs an experiment, over as many lines as it takes.

    Args:
        experiment: What is run.

    Returns:
        Lines of at most `WIDTH` characters; all but the last end in a backslash.
    """
    shown = ("source", "target", "backbone", "strategies", "labels_per_class", "seeds", "first_seed", "steps")
    lines = ["python -m tlcore compare"]
    for field in QUERY_KEYS.values():
        value = getattr(experiment, field)
        if value == Experiment.model_fields[field].default and field not in shown:
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else "auto" if value is None else str(value)
        option = f"--{field.replace('_', '-')} {text}"
        if len(lines[-1]) + len(option) < WIDTH - 8:
            lines[-1] += f" {option}"
        else:
            lines.append(f"  {option}")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _fill(template: str, **values: Any) -> str:
    return Template(template).substitute(values)


def _indented(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _paragraph(sentence: str) -> str:
    return fill(sentence, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _tuple(values: Sequence[Any]) -> str:
    inside = ", ".join(f'"{value}"' if isinstance(value, str) else f"{value!r}" for value in values)
    return f"({inside},)" if len(values) == 1 else f"({inside})"


def _whole(spec: DatasetSpec) -> str:
    """Name of the dataset of `keras.datasets` that a script reads for one; empty for none."""
    if spec.name in FROM_KERAS:
        return spec.name
    if isinstance(spec.load, partial) and spec.load.func is sources.some_classes:
        return str(spec.load.args[0].__name__)
    return ""


def _comes_from_file(spec: DatasetSpec) -> bool:
    return spec.name != "uci_digits" and _whole(spec) not in FROM_KERAS


def _loader(role: str, spec: DatasetSpec) -> str:
    """The function that reads a dataset."""
    sentence = _paragraph(spec.sentence)
    values = {"role": role, "name": _whole(spec) or spec.name, "title": spec.title, "sentence": sentence}
    if spec.name == "uci_digits":
        return _fill(templates.DIGITS_DATA, **values)
    if _comes_from_file(spec):
        return _fill(templates.FILE_DATA, **values)
    if isinstance(spec.load, partial):
        return _fill(templates.SOME_CLASSES_DATA, kept=_tuple(spec.load.args[1]), **values)
    return _fill(templates.KERAS_DATA, **values)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # where another backend trains
        return ""
