"""The scripts that are handed out: they run by themselves, and come out where the engine does."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlparse

import numpy as np
import pytest

from tlcore.arm import C_GRID, run_arm
from tlcore.cli import main
from tlcore.data import DATASETS, load
from tlcore.errors import UserError
from tlcore.experiment import Experiment, fits
from tlcore.export import script as exported
from tlcore.export.script import WRITTEN, script
from tlcore.models import BACKBONES
from tlcore.pretrain import SHIPPED
from tlcore.strategies import STRATEGIES

TOLERANCE = 0.02  # of the test accuracy; measured: none, but rounding differs between hosts
SMALL = [name for name, network in BACKBONES.items() if network.family == "small"]
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


@pytest.mark.parametrize("strategy", ["lp_ft", "discriminative_lr", "l2_sp", "direct_reuse", "pixel_baseline"])
def test_a_script_comes_out_where_the_engine_does(strategy: str, tmp_path: Path) -> None:
    record = run_arm(BASE, strategy, 0)
    needs = BASE.recipe(strategy).needs_source
    arguments = [str(SHIPPED / "mnist-cnn_small.npz")] if needs else []
    assert accuracy_of(script(BASE, strategy), tmp_path, *arguments) == pytest.approx(
        record.test_accuracy, abs=TOLERANCE
    )


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


# --- every script -----------------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": {},
    "chosen": {"learning_rate": None, "cut": 1, "unfreeze_at": 0.3, "seconds": 5.0, "precision": "auto"},
    "colours": {"source": "cifar10_cars", "target": "mnist_low", "augmentation": "shift_flip", "source_images": 500},
    "grey": {"source": "fashion_mnist", "target": "cifar10", "normalization": "freeze"},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("backbone", SMALL)
def test_every_script_is_clean(variant: str, backbone: str, tmp_path: Path) -> None:
    experiment = Experiment.of(**BASE.model_dump() | {"backbone": backbone} | VARIANTS[variant])
    for strategy in WRITTEN:
        if (backbone, strategy) == ("mini_resnet_bn", "random_features"):
            continue
        if not fits(strategy, BACKBONES[backbone], experiment.cut):
            continue
        text = script(experiment, strategy, 3)
        compile(text, strategy, "exec")
        assert "$" not in text
        assert not {"tlcore", "streamlit"} & imported(text)
        assert imported(text) <= {"argparse", "zlib", "keras", "numpy", "PIL", "sklearn"}
        (tmp_path / f"{strategy}.py").write_text(text, encoding="utf-8")
    for words in (["check", "-q", *RUFF, *RULES], ["format", "--check", "-q", *RUFF]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def imported(text: str) -> set[str]:
    """Packages that a script imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("strategy", WRITTEN)
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


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - set(WRITTEN)))
def test_strategies_without_a_script_name_those_that_have_one(strategy: str) -> None:
    with pytest.raises(UserError, match="no stand-alone script") as caught:
        script(BASE, strategy)
    assert all(name in str(caught.value) for name in WRITTEN)


@pytest.mark.parametrize(
    ("values", "strategy", "says"),
    [
        ({}, "fine_tune_al", "did you mean fine_tune_all"),
        ({"source": "imagenet", "backbone": "resnet50"}, "lp_ft", "own networks"),
        ({"backbone": "mini_resnet_bn", "normalization": "recalibrate"}, "lp_ft", "recalibrate"),
        ({"backbone": "mini_resnet_bn"}, "random_features", "scales the random features"),
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
    assert set(exported.FROM_KERAS) <= set(DATASETS)
    assert set(WRITTEN) <= set(STRATEGIES)
