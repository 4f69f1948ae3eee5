"""A real app on a free port, a real Chromium, and ways to find things on a page."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tlcore.experiment import Experiment

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PATIENCE = 60_000  # milliseconds; what is awaited usually takes a few seconds, a busy machine may take far longer

expect.set_options(timeout=PATIENCE)

# The shipped MNIST model and scikit-learn's digits: real transfer without a network.
SMALL = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=("scratch", "feature_extraction"),
    labels_per_class=5,
    seeds=2,
    steps=60,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark these tests, and skip them where there is no Chromium."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="chromium is not installed: apt-get install chromium"))


@dataclass
class App:
    """The app as a process of its own."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def on_free_port(cls, home: Path) -> App:
        """One that is not started yet, on a port that nobody uses."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return cls(home, probe.getsockname()[1])

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server; its worker is started by itself."""
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--server.address", "127.0.0.1", "--server.port", str(self.port)],
                cwd=ROOT,
                env=os.environ | {"TLCORE_HOME": str(self.home), "TLCORE_SLOTS": "2"},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        wait_for(lambda: self.health() is not None)

    def stop(self) -> None:
        """Stop the server as Ctrl-C would."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def health(self) -> dict[str, dict[str, object]] | None:
        """What the health route says, or None while it does not answer."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/api/health", timeout=5) as answer:
            return json.loads(answer.read())
        return None

    def worker(self) -> int | None:
        """Process id of the worker once it can take work, or None."""
        health = self.health()
        worker = health["worker"] if health else {}
        return int(str(worker["pid"])) if worker.get("alive") and worker.get("slots") else None

    def link(self, page: str, experiment: Experiment | None = None, **more: str) -> str:
        """Address of a page, with an experiment in it."""
        from urllib.parse import urlencode

        query = (experiment.to_query() if experiment else {}) | more
        return f"{self.address}/{page}" + (f"?{urlencode(query)}" if query else "")


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One server for all journeys, with a home of its own."""
    running = App.on_free_port(tmp_path_factory.mktemp("home"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visitor(browser: Browser) -> Generator[Callable[[], Page]]:
    """Make a page in a browser context of its own: another learner, with other cookies."""
    contexts = []

    def new_page() -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        return page

    yield new_page
    for context in contexts:
        context.close()


def wait_for(done: Callable[[], object], what: str = "it", seconds: float = PATIENCE / 1000) -> None:
    """Wait until something is true; fail if it never is."""
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, f"waited too long for {what}"
        time.sleep(0.1)
