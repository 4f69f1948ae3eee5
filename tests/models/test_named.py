"""Models of the host's own: opened safely, cut, compared like any other network; hostile files are refused in words."""

from __future__ import annotations

import importlib
import json
import pickle
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml

from tlcore import kept_weights
from tlcore.arm import run_arm
from tlcore.cli import main
from tlcore.data import load
from tlcore.data.adapt import adapt
from tlcore.data.external import HOST_MODEL
from tlcore.errors import UserError
from tlcore.experiment import Experiment, RunRecord, fits
from tlcore.export.model import model_file, model_of
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import build_model, freeze, normalization_layers, set_weights
from tlcore.models.named import NamedModel, description_file, host_backbones, named_models
from tlcore.models.named_loading import describe, fetch_preset, host_weights, open_named
from tlcore.strategies import STRATEGIES

SIDE = 24
LISTED = {"mine": "mine.keras", "hub": "hub", "graph": "graph"}
TRAINABLE = ("mine", "hub")


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
    filled(model)
    return model


def filled(model: keras.Model) -> None:
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(array.shape, dtype=np.float32) / 5 for array in model.get_weights()])


def hub() -> Any:
    return importlib.import_module("keras_hub")


def mobile_net() -> keras.Model:
    """A network of Keras Hub's whose blocks are layers made of layers, normalisation and dropping out among them."""
    return hub().models.MobileNetBackbone(
        stackwise_expansion=[[8]],
        stackwise_num_blocks=[1],
        stackwise_num_filters=[[8]],
        stackwise_kernel_size=[[3]],
        stackwise_num_strides=[[2]],
        stackwise_se_ratio=[[0.25]],
        stackwise_activation=[["hard_swish"]],
        stackwise_padding=[[1]],
        output_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=16,
        squeeze_and_excite=0.5,
        input_activation="hard_swish",
        output_activation="hard_swish",
        input_num_filters=8,
    )


def res_net() -> keras.Model:
    return hub().models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )


def vgg() -> keras.Model:
    return hub().models.VGGBackbone(stackwise_num_repeats=[1, 1], stackwise_num_filters=[4, 8])


def save_preset(model: Any, folder: Path, **converter: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in `save`
        model.save_to_preset(str(folder))
    if converter:
        hub().layers.ImageConverter(image_size=(SIDE, SIDE), **converter).save_to_preset(str(folder))


def maps(model: keras.Model) -> keras.Model:
    """What `network` sees before it is flattened."""
    return keras.Model(model.inputs[0], model.layers[-4].output)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, keras.Model]]:
    """A model of each kind, and what each computes from scaled pictures."""
    folder = tmp_path_factory.mktemp("host")
    model, mobile = network(), mobile_net()
    save(model, folder / "mine.keras")
    filled(mobile)
    save_preset(mobile, folder / "hub", scale=2 / 255, offset=-1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own while it writes
        maps(model).export(folder / "graph", verbose=False)
    return folder, {"mine": maps(model), "hub": mobile, "graph": maps(model)}


def save(model: keras.Model, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2 about how Keras copies while it writes
        model.save(path)


def entry(path: Path, **given: object) -> NamedModel:
    return NamedModel.model_validate(
        {"name": "mine", "path": path, "title": "My network", "licence": "MIT", "scaling": "tf"} | given
    )


@pytest.fixture
def listed(made: tuple[Path, dict[str, keras.Model]], monkeypatch: pytest.MonkeyPatch) -> dict[str, keras.Model]:
    """The host's list, looked into by its command."""
    folder, models = made
    path = folder / "models.yaml"
    common = {"title": "My network", "licence": "MIT", "scaling": "tf"}
    entries = [{"name": name, "path": where, **common} for name, where in LISTED.items()]
    entries[-1]["input_size"] = SIDE
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    monkeypatch.setenv("TLCORE_MODELS", str(path))
    if not description_file("mine").is_file():
        assert main(["models"]) == 0
    return models


def refused(one: NamedModel) -> str:
    with pytest.raises(UserError) as raised:
        describe(one)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@pytest.mark.parametrize("name", LISTED)
def test_it_is_a_backbone_with_stages_everywhere(listed: dict[str, keras.Model], name: str) -> None:
    backbone = get_backbone(name)
    assert name in BACKBONES
    assert (backbone.family, backbone.licence) == ("application", "MIT")
    assert backbone.normalization == ("none" if name == "graph" else "batch")
    assert backbone.fixed == (name == "graph")
    assert (len(backbone.stages) > 1) == (name in TRAINABLE)
    assert backbone.feature_width == 16
    assert Experiment.of(source=HOST_MODEL, backbone=name, strategies=("feature_extraction",)).shape == (32, 32, 3)
    with pytest.raises(UserError, match="weights"):
        Experiment.of(source="imagenet", backbone=name)
    with pytest.raises(UserError, match="weights"):
        Experiment.of(source=HOST_MODEL, backbone="resnet50")
    corrected, notices = Experiment.from_query({"net": name, "src": "mnist", "arms": "feature_extraction"})
    assert corrected.source == HOST_MODEL
    assert len(notices) == 1


@pytest.mark.parametrize("name", LISTED)
def test_the_stages_together_compute_what_the_model_computes(listed: dict[str, keras.Model], name: str) -> None:
    backbone = get_backbone(name)
    model = build_model(backbone, (SIDE + 8, SIDE + 8, 3), None, "float32")
    set_weights(model, host_weights(backbone))
    x = np.full((2, SIDE + 8, SIDE + 8, 3), 0.7, dtype=np.float32)  # flat, so that resizing changes nothing
    their_maps = listed[name](np.full((2, SIDE, SIDE, 3), 0.4, dtype=np.float32), training=False)
    found = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(their_maps).mean(axis=(1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRAINABLE)
def test_frozen_is_frozen_statistics_included(listed: dict[str, keras.Model], name: str) -> None:
    backbone = get_backbone(name)
    model = build_model(backbone, (32, 32, 3), 3, "float32")
    assert len(normalization_layers(model)) == len(normalization_layers(listed[name])) > 1
    held = backbone.stage_names[:-1]
    freeze(model, frozenset(held))
    before = {name: [np.array(array) for array in model.get_layer(name).get_weights()] for name in backbone.stage_names}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.random.default_rng(0).random((8, 32, 32, 3), dtype=np.float32), np.arange(8) % 3, verbose=0)
    for name in backbone.stage_names:
        pairs = zip(model.get_layer(name).get_weights(), before[name], strict=True)
        assert all(np.array_equal(now, old) for now, old in pairs) == (name in held)


def trained(name: str, strategy: str) -> RunRecord:
    experiment = Experiment.of(
        source=HOST_MODEL,
        backbone=name,
        target="uci_digits",
        labels_per_class=3,
        steps=3,
        learning_rate=1e-3,
        strategies=(strategy,),
        seeds=1,
    )
    return run_arm(experiment, strategy, 0)


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        *(("mine", strategy) for strategy in ("feature_extraction", "fine_tune_last", "scratch")),
        *(("hub", strategy) for strategy in ("scratch", "lora")),
        ("graph", "wrong_preprocessing"),
    ],
)
def test_arms_are_trained_with_it(listed: dict[str, keras.Model], name: str, strategy: str) -> None:
    record = trained(name, strategy)
    assert record.status == "finished"
    assert 0 <= record.test_accuracy <= 1
    if strategy == "lora":  # in the kernels of layers within layers too, not in the head alone
        assert record.trainable_parameters > (16 + 1) * 10
    if strategy != "scratch":
        assert record.source_model is not None
        assert LISTED[name] in record.source_model.provenance


def test_a_saved_model_only_gives_features_and_every_other_way_is_named(listed: dict[str, keras.Model]) -> None:
    backbone = get_backbone("graph")
    assert "cannot be compared with those of random weights" in backbone.sentence
    allowed = {name for name in STRATEGIES if fits(name, backbone, None)}
    for name in allowed - {"pixel_baseline"}:
        recipe = STRATEGIES[name].recipe(backbone)
        assert {recipe.origin(stage) for stage in backbone.stage_names} == {"transferred"}
        assert {recipe.mode(stage) for stage in backbone.stage_names} == {"frozen"}
    assert {"feature_extraction", "head_continued", "pixel_baseline"} <= allowed
    assert not {"scratch", "random_features", "fine_tune_all", "fine_tune_last", "lp_ft", "lora"} & allowed
    with pytest.raises(UserError, match=r"scratch trains graph or starts it afresh.*choose feature_extraction, "):
        Experiment.of(source=HOST_MODEL, backbone="graph")
    # With everything before the cut frozen, the last stage included, nothing of it is trained.
    assert Experiment.of(source=HOST_MODEL, backbone="graph", strategies=("fine_tune_last",), cut=1)
    given = {"net": "graph", "src": HOST_MODEL, "arms": "scratch,feature_extraction"}
    corrected, notices = Experiment.from_query(given)
    assert corrected.strategies == ("feature_extraction",)
    assert notices == ("scratch cannot be used with graph and was left out.",)
    assert Experiment.from_query(given | {"arms": "scratch"})[0].strategies == ("feature_extraction",)


def test_a_run_with_a_saved_model_is_kept_and_exported(listed: dict[str, keras.Model]) -> None:
    record = trained("graph", "feature_extraction")
    kept = kept_weights.find(record)
    assert kept is not None
    pictures = load("uci_digits").x_test[:20].astype(np.float32)
    found = keras.ops.convert_to_numpy(model_of(record, kept)(pictures))
    resized = adapt(load("uci_digits").x_test[:20], (32, 32, 3)) / np.float32(127.5) - 1
    small = keras.layers.Resizing(SIDE, SIDE)(resized)
    features = keras.ops.convert_to_numpy(listed["graph"](small)).mean(axis=(1, 2))
    kernel, bias = kept.weights["head"]
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(features @ kernel * kept.feature_scale + bias))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(UserError, match="take onnx or tflite"):
        model_file(record, kept, "keras")
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(model_file(record, kept, "onnx"))
    np.testing.assert_allclose(session.run(None, {"pictures": pictures})[0], found, atol=1e-4)


def test_a_run_with_a_preset_is_kept_and_exported(listed: dict[str, keras.Model], tmp_path: Path) -> None:
    record = trained("hub", "fine_tune_last")
    assert {stage.mode for stage in record.stages} == {"frozen", "trained"}
    kept = kept_weights.find(record)
    assert kept is not None
    (tmp_path / "run.keras").write_bytes(model_file(record, kept, "keras"))
    loaded: Any = keras.saving.load_model(tmp_path / "run.keras")  # in safe mode, as is usual
    pictures = load("uci_digits").x_test[:20].astype(np.float32)
    found, expected = (keras.ops.convert_to_numpy(model(pictures)) for model in (loaded, model_of(record, kept)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", LISTED)
def test_what_has_changed_is_not_taken_for_what_was_looked_into(
    listed: dict[str, keras.Model], made: tuple[Path, dict[str, keras.Model]], tmp_path: Path, name: str
) -> None:
    from tlcore.models.named_loading import _opened

    host = get_backbone(name).host
    assert host is not None
    there, copy = made[0] / LISTED[name], tmp_path / LISTED[name]
    (shutil.copytree if there.is_dir() else shutil.copy)(there, copy)
    moved = replace(host, path=str(copy))
    assert _opened(moved, name).output_shape == (None, 16)
    _opened.cache_clear()
    with (copy / "more.txt" if copy.is_dir() else copy).open("ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match="has changed"):
        _opened(moved, name)


@pytest.mark.parametrize("make", [res_net, vgg])
def test_presets_of_other_kinds_are_cut_and_can_start_afresh(tmp_path: Path, make: Callable[[], keras.Model]) -> None:
    save_preset(make(), tmp_path / "preset")
    found = describe(entry(tmp_path / "preset", input_size=32))
    assert (found.kind, found.side) == ("preset", 32)
    assert len(found.stages) > 1
    assert "give its input_size" in refused(entry(tmp_path / "preset"))


def test_the_scaling_of_a_preset_is_held_against_its_own(
    made: tuple[Path, dict[str, keras.Model]], tmp_path: Path
) -> None:
    one = made[0] / "hub"
    assert describe(entry(one)).side == SIDE
    assert "own image converter" in refused(entry(one, scaling="torch"))
    assert "write scaling: tf" in refused(entry(one, scaling="unit"))
    shutil.copytree(one, tmp_path / "odd")
    hub().layers.ImageConverter(image_size=(SIDE, SIDE), scale=3.0).save_to_preset(str(tmp_path / "odd"))
    assert "no scaling of the list does that" in refused(entry(tmp_path / "odd"))


def test_a_preset_with_code_of_its_own_is_refused(made: tuple[Path, dict[str, keras.Model]], tmp_path: Path) -> None:
    for number, (module, kind, said) in enumerate(
        (
            ("keras.layers", "Lambda", "Lambda layer, which is Python code"),
            ("os", "system", "os.system, which is neither of Keras nor of Keras Hub"),
            ("keras_hub_evil", "Layer", "neither of Keras nor of Keras Hub"),
        )
    ):
        folder = tmp_path / str(number)
        shutil.copytree(made[0] / "hub", folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["config"]["dtype"] = {"module": module, "class_name": kind, "config": {}, "registered_name": None}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        assert said in refused(entry(folder))


def test_folders_that_are_no_preset_for_pictures_are_refused(
    made: tuple[Path, dict[str, keras.Model]], tmp_path: Path
) -> None:
    text = hub().models.BertBackbone(
        vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4, max_sequence_length=8
    )
    save_preset(text, tmp_path / "text")
    assert "BertBackbone is no network of Keras Hub that sees one picture" in refused(entry(tmp_path / "text"))
    shutil.copytree(made[0] / "hub", tmp_path / "half")
    (tmp_path / "half" / "model.weights.h5").unlink()
    assert "does not open half" in refused(entry(tmp_path / "half"))
    (tmp_path / "half" / "config.json").write_text('{"model_type": "resnet"}', encoding="utf-8")
    assert "not written by Keras Hub" in refused(entry(tmp_path / "half"))
    (tmp_path / "half" / "config.json").write_text("{", encoding="utf-8")
    assert "cannot be read" in refused(entry(tmp_path / "half"))
    (tmp_path / "empty").mkdir()
    assert "holds neither saved_model.pb" in refused(entry(tmp_path / "empty"))


def test_without_keras_hub_it_says_what_to_install(
    made: tuple[Path, dict[str, keras.Model]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    assert "pip install keras-hub" in refused(entry(made[0] / "hub"))


def test_a_preset_is_fetched_once_by_name_and_kept(
    made: tuple[Path, dict[str, keras.Model]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLCORE_MODELS", str(tmp_path / "models.yaml"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    # As the library leaves a preset that was downloaded: the files, and a mark for each that it is whole.
    variant = tmp_path / "cache" / "models" / "me" / "tiny" / "keras" / "tiny"
    shutil.copytree(made[0] / "hub", variant / "1")
    (variant / ".complete" / "1").mkdir(parents=True)
    for file in (variant / "1").iterdir():
        (variant / ".complete" / "1" / f"{file.name}.complete").touch()
    one = {"name": "fetched", "preset": "kaggle://me/tiny/keras/tiny/1", "title": "T", "licence": "L", "scaling": "tf"}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump([one]), encoding="utf-8")
    assert main(["models"]) == 0
    backbone = host_backbones()["fetched"]
    assert backbone.host is not None
    shutil.rmtree(tmp_path / "cache")
    held = host_weights(backbone)
    assert sum(array.size for arrays in held.values() for array in arrays) == made[1]["hub"].count_params()


def test_a_preset_that_nobody_knows_has_near_names() -> None:
    with pytest.raises(UserError, match="did you mean resnet_18_imagenet"):
        fetch_preset(NamedModel(name="mine", preset="resnet18_imagenet", title="T", licence="L", scaling="torch"))


def test_a_lambda_layer_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "code.keras")
    assert "Lambda layer, which is Python code" in refused(entry(tmp_path / "code.keras"))


def test_pickles_halves_and_other_things_are_refused(made: tuple[Path, dict[str, keras.Model]], tmp_path: Path) -> None:
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


def test_a_saved_model_is_opened_in_one_piece(made: tuple[Path, dict[str, keras.Model]]) -> None:
    opened = open_named(entry(made[0] / "graph", input_size=SIDE))
    assert opened.kind == "saved_model"
    assert not opened.model.trainable_variables
    assert "give input_size" in refused(entry(made[0] / "graph"))


def test_a_saved_model_that_runs_code_or_touches_files_is_refused(tmp_path: Path) -> None:
    tensorflow = importlib.import_module("tensorflow")

    class Writes(tensorflow.Module):
        @tensorflow.function(input_signature=[tensorflow.TensorSpec((None, SIDE, SIDE, 3))])
        def __call__(self, pictures: Any) -> Any:
            tensorflow.io.write_file(str(tmp_path / "written"), "text")
            return pictures[:, 0, 0]

    writes = Writes()
    tensorflow.saved_model.save(writes, str(tmp_path / "graph"), signatures=writes.__call__)
    assert "WriteFile" in refused(entry(tmp_path / "graph", input_size=SIDE))
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not a YAML file"),
        ("name: mine", "write a list"),
        ("- {name: Mine!, path: a, title: a, licence: b, scaling: tf}", "entry 1: name"),
        ("- {name: mine, path: a, title: a, licence: b, scaling: half}", "scaling"),
        ("- {name: mine, title: a, licence: b, scaling: tf}", "either path or preset"),
        ("- {name: mine, path: a, preset: a, title: a, licence: b, scaling: tf}", "either path or preset"),
        ("- {name: mine, preset: ../a, title: a, licence: b, scaling: tf}", "preset"),
        ("- {name: mine, path: a, title: a, licence: b, scaling: tf}\n" * 2, "rename one"),
    ],
)
def test_a_wrong_list_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("TLCORE_MODELS", str(path))
    with pytest.raises(UserError, match=said):
        named_models()
    # The other networks are of use without, and who asks for one of the list hears what is wrong with it.
    assert host_backbones() == {}
    assert "cnn_small" in list(BACKBONES)
    with pytest.raises(UserError, match=said):
        Experiment.of(source=HOST_MODEL, backbone="mine")
    assert Experiment.from_query({"net": "mine", "src": HOST_MODEL})[0].backbone == "cnn_small"


def test_a_model_that_was_not_looked_into_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("- {name: mine, path: a, title: a, licence: b, scaling: tf}", encoding="utf-8")
    monkeypatch.setenv("TLCORE_MODELS", str(path))
    with pytest.raises(UserError, match="run `python -m tlcore models`"):
        Experiment.of(source=HOST_MODEL, backbone="mine")


def test_without_a_list_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLCORE_MODELS", raising=False)
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    assert named_models() == {}
    assert main(["models"]) == 2
    monkeypatch.setenv("TLCORE_MODELS", str(tmp_path / "gone.yaml"))
    with pytest.raises(UserError, match="not there"):
        named_models()
