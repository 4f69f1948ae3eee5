"""Shared fixtures: every test session has its own home, and real data where `TLCORE_DATA_DIR` names it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says nothing here, and on a busy machine it would fail a test.
settings.register_profile("tlcore", deadline=None)
settings.load_profile("tlcore")

# Before anything of the project is imported: no test may read or write the developer's own files.
_home = tempfile.TemporaryDirectory(prefix="tlcore-tests-", ignore_cleanup_errors=True)
os.environ["TLCORE_HOME"] = _home.name
os.environ.pop("TLCORE_DATABASE_URL", None)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # several test processes share the cores
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the real datasets where they are not."""
    from tlcore.data import DATASETS

    if all(DATASETS[name].looks() for name in ("mnist", "fashion_mnist", "cifar10")):
        return
    skip = pytest.mark.skip(reason="the real datasets are not on this machine: set TLCORE_DATA_DIR to their folder")
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(skip)
