"""The Models page: what is here, what is missing and where it belongs, a download from a real server, the way on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.page_text import address, everything
from tlcore.costs import COSTS, Costs
from tlcore.data.external import HOST_MODEL, IMAGENET
from tlcore.models import BACKBONES, download, get_backbone
from tlcore.models.download import address_of
from tlcore.models.named import Description, description_file, list_file, named_models
from tlcore.models.weights import find_weights, own_folder

PUBLISHED = [backbone for backbone in BACKBONES.values() if backbone.application]
SMALL = get_backbone("mobilenet_v2_050")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Nothing in Keras's cache, and no server that answers unless a test has one."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TLCORE_WEIGHTS_URL", "http://127.0.0.1:9")
    yield
    for name in list(download._started):
        download.stop(get_backbone(name))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A folder that is served as a mirror of Keras's files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        monkeypatch.setenv("TLCORE_WEIGHTS_URL", f"http://127.0.0.1:{running.server_port}")
        yield folder
        running.shutdown()
        thread.join()


def buttons(at: AppTest, kind: str) -> set[str]:
    return {str(one.key).removeprefix(f"{kind}-") for one in at.button if str(one.key).startswith(f"{kind}-")}


def put_here(name: str) -> Path:
    backbone = get_backbone(name)
    assert backbone.application is not None
    own_folder().mkdir(parents=True, exist_ok=True)
    path = own_folder() / backbone.application.files[0]
    path.write_bytes(download.HDF5 + b"weights")
    return path


def until(at: AppTest, condition: Callable[[], bool], seconds: float = 30) -> None:
    """Run the page as its polling does, until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, everything(at)
        time.sleep(0.2)
        at.run()


def test_every_network_is_there_with_its_measured_costs_and_its_licence(app) -> None:
    words = everything(at := app("models"))
    costs = {cost.backbone: cost for cost in Costs.read(COSTS).costs}
    for backbone in PUBLISHED:
        assert backbone.application is not None
        assert backbone.title in words
        assert f"{costs[backbone.name].parameters / 1e6:,.1f} million" in words
        assert f"{100 * backbone.application.top1:.1f} %" in words
        assert backbone.application.top1_source in words
        assert address_of(backbone) in words
        assert f"licence {backbone.licence}" in words
    assert f"0 of {len(PUBLISHED)}" in words
    assert str(own_folder()) in words
    assert buttons(at, "download") == {backbone.name for backbone in PUBLISHED}
    assert not buttons(at, "use")


def test_what_is_here_says_where_and_leads_to_the_comparison(app) -> None:
    path = put_here("resnet50")
    at = app("models")
    assert f"{path.name}, in {path.parent}" in everything(at)
    assert buttons(at, "use") == {"resnet50"}
    at.toggle(key="models-here").set_value(True).run()
    assert not buttons(at, "download")
    assert "VGG-16" not in everything(at)
    at.button(key="use-resnet50").click().run()
    assert not at.exception
    query = address(at)
    assert (query["net"], query["src"], query["px"]) == ("resnet50", IMAGENET, "auto")
    assert at.selectbox(key="compare.backbone").value == "resnet50"


def test_a_filter_that_finds_nothing_says_what_to_do(app) -> None:
    at = app("models")
    at.toggle(key="models-here").set_value(True).run()
    assert "None is here yet" in at.info[0].value
    assert not buttons(at, "download")


@pytest.mark.parametrize("order", ["Fastest", "Smallest", "Most accurate"])
def test_the_order_is_by_what_was_measured(app, order: str) -> None:
    at = app("models")
    at.segmented_control(key="models-order").set_value(order).run()
    costs = {cost.backbone: cost for cost in Costs.read(COSTS).costs}
    keys = {
        "Fastest": lambda name: -costs[name].images_per_second,
        "Smallest": lambda name: costs[name].weights_bytes,
        "Most accurate": lambda name: -(costs[name].top1 or 0),
    }
    shown = [str(one.key).removeprefix("download-") for one in at.button if str(one.key).startswith("download-")]
    assert [keys[order](name) for name in shown] == sorted(keys[order](name) for name in shown)


def test_a_download_runs_beside_the_page_and_ends_with_the_file_here(app, mirror: Path) -> None:
    assert SMALL.application is not None
    (mirror / SMALL.application.folder).mkdir()
    (mirror / SMALL.application.folder / SMALL.application.files[0]).write_bytes(download.HDF5 + bytes(3_000_000))
    at = app("models")
    at.button(key=f"download-{SMALL.name}").click().run()
    until(at, lambda: find_weights(SMALL) is not None)
    at.run()
    assert buttons(at, "use") == {SMALL.name}
    assert not at.exception
    assert not at.error


def test_without_a_network_a_download_says_so_and_can_be_tried_again(app) -> None:
    at = app("models")
    at.button(key=f"download-{SMALL.name}").click().run()
    assert buttons(at, "stop") == {SMALL.name}
    until(at, lambda: bool(at.error))
    assert "onnect this machine to the network" in at.error[0].value
    assert SMALL.name in buttons(at, "download")
    assert find_weights(SMALL) is None


def test_a_download_can_be_stopped(app) -> None:
    at = app("models")
    at.button(key=f"download-{SMALL.name}").click().run()
    at.button(key=f"stop-{SMALL.name}").click().run()
    assert not buttons(at, "stop")
    assert "Stopped" in everything(at)


@pytest.fixture
def hosts_list(home: Path) -> Path:
    """A list of three models, of which two were looked into."""
    path = list_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    common = "licence: MIT, scaling: tf"
    path.write_text(
        f"- {{name: ours, path: ours.keras, title: Our network, trained_on: our microscope, {common}}}\n"
        f"- {{name: graph, path: graph, title: Our graph, input_size: 64, {common}}}\n"
        f"- {{name: later, path: later.keras, title: Our next one, {common}}}\n",
        encoding="utf-8",
    )
    description_file("ours").parent.mkdir()
    entries = named_models()
    (path.parent / "ours.keras").touch()
    (path.parent / "graph").mkdir()
    for described in (
        Description(
            entry=entries["ours"],
            sha256="0" * 64,
            side=48,
            stages=(("stage1", 24), ("stage2", 96)),
            cuts=(3,),
            normalization="batch",
        ),
        Description(
            entry=entries["graph"],
            sha256="0" * 64,
            side=64,
            stages=(("stage1", 320),),
            cuts=(),
            normalization="none",
            kind="saved_model",
        ),
    ):
        description_file(described.entry.name).write_text(described.model_dump_json(), encoding="utf-8")
    return path


def test_the_hosts_own_models_say_what_they_are_and_lead_to_the_comparison(app, hosts_list: Path) -> None:
    at = app("models")
    words = everything(at)
    for said in ("Our network", "licence MIT", "our microscope", "48×48", "stage1 (24) → stage2 (96)"):
        assert said in words
    assert "A SavedModel on this host's disk" in words
    assert "Our next one" in words
    assert "python -m tlcore models" in words
    assert buttons(at, "use-host") == {"ours", "graph"}
    at.button(key="use-host-ours").click().run()
    assert not at.exception
    query = address(at)
    assert (query["net"], query["src"], query["px"]) == ("ours", HOST_MODEL, "auto")
    assert query["arms"] == "feature_extraction,random_features,pixel_baseline"
    assert at.selectbox(key="compare.backbone").value == "ours"


def test_a_saved_model_is_offered_with_the_arms_that_it_can_have(app, hosts_list: Path) -> None:
    at = app("models")
    at.button(key="use-host-graph").click().run()
    assert not at.exception
    assert address(at)["arms"] == "feature_extraction,pixel_baseline"
    at = app("compare", **address(at))
    assert not at.error
    at.button_group(key="compare.strategies").set_value(["feature_extraction", "scratch"]).run()
    assert not at.exception
    assert "Scratch trains graph or starts it afresh" in everything(at)


def test_a_list_that_cannot_be_read_is_a_message(app, hosts_list: Path) -> None:
    hosts_list.write_text("- {name: ours", encoding="utf-8")
    at = app("models")
    assert "not a YAML file that can be read" in at.error[0].value
    assert buttons(at, "download") == {backbone.name for backbone in PUBLISHED}
    assert not app("compare", net="ours", src=HOST_MODEL).error


def test_without_a_list_nothing_is_said_of_one(app) -> None:
    assert "This host's own" not in everything(app("models"))
