"""The scripts that are handed out: they run by themselves, and come out where the engine does."""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlparse

import keras
import numpy as np
import pytest

from tests.data.test_own_splits import pictures
from tests.export.test_models import MOBILE
from tests.test_train import made_up
from tlcore import kept_weights
from tlcore.arm import C_GRID, OWN_SEED, run_arm
from tlcore.cli import main
from tlcore.data import DATASETS, load
from tlcore.data.labels import draw_test, split_labels
from tlcore.errors import UserError
from tlcore.experiment import Experiment, fits
from tlcore.export import script as exported
from tlcore.export.script import script
from tlcore.models import BACKBONES
from tlcore.models.build import build_model, freeze, initial_weights, set_weights
from tlcore.models.weights import find_weights
from tlcore.pretrain import SHIPPED
from tlcore.strategies import STRATEGIES
from tlcore.train import Program, Setup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.models import Backbone
    from tlcore.models.build import Weights

TOLERANCE = 0.02  # of the test accuracy; measured: 0.002 at most, but rounding differs between hosts
# Of a weight; measured: 0.007 after 12 steps of 0.003. Adam makes whole steps of gradients that are all but zero, so a
# last digit there may turn a step around.
WEIGHT_TOLERANCE = 0.02
SMALL = [name for name, network in BACKBONES.items() if network.family == "small"]
PUBLISHED = [name for name, network in BACKBONES.items() if network.application]
CHECKPOINT = SHIPPED / "mnist-cnn_small.npz"
BASE = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=("scratch",),
    labels_per_class=5,
    steps=12,
    learning_rate=3e-3,
    precision="float32",
)
RUFF = ["--isolated", "--line-length", "120"]
RULES = ["--select", "E,F,W,I,N,UP,B,A,C4,SIM,RUF,PIE", "--ignore", "RUF001,RUF002,RUF003"]


def accuracy_of(text: str, folder: Path, *arguments: str) -> float:
    """Run a script in a process and a folder of its own."""
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    # Nothing of the project is in reach, and a warning that a learner would see is an error.
    unreachable = {"PYTHONPATH", "TLCORE_HOME", "TLCORE_DATA_DIR"}
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error::UserWarning", str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in unreachable},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"^test accuracy (\d\.\d+)$", done.stdout, re.M)
    assert len(found) == 1, done.stdout
    return float(found[0])


@pytest.mark.parametrize("strategy", ["lp_ft", "distillation"])
def test_a_script_comes_out_where_the_engine_does(strategy: str, tmp_path: Path) -> None:
    record = run_arm(BASE, strategy, 0)
    found = accuracy_of(script(BASE, strategy), tmp_path, str(CHECKPOINT))
    assert found == pytest.approx(record.test_accuracy, abs=TOLERANCE)


def test_a_script_with_published_weights_comes_out_where_the_engine_does(tmp_path: Path) -> None:
    values = {"source": "imagenet", "backbone": "mobilenet_v2_035", "image_size": 32, "weights": MOBILE, "steps": 6}
    experiment = Experiment.of(**BASE.model_dump() | values)
    try:
        file = find_weights(BACKBONES[experiment.backbone], MOBILE)
    except UserError:
        pytest.skip(f"{MOBILE} is not on this machine: set TLCORE_DATA_DIR to its folder")
    record = run_arm(experiment, "feature_extraction", 0)
    found = accuracy_of(script(experiment, "feature_extraction"), tmp_path, str(file))
    assert found == pytest.approx(record.test_accuracy, abs=TOLERANCE)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategys_script_ends_at_the_engines_weights(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: to start one for each would take longer than all that they do."""
    experiment, checkpoint = BASE, CHECKPOINT
    if not fits(strategy, BACKBONES[BASE.backbone], None):
        experiment = BASE.model_copy(update={"backbone": "mini_resnet_bn"})
        checkpoint = kept(made_up(experiment.backbone).weights, tmp_path / "made_up.npz")
        monkeypatch.setattr("tlcore.arm.source_checkpoint", lambda *_: made_up(experiment.backbone))
    record = run_arm(experiment, strategy, 0)
    arguments = [str(checkpoint)] if experiment.recipe(strategy).needs_source else []
    found, models = run_here(script(experiment, strategy), arguments, monkeypatch)
    assert found == pytest.approx(record.test_accuracy, abs=TOLERANCE)
    engine = kept_weights.find(record)
    assert engine is not None
    for model in models:  # none of a logistic regression
        for layer in model.layers:
            for ours, theirs in zip(merged(layer), engine.weights.get(layer.name, ()), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=WEIGHT_TOLERANCE, err_msg=layer.name)


def functions_of(text: str) -> dict[str, Any]:
    """What a script defines."""
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(text, "script.py", "exec"), names)
    return names


def run_here(text: str, arguments: Sequence[str], patch: pytest.MonkeyPatch) -> tuple[float, list[keras.Model]]:
    """Run a script in this process: the accuracy that it prints, and the models that it measured it with."""
    names, models, said = functions_of(text), list[keras.Model](), io.StringIO()
    if "accuracy" in names:
        measured = names["accuracy"]
        names["accuracy"] = lambda model, *test: models.append(model) or measured(model, *test)
    patch.setattr(sys, "argv", ["script.py", *arguments])
    with redirect_stdout(said):
        names["main"]()
    (found,) = re.findall(r"^test accuracy (\d\.\d+)$", said.getvalue(), re.M)
    return float(found), models


def merged(layer: Any) -> list[np.ndarray]:
    """A stage's arrays, low-rank updates added to their kernels."""
    found: list[np.ndarray] = []
    for inner in getattr(layer, "layers", [layer]):
        for variable in inner.weights:
            if not variable.name.startswith("lora"):
                updated = variable.name == "kernel" and getattr(inner, "lora_enabled", False)
                value = inner.kernel if updated else variable
                found.append(np.array(keras.ops.convert_to_numpy(keras.ops.copy(value))))
    return found


def kept(weights: Weights, path: Path) -> Path:
    """Write a checkpoint as the engine keeps it."""
    arrays = {f"{name}.{at}": array for name, stage in weights.items() for at, array in enumerate(stage)}
    np.savez(path, **arrays)
    return path


def test_a_script_chooses_the_rate_as_the_engine_does(tmp_path: Path) -> None:
    """With blocks and normalisation of its own, and another seed than the source's."""
    values = {"backbone": "mini_resnet_bn", "learning_rate": None, "learning_rates": (1e-3, 3e-3), "steps": 6}
    experiment = BASE.model_copy(update=values)
    record = run_arm(experiment, "scratch", 1)
    assert accuracy_of(script(experiment, "scratch", 1), tmp_path) == pytest.approx(record.test_accuracy, abs=TOLERANCE)


def test_data_that_only_the_engine_has_come_from_a_file(tmp_path: Path) -> None:
    experiment = BASE.model_copy(update={"source": "uci_digits", "target": "drawn_digits", "augmentation": "shift"})
    text = script(experiment, "scratch")
    assert 'load("drawn_digits")' in text
    data = load("drawn_digits")
    file = tmp_path / "drawn.npz"
    np.savez(file, x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    found = accuracy_of(text, tmp_path, "--target-data", str(file))
    assert found == pytest.approx(run_arm(experiment, "scratch", 0).test_accuracy, abs=TOLERANCE)


def test_own_pictures_come_from_a_file_for_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by the code that the script itself holds."""
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path / "home"))
    load.cache_clear()
    experiment = BASE.model_copy(update={"target": pictures(12).name, "steps": 6})
    text = script(experiment, "fine_tune_all", 3)
    names = functions_of(text)
    assert names["load_target"].__doc__ is not None
    code = names["load_target"].__doc__.partition("where the pictures are:")[2]
    monkeypatch.chdir(tmp_path)
    exec(dedent(code), {"numpy": np})
    file = str(tmp_path / f"{experiment.target}.npz")
    record = run_arm(experiment, "fine_tune_all", 3)
    found, _ = run_here(text, [str(CHECKPOINT), "--target-data", file], monkeypatch)
    x_train, y_train, _, y_test = names["load_target"](file)
    data = load(experiment.target)
    split = split_labels(data, 5, experiment.validation_per_class, 3, draw_test(data, 3))
    np.testing.assert_array_equal(x_train[names["draw_labels"](y_train)], data.x_train[split.labelled])
    assert found == pytest.approx(record.test_accuracy, abs=max(TOLERANCE, 1.01 / len(y_test)))
    load.cache_clear()


# --- what a script builds and freezes, without training it ------------------------------------------------------------


@pytest.mark.parametrize("backbone", PUBLISHED)
def test_a_published_network_is_built_as_the_engine_does(backbone: str) -> None:
    """Its scaling, where it is cut, its first weights in their order."""
    network = BACKBONES[backbone]
    side = network.min_size
    experiment = Experiment.of(
        **BASE.model_dump() | {"source": "imagenet", "backbone": backbone, "image_size": side, "target": "uci_digits"}
    )
    names = functions_of(script(experiment, "scratch"))
    ours = names["build"](10)
    names["draw_first_weights"](ours, 5)
    theirs = build_model(network, (side, side, 3), 10, "float32")
    first = initial_weights(network, (side, side, 3), 10, 5)
    set_weights(theirs, first)
    for name, arrays in first.items():
        for one, other in zip(ours.get_layer(name).get_weights(), arrays, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)
    pictures = np.random.default_rng(0).random((2, side, side, 3), dtype=np.float32)
    for training in (False, True):
        one, other = (keras.ops.convert_to_numpy(model(pictures, training=training)) for model in (ours, theirs))
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


FROZEN = [
    (strategy, normalization)
    for strategy in STRATEGIES
    for normalization in ("train", "freeze")
    if fits(strategy, BACKBONES["mini_resnet_bn"], None)
    and STRATEGIES[strategy].recipe(BACKBONES["mini_resnet_bn"]).phases
    and not STRATEGIES[strategy].recipe(BACKBONES["mini_resnet_bn"]).small
]


@pytest.mark.parametrize(("strategy", "normalization"), FROZEN)
def test_a_script_freezes_what_the_engine_freezes(strategy: str, normalization: str) -> None:
    experiment = Experiment.of(**BASE.model_dump() | {"backbone": "mini_resnet_bn", "normalization": normalization})
    recipe, names = experiment.recipe(strategy), functions_of(script(experiment, strategy))
    assert len(names["PHASES"]) == len(recipe.phases)
    for phase, settings in zip(recipe.phases, names["PHASES"], strict=True):
        rates = dict(phase.stage_rates)
        assert settings.get("stage_rates", names.get("STAGE_RATES", {})) == pytest.approx(rates, rel=1e-5)
        ours, theirs = batch_normalized()
        if recipe.low_rank:
            setup = Setup(low_rank=recipe.low_rank)
            theirs = Program(BACKBONES["mini_resnet_bn"], (28, 28, 1), 10, precision="float32", setup=setup).model
            ours = names["build"](10)
            names["add_low_rank"](ours)
        else:
            freeze(theirs, phase.policy.frozen, phase.policy.normalization)
            names["freeze"](ours, settings["frozen"])
        assert trainable(ours) == trainable(theirs)


@lru_cache
def batch_normalized() -> tuple[keras.Model, keras.Model]:
    """A network as scripts build it and as the engine does; which of its weights are trained is said later."""
    experiment = BASE.model_copy(update={"backbone": "mini_resnet_bn"})
    ours = functions_of(script(experiment, "scratch"))["build"](10)
    return ours, build_model(BACKBONES["mini_resnet_bn"], (28, 28, 1), 10, "float32")


def trainable(model: keras.Model) -> list[tuple[bool, bool]]:
    """Of each array whether it is trained, and whether the layer that holds it may move its statistics."""
    learned = {id(variable) for variable in model.trainable_variables}
    layers = [inner for layer in model.layers for inner in getattr(layer, "layers", [layer])]
    return [
        (id(variable) in learned, inner.trainable and isinstance(inner, keras.layers.BatchNormalization))
        for inner in layers
        for variable in inner.weights
    ]


# --- every script -----------------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": {},
    "chosen": {"learning_rate": None, "cut": 1, "unfreeze_at": 0.3, "seconds": 5.0, "precision": "auto"},
    "colours": {"source": "cifar10_cars", "target": "mnist_low", "augmentation": "shift_flip", "source_images": 500},
    "grey": {"source": "fashion_mnist", "target": "cifar10", "normalization": "freeze"},
    "measured": {"augmentation": "shift", "normalization": "recalibrate"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_script_is_clean(variant: str, tmp_path: Path) -> None:
    for name, backbone in BACKBONES.items():
        experiment = Experiment.of(**variant_for(backbone, VARIANTS[variant]))
        for strategy in STRATEGIES:
            if not fits(strategy, backbone, experiment.cut):
                continue
            text = script(experiment, strategy, 3)
            assert "$" not in text
            assert imported(text) <= {"argparse", "zlib", "keras", "numpy", "PIL", "sklearn"}
            (tmp_path / f"{name}-{strategy}.py").write_text(text, encoding="utf-8")
    for words in (["check", "-q", *RUFF, *RULES], ["format", "--check", "-q", *RUFF]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def variant_for(backbone: Backbone, values: dict[str, Any]) -> dict[str, Any]:
    """An experiment's values, with the only source that a backbone has."""
    values = BASE.model_dump() | {"backbone": backbone.name} | values
    if backbone.external_source:
        values |= {"source": backbone.external_source, "source_images": None}
    return values


def imported(text: str) -> set[str]:
    """Packages that a script imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if fits(name, BACKBONES[BASE.backbone], None)])
def test_a_script_says_how_the_engine_repeats_it(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = BASE.model_copy(update={"learning_rate": None, "batch_size": 16, "strategies": (strategy,)})
    top = ast.get_docstring(ast.parse(script(experiment, strategy, 7)))
    assert top is not None
    command = top[top.index("python -m tlcore compare") : top.index("or in the app")]
    asked: list[Experiment] = []

    class Ended(Exception):  # noqa: N818
        pass

    def stop(_: object, asked_for: Experiment) -> None:
        asked.append(asked_for)
        raise Ended

    monkeypatch.setattr("tlcore.cli.Runner.__call__", stop)
    with pytest.raises(Ended):
        main(shlex.split(command.replace("\\\n", " "))[3:])
    assert asked == [experiment.model_copy(update={"seeds": 1, "first_seed": 7})]
    link = next(word for word in top.split() if word.startswith("/compare?"))
    assert Experiment.from_query(dict(parse_qsl(urlparse(link).query))) == (experiment, ())


def test_a_script_teaches_where_learners_go_wrong() -> None:
    text = script(BASE, "lp_ft")
    assert "Compile after every change of what is frozen" in text
    assert "Normalisation is frozen by name" not in text
    assert "Normalisation is frozen by name" in script(BASE.model_copy(update={"backbone": "mini_resnet_bn"}), "lp_ft")
    assert "keras==" in text


# --- what there is no script for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "strategy", "says"),
    [
        ({}, "fine_tune_al", "did you mean fine_tune_all"),
        ({"source": "imagenet", "backbone": "resnet50"}, "direct_reuse", "output layer"),
        ({}, "frozen_drift", "batch normalisation"),
        ({"backbone": "mlp"}, "freeze_conv", "convolutions"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(values: dict[str, str], strategy: str, says: str) -> None:
    experiment = Experiment.of(**BASE.model_dump() | values)
    with pytest.raises(UserError, match=says) as caught:
        script(experiment, strategy)
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_script_knows_of_the_engine_is_so() -> None:
    assert exported.C_GRID == C_GRID
    assert exported.OWN_SEED == OWN_SEED
    assert set(exported.FROM_KERAS) <= set(DATASETS)
