"""What a finished arm says of a new picture, and which pictures that it learned from lie nearest."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.test_own_splits import pictures
from tlcore import kept_weights
from tlcore.cli import commands
from tlcore.data import load, own
from tlcore.data.labels import draw_test
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.predict import labelled_rows, predict
from tlcore.predicted import NEIGHBOURS, predict_apart
from tlcore.results import Comparison
from tlcore.runner import compare

ARMS = ("scratch", "feature_extraction", "pixel_baseline")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    """A small comparison on own pictures, in a home that this module shares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLCORE_HOME", str(tmp_path_factory.mktemp("home")))
        load.cache_clear()
        experiment = Experiment(
            source="cifar10_cars",
            target=pictures(12).name,
            strategies=ARMS,
            labels_per_class=6,
            seeds=1,
            steps=30,
            learning_rate=0.003,
        )
        yield compare(experiment)
        load.cache_clear()


@pytest.mark.parametrize("arm", ARMS)
def test_a_picture_that_it_learned_from_is_its_own_nearest(done: Comparison, arm: str) -> None:
    (record,) = [record for record in done.records if record.strategy == arm]
    kept = kept_weights.find(record)
    assert kept is not None
    dataset = load(record.experiment.target)
    rows = labelled_rows(record, dataset)
    assert not set(rows) & set(draw_test(dataset, 0))
    known, new = dataset.x_train[rows[4]], dataset.x_train[draw_test(dataset, 0)[0]]
    first, second = predict(record, kept, [known, new])
    assert first.neighbours[0].row == rows[4]
    assert first.neighbours[0].similarity == pytest.approx(1, abs=1e-5)
    for said in (first, second):
        assert len(said.neighbours) == NEIGHBOURS
        assert {one.row for one in said.neighbours} <= set(rows)
        assert all(dataset.y_train[one.row] == one.label for one in said.neighbours)
        assert sum(said.probabilities) == pytest.approx(1, abs=1e-5)
        assert said.classes == dataset.spec.classes


def test_its_answers_are_those_that_were_counted(done: Comparison) -> None:
    (record,) = [record for record in done.records if record.strategy == "feature_extraction"]
    kept = kept_weights.find(record)
    assert kept is not None
    dataset = load(record.experiment.target)
    test = draw_test(dataset, 0)
    said = predict(record, kept, list(dataset.x_train[test]))
    right = [np.argmax(one.probabilities) == label for one, label in zip(said, dataset.y_train[test], strict=True)]
    assert np.mean(right) == pytest.approx(record.test_accuracy)


def test_a_file_is_asked_about_in_a_process_of_its_own(done: Comparison) -> None:
    record = done.records[1]
    file = io.BytesIO()
    Image.new("L", (300, 200), 90).save(file, "PNG")
    said = predict_apart(record, file.getvalue())
    assert said.classes == record.datasets["target"].classes
    with pytest.raises(UserError, match="is not a picture"):
        predict_apart(record, b"something else")


def test_the_command(done: Comparison, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.json").write_text(done.to_json())
    Image.new("RGB", (60, 60), "white").save(tmp_path / "new.jpg")
    commands(["predict", str(tmp_path / "out.json"), str(tmp_path / "new.jpg")], standalone_mode=False)
    assert "nearest pictures that it learned from" in capfd.readouterr().out


def test_what_cannot_be_asked_says_why(done: Comparison, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text(done.to_json())
    (tmp_path / "new.jpg").write_bytes(b"")
    for name, words in (("absent.jpg", "cannot read"), ("new.jpg", "new.jpg is empty")):
        with pytest.raises(UserError, match=words):
            commands(["predict", str(tmp_path / "out.json"), str(tmp_path / name)], standalone_mode=False)
    Image.new("RGB", (60, 60), "white").save(tmp_path / "new.jpg")
    record = done.records[0]
    dataset = load(record.experiment.target)
    other = record.model_copy(update={"labels": record.labels.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(UserError, match="have changed since this run"):
        labelled_rows(other, dataset)
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path / "another"))
    with pytest.raises(UserError, match="run the comparison again"):
        commands(["predict", str(tmp_path / "out.json"), str(tmp_path / "new.jpg")], standalone_mode=False)


def test_pictures_that_are_gone_are_not_asked_for(done: Comparison) -> None:
    """Last: it deletes the set."""
    record = done.records[1]
    found, kept = own.find(record.experiment.target), kept_weights.find(record)
    assert found is not None
    assert kept is not None
    own.delete(found.id, "me")
    load.cache_clear()
    with pytest.raises(UserError, match="deleted or are on another machine"):
        predict(record, kept, [np.zeros((8, 8, 3), dtype=np.uint8)])
