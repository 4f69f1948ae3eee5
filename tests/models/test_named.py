"""Models of the host's own: opened safely, cut, compared like any other network; hostile files are refused in words."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from tlcore.arm import run_arm
from tlcore.cli import main
from tlcore.data.external import HOST_MODEL
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import build_model, freeze, set_weights
from tlcore.models.named import NamedModel, description_file, named_models
from tlcore.models.named_loading import describe, host_weights, open_named

SIDE = 24


def network() -> keras.Model:
    """A small residual network with batch normalisation, its statistics away from where they start."""
    pictures = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(pictures)
    x = keras.layers.MaxPooling2D()(x)
    for width in (8, 8):
        y = keras.layers.Conv2D(width, 3, padding="same")(x)
        y = keras.layers.BatchNormalization()(y)
        x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    model = keras.Model(pictures, keras.layers.Dense(5, activation="softmax")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(array.shape, dtype=np.float32) / 5 for array in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model]:
    folder = tmp_path_factory.mktemp("host")
    model = network()
    save(model, folder / "mine.keras")
    return folder, model


def save(model: keras.Model, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2 about how Keras copies while it writes
        model.save(path)


def entry(path: Path, **given: object) -> NamedModel:
    return NamedModel.model_validate(
        {"name": "mine", "path": path, "title": "My network", "licence": "MIT", "scaling": "tf"} | given
    )


@pytest.fixture
def listed(made: tuple[Path, keras.Model], monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    """The host's list, looked into by its command."""
    folder, model = made
    path = folder / "models.yaml"
    one = {"name": "mine", "path": "mine.keras", "title": "My network", "licence": "MIT", "scaling": "tf"}
    path.write_text(yaml.safe_dump([one]), encoding="utf-8")
    monkeypatch.setenv("TLCORE_MODELS", str(path))
    if not description_file("mine").is_file():
        assert main(["models"]) == 0
    return model


def refused(one: NamedModel) -> str:
    with pytest.raises(UserError) as raised:
        describe(one)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def test_it_is_a_backbone_with_stages_everywhere(listed: keras.Model) -> None:
    backbone = get_backbone("mine")
    assert "mine" in BACKBONES
    assert (backbone.family, backbone.licence, backbone.normalization) == ("application", "MIT", "batch")
    assert len(backbone.stages) > 1
    assert backbone.feature_width == 16
    assert Experiment.of(source=HOST_MODEL, backbone="mine").shape == (32, 32, 3)
    with pytest.raises(UserError, match="weights"):
        Experiment.of(source="imagenet", backbone="mine")
    with pytest.raises(UserError, match="weights"):
        Experiment.of(source=HOST_MODEL, backbone="resnet50")
    corrected, notices = Experiment.from_query({"net": "mine", "src": "mnist"})
    assert corrected.source == HOST_MODEL
    assert len(notices) == 1


def test_the_stages_together_compute_what_the_file_computes(listed: keras.Model) -> None:
    backbone = get_backbone("mine")
    model = build_model(backbone, (SIDE + 8, SIDE + 8, 3), None, "float32")
    set_weights(model, host_weights(backbone))
    x = np.full((2, SIDE + 8, SIDE + 8, 3), 0.7, dtype=np.float32)  # flat, so that resizing changes nothing
    features = keras.Model(listed.inputs[0], keras.layers.GlobalAveragePooling2D()(listed.layers[-4].output))
    expected = keras.ops.convert_to_numpy(features(np.full((2, SIDE, SIDE, 3), 0.4, dtype=np.float32), training=False))
    found = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_frozen_is_frozen_statistics_included(listed: keras.Model) -> None:
    backbone = get_backbone("mine")
    model = build_model(backbone, (32, 32, 3), 3, "float32")
    held = backbone.stage_names[:-1]
    freeze(model, frozenset(held))
    before = {name: [np.array(array) for array in model.get_layer(name).get_weights()] for name in backbone.stage_names}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.random.default_rng(0).random((8, 32, 32, 3), dtype=np.float32), np.arange(8) % 3, verbose=0)
    for name in backbone.stage_names:
        pairs = zip(model.get_layer(name).get_weights(), before[name], strict=True)
        assert all(np.array_equal(now, old) for now, old in pairs) == (name in held)


@pytest.mark.parametrize("strategy", ["feature_extraction", "fine_tune_last", "scratch"])
def test_arms_are_trained_with_it(listed: keras.Model, strategy: str) -> None:
    experiment = Experiment.of(
        source=HOST_MODEL,
        backbone="mine",
        target="uci_digits",
        labels_per_class=3,
        steps=3,
        learning_rate=1e-3,
        strategies=(strategy,),
        seeds=1,
    )
    record = run_arm(experiment, strategy, 0)
    assert record.status == "finished"
    assert 0 <= record.test_accuracy <= 1
    if strategy != "scratch":
        assert record.source_model is not None
        assert "mine.keras" in record.source_model.provenance


def test_a_changed_file_is_not_taken_for_the_one_looked_into(listed: keras.Model, tmp_path: Path) -> None:
    from tlcore.models.named_loading import _opened

    host = get_backbone("mine").host
    assert host is not None
    with pytest.raises(UserError, match="has changed"):
        _opened(host.path, "0" * 64, "mine")


def test_a_lambda_layer_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "code.keras")
    assert "Lambda layer, which is Python code" in refused(entry(tmp_path / "code.keras"))


def test_pickles_halves_and_other_things_are_refused(made: tuple[Path, keras.Model], tmp_path: Path) -> None:
    whole = (made[0] / "mine.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"weights": 1}))
    (tmp_path / "renamed.keras").write_bytes(pickle.dumps({"weights": 1}))
    for name in ("half.keras", "model.pkl", "renamed.keras"):
        assert "no whole .keras file" in refused(entry(tmp_path / name))
    assert "there is no" in refused(entry(tmp_path / "gone.keras"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "saved_model.pb").write_bytes(b"no graph")
    assert "does not open folder as a SavedModel" in refused(entry(tmp_path / "folder", input_size=32))


def test_a_network_that_sees_no_colours_is_refused(tmp_path: Path) -> None:
    save(keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Conv2D(2, 3)]), tmp_path / "grey.keras")
    assert "three channels" in refused(entry(tmp_path / "grey.keras"))


def test_a_saved_model_opens_and_says_what_it_cannot_be(made: tuple[Path, keras.Model], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own while it writes
        made[1].export(tmp_path / "graph", verbose=False)
    one = entry(tmp_path / "graph", input_size=SIDE)
    opened = open_named(one)
    x = np.random.default_rng(0).random((2, SIDE, SIDE, 3), dtype=np.float32)
    theirs, ours = (keras.ops.convert_to_numpy(model(x)) for model in (made[1], opened.model))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert not opened.trainable
    assert not opened.model.trainable_variables
    assert "is a SavedModel" in refused(one)
    assert "give input_size" in refused(entry(tmp_path / "graph"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not a YAML file"),
        ("name: mine", "write a list"),
        ("- {name: Mine!, path: a, title: a, licence: b, scaling: tf}", "entry 1: name"),
        ("- {name: mine, path: a, title: a, licence: b, scaling: half}", "scaling"),
        ("- {name: mine, path: a, title: a, licence: b, scaling: tf}\n" * 2, "rename one"),
    ],
)
def test_a_wrong_list_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("TLCORE_MODELS", str(path))
    with pytest.raises(UserError, match=said):
        named_models()


def test_without_a_list_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLCORE_MODELS", raising=False)
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    assert named_models() == {}
    assert main(["models"]) == 2
    monkeypatch.setenv("TLCORE_MODELS", str(tmp_path / "gone.yaml"))
    with pytest.raises(UserError, match="not there"):
        named_models()
