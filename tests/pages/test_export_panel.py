"""The panel of what can be taken along: files that are written when asked for, models that are made first."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import filling
from tests.pages.page_text import everything
from tests.views import samples
from tlcore import kept_weights
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.export import made
from tlcore.export.files import KINDS, File, name_of

ASKED = Experiment(strategies=("scratch", "fine_tune_all", "lora"), seeds=2)


def records():
    return samples.records(ASKED)


@pytest.fixture
def panel() -> AppTest:
    def page() -> None:
        from pages.shared.export_panel import show_export
        from tests.pages.test_export_panel import ASKED, records

        show_export(records(), ASKED, "k")

    at = AppTest.from_function(page, default_timeout=30)
    at.session_state["k-arms"] = True
    at.run()
    assert not at.exception, at.exception
    return at


def downloads(at: AppTest) -> list[str]:
    return [button.proto.label for button in at.get("download_button")]


def test_a_comparison_and_an_arm_can_be_downloaded(panel: AppTest) -> None:
    assert downloads(panel) == [
        "Records (CSV)",
        "Records (JSON)",
        "Report",
        "TensorBoard",
        "Keras script (.py)",
        "Notebook (.ipynb)",
    ]
    assert "ended at" in everything(panel)


def test_what_is_folded_away_is_not_made(monkeypatch: pytest.MonkeyPatch, app) -> None:
    run = filling.run(ASKED, "m" * 32)
    at = app("compare", run=run)
    assert downloads(at) == ["Records (CSV)", "Records (JSON)", "Report", "TensorBoard"]
    assert not [button for button in at.button if "-make-" in (button.key or "")]


def test_an_arm_without_a_script_says_so_and_still_has_a_model(panel: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("there is no stand-alone script for own_net, a model of this host's own")

    monkeypatch.setattr("pages.shared.export_panel.file_of_arm", refuse)
    panel.button_group(key="k-export-arm").set_value("lora").run()
    assert not panel.exception
    assert "no stand-alone script for own_net" in panel.info[0].value
    assert panel.button(key="k-lora-make-onnx").label == "Train again and make ONNX (.onnx)"
    assert "not kept on this machine any more" in everything(panel)


def test_a_model_is_made_and_then_offered(panel: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    # The process that makes it is run in tests/export; here it is what the page does before and after.
    asked: list[tuple[str, str, bool]] = []
    ready: dict[str, File] = {}

    def make(record, kind, *, again=False):
        asked.append((record.strategy, kind.name, again))
        ready[kind.name] = File(name_of(record, kind), b"a model")

    monkeypatch.setattr(kept_weights, "has", lambda record: record.strategy == "fine_tune_all")
    monkeypatch.setattr("pages.shared.export_panel.make", make)
    monkeypatch.setattr("pages.shared.export_panel.find_made", lambda record, kind: ready.get(kind.name))
    panel.run()
    assert panel.button(key="k-fine_tune_all-make-onnx").label == "Make ONNX (.onnx)"
    assert "not kept" not in everything(panel)
    panel.button(key="k-fine_tune_all-make-onnx").click().run()
    assert not panel.exception
    assert asked == [("fine_tune_all", "onnx", False)]
    assert "ONNX (.onnx)" in downloads(panel)
    assert "Keras model (.keras)" not in downloads(panel)


def test_what_went_wrong_is_said_in_plain_words(panel: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UserError("mnist cannot be read: connect once")

    monkeypatch.setattr("pages.shared.export_panel.make", fail)
    panel.button(key="k-fine_tune_all-make-keras").click().run()
    assert not panel.exception
    assert "connect once" in panel.error[0].value


def test_a_model_that_was_made_is_found_again(panel: AppTest) -> None:
    record = next(one for one in records() if (one.strategy, one.seed) == ("fine_tune_all", 0))
    made._keep(made._path(record, KINDS["tflite"]), b"a model")
    panel.run()
    assert "LiteRT (.tflite)" in downloads(panel)


def test_made_files_make_room_for_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "ROOM", 10)
    kind = KINDS["onnx"]
    first, second = records()[:2]
    made._keep(made._path(first, kind), b"x" * 8)
    made._keep(made._path(second, kind), b"y" * 8)
    assert made.find_made(first, kind) is None
    assert made.find_made(second, kind) == File(name_of(second, kind), b"y" * 8)
