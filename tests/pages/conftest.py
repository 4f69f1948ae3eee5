"""A fresh home for every test, and a way to open a page."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.page_text import ME
from tlcore import recorded
from tlcore.errors import UserError
from tlcore.store import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home, no data folder, no recorded results."""
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TLCORE_DATABASE_URL", raising=False)
    monkeypatch.delenv("TLCORE_DATA_DIR", raising=False)
    monkeypatch.setattr(recorded, "RECORDS", tmp_path / "records")
    (tmp_path / "records").mkdir()
    yield tmp_path
    with suppress(UserError):  # a test may have damaged it on purpose
        Store().close()


@pytest.fixture
def app():
    """Opens a page: ``app("compare", run="…")``."""

    def open_page(page: str = "start", owner: str = ME, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=20)
        at.session_state["tl_owner"] = owner
        at.run()
        if page != "start":
            for key, value in query.items():
                at.query_params[key] = value
            at.switch_page(str(ROOT / "pages" / f"{page}.py"))
            at.run()
        assert not at.exception, at.exception
        return at

    return open_page
