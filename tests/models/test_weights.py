"""Published weights: found, checked before Keras sees them, and every tensor in its place. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from tlcore.errors import UserError
from tlcore.models import Backbone, get_backbone, weights
from tlcore.models.applications import cut_application, whole_application
from tlcore.models.build import HEAD, build_model, set_weights, weight_shapes, weights_sha256
from tlcore.models.weights import find_weights, imagenet_weights

SHAPE = (96, 96, 3)
NET = get_backbone("mobilenet_v2_035")
Made = tuple[Path, dict[str, list[np.ndarray]]]
REAL = find_weights(NET)  # on this machine, before the tests look elsewhere


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Empty folders in place of all that are searched, and no way to the network."""
    found = {name: tmp_path / name for name in ("data", "weights", "home", "keras")}
    for folder in found.values():
        folder.mkdir()
    monkeypatch.setenv("TLCORE_DATA_DIR", str(found["data"]))
    monkeypatch.setenv("TLCORE_HOME", str(found["home"]))
    monkeypatch.setenv("KERAS_HOME", str(found["keras"]))

    def no_network(*_: object) -> None:
        raise Exception("URL fetch failure on https://example.org: None -- no network")

    monkeypatch.setattr(weights, "_keras_download", no_network)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Files of random weights in both formats that Keras writes, and the same arrays by stage."""
    return save(NET, tmp_path_factory.mktemp("made"))


def save(backbone: Backbone, folder: Path) -> Made:
    side = backbone.min_size
    whole = whole_application(backbone, (side, side, 3), "float32")
    rng = np.random.default_rng(0)
    whole.set_weights([rng.random(w.shape, dtype=np.float32) for w in whole.weights])
    with warnings.catch_warnings(), h5py.File(folder / "old.h5", "w") as file:
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2 about how Keras copies while it writes
        whole.save_weights(folder / "new.weights.h5")
        legacy_h5_format.save_weights_to_hdf5_group(file, whole)
    return folder, {part.name: part.get_weights() for part in cut_application(backbone, whole)}


def published_name(backbone: Backbone) -> str:
    assert backbone.application is not None
    return backbone.application.files[0]


@pytest.mark.parametrize("file", ["new.weights.h5", "old.h5"])
def test_every_tensor_comes_back_where_it_was(made: Made, file: str) -> None:
    folder, expected = made
    found = imagenet_weights(NET, SHAPE, str(folder / file))
    assert weights_sha256(found.weights) == weights_sha256(expected)
    shapes = {name: [array.shape for array in stage] for name, stage in found.weights.items()}
    promised = weight_shapes(NET, SHAPE, 2)
    del promised[HEAD]
    assert shapes == promised
    assert found.sha256 == hashlib.sha256((folder / file).read_bytes()).hexdigest()
    assert found.top1 is None  # nobody has published how good these are
    assert not found.licence
    assert file in found.provenance


def test_a_network_is_built_only_to_read_a_file_the_first_time(
    made: Made, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = made
    imagenet_weights(NET, SHAPE, str(folder / "old.h5"))
    read = weights._read
    monkeypatch.setattr(weights, "_read", lambda *_: pytest.fail("it was read again"))
    again = imagenet_weights(NET, SHAPE, str(folder / "old.h5"))
    assert list(again.weights) == list(NET.stage_names)
    assert weights_sha256(again.weights) == weights_sha256(expected)

    (kept,) = (places["home"] / weights.KEPT).iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    monkeypatch.setattr(weights, "_read", read)
    assert weights_sha256(imagenet_weights(NET, SHAPE, str(folder / "old.h5")).weights) == weights_sha256(expected)
    imagenet_weights(NET, SHAPE, str(folder / "new.weights.h5"))  # another file, another copy
    assert len(list(kept.parent.iterdir())) == 2


def test_without_room_for_a_copy_weights_are_read_all_the_same(
    made: Made, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "written_whole", full)
    folder, expected = made
    assert weights_sha256(imagenet_weights(NET, SHAPE, str(folder / "old.h5")).weights) == weights_sha256(expected)
    assert not list((places["home"] / weights.KEPT).iterdir())


def test_a_heavier_network_comes_back_too(tmp_path: Path) -> None:
    backbone = get_backbone("vgg16")
    folder, expected = save(backbone, tmp_path)
    found = imagenet_weights(backbone, SHAPE, str(folder / "old.h5"))
    assert weights_sha256(found.weights) == weights_sha256(expected)


@pytest.mark.parametrize("place", ["data", "weights", "home/weights", "keras/models"])
@pytest.mark.parametrize("named", [True, False])
def test_a_file_is_found_in_each_place(made: Made, places: dict[str, Path], place: str, named: bool) -> None:
    folder = next(iter(places.values())).parent / place
    folder.mkdir(parents=True, exist_ok=True)
    name = "mine.h5" if named else published_name(NET)
    shutil.copy(made[0] / "old.h5", folder / name)
    assert find_weights(NET, name if named else None) == folder / name


def test_the_data_folder_comes_first(made: Made, places: dict[str, Path]) -> None:
    cache = places["keras"] / "models"
    cache.mkdir()
    for folder in (cache, places["weights"]):
        shutil.copy(made[0] / "old.h5", folder / published_name(NET))
    assert find_weights(NET) == places["weights"] / published_name(NET)
    found = imagenet_weights(NET, SHAPE)
    assert found.top1 == 0.603
    assert found.licence == "Apache 2.0"


def refused(backbone: Backbone, file: str | None = None) -> str:
    with pytest.raises(UserError) as raised:
        imagenet_weights(backbone, SHAPE, file)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


def test_without_file_and_network_the_message_says_what_to_put_where(places: dict[str, Path]) -> None:
    assert find_weights(NET) is None
    message = refused(NET)
    assert published_name(NET) in message
    assert str(places["home"] / "weights") in message
    assert "no network" in message


def test_a_named_file_that_is_not_here_is_never_replaced_by_another(places: dict[str, Path]) -> None:
    (places["weights"] / published_name(NET)).touch()
    assert str(places["home"] / "weights") in refused(NET, "mine.h5")
    assert "check the path" in refused(NET, str(places["data"] / "mine.h5"))


@pytest.mark.parametrize("file", ["../old.h5", "weights/old.h5", "./old.h5", "", ".."])
def test_a_name_is_bare_or_a_whole_path(file: str) -> None:
    assert "bare name" in refused(NET, file)


def test_a_file_of_another_network_is_refused_and_left_alone(made: Made, tmp_path: Path) -> None:
    for name in ("new.weights.h5", "old.h5"):
        before = (made[0] / name).read_bytes()
        message = refused(get_backbone("mobilenet_v2_050"), str(made[0] / name))
        assert "does not hold mobilenet_v2_050's weights" in message
        assert (made[0] / name).read_bytes() == before
    text = tmp_path / "text.h5"
    text.write_text("no weights")
    assert "does not hold" in refused(NET, str(text))
    assert "must end in .h5" in refused(NET, __file__)


def test_missing_and_superfluous_tensors_are_refused(made: Made, tmp_path: Path) -> None:
    for name, change in (("less.weights.h5", "less"), ("more.weights.h5", "more"), ("nan.weights.h5", "nan")):
        path = tmp_path / name
        shutil.copy(made[0] / "new.weights.h5", path)
        with h5py.File(path, "a") as file:
            kernel = file["layers/conv2d/vars"]
            if change == "less":
                del kernel["0"]
            elif change == "nan":
                kernel["0"][0, 0, 0, 0] = np.nan
            else:
                file["layers/dense_99/vars/0"] = np.zeros(3, dtype=np.float32)
        assert "does not hold" in refused(NET, str(path))


def test_a_damaged_published_file_never_reaches_keras(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = get_backbone("vgg16")
    path = places["keras"] / "models" / published_name(backbone)
    path.parent.mkdir()
    path.write_bytes(b"half a download")
    monkeypatch.setattr(keras.applications, "VGG16", None)
    assert "damaged or another file" in refused(backbone)
    assert path.read_bytes() == b"half a download"


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_whole_published_file_passes_its_hash(made: Made, places: dict[str, Path], algorithm: str) -> None:
    path = places["weights"] / published_name(NET)
    shutil.copy(made[0] / "old.h5", path)
    assert NET.application is not None
    digest = hashlib.new(algorithm, path.read_bytes()).hexdigest()
    checked = replace(NET, application=replace(NET.application, digest=digest))
    assert imagenet_weights(checked, SHAPE).top1 == NET.application.top1


def test_what_keras_downloads_is_read_from_its_cache(
    made: Made, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def download(*given: object) -> None:
        asked.append(given)
        (places["keras"] / "models").mkdir()
        shutil.copy(made[0] / "old.h5", places["keras"] / "models" / published_name(NET))

    monkeypatch.setattr(weights, "_keras_download", download)
    found = imagenet_weights(NET, SHAPE)
    assert asked == [(NET.application, 224)]
    assert found.provenance.startswith("downloaded by keras.applications")
    assert imagenet_weights(NET, SHAPE).provenance.startswith("local file")
    assert len(asked) == 1


def test_a_download_that_went_elsewhere_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_keras_download", lambda *_: None)
    assert "KERAS_HOME" in refused(NET)


def test_this_projects_own_nets_have_no_published_weights() -> None:
    assert "nobody has trained cnn_small on ImageNet" in refused(get_backbone("cnn_small"))


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="3 channels"):
        imagenet_weights(NET, (96, 96, 1))


def test_looking_for_a_file_needs_no_keras() -> None:
    code = "import sys, tlcore.models.weights; print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(REAL is None, reason="MobileNetV2 0.35's ImageNet weights are not on this machine")
def test_real_weights_compute_what_keras_computes_with_them() -> None:
    found = imagenet_weights(NET, SHAPE, str(REAL))
    assert found.top1 == 0.603
    model = build_model(NET, SHAPE, None, "float32")
    set_weights(model, found.weights)
    theirs = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=SHAPE, alpha=0.35
    )
    theirs.load_weights(REAL)
    x = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    expected = keras.ops.convert_to_numpy(theirs(keras.applications.mobilenet_v2.preprocess_input(x * 255)))
    assert expected.std() > 0
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x, training=False)), expected, atol=1e-4, rtol=1e-4)
