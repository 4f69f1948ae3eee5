"""Downloads of weights from a real server: whole, resumed, stopped, damaged, absent; nothing half is ever found."""

from __future__ import annotations

import base64
import hashlib
import inspect
import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest

from tlcore.cli import main
from tlcore.errors import UserError
from tlcore.models import BACKBONES, Backbone, download, get_backbone
from tlcore.models.download import HDF5, Progress, address_of
from tlcore.models.weights import find_weights

FILE = HDF5 + bytes(range(256)) * 4096  # a megabyte that begins as a weights file does
MD5 = hashlib.md5(FILE).hexdigest()
PUBLISHED = [name for name, backbone in BACKBONES.items() if backbone.application]


class Handler(SimpleHTTPRequestHandler):
    """Serves one file as Google's storage does: ranges, a hash, and as slowly or badly as a test wants."""

    content, asked, status, cut, pause, ranges = FILE, [], 200, None, 0.0, True

    def do_GET(self) -> None:
        """Answer with the file, or what is asked for of it."""
        kind = type(self)
        first = int(re.findall(r"\d+", self.headers.get("Range", "0"))[0]) if kind.ranges else 0
        kind.asked.append((self.path, first))
        if kind.status != 200 or first >= len(kind.content):
            self.send_error(kind.status if kind.status != 200 else 416)
            return
        rest = kind.content[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("x-goog-hash", f"md5={base64.b64encode(hashlib.md5(FILE).digest()).decode()}")
        self.end_headers()
        with suppress(OSError):  # whoever downloads was stopped
            for at in range(0, len(rest[: kind.cut]), 1 << 16):
                self.wfile.write(rest[at : min(at + (1 << 16), kind.cut or len(rest))])
                time.sleep(kind.pause)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[type[Handler]]:
    """A mirror on this machine, which the environment names, and empty folders."""
    handler = type("Served", (Handler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as running:
        handler.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        monkeypatch.setenv("TLCORE_WEIGHTS_URL", f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setenv("TLCORE_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        monkeypatch.delenv("TLCORE_DATA_DIR", raising=False)
        yield handler
        running.shutdown()
        thread.join()


def network(digest: str = MD5) -> Backbone:
    """A registered network whose published file is the server's."""
    backbone = get_backbone("resnet50")
    assert backbone.application is not None
    return replace(backbone, application=replace(backbone.application, digest=digest))


def part_of(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "weights" / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    assert network().application is not None
    return folder / f"{network().application.files[0]}.part"


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def refused(backbone: Backbone) -> str:
    with pytest.raises(UserError) as raised:
        download.download(backbone)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert find_weights(backbone) is None
    found = download.progress(backbone)
    assert found is not None
    assert (found.state, found.message) == ("failed", message)
    return message


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_address_is_the_one_that_keras_uses(name: str) -> None:
    application = get_backbone(name).application
    assert application is not None
    module = "resnet" if application.folder == "resnet" else application.folder
    source = inspect.getsource(import_module(f"keras.src.applications.{module}"))
    joined = re.sub(r'"\s*\n\s*"', "", source)  # addresses are written over several lines
    assert f"{download.SERVER}/{application.folder}/" in joined


def test_a_file_arrives_whole_and_is_found(server: type[Handler], tmp_path: Path) -> None:
    told: list[Progress] = []
    path = download.download(network(), told.append)
    assert path.read_bytes() == FILE
    assert find_weights(network()) == path == tmp_path / "home" / "weights" / path.name
    assert server.asked == [(f"/resnet/{path.name}", 0)]
    assert told[-1].total == len(FILE)
    assert download.progress(network()) is None
    assert not part_of(tmp_path).exists()
    assert download.download(network()) == path
    assert len(server.asked) == 1


def test_a_broken_connection_goes_on_where_it_broke(server: type[Handler], tmp_path: Path) -> None:
    server.cut = 300_000
    assert "try again" in refused(network())
    kept = part_of(tmp_path).stat().st_size
    assert 0 < kept <= 300_000
    server.cut = None
    assert download.download(network()).read_bytes() == FILE
    assert [first for _, first in server.asked] == [0, kept]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_that_is_longer_or_not_wanted_is_no_trap(server: type[Handler], tmp_path: Path, ranges: bool) -> None:
    server.ranges = ranges
    part_of(tmp_path).write_bytes(b"x" * (len(FILE) + 7))
    assert download.download(network()).read_bytes() == FILE


def test_a_whole_part_needs_only_its_check(server: type[Handler], tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(FILE)
    assert download.download(network()).read_bytes() == FILE
    assert [first for _, first in server.asked] == [len(FILE)]


def test_a_file_with_the_wrong_hash_is_deleted(server: type[Handler], tmp_path: Path) -> None:
    server.content = FILE[:-1] + b"!"
    for backbone in (network(), network(digest="")):  # without a published hash the server's own counts
        assert "not the published file" in refused(backbone)
        assert not part_of(tmp_path).exists()


def test_a_page_in_place_of_the_file_is_no_weights_file(server: type[Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = b"<html>Log in to this network</html>"
    monkeypatch.setattr(download, "_hash_in", lambda _: "")
    assert "is no weights file" in refused(network(digest=""))


def test_a_server_that_has_it_not_or_cannot_be_reached(server: type[Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    server.status = 404
    assert "answers 404" in (message := refused(network()))
    assert address_of(network()) in message
    monkeypatch.setenv("TLCORE_WEIGHTS_URL", "http://127.0.0.1:9")
    message = refused(network())
    assert "connect this machine to the network" in message
    assert "home/weights" in message


def test_no_room_is_said_before_the_disk_is_full(server: type[Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SPARE", 10**18)
    assert "make room" in refused(network())


def test_own_nets_have_nothing_to_download() -> None:
    with pytest.raises(UserError, match="no published weights"):
        address_of(get_backbone("cnn_small"))


def test_a_download_beside_the_page_is_watched_and_stopped(server: type[Handler], tmp_path: Path) -> None:
    server.pause = 0.2
    backbone = get_backbone("resnet50")
    assert download.progress(backbone) is None
    download.start(backbone)
    download.start(backbone)  # another click changes nothing
    wait_for(lambda: (found := download.progress(backbone)) is not None and found.share > 0)
    with pytest.raises(UserError, match="by another process"):
        download.download(backbone)
    download.stop(backbone)
    found = download.progress(backbone)
    assert found is not None
    assert found.state == "stopped"
    assert 0 < found.done == part_of(tmp_path).stat().st_size
    assert len(server.asked) == 1


def test_a_process_that_died_is_noticed(server: type[Handler]) -> None:
    server.pause = 0.3
    backbone = get_backbone("resnet50")
    download.start(backbone)
    wait_for(lambda: bool(server.asked))
    running = download._started[backbone.name]
    running.kill()
    running.wait()
    found = download.progress(backbone)
    assert found is not None
    assert found.state == "stopped"
    download._started.clear()


def test_the_command_lists_and_downloads(server: type[Handler], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "resnet50"]) == 0
    assert "not here" in capsys.readouterr().out
    assert main(["weights", "--download"]) == 2
    assert main(["weights", "cnn_small"]) == 2
    server.content = b"no"
    assert main(["weights", "resnet50", "--download"]) == 2
    assert "not the published file" in capsys.readouterr().err
