"""`tlcore export`: every kind of file from a result's JSON, and one line that says why where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.views import samples
from tlcore.cli import main
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.export.files import KINDS, get_kind, record_of
from tlcore.results import Comparison

ASKED = Experiment(target="uci_digits", strategies=("scratch", "lora", "pixel_baseline"), seeds=2)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "out.json"
    path.write_text(Comparison(ASKED, tuple(samples.records(ASKED))).to_json(), encoding="utf-8")
    return path


def test_everything_but_the_models_is_written(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = result.parent / "taken" / "along"
    assert main(["export", str(result), "--to", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "mnist-to-uci_digits-tensorboard.zip",
        "mnist-to-uci_digits.csv",
        "mnist-to-uci_digits.html",
        "mnist-to-uci_digits.json",
        *(
            f"{strategy}-mnist-to-uci_digits-seed-0{ending}"
            for strategy in ("lora", "pixel_baseline", "scratch")
            for ending in (".ipynb", ".py")
        ),
    }
    said = capsys.readouterr()
    assert "left out" not in said.err
    assert said.out.count("written to") == 10
    assert Comparison.read(folder / "mnist-to-uci_digits.json").experiment == ASKED
    compile((folder / "scratch-mnist-to-uci_digits-seed-0.py").read_text(encoding="utf-8"), "scratch", "exec")
    json.loads((folder / "scratch-mnist-to-uci_digits-seed-0.ipynb").read_text(encoding="utf-8"))


def test_a_seed_and_a_strategy_can_be_named(result: Path) -> None:
    folder = result.parent / "taken"
    words = ["export", str(result), "--to", str(folder), "--formats", "script"]
    assert main([*words, "--strategies", "scratch", "--seed", "1"]) == 0
    assert [path.name for path in folder.iterdir()] == ["scratch-mnist-to-uci_digits-seed-1.py"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--formats", "onx"], "did you mean onnx"),
        (["--strategies", "lp_ft"], "lp_ft was not run here: choose one of scratch, lora, pixel_baseline"),
        (["--seed", "9"], "not run with seed 9: choose one of 0, 1"),
        (["--formats", "keras", "--strategies", "scratch"], "add --again"),
        (["--formats", "keras,onnx", "--strategies", "lora"], "nothing could be written"),
    ],
)
def test_what_cannot_be_written_is_said(
    result: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(result), "--to", str(result.parent / "taken"), *options]) == 2
    assert says in capsys.readouterr().err


def test_what_is_no_comparison_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    assert main(["export", str(tmp_path / "other.json"), "--to", str(tmp_path)]) == 2
    assert "not a comparison" in capsys.readouterr().err
    (tmp_path / "empty.json").write_text(Comparison(ASKED, ()).to_json(), encoding="utf-8")
    assert main(["export", str(tmp_path / "empty.json"), "--to", str(tmp_path)]) == 2
    assert "holds no record" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(result), "--to", str(result), "--formats", "csv"]) == 2
    assert "make room or name another folder" in capsys.readouterr().err


def test_kinds_are_complete() -> None:
    assert all(kind.name == name and kind.title and kind.sentence and kind.ending for name, kind in KINDS.items())
    assert len({kind.ending for kind in KINDS.values()}) == len(KINDS)
    with pytest.raises(UserError, match="did you mean notebook"):
        get_kind("notebok")


def test_the_first_seed_is_taken_unless_another_is_named() -> None:
    comparison = Comparison(ASKED, tuple(reversed(samples.records(ASKED))))
    assert record_of(comparison, "lora").seed == 0
    assert record_of(comparison, "lora", 1).seed == 1
