"""The notebooks that are handed out: they run by themselves, and come out where the engine does."""

from __future__ import annotations

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.export.test_script import BASE
from tests.views import samples
from tlcore.arm import run_arm
from tlcore.errors import UserError
from tlcore.experiment import fits
from tlcore.export.notebook import notebook
from tlcore.export.script import parts_of, script
from tlcore.models import BACKBONES
from tlcore.pretrain import SHIPPED
from tlcore.strategies import STRATEGIES


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
@pytest.mark.parametrize("strategy", ["self_copy_frozen", "fastai_fine_tune"])
def test_a_notebook_comes_out_where_the_engine_does(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = run_arm(BASE, strategy, 0)
    made = nbformat.reads(notebook(BASE, strategy, 0, record), as_version=4)
    setting = next(cell for cell in made.cells if cell.cell_type == "code")
    checkpoint = SHIPPED / "mnist-cnn_small.npz"
    assert ('CHECKPOINT = ""' in setting.source) is BASE.recipe(strategy).needs_source
    setting.source = setting.source.replace('CHECKPOINT = ""', f"CHECKPOINT = {str(checkpoint)!r}")
    for name in ("PYTHONPATH", "TLCORE_HOME", "TLCORE_DATA_DIR"):  # nothing of the project is in reach
        monkeypatch.delenv(name, raising=False)
    nbclient.NotebookClient(made, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(
        output.text for cell in made.cells if cell.cell_type == "code" for output in cell.outputs if "text" in output
    )
    (found,) = re.findall(r"^test accuracy (\d\.\d+)$", printed, re.M)
    assert float(found) == pytest.approx(record.test_accuracy, abs=0.02)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if fits(name, BACKBONES[BASE.backbone], None)])
def test_a_notebook_is_the_script_in_cells(strategy: str) -> None:
    experiment = BASE.model_copy(update={"learning_rate": None, "target": "drawn_digits"})
    made = nbformat.reads(notebook(experiment, strategy, 3), as_version=4)
    nbformat.validate(made)
    code = "\n\n".join(cell.source for cell in made.cells if cell.cell_type == "code")
    compile(code, strategy, "exec")
    assert "argparse" not in code
    assert "given." not in code
    assert "$" not in code
    assert 'TARGET_DATA = ""' in code
    words = [cell.source for cell in made.cells if cell.cell_type == "markdown"]
    assert [text.splitlines()[0] for text in words][-2:] == ["## Run it", "## Beside other strategies"]
    # What is said in the script's functions is the same text.
    functions = set(re.findall(r"^def (\w+)", script(experiment, strategy, 3), re.M)) - {"main"}
    assert set(re.findall(r"^def (\w+)", code, re.M)) == functions
    assert notebook(experiment, strategy, 3) == notebook(experiment, strategy, 3)


def test_versions_are_those_of_the_record() -> None:
    record = samples.record(BASE, "lp_ft", 0)
    packages = {"keras": "3.15.0", "tensorflow": "2.21.1", "numpy": "2.3.0"}
    where = record.environment.model_copy(update={"packages": packages, "python": "3.12.4"})
    record = record.model_copy(update={"environment": where})
    made = nbformat.reads(notebook(BASE, "lp_ft", 0, record), as_version=4)
    assert {"keras==3.15.0", "tensorflow==2.21.1", "numpy==2.3.0"} <= set(made.metadata["tlcore"]["requirements"])
    assert made.metadata["language_info"]["version"] == "3.12.4"
    assert any("%pip install -q keras==3.15.0 tensorflow==2.21.1 numpy==2.3.0" in cell.source for cell in made.cells)
    text = script(BASE, "lp_ft", 0, record)
    assert "# pip install keras==3.15.0 tensorflow==2.21.1 numpy==2.3.0" in text
    assert "on Python 3.12.4" in text
    assert f"test accuracy {record.test_accuracy:.4f}" in text


def test_what_has_no_script_has_no_notebook() -> None:
    with pytest.raises(UserError, match="did you mean lora"):
        notebook(BASE, "lorra")
    with pytest.raises(UserError, match="batch normalisation"):
        parts_of(BASE, "frozen_drift")
