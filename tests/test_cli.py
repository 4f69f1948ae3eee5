"""The command line: one line and exit code 2 for what a person can mend, and JSON that says what was run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from tests.views import samples
from tlcore.advise import Recommendation
from tlcore.cli import commands, main
from tlcore.console import Runner
from tlcore.data import DATASETS
from tlcore.errors import UserError
from tlcore.estimate import Estimate, SourceScores
from tlcore.experiment import Experiment
from tlcore.models import BACKBONES
from tlcore.presets import PRESETS
from tlcore.results import Comparison
from tlcore.scenario import Scenario
from tlcore.strategies import STRATEGIES
from tlcore.sweep import ALIASES, FACTORS, Sweep


def says(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr that a wrong call ends in."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("tlcore: ")
    assert captured.out == ""
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "mnits"], "did you mean mnist"),
        (["--target", "fashion_mnits"], "did you mean fashion_mnist"),
        (["--target", "qqqq"], "choose one of"),
        (["--backbone", "cnn_smal"], "did you mean cnn_small"),
        (["--strategies", "scratch,fine_tune_al"], "did you mean fine_tune_all"),
        (["--strategies", ""], "at least one strategy"),
        (["--strategies", "scratch,scratch"], "twice"),
        (["--labels-per-class", "0"], "at least 2"),
        (["--labels-per-class", "-3"], "at least 2"),
        (["--labels-per-class", "many"], "whole number"),
        (["--labels-per-class", "99999"], "at most 5000"),
        (["--target", "uci_digits", "--labels-per-class", "94"], "at most 93 labels a class"),
        (["--seeds", "0"], "at least 1"),
        (["--seeds", "-1"], "at least 1"),
        (["--first-seed", "-1"], "at least 0"),
        (["--steps", "0"], "at least 1"),
        (["--seconds", "-1"], "more than 0"),
        (["--batch-size", "0"], "at least 1"),
        (["--learning-rate", "2"], "at most 1"),
        (["--learning-rate", "nan"], "learning rate"),
        (["--learning-rates", "0.1,0.01"], "ascending"),
        (["--learning-rates", "0.1,x"], "number"),
        (["--augmentation", "twist"], "shift_flip"),
        (["--precision", "float8"], "float32"),
        (["--cut", "9"], "0 to 3"),
        (["--source", "fashion_mnist", "--target", "fashion_mnist"], "two different datasets"),
        (["--backbone", "mlp", "--strategies", "freeze_conv"], "another backbone"),
        (["--processes", "0"], "--processes"),
        (["--sauce", "mnist"], "--source"),
        (["--steps"], "requires an argument"),
        (["surplus"], "surplus"),
        (["--source", "two\nlines"], "unknown dataset"),
        (["--json", "/no/such/folder/out.json"], "/no/such/folder"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_wrong_comparison_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert expected in says(capsys, "compare", *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["compere"], "compare"),
        (["--nonsense"], "--nonsense"),
        (["record", "mnist_to_fashon"], "did you mean mnist_to_fashion"),
        (["record", "--folder", "/no/such/folder", "mnist_to_fashion"], "/no/such/folder"),
        (["pretrain", "--source", "mnits", "--backbone", "mlp"], "did you mean mnist"),
        (["pretrain", "--source", "mnits"], "mnist"),
        (["pretrain", "--backbone", "cnn_smal"], "cnn_small"),
        (["datasets", "mnist"], "mnist"),
        (["doctor", "--xml"], "--xml"),
        (["worker", "--slots", "0"], "--slots"),
        (["sweep"], "--vary"),
        (["sweep", "--vary", "labels=5,10"], "did you mean labels_per_class"),
        (["sweep", "--vary", "labels_per_class=5"], "two values or more"),
        (["sweep", "--vary", "labels_per_class=5,1"], "labels_per_class=1"),
        (["sweep", "--vary", "cut=1,2", "--cut", "1"], "leave --cut out"),
        (["sweep", "--vary", "cut=1,2", "--json", "/no/such/folder/out.json"], "/no/such/folder"),
        (["sweep", "--vary", "cut=1,2", "--sauce", "mnist"], "--source"),
        (["scenario", "--near", "mnist", "--far", "mnist"], "name two"),
        (["scenario", "--few", "20", "--many", "20"], "less than"),
        (["scenario", "--many", "9999"], "at most"),
        (["scenario", "--json", "/no/such/folder/out.json"], "/no/such/folder"),
        (["estimate", "--source", "mnits"], "did you mean mnist"),
        (["estimate", "--source", "mnist,mnist"], "twice"),
        (["estimate", "--source", ""], "at least one source"),
        (["estimate", "--source", "mnist,uci_digits", "--measure"], "3 or more"),
        (["estimate", "--source", "mnist,uci_digits,drawn_digits", "--against", "/no/such.json"], "/no/such.json"),
        (["advise", "--source", "mnits"], "did you mean mnist"),
        (["advise", "--atlas", "/no/such.json"], "/no/such.json"),
        (["advise", "--report", "--json", "/no/such/folder/out.json"], "/no/such/folder"),
        (["atlas", "--file", "/no/such/folder/atlas.json"], "/no/such/folder"),
        (["summary"], "FILE"),
        (["summary", "/no/such.json"], "/no/such.json"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_wrong_command_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert expected in says(capsys, *arguments)


def test_a_folder_and_a_file_that_cannot_be_written_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "is a folder" in says(capsys, "compare", "--json", str(tmp_path))
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert str(blocked) in says(capsys, "compare", "--json", str(blocked / "out.json"))


def test_a_home_that_cannot_be_made_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("TLCORE_HOME", str(blocked / "home"))
    line = says(capsys, "compare", "--source", "mnist", "--target", "uci_digits", "--processes", "1", "--quiet")
    assert "TLCORE_HOME" in line


def test_data_that_cannot_be_had_is_said_to_be_before_anything_runs(tmp_path: Path, root: Path) -> None:
    """In a process of its own: no data, no cache, and every address out of reach."""
    environment = {name: value for name, value in os.environ.items() if name != "TLCORE_DATA_DIR"}
    environment |= {
        "TLCORE_HOME": str(tmp_path / "home"),
        "KERAS_HOME": str(tmp_path / "keras"),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tlcore", "compare", "--precision", "float32", "--processes", "1", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=root,
        env=environment,
    )
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "fashion_mnist.npz" in lines[0]
    assert "TLCORE_DATA_DIR" in lines[0]
    assert "Traceback" not in done.stdout


# --- help and lists ---------------------------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a right call prints."""
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.parametrize("command", commands.commands)
def test_help_mentions_every_option_and_what_it_does(capsys: pytest.CaptureFixture[str], command: str) -> None:
    text = " ".join(shown(capsys, command, "--help").split())
    for parameter in commands.commands[command].params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in text
            assert parameter.help, parameter.name
            assert parameter.help.split()[0] in text
    assert shown(capsys, command, "-h")


def test_help_of_the_program_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--help")
    assert all(command in text for command in commands.commands)
    assert {"compare", "record", "pretrain", "datasets", "strategies", "backbones", "doctor", "costs", "worker"} <= set(
        commands.commands
    )
    assert {"sweep", "scenario", "estimate", "advise", "atlas", "summary"} <= set(commands.commands)


@pytest.mark.parametrize(
    ("command", "without"),
    [
        ("compare", set()),
        ("sweep", set()),
        ("scenario", {"source", "labels_per_class"}),
        ("estimate", {"strategies"}),
        ("advise", {"strategies"}),
    ],
)
def test_every_field_of_an_experiment_is_an_option(command: str, without: set[str]) -> None:
    options = {parameter.name for parameter in commands.commands[command].params}
    assert set(Experiment.model_fields) - without <= options
    assert not without & options - {"source"}


def test_every_factor_is_in_the_help_of_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "sweep", "--help")
    assert all(name in text for name in (*FACTORS, *ALIASES))


def test_sets_that_are_sources_only_are_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlcore.cli.out", Console(width=220))
    rows = [line for line in shown(capsys, "datasets").splitlines() if "source only" in line]
    assert len(rows) == sum(spec.source_only for spec in DATASETS.values()) > 0


@pytest.mark.parametrize(
    ("command", "names"), [("datasets", DATASETS), ("strategies", STRATEGIES), ("backbones", BACKBONES)]
)
def test_a_list_has_every_name(capsys: pytest.CaptureFixture[str], command: str, names: dict[str, Any]) -> None:
    text = shown(capsys, command)
    for name in names:
        assert name in text, f"{name} is cut where the terminal is narrow, or the list goes into a pipe"


def test_the_doctor_says_what_is_here(root: Path) -> None:
    """In a process of its own: it sets the number of threads, which only a fresh one lets it.

    Whoever is first in the tests' home measures the number formats, and that takes long: the doctor or another test.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tlcore", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {"environment", "images_per_second", "home", "datasets", "source_models"}
    assert set(report["images_per_second"]) == {"float32", "mixed_bfloat16"}
    assert all(speed > 0 for speed in report["images_per_second"].values())
    assert report["home"] == os.environ["TLCORE_HOME"]
    assert set(report["datasets"]) == set(DATASETS)
    assert report["datasets"]["uci_digits"]
    assert "mnist/cnn_small" in report["source_models"]
    assert report["environment"]["backend"] in ("tensorflow", "jax", "torch")


def test_presets_are_experiments() -> None:
    assert {"mnist_to_fashion", "cars_to_trucks"} <= set(PRESETS)
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.title
        assert preset.question.endswith("?")
        assert preset.experiment.seeds >= 3
        assert preset.record_path.name == f"{name}.json"


# --- what experiments of several comparisons print --------------------------------------------------------------------


class Fake:
    """Stands in for the runner: records without training."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def check(self, _: object) -> None:
        pass

    def __call__(self, experiment: Experiment) -> Comparison:
        return Comparison(experiment, tuple(samples.records(experiment)))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run nothing, on a wide terminal."""

    def scores(experiment: Experiment) -> SourceScores:
        distance = 0.1 if experiment.source == "cifar10_cars" else 1.9
        values = {"proxy_a_distance": distance, "leep": -0.5, "cka_labels": 0.5, "log_me": distance}
        return SourceScores(
            source=experiment.source,
            scores={name: (value,) * 3 for name, value in values.items()},
            seconds={"features": 1},
        )

    monkeypatch.setattr("tlcore.cli.Runner", Fake)
    monkeypatch.setattr("tlcore.estimate.scores_of", scores)
    monkeypatch.setattr("tlcore.scenario.scenario.__defaults__", (Fake(), scores))
    monkeypatch.setattr("tlcore.console.out", Console(width=220))
    monkeypatch.setattr("tlcore.cli.out", Console(width=220))


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints, tables and all."""
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.usefixtures("fake")
def test_a_sweep_prints_and_writes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    text = measured(capsys, "sweep", "--vary", "labels_per_class=5,10", "--json", str(path))
    assert "labels_per_class" in text
    assert "Fine-tune everything, by labels_per_class" in text
    assert "Labels scratch would need" in text
    assert Sweep.read(path).values == (5, 10)
    assert measured(capsys, "sweep", "--vary", "labels_per_class=5,10", "--quiet") == ""


@pytest.mark.usefixtures("fake")
def test_a_scenario_prints_and_writes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = measured(capsys, "scenario", "--json", str(tmp_path / "map.json"))
    assert "cifar10_cars is nearer than mnist (proxy A-distance 0.10 and 1.90 of 2)" in text
    assert "similar, few" in text
    assert len(Scenario.read(tmp_path / "map.json").cells) == 4


@pytest.mark.usefixtures("fake")
def test_an_estimate_is_printed_and_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "estimate.json"
    sources = ("estimate", "--source", "mnist,cifar10_cars,noise_grey", "--target", "uci_digits")
    text = measured(capsys, *sources, "--json", str(path))
    assert "LogME" in text
    assert "agreement" not in text
    assert len(Estimate.read(path).sources) == 3
    # The made-up records gain alike from every source, so there is an estimate and no order to agree with.
    assert "LogME" in measured(capsys, *sources, "--measure")


@pytest.mark.usefixtures("fake")
def test_advice_says_what_it_rests_on_and_how_good_it_was(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "advice.json"
    text = measured(capsys, "advise", "--source", "mnist", "--target", "uci_digits", "--json", str(path))
    advice = Recommendation.read(path)
    assert advice.strategy in text
    assert text.count("2026-") == len(advice.neighbours)
    assert "would have lost" in text
    report = measured(capsys, "advise", "--report", "--json", str(path))
    assert "always scratch" in report
    assert {"name", "best", "as_good", "cells", "regret", "worst"} <= set(json.loads(path.read_text())[0])


@pytest.mark.real_data
def test_pairs_that_share_images_are_refused_before_anything_is_run() -> None:
    with pytest.raises(UserError, match="share"):
        Runner().check([Experiment(), Experiment(source="mnist_shuffled", target="mnist")])


@pytest.mark.usefixtures("fake")
def test_several_files_are_summed_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files: list[str] = []
    for target in ("fashion_mnist", "uci_digits", "drawn_garments"):
        files.append(str(tmp_path / f"{target}.json"))
        measured(capsys, "compare", "--target", target, "--json", files[-1])
    text = measured(capsys, "summary", *files)
    assert "3 tasks, 36 runs" in text
    assert "P(better than scratch)" in text


# --- a real comparison ------------------------------------------------------------------------------------------------

RECORD = {
    "strategy",
    "seed",
    "test_accuracy",
    "validation_accuracy",
    "train_accuracy",
    "steps",
    "seconds",
    "learning_rate",
    "trainable_parameters",
    "total_parameters",
    "curve",
    "datasets",
    "environment",
}
POINT = {"step", "seconds", "train_loss", "train_accuracy", "validation_accuracy"}
PAIRED = {"strategy", "baseline", "mean_difference", "ci_low", "ci_high", "n", "verdict"}


def test_a_comparison_writes_what_was_run_and_what_came_out(tmp_path: Path, root: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tlcore", "compare"),
            *("--source", "drawn_digits", "--target", "uci_digits", "--strategies", "scratch,pixel_baseline"),
            *("--labels-per-class", "5", "--steps", "20", "--seeds", "1", "--precision", "float32"),
            *("--processes", "1", "--json", str(tmp_path / "out.json")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=root,
        env=os.environ | {"COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stderr
    assert "From scratch" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]

    values = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert set(values) >= {"experiment", "records", "comparisons"}
    experiment = Experiment.model_validate(values["experiment"])
    assert (experiment.source, experiment.target, experiment.steps, experiment.seeds) == (
        "drawn_digits",
        "uci_digits",
        20,
        1,
    )
    assert [record["strategy"] for record in values["records"]] == ["scratch", "pixel_baseline"]
    for record in values["records"]:
        assert set(record) >= RECORD
        assert all(set(point) >= POINT for point in record["curve"])
        assert set(record["datasets"]) == {"source", "target"}
        assert all(set(use) >= {"name", "provenance", "sha256"} for use in record["datasets"].values())
        assert record["environment"]
        assert set(record["environment"]) >= {"packages", "device", "precision", "machine"}
        assert 0 <= record["test_accuracy"] <= 1
    assert values["records"][0]["steps"] == 20
    assert values["records"][0]["curve"][-1]["step"] == 20
    (paired,) = values["comparisons"]
    assert set(paired) >= PAIRED
    assert (paired["strategy"], paired["baseline"], paired["n"]) == ("pixel_baseline", "scratch", 1)
    assert paired["verdict"] == "one seed: no verdict"
    assert paired["ci_low"] is None
