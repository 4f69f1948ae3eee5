"""Exported models answer as the engine does, from pictures as they are, without anything of this project."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from tlcore import kept_weights
from tlcore.arm import fit_pixels, run_arm
from tlcore.changes import whole_network
from tlcore.data import load
from tlcore.data.adapt import adapt
from tlcore.errors import UserError
from tlcore.experiment import Experiment, RunRecord, fits
from tlcore.export.files import KINDS, file_of_arm
from tlcore.export.made import find_made, make
from tlcore.export.model import (
    CARD,
    INPUT,
    LABELS,
    OUTPUT,
    _adapted,
    _logistic_regression,
    card_of,
    model_file,
    model_of,
)
from tlcore.features import in_range
from tlcore.kept_weights import KeptWeights
from tlcore.models import get_backbone
from tlcore.models.build import HEAD, initial_weights, set_weights
from tlcore.models.weights import imagenet_weights
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

PICTURES = 100
BASE = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=("scratch",),
    labels_per_class=4,
    steps=6,
    learning_rate=3e-3,
    precision="float32",
)
MOBILE = "mobilenet_v2_0.35_224_no_top.weights.h5"
WITHOUT_THE_PROJECT = """
import sys, keras, numpy as np
model = keras.models.load_model("model.keras")
np.save("answers.npy", model.predict(np.load("pictures.npy"), verbose=0))
assert "tlcore" not in sys.modules
"""


@lru_cache
def run(strategy: str, backbone: str = "cnn_small") -> tuple[RunRecord, KeptWeights]:
    """An arm that was really trained, and what is kept of it."""
    record = run_arm(BASE.model_copy(update={"backbone": backbone}), strategy, 0)
    kept = kept_weights.find(record)
    assert kept is not None
    return record, kept


@lru_cache
def files_of_small() -> dict[str, bytes]:
    """A small network's model in every format."""
    record, _ = run("fine_tune_all")
    return {name: file_of_arm(record, kind).content for name, kind in KINDS.items() if kind.model}


def engine(record: RunRecord, kept: KeptWeights) -> NDArray[np.float32]:
    """The engine's probabilities for the first test pictures: adapted as bytes, through its own network."""
    experiment, recipe = record.experiment, record.experiment.recipe(record.strategy)
    images = adapt(load(experiment.target).x_test[:PICTURES], experiment.shape)
    backbone = get_backbone(experiment.backbone)
    network = get_backbone(backbone.student) if recipe.small else backbone
    whole = whole_network(network, experiment.shape, kept.weights[HEAD][1].size)
    set_weights(whole.model, kept.weights)
    return softmax(whole(in_range(images, recipe.input_scale)))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def through_onnx(content: bytes, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    assert [one.name for one in session.get_inputs()] == [INPUT]
    assert [one.name for one in session.get_outputs()] == [OUTPUT]
    return session.run(None, {INPUT: pictures.astype(np.float32)})[0]


def through_litert(content: bytes, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": [INPUT], "outputs": [OUTPUT]}}
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], pictures.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], pictures.astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(answer["index"])


def answers_without_the_project(content: bytes, pictures: NDArray[np.uint8], folder: Path) -> NDArray[np.float32]:
    (folder / "model.keras").write_bytes(content)
    np.save(folder / "pictures.npy", pictures)
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_THE_PROJECT],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(folder / "answers.npy")


def test_a_small_networks_models_answer_as_the_engine_does(tmp_path: Path) -> None:
    record, kept = run("fine_tune_all")
    pictures, expected = load("uci_digits").x_test[:PICTURES], engine(record, kept)
    files = files_of_small()
    answers = answers_without_the_project(files["keras"], pictures, tmp_path)
    assert answers.shape == (PICTURES, 10)
    assert np.abs(answers - expected).max() <= 1e-4
    assert np.abs(through_onnx(files["onnx"], pictures) - expected).max() <= 1e-3
    assert np.abs(through_litert(files["tflite"], pictures) - expected).max() <= 1e-3


def test_a_published_networks_models_answer_as_the_engine_does(tmp_path: Path) -> None:
    """Grey pictures of 28 pixels, made larger and given three channels for it."""
    values = {"source": "imagenet", "backbone": "mobilenet_v2_035", "image_size": 48, "weights": MOBILE}
    experiment = Experiment.of(**BASE.model_dump() | values)
    backbone = get_backbone(experiment.backbone)
    try:
        published = imagenet_weights(backbone, experiment.shape, MOBILE)
    except UserError:
        pytest.skip(f"{MOBILE} is not on this machine: set TLCORE_DATA_DIR to its folder")
    head = np.random.default_rng(0).normal(0, 0.1, (backbone.feature_width, 10)).astype(np.float32)
    kept = KeptWeights({**published.weights, HEAD: [head, np.zeros(10, np.float32)]}, 1.0, "", 0.0)
    record = run("fine_tune_all")[0].model_copy(update={"experiment": experiment})
    pictures, expected = load("uci_digits").x_test[:PICTURES], engine(record, kept)
    assert expected.max(axis=1).std() > 0.05  # answers that differ from picture to picture
    path = tmp_path / "model.keras"
    path.write_bytes(model_file(record, kept, "keras"))
    assert np.abs(keras.models.load_model(path).predict(pictures, verbose=0) - expected).max() <= 1e-4
    assert np.abs(through_onnx(model_file(record, kept, "onnx"), pictures) - expected).max() <= 1e-3
    assert np.abs(through_litert(model_file(record, kept, "tflite"), pictures) - expected).max() <= 1e-3


def test_a_file_says_what_it_is() -> None:
    import onnx

    record, _ = run("fine_tune_all")
    classes = list(record.datasets["target"].classes)
    for kind in ("keras", "tflite"):
        with zipfile.ZipFile(BytesIO(files_of_small()[kind])) as archive:
            card = json.loads(archive.read(CARD))
            assert archive.read(LABELS).decode().split() == classes
        assert card == card_of(record)
    props = {item.key: item.value for item in onnx.load_from_string(files_of_small()["onnx"]).metadata_props}
    assert json.loads(props["classes"]) == classes
    assert float(props["test_accuracy"]) == record.test_accuracy
    assert json.loads(props["packages"])["keras"] == keras.__version__


@pytest.mark.parametrize(
    ("strategy", "backbone"),
    [
        ("fine_tune_all", "cnn_small"),
        ("lora", "cnn_small"),
        ("distillation", "cnn_small"),
        ("wrong_preprocessing", "cnn_small"),
        ("direct_reuse", "cnn_small"),
        ("pixel_baseline", "cnn_small"),
        ("random_features", "mini_resnet_bn"),  # whose features the engine scales
    ],
)
def test_a_model_has_the_records_accuracy(strategy: str, backbone: str) -> None:
    record, kept = run(strategy, backbone)
    data = load("uci_digits")
    answers = model_of(record, kept).predict(data.x_test, batch_size=256, verbose=0)
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)
    right = float((answers.argmax(axis=1) == data.y_test).mean())
    assert right == pytest.approx(record.test_accuracy, abs=1.5 / len(data.y_test))  # a tie may fall the other way


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_has_a_model(strategy: str) -> None:
    backbone = get_backbone("cnn_small" if fits(strategy, get_backbone("cnn_small"), None) else "mini_resnet_bn")
    experiment = BASE.model_copy(update={"backbone": backbone.name})
    if strategy == "pixel_baseline":
        pytest.skip("has no network; what it has is compared above")
    record, _ = run("fine_tune_all")
    record = record.model_copy(update={"experiment": experiment, "strategy": strategy})
    recipe = experiment.recipe(strategy)
    network = get_backbone(backbone.student) if recipe.small else backbone
    weights = initial_weights(network, experiment.shape, 10, 1)
    kept = KeptWeights(weights, 1.0, "", 0.0)
    answers = model_of(record, kept).predict(load("uci_digits").x_test[:PICTURES], verbose=0)
    assert np.abs(answers - engine(record, kept)).max() <= 1e-4


# --- what comes before the network ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ((28, 28, 1), (28, 28, 1)),
        ((32, 32, 3), (28, 28, 1)),
        ((28, 28, 1), (32, 32, 3)),
        ((28, 28, 1), (96, 96, 3)),
        ((96, 61, 3), (48, 48, 3)),
        ((61, 96, 3), (48, 48, 3)),
        ((40, 32, 3), (32, 32, 1)),
    ],
)
def test_layers_fit_pictures_to_the_last_bit(have: tuple[int, int, int], want: tuple[int, int, int]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, *have), dtype=np.uint8)
    pictures[0], pictures[1] = 0, 255
    given = keras.Input(have)
    fitted = keras.Model(given, _adapted(given, want)).predict(pictures, verbose=0)
    assert np.array_equal(fitted, adapt(pictures, want))


def test_a_logistic_regression_of_two_classes_gives_its_probabilities() -> None:
    data = load("uci_digits")
    two = data.y_train < 2
    x, y = data.x_train[two].astype(np.float32).reshape(two.sum(), -1) / 255, data.y_train[two]
    fitted = fit_pixels(x[:40], y[:40], 0.01)
    given = keras.Input(x.shape[1:])
    arrays = [np.asarray(fitted.coef_, dtype=np.float32), np.asarray(fitted.intercept_, dtype=np.float32)]
    scores = keras.Model(given, _logistic_regression(arrays, given)).predict(x, verbose=0)
    assert np.allclose(softmax(scores), fitted.predict_proba(x), atol=1e-5)


# --- where weights are gone -------------------------------------------------------------------------------------------


def test_weights_that_are_gone_can_be_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share_datasets: Callable[[Path], Path]
) -> None:
    record, _ = run("fine_tune_all")
    monkeypatch.setenv("TLCORE_HOME", str(share_datasets(tmp_path / "home")))
    assert not kept_weights.has(record)
    with pytest.raises(UserError, match="add --again"):
        file_of_arm(record, KINDS["keras"])
    assert file_of_arm(record, KINDS["keras"], again=True).content
    assert kept_weights.has(record)


def test_a_page_gets_a_model_from_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    record, _ = run("fine_tune_all")
    kind = KINDS["keras"]
    assert find_made(record, kind) is None
    made = make(record, kind)
    assert zipfile.is_zipfile(BytesIO(made.content))
    assert find_made(record, kind) == made
    other = record.model_copy(update={"test_accuracy": 0.5})
    assert find_made(other, kind) is None
    monkeypatch.setattr("tlcore.export.made.LONGEST", 0.01)
    with pytest.raises(UserError, match="try again"):
        make(other, kind)


def test_other_formats_say_that_they_need_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    record, _ = run("fine_tune_all")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=tensorflow"):
        file_of_arm(record, KINDS["onnx"])
