"""The app as a server process: its health, the owner's cookie, websockets, the worker beside it, and its end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from websockets.sync.client import connect

from pages.shared.index_page import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
PAGE = {"Accept": "text/html,application/xhtml+xml"}


class Server:
    """`streamlit run` on a free port, with a page of its own so that no other page can fail it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        usual = {"TLCORE_HOME": str(folder), "PYTHONPATH": str(ROOT)}
        options = {"port": self.port, "address": "127.0.0.1", "headless": "true"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
            + [f"--server.{name}={value}" for name, value in options.items()]
            + ["--browser.gatherUsageStats=false"],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "TLCORE_DATABASE_URL"}
            | usual
            | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def health(self) -> dict[str, Any] | None:
        try:
            status, _, body = self.get("/api/health")
        except OSError:
            assert self.process.poll() is None, "the server has ended"
            return None
        assert status == 200
        return json.loads(body)

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if (health := self.health()) and condition(health):
                return health
            time.sleep(0.1)
        raise AssertionError("it did not happen in time")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("home"), TLCORE_NO_WORKER="1")
    started.wait_for(lambda health: health["status"] == "starting")
    yield started
    started.end()


def test_health_tells_that_no_worker_is_there(server: Server) -> None:
    health = server.health()
    assert health is not None
    assert health["worker"]["alive"] is False
    assert health["queue"] == {"queued": 0, "running": 0}


def test_a_page_names_a_browser_that_has_no_name(server: Server) -> None:
    status, headers, _ = server.get("/", PAGE)
    assert status == 200
    cookies = [value for value in headers.get_all("set-cookie", []) if value.startswith("tl_owner=")]
    assert len(cookies) == 1
    assert re.fullmatch(
        r"tl_owner=[0-9a-f]{32}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", cookies[0], flags=re.IGNORECASE
    )
    _, again, _ = server.get("/", PAGE)
    assert cookies[0] not in again.get_all("set-cookie", []), "every browser gets its own"


@pytest.mark.parametrize(
    ("cookie", "named"),
    [
        ("tl_owner=0123456789abcdef0123456789abcdef", False),
        ("other=1; tl_owner=0123456789abcdef0123456789abcdef", False),
        ("tl_owner=guessable", True),
        ("other=1", True),
    ],
)
def test_a_name_is_kept_and_a_made_up_one_is_replaced(server: Server, cookie: str, named: bool) -> None:
    _, headers, _ = server.get("/", PAGE | {"Cookie": cookie})
    assert any(value.startswith("tl_owner=") for value in headers.get_all("set-cookie", [])) is named


def test_parts_of_a_page_set_no_name(server: Server) -> None:
    for path in ("/api/health", "/_stcore/health"):
        _, headers, _ = server.get(path, {"Accept": "*/*"})
        assert not any(value.startswith("tl_owner=") for value in headers.get_all("set-cookie", []))


@pytest.mark.parametrize("path", ["/", "/compare", "/fewer-labels?src=mnist"])
def test_every_page_comes_with_its_styles_whatever_the_browser_has(server: Server, path: str) -> None:
    kept = {"If-None-Match": '"any"', "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT", "Accept-Encoding": "gzip"}
    status, headers, body = server.get(path, PAGE | kept)
    assert status == 200
    assert HEAD in body.split(b"</head>")[0]
    assert body.rstrip().endswith(b"</html>")
    assert int(headers["content-length"]) == len(body)
    assert not {"etag", "last-modified", "content-encoding"} & {name.lower() for name in headers}


def test_what_is_no_page_is_answered_as_it_is(server: Server) -> None:
    _, headers, icon = server.get("/favicon.png", PAGE)
    assert headers["etag"]
    assert icon.startswith(b"\x89PNG")
    status, _, _ = server.get("/_stcore/health", PAGE)
    assert status == 200


def test_websockets_pass(server: Server) -> None:
    url = f"ws://127.0.0.1:{server.port}/_stcore/stream"
    with connect(url, origin=f"http://127.0.0.1:{server.port}", subprotocols=["streamlit"]) as websocket:
        assert websocket.subprotocol == "streamlit"


def test_the_app_imports_no_keras() -> None:
    script = "import sys, app; print(sorted({'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_app_starts_a_worker_and_ends_it(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        pid = server.wait_for(lambda health: health["worker"]["alive"])["worker"]["pid"]
        assert psutil.Process(pid).ppid() == server.process.pid
    finally:
        server.end()
    assert not psutil.pid_exists(pid)
