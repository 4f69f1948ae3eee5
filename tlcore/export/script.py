"""One arm of an experiment as a stand-alone script of plain Keras, to read, to run and to change.

Importing this module does not import Keras, so that a page can offer the script.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from string import Template
from textwrap import dedent, fill, indent
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import tlcore
from tlcore.data import get_dataset, sources
from tlcore.data.adapt import describe_adaptation
from tlcore.data.external import HOST_MODEL, IMAGENET, SOURCES
from tlcore.errors import UserError
from tlcore.experiment import QUERY_KEYS, Experiment
from tlcore.export import templates
from tlcore.models import get_backbone
from tlcore.models.registry import shape_after
from tlcore.policy import PRETRAINING_PARTS, PretrainingRecipe, stream_of
from tlcore.presets import DATA
from tlcore.strategies import get_strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlcore.data.registry import DatasetSpec
    from tlcore.experiment import RunRecord
    from tlcore.models import Backbone
    from tlcore.policy import Recipe

C_GRID = (0.01, 0.1, 1.0, 10.0)  # as `tlcore.arm` tries them
OWN_SEED = 1_000_003  # as `tlcore.arm` adds it
FROM_KERAS = ("mnist", "fashion_mnist", "cifar10")
WIDTH = 116  # characters of a line of the command
CODE_WIDTH = 120


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
        strategy: Name of the arm's strategy.
        seed: The arm's seed.
        record: What the engine measured with it, whose versions the script then names; None for this host's.

    Returns:
        Python source; it needs Keras and NumPy, and scikit-learn or Pillow where it imports them.

    Raises:
        UserError: If the strategy is unknown or cannot be used with the backbone, or that is a model of the host's own.

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
        strategy: Name of the arm's strategy.
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
    if experiment.source == HOST_MODEL and strategy != "pixel_baseline":
        raise UserError(
            f"there is no stand-alone script for {experiment.backbone}, a model of this host's own: take its result "
            "along as a model instead, or choose one of the networks that come with the project"
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
        # What is trained before the arm's own network: one to copy stages from, or a teacher.
        taught = self.recipe.distillation
        self.before = taught.teacher if taught else self.recipe.own
        self.network = get_backbone(self.backbone.student) if self.recipe.small else self.backbone
        self.batch = "batch" in {self.network.normalization, self.backbone.normalization if taught else ""}
        self.target = get_dataset(experiment.target)
        if self.target.by_seed:  # its title is somebody's own words, which have no place in code
            self.target = replace(self.target, title="Own pictures")
        self.pixels = self.recipe.learner == "pixels"
        self.trains = bool(self.recipe.phases)
        self.transfers = self.recipe.needs_source
        self.published = self.transfers and experiment.source == IMAGENET
        # The script reads the data it uses: the source only to train its model anew.
        self.roles = {"target": self.target}
        if self.transfers and not self.published:
            self.roles["source"] = get_dataset(experiment.source)
        self.from_file = [role for role, spec in self.roles.items() if _comes_from_file(spec)]
        self.changes = self.trains and experiment.augmentation != "none"
        self.adapts = self.target.shape != experiment.shape
        self.labelled, self.test = "x_train[chosen]", "x_test"
        if self.adapts:
            self.labelled, self.test = f"fit_to_network({self.labelled})", f"fit_to_network({self.test})"
        if self.recipe.input_scale != 1:
            self.labelled, self.test = f"wrongly_scaled({self.labelled})", f"wrongly_scaled({self.test})"

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
            words = templates.IMAGENET_WORDS if self.published else templates.SOURCE_WORDS
            yield Part("The source model", words, tuple(self._source()))
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
        if self.trains and self.network.application and self.recipe.mode(self.network.stage_names[0]) == "frozen":
            notes.append("The engine computes stages that stay frozen once; this does at every step, and takes longer.")
        return notes

    def _usage(self) -> str:
        name = f"{self.strategy.name}.py"
        files = "".join(f" --{role}-data FILE.npz" for role in self.from_file if role == "target")
        if not self.transfers:
            return _indented([f"python {name}{files}"])
        if self.experiment.weights:
            return _indented([f"python {name} {self.experiment.weights}{files}"])
        if self.published:
            assert self.backbone.application is not None  # or nobody has published weights
            file = self.backbone.application.files[0]
            return "\n".join(
                (
                    "Keras downloads the ImageNet weights, or they come from a file, without a network:",
                    "",
                    _indented([f"python {name}{files}", f"python {name} {file}{files}"]),
                )
            )
        shipped = DATA / "checkpoints" / f"{self.experiment.source}-{self.backbone.name}.npz"
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
            parts += [templates.WEIGHTS_SETTING] if self.published else []
            parts += [templates.CHECKPOINT_SETTING] if "source" in self.roles else []
            parts += [_fill(templates.FILE_SETTING, role=role.upper(), name=role) for role in self.from_file]
        if self.trains or self.pixels:
            parts.append(_fill(templates.SETTINGS, seed=self.seed))
        if self.trains:
            stream = stream_of(self.seed)
            why = "" if stream == self.seed else templates.NOT_THE_SOURCES
            parts.append(_fill(templates.STREAM, stream=stream, why=why))
            parts.append(_fill(templates.OWN_STREAM, own=self.seed + OWN_SEED) if self.recipe.own else "")
        if self.trains or self.pixels:
            parts.append(
                _fill(
                    templates.BUDGET_SETTINGS,
                    classes=len(self.target.classes),
                    labels=self.experiment.labels_per_class,
                    validation=self.experiment.validation_per_class,
                    observed=0 if self.target.by_seed else self.target.observation_per_class,
                    out_of="the file" if self.target.by_seed else "the draw",
                    setting="penalty's strength" if self.pixels else "learning rate",
                )
            )
        if self.network.application or (self.transfers and self.backbone.application):
            assert self.backbone.application is not None
            ends = zip(self.backbone.stage_names, (*self.backbone.application.ends, ""), strict=True)
            parts.append(_fill(templates.STAGES, stages=_literal(dict(ends), len("STAGES = "))))
        if "source" in self.roles:
            parts.append(_fill(templates.TRANSFER_SETTINGS, source_classes=len(self.roles["source"].classes)))
        parts.append(self._transferred() + self._phases() if self.trains else "")
        parts.append("" if self.pixels else templates.LOSS)
        return "".join(parts)

    def _transferred(self) -> str:
        recipe, origin = self.recipe, templates.FROM_THE_SOURCE
        taken = recipe.distillation.teacher.transferred if recipe.distillation else recipe.transferred
        if recipe.matched:
            taken, origin = recipe.matched, templates.FROM_ITS_SCALE
        elif recipe.own:
            origin = templates.FROM_ITS_OWN
        stages = tuple(name for name in self.backbone.stage_names if name in taken)
        if not stages and not self.transfers:
            return ""
        return _fill(templates.TRANSFERRED, origin=origin, transferred=_literal(stages, len("TRANSFERRED = ")))

    def _phases(self) -> str:
        recipe, steps, done, end = self.recipe, self.experiment.steps, 0.0, 0
        cycles = any(phase.cycle for phase in recipe.phases)
        phases: list[dict[str, Any]] = []
        # What was never compiled again is written down as it was meant.
        for phase in recipe.phases:
            done += phase.share
            begun, end = end, round(done * steps)
            if end == begun:
                continue  # fewer steps than phases
            settings: dict[str, Any] = {"steps": end - begun, "rate": phase.rate}
            if not recipe.low_rank:
                settings["frozen"] = tuple(name for name in self.network.stage_names if name in phase.policy.frozen)
            if cycles:
                assert phase.cycle is not None  # a recipe has one in each phase or in none
                settings["stage_rates"] = _rounded(phase.stage_rates)
                settings["cycle"] = {"rise": phase.cycle.rise, "start": phase.cycle.start, "end": phase.cycle.end}
            phases.append(settings)
        fixed = self.experiment.learning_rate
        what = templates.LOW_RANK_WORDS if recipe.low_rank else templates.PHASE_WORDS
        text = _fill(
            templates.TRAINING_SETTINGS,
            batch_size=self.experiment.batch_size,
            rates=_literal((fixed,) if fixed else self.experiment.learning_rates, len("RATES = ")),
            what=templates.CYCLE_WORDS if cycles else what,
            phases=_literal(tuple(phases), len("PHASES = ")),
        )
        if recipe.pull:
            text += _fill(templates.PULL_SETTINGS, start=recipe.pull.start, zero=recipe.pull.zero)
        if recipe.low_rank:
            text += _fill(templates.RANK, rank=recipe.low_rank)
        if recipe.distillation:
            by = recipe.distillation
            text += _fill(templates.DISTILLATION, temperature=by.temperature, weight=by.weight)
        if self._rated:
            factors = _literal(_rounded(recipe.phases[0].stage_rates), len("STAGE_RATES = "))
            text = _fill(templates.STAGE_RATES, factors=factors) + text
        return text

    @property
    def _rated(self) -> bool:
        """Whether stages have rates of their own, the same ones all the time."""
        return bool(self.recipe.phases[0].stage_rates) and self.recipe.phases[0].cycle is None

    # --- the middle -------------------------------------------------------------------------------------------------

    def _data(self) -> list[str]:
        needs_shape = any(_whole(spec) in FROM_KERAS for spec in self.roles.values())
        parts = [templates.AS_IMAGES] if needs_shape else []
        parts += [self._by_seed() if spec.by_seed else _loader(role, spec) for role, spec in self.roles.items()]
        if self.adapts:
            parts.append(self._adaptation())
        if self.recipe.input_scale > 1:
            parts.append(_fill(templates.WRONG_RANGE, most=f"{self.recipe.input_scale:g}", how="*"))
        elif self.recipe.input_scale < 1:
            parts.append(_fill(templates.WRONG_RANGE, most=f"{self.recipe.input_scale:.2g}", how="/"))
        parts.append(templates.SCALED)
        if self.trains or self.pixels:
            parts.append(templates.DRAW)
        return parts

    def _by_seed(self) -> str:
        """The function that reads a target whose seeds draw their own test pictures; no source is one."""
        return _fill(
            templates.SEED_FILE_DATA,
            role="target",
            name=self.target.name,
            title=self.target.title,
            sentence=_paragraph(self.target.sentence),
            seed=self.seed,
            labels=self.experiment.labels_per_class,
            validation=self.experiment.validation_per_class,
        )

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
        if self.network.application:
            return [*self._application(self.network), templates.FIRST_WEIGHTS_BY_CHANNEL, templates.ACCURACY_IN_PARTS]
        taught = self.recipe.distillation is not None
        networks = {"build": self.backbone, "build_small": self.network} if taught else {"build": self.network}
        kinds = {one.normalization for one in networks.values()} - {"none"}
        normalization = templates.BATCH_NORMALIZATION if "batch" in kinds else templates.GROUP_NORMALIZATION
        blocks = [_fill(templates.BLOCKS, normalization=normalization)] if kinds else []
        builds = [self._build(name, one) for name, one in networks.items()]
        return [*blocks, *builds, templates.FIRST_WEIGHTS, templates.ACCURACY]

    def _build(self, name: str, network: Backbone) -> str:
        """A function that builds one of this project's own networks."""
        shape, lines = self.experiment.shape, ""
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
        return _fill(
            templates.BUILD,
            name=name,
            backbone=network.title,
            about=_paragraph(network.sentence),
            shape=_flat(shape),
            stages=lines + (templates.UNIT_SIZE if self._scales_features else ""),
        )

    def _application(self, network: Backbone) -> list[str]:
        """A network of `keras.applications` and how it is cut."""
        application = network.application
        assert application is not None  # as asked before
        whole = _fill(
            templates.APPLICATION,
            backbone=network.title,
            about=_paragraph(network.sentence),
            scaling=templates.SCALINGS[application.scaling],
            constructor=application.constructor,
            arguments="".join(f"        {name}={value!r},\n" for name, value in application.arguments),
        )
        numbered = any("#" in end for end in application.ends)
        cut = _fill(
            templates.CUT,
            calm=templates.CALM if network.normalization == "batch" else "",
            end=templates.END_BY_NUMBER if numbered else templates.END_BY_NAME,
        )
        build = _fill(
            templates.BUILD_OF_STAGES,
            shape=_flat(self.experiment.shape),
            side=self.experiment.shape[0],
            scale=templates.UNIT_SIZE if self._scales_features else "",
        )
        return [whole, *([templates.END_OF] if numbered else []), cut, build]

    @property
    def _scales_features(self) -> bool:
        """Whether the engine brings features to unit size: those of random stages whose statistics fit no data."""
        names, phases = self.network.stage_names, self.recipe.phases
        fixed = bool(phases) and all(phase.policy.fixed == frozenset(names) for phase in phases)
        return fixed and self.network.normalization == "batch" and self.recipe.origin(names[-1]) == "random"

    def _source(self) -> list[str]:
        changed = self.changes or ("source" in self.roles and self.roles["source"].mirrored)
        fit = [templates.ORDER, templates.CHANGED_BATCHES if changed else templates.BATCHES]
        if self.published:
            return [_fill(templates.LOAD_IMAGENET, side=self.backbone.trained_size), *fit]
        recipe, images = PretrainingRecipe(), self.experiment.source_images
        values = {
            "batch_size": recipe.batch_size,
            "steps": recipe.steps,
            "source_seed": recipe.seed,
            "images": images,
            "parts": PRETRAINING_PARTS,
            "rate": f"{recipe.rate:g}",
        }
        mirrored = self.roles["source"].mirrored
        pretrain = _fill(
            templates.PRETRAIN,
            arguments="path" if "source" in self.from_file else "",
            rows=_fill(templates.SOME_ROWS if images else templates.ALL_ROWS, **values),
            changes=f', "shift_flip", seed={recipe.seed}, done=part * len(rows)' if mirrored else "",
            **values,
        )
        return [*fit, templates.LOAD_CHECKPOINT, pretrain]

    def _training(self) -> list[str]:
        recipe = self.recipe
        parts = [] if recipe.low_rank else [self._freeze()]
        if any(phase.cycle for phase in recipe.phases):
            parts.append(templates.CYCLED_ADAMS)
        else:
            parts.append(templates.ADAMS if self._rated else templates.ADAM)
        pieces = {
            templates.PULL: recipe.pull,
            templates.LOW_RANK: recipe.low_rank,
            templates.SAME_SCALE: recipe.matched,
            templates.SCALE_FEATURES: self._scales_features,
            templates.RECALIBRATE: self._recalibrates(recipe),
            templates.DISTILLED: recipe.distillation,
        }
        parts += [piece for piece, wanted in pieces.items() if wanted]
        if not self.transfers:
            parts = [templates.ORDER, templates.CHANGED_BATCHES if self.changes else templates.BATCHES, *parts]
        parts += [self._train_before(self.before)] if self.before else []
        return [*parts, self._train(), *([_fill(templates.CHOOSE, first=self._first)] if self._chooses else [])]

    def _train(self) -> str:
        """The function that trains the arm's network."""
        recipe, changes = self.recipe, self._changes_from("done")
        prepare = {
            templates.ADD_LOW_RANK: recipe.low_rank,
            templates.HOLD_NEAR: recipe.pull,
            templates.SCALE_RANDOM: self._scales_features,
        }
        targets = ""
        if recipe.distillation:
            changed = _fill(templates.WITH_OUTPUTS_OF_CHANGED, how=self.experiment.augmentation)
            targets = changed if self.changes else templates.WITH_OUTPUTS
        cycled = any(phase.cycle for phase in recipe.phases)
        compiled = templates.COMPILE_ONCE if recipe.stale else templates.COMPILE
        return _fill(
            templates.TRAIN,
            first=self._first,
            source_line="        source: Weights of the source model, by stage.\n" if self.transfers else "",
            teacher=templates.LEARN_FROM if recipe.distillation else "",
            build="build_small" if recipe.distillation else "build",
            load=self._load(recipe),
            prepare="".join(piece for piece, wanted in prepare.items() if wanted),
            targets=targets,
            compile=_fill(
                templates.COMPILE_LOW_RANK if recipe.low_rank else compiled,
                optimizer="optimizer_for(model, rate, phase)"
                if cycled
                else 'optimizer_for(model, rate * phase["rate"])',
                loss="distilled" if recipe.distillation else "LOSS",
                built=self._built(12 if recipe.stale else 8),
            ),
            truth="truth" if recipe.distillation else "labels",
            changes="" if recipe.distillation else changes,
            recalibrate=templates.MEASURE_ANEW if self._recalibrates(recipe, self.network) else "",
        )

    def _train_before(self, recipe: Recipe) -> str:
        """The function that trains a network for the arm's: all of it in one phase."""
        taught = self.recipe.distillation is not None
        return _fill(
            templates.TRAIN_WHOLE,
            name="fine_tuned" if taught else "trained_on_its_own",
            first=self._first,
            sentence=templates.TEACHER if taught else templates.ITS_OWN,
            seed="FIRST_SEED" if taught else "OWN_SEED",
            load=self._load(recipe),
            freeze=templates.ALL_LEARNS if self.batch else "",
            built=self._built(4),
            changes=self._changes_from("0"),
            recalibrate=templates.MEASURE_ANEW if self._recalibrates(recipe) else "",
            result="model"
            if taught
            else "{layer.name: layer.get_weights() for layer in model.layers if layer.weights}",
        )

    def _load(self, recipe: Recipe) -> str:
        """What is loaded over the first weights."""
        if recipe.matched:
            return templates.LOAD_SAME_SCALE
        if recipe.own:
            return templates.LOAD_OWN
        # Without a stage to load, a cut of 0, what is said about the source's weights stays true.
        return templates.LOAD_STAGES if recipe.needs_source and not recipe.distillation else ""

    def _freeze(self) -> str:
        """The function that freezes, with what batch normalisation does where there is any."""
        if not self.batch:
            return templates.FREEZE
        phases = [*self.recipe.phases, *(self.before.phases if self.before else ())]
        policies = [phase.policy for phase in phases]
        # Whether normalisation is trainable in stages that are frozen and in those that are not.
        drifts = any(policy.normalization == "drift" for policy in policies)
        always = any(policy.normalization == "always" for policy in policies)
        free = not any(policy.normalization == "freeze" for policy in policies)
        learns = {(False, True): "layer.trainable", (False, False): "False", (True, True): "True"}
        why = templates.DRIFTS if drifts else templates.LEARNS_ALWAYS if always else templates.BY_NAME
        return _fill(
            templates.FREEZE_STATISTICS,
            why=why,
            learns=learns.get((drifts or always, free), "not layer.trainable"),
            drift=templates.ONLY_STATISTICS if drifts else "",
        )

    def _recalibrates(self, recipe: Recipe, network: Backbone | None = None) -> bool:
        return recipe.recalibrate and (network or self.backbone).normalization == "batch"

    def _changes_from(self, done: str) -> str:
        """Arguments of `fit` for changed pictures."""
        return f', "{self.experiment.augmentation}", seed=SEED, done={done}' if self.changes else ""

    def _built(self, spaces: int) -> str:
        return indent(templates.BUILT, " " * spaces) if self.network.application else ""

    # --- the end ----------------------------------------------------------------------------------------------------

    def _main(self) -> str:
        text = self._filled_main()
        if self.asks:
            return text
        before, _, body = text.partition("def main():\n")
        for name in ("checkpoint", "weights", "source_data", "target_data"):
            body = body.replace(f"given.{name}", name.upper())
        return before + dedent(body.partition("\n\n\nif __name__")[0])

    def _filled_main(self) -> str:
        options = templates.SOURCE_OPTION if "source" in self.roles else ""
        if self.published:
            file = self.experiment.weights
            options = _fill(templates.NAMED_WEIGHTS_OPTION, file=file) if file else templates.WEIGHTS_OPTION
        for role in self.from_file:
            options += _fill(templates.FILE_OPTION, role=role, required=str(role == "target"))
        source_file = "given.source_data" if "source" in self.from_file else ""
        title = f"{self.strategy.title} on {self.target.title}"
        shared = {
            "parse": _fill(templates.PARSE, title=title, options=options) if options and self.asks else "",
            "source": templates.GET_IMAGENET
            if self.published
            else _fill(templates.GET_SOURCE, arguments=source_file)
            if self.transfers
            else "",
            "target_argument": "given.target_data" if "target" in self.from_file else "",
            "labelled": self.labelled,
            "test": self.test,
        }
        if self.pixels:
            return _fill(templates.PIXEL_MAIN, grid=_flat(C_GRID), **shared)
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


def _flat(value: Any) -> str:
    """A value as Python code on one line, with double quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_flat(key)}: {_flat(one)}' for key, one in value.items())}}}"
    if isinstance(value, tuple):
        inside = ", ".join(_flat(one) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def _literal(value: Any, before: int, indent: int = 0) -> str:
    """A value as Python code, over as many lines as it takes; `before` characters stand on its first line."""
    flat = _flat(value)
    if before + len(flat) <= CODE_WIDTH - bool(indent) or not isinstance(value, (dict, tuple)):  # a comma follows
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, dict):
        named = [(f"{_flat(key)}: ", one) for key, one in value.items()]
    else:
        named = [("", one) for one in value]
    lines = "".join(f"{inner}{name}{_literal(one, indent + 4 + len(name), indent + 4)},\n" for name, one in named)
    return f"{flat[0]}\n{lines}{' ' * indent}{flat[-1]}"


def _rounded(rates: tuple[tuple[str, float], ...]) -> dict[str, float]:
    return {name: float(f"{factor:.6g}") for name, factor in rates}


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
        return _fill(templates.SOME_CLASSES_DATA, kept=_flat(spec.load.args[1]), **values)
    return _fill(templates.KERAS_DATA, **values)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # where another backend trains
        return ""
