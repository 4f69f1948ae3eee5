"""Source checkpoints: the shipped ones are whole and true, this host's own are trained once and found again."""

from __future__ import annotations

import json
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tlcore import pretrain
from tlcore.arm import run_arm, stream_of
from tlcore.data import DATASETS, load
from tlcore.errors import Stopped, UserError
from tlcore.experiment import Event, Experiment
from tlcore.loops import Forward
from tlcore.models import get_backbone
from tlcore.models.build import build_model, initial_weights, set_weights, weight_shapes, weights_sha256
from tlcore.policy import PretrainingRecipe
from tlcore.pretrain import SHIPPED, SHIPPED_PAIRS, Checkpoint, find_checkpoint, source_checkpoint, train_checkpoint
from tlcore.train import accuracy

shipped_pairs = pytest.mark.parametrize(("source", "backbone"), SHIPPED_PAIRS)


def quiet(_: Event) -> None:
    """Nobody listens."""


def go_on() -> bool:
    """Nobody stops."""
    return False


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of its own without shipped checkpoints, whose source models take 20 steps instead of 3,000.

    What they know does not matter to how they are kept; the full recipe takes a minute each.
    """
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(pretrain, "SHIPPED", tmp_path / "nothing shipped")
    monkeypatch.setattr(pretrain, "PretrainingRecipe", partial(pretrain.PretrainingRecipe, steps=20))
    return tmp_path / "home" / "checkpoints"


def wanted(backbone: str = "mlp", images: int | None = None) -> Experiment:
    """What a source model of scikit-learn's digits is wanted for."""
    return Experiment(source="uci_digits", target="drawn_digits", backbone=backbone, source_images=images)


def train(backbone: str = "mlp", images: int | None = None) -> Checkpoint:
    return source_checkpoint(wanted(backbone, images), "float32", quiet, go_on)


# --- what ships -------------------------------------------------------------------------------------------------------


@shipped_pairs
def test_a_shipped_checkpoint_is_whole(source: str, backbone: str) -> None:
    found = find_checkpoint(source, backbone)
    assert found is not None, f"data/checkpoints/{source}-{backbone}.npz: run python -m tlcore pretrain"
    spec = DATASETS[source]
    shapes = {name: [array.shape for array in stage] for name, stage in found.weights.items()}
    assert shapes == weight_shapes(get_backbone(backbone), spec.shape, len(spec.classes))
    assert weights_sha256(found.weights) == found.info.sha256
    assert all(np.isfinite(array).all() for stage in found.weights.values() for array in stage)
    assert found.info.provenance == "shipped with the project"


@shipped_pairs
def test_a_shipped_checkpoint_says_how_it_was_trained(source: str, backbone: str) -> None:
    described = json.loads((SHIPPED / f"{source}-{backbone}.json").read_text(encoding="utf-8"))
    assert described["backbone"] == backbone
    assert described["recipe"] == pretrain.asdict(pretrain.PretrainingRecipe())
    assert len(described["dataset_sha256"]) == 64
    assert described["dataset_provenance"]
    assert described["environment"]["precision"] == "float32"
    model = described["model"]
    assert model["key"] == pretrain._key(source, backbone, described["dataset_sha256"], None)
    assert model["test_accuracy"] > 1.5 / len(DATASETS[source].classes)
    assert model["images"] > 0


def test_nothing_else_ships() -> None:
    expected = {f"{source}-{backbone}{end}" for source, backbone in SHIPPED_PAIRS for end in (".npz", ".json")}
    assert {path.name for path in SHIPPED.iterdir()} == expected


@pytest.mark.real_data
@shipped_pairs
def test_the_recorded_accuracy_of_a_shipped_checkpoint_is_measured_again(source: str, backbone: str) -> None:
    found, dataset = find_checkpoint(source, backbone), load(source)
    assert found is not None
    # Another copy of CIFAR-10 may be here: JPEG noise moves single pictures.
    tolerance = 1e-3 if dataset.sha256 == found.dataset_sha256 else 0.01
    model = build_model(get_backbone(backbone), dataset.spec.shape, len(dataset.spec.classes), "float32")
    set_weights(model, found.weights)
    measured = accuracy(Forward(model)(dataset.x_test), dataset.y_test)
    assert measured == pytest.approx(found.info.test_accuracy, abs=tolerance)


# --- what this host trains --------------------------------------------------------------------------------------------


def test_a_source_is_trained_once_and_found_again(kept: Path) -> None:
    assert find_checkpoint("uci_digits", "mlp") is None
    events: list[Event] = []
    first = source_checkpoint(wanted(), "float32", events.append, go_on)
    fractions = [event.fraction for event in events]
    assert {event.kind for event in events} == {"pretrain"}
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1

    listened = len(events)
    again = source_checkpoint(wanted(), "float32", events.append, go_on)
    assert len(events) == listened, "it was trained twice"
    assert again.info == first.info
    assert weights_sha256(again.weights) == first.info.sha256
    assert again.dataset_sha256 == load("uci_digits").sha256
    assert first.info.provenance == "trained on this host"
    assert {path.suffix for path in kept.iterdir()} == {".npz", ".json"}
    assert len(list(kept.iterdir())) == 2


def test_training_again_gives_the_same_weights(kept: Path) -> None:
    first = train()
    for path in kept.iterdir():
        path.unlink()
    assert train().info.sha256 == first.info.sha256


def test_another_network_another_source_and_another_recipe_are_other_checkpoints(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {train().info.key, train(backbone="cnn_small").info.key}
    monkeypatch.setattr(pretrain, "PretrainingRecipe", partial(pretrain.PretrainingRecipe, seed=1))
    assert find_checkpoint("uci_digits", "mlp") is None
    keys.add(train().info.key)
    assert len(keys) == 3


def test_a_source_that_has_changed_since_is_trained_again(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train()
    monkeypatch.setattr(pretrain, "_known_sha256", lambda _: "another copy's")
    assert find_checkpoint("uci_digits", "mlp") is None


def test_a_kept_model_serves_where_its_source_is_not(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train()
    monkeypatch.setattr(pretrain, "_known_sha256", lambda _: None)
    assert find_checkpoint("uci_digits", "mlp") is not None


def spoil(npz: Path, how: str) -> None:
    """Damage a checkpoint's files in one of the ways in which files get damaged."""
    described = npz.with_suffix(".json")
    whole = npz.read_bytes()
    text = json.loads(described.read_text(encoding="utf-8"))
    if how == "cut short":
        npz.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        npz.write_bytes(b"")
    elif how == "bytes flipped":
        middle = len(whole) // 3
        npz.write_bytes(
            whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 64]) + whole[middle + 64 :]
        )
    elif how == "other weights":
        with np.load(npz) as arrays:
            np.savez(npz, **{name: arrays[name] + np.float32(1) for name in arrays.files})
    elif how == "a stage missing":
        with zipfile.ZipFile(npz) as content:
            members = {name: content.read(name) for name in content.namelist()[:-2]}
        with zipfile.ZipFile(npz, "w") as content:
            for name, data in members.items():
                content.writestr(name, data)
    elif how == "a single array":
        with npz.open("wb") as file:
            np.save(file, np.zeros(3))
    elif how == "no description":
        described.unlink()
    elif how == "description cut short":
        described.write_text(json.dumps(text)[:50], encoding="utf-8")
    elif how == "description is a list":
        described.write_text("[]", encoding="utf-8")
    elif how == "description is binary":
        described.write_bytes(bytes(range(256)))
    else:
        field = how.removeprefix("without ")
        del text[field]
        described.write_text(json.dumps(text), encoding="utf-8")


DAMAGES = (
    "cut short",
    "empty",
    "bytes flipped",
    "other weights",
    "a stage missing",
    "a single array",
    "no description",
    "description cut short",
    "description is a list",
    "description is binary",
    "without model",
    "without backbone",
    "without dataset_sha256",
    "without dataset_provenance",
)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The two files of a checkpoint, trained once for all the ways to damage them."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "PretrainingRecipe", partial(pretrain.PretrainingRecipe, steps=20))
        checkpoint = train_checkpoint("uci_digits", "mlp", "float32", quiet, go_on, Path(folder))
        name = f"uci_digits-mlp-{checkpoint.info.key}"
        return {name + path.suffix: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize("how", ["nothing", *DAMAGES])
def test_a_damaged_checkpoint_is_none(kept: Path, files: dict[str, bytes], how: str) -> None:
    kept.mkdir(parents=True)
    for name, content in files.items():
        (kept / name).write_bytes(content)
    if how != "nothing":
        spoil(next(kept.glob("*.npz")), how)
    assert (find_checkpoint("uci_digits", "mlp") is None) == (how != "nothing")


@pytest.mark.parametrize("how", ["cut short", "no description"])
def test_a_damaged_checkpoint_is_trained_again(kept: Path, how: str) -> None:
    first = train()
    spoil(next(kept.glob("*.npz")), how)
    assert train().info.sha256 == first.info.sha256
    assert find_checkpoint("uci_digits", "mlp") is not None


def test_a_damaged_shipped_checkpoint_is_passed_over(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "uci_digits-mlp.npz").write_bytes(b"half")
    (folder / "uci_digits-mlp.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(pretrain, "SHIPPED", folder)
    assert find_checkpoint("uci_digits", "mlp") is None
    assert train().info.provenance == "trained on this host"


def test_a_stopped_training_leaves_no_file(kept: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    with pytest.raises(Stopped):
        source_checkpoint(wanted(), "float32", quiet, stop)
    assert not list(kept.glob("*")) if kept.exists() else True
    assert find_checkpoint("uci_digits", "mlp") is None


def test_a_named_folder_gets_the_plain_name_and_is_found_as_shipped(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "to ship"
    trained = train_checkpoint("uci_digits", "mlp", "float32", quiet, go_on, folder)
    assert {path.name for path in folder.iterdir()} == {"uci_digits-mlp.npz", "uci_digits-mlp.json"}
    assert not kept.exists()
    monkeypatch.setattr(pretrain, "SHIPPED", folder)
    found = find_checkpoint("uci_digits", "mlp")
    assert found is not None
    assert found.info.sha256 == trained.info.sha256
    assert found.info.provenance == "shipped with the project"


def test_a_folder_that_cannot_be_made_is_named(kept: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match="cannot write") as caught:
        train_checkpoint("uci_digits", "mlp", "float32", quiet, go_on, blocked / "folder")
    assert str(blocked) in str(caught.value)


def test_what_is_recorded_of_a_training_is_so(kept: Path) -> None:
    checkpoint, dataset = train(), load("uci_digits")
    model = build_model(get_backbone("mlp"), dataset.spec.shape, 10, "float32")
    set_weights(model, checkpoint.weights)
    assert accuracy(Forward(model)(dataset.x_test), dataset.y_test) == pytest.approx(checkpoint.info.test_accuracy)
    assert checkpoint.info.images == len(dataset.x_train)
    assert checkpoint.info.epochs == 1


# --- fewer images -----------------------------------------------------------------------------------------------------


def rows_learned_from(monkeypatch: pytest.MonkeyPatch, images: int | None) -> set[int]:
    """Positions of the source's images that training a source model reads."""
    read: set[int] = set()
    fit = pretrain.Program.fit

    def noting(program: pretrain.Program, data: object, order: np.ndarray, *rest: object) -> int:
        read.update(order.reshape(-1).tolist())
        return fit(program, data, order, *rest)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patch:
        patch.setattr(pretrain.Program, "fit", noting)
        checkpoint = train(images=images)
    assert checkpoint.info.images == images
    return read


def test_fewer_source_images_are_among_more(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, more = rows_learned_from(monkeypatch, 50), rows_learned_from(monkeypatch, 200)
    assert (len(few), len(more)) == (50, 200)
    assert few < more
    # Each is another source model, and neither is the one that knows all images.
    assert find_checkpoint("uci_digits", "mlp") is None
    found = [find_checkpoint("uci_digits", "mlp", images) for images in (50, 200)]
    assert all(found)
    assert len({checkpoint.info.key for checkpoint in found if checkpoint}) == 2
    assert find_checkpoint("uci_digits", "mlp", 100) is None


def test_fewer_images_get_as_many_steps(kept: Path) -> None:
    assert train(images=64).info.epochs == 20
    assert train(images=640).info.epochs == 2


def test_what_ships_knows_all_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    assert find_checkpoint("mnist", "cnn_small") is not None
    assert find_checkpoint("mnist", "cnn_small", 100) is None


# --- other networks ---------------------------------------------------------------------------------------------------


def test_two_networks_of_the_same_stages_are_other_checkpoints(kept: Path) -> None:
    """The two small ResNets differ in their normalisation only."""
    keys = {pretrain._key("uci_digits", name, "0" * 64, None) for name in ("mini_resnet", "mini_resnet_bn")}
    assert len(keys) == 2


def test_published_weights_are_a_source_without_an_output_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from tlcore.models import weights as published

    network = get_backbone("mobilenet_v2_035")
    arrays = initial_weights(network, (32, 32, 3), 2, 0)
    del arrays["head"]
    asked: list[tuple[object, ...]] = []

    def loaded(*given: object) -> published.PublishedWeights:
        asked.append(given)
        return published.PublishedWeights(arrays, "from a file", "ab" * 32, 0.603, "a paper", "Apache 2.0")

    monkeypatch.setattr(published, "imagenet_weights", loaded)
    pretrain.published_checkpoint.cache_clear()
    experiment = Experiment(
        source="imagenet", target="uci_digits", backbone="mobilenet_v2_035", image_size=32, weights="mine.h5"
    )
    found = source_checkpoint(experiment, "float32", quiet, go_on)
    again = source_checkpoint(experiment, "float32", quiet, go_on)
    pretrain.published_checkpoint.cache_clear()
    assert asked == [(network, (32, 32, 3), "mine.h5")]
    assert again is found
    assert "head" not in found.weights
    assert found.info.provenance == "from a file"
    assert found.info.key == "ab" * 8
    assert (found.info.test_accuracy, found.info.epochs, found.info.seconds) == (0.603, None, None)
    assert found.info.sha256 == weights_sha256(arrays)
    assert found.info.images == 1_281_167


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_new_head_is_not_the_one_that_the_source_started_from(seed: int) -> None:
    """Source models and arms draw first weights alike; with one stream for both, a new head would not be new."""
    experiment = Experiment(source="mnist", target="uci_digits", labels_per_class=4, steps=2, learning_rate=1e-3)
    record = run_arm(experiment, "feature_extraction", seed)
    assert record.curve[0].step == 0
    assert record.curve[0].validation_accuracy < 0.35  # 79 % with the source's own first head
    network = get_backbone("cnn_small")
    source = initial_weights(network, (28, 28, 1), 10, PretrainingRecipe().seed)
    for stage, arrays in initial_weights(network, (28, 28, 1), 10, stream_of(seed)).items():
        assert not np.array_equal(arrays[0], source[stage][0])
