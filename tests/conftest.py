"""Shared fixtures: every run of the tests has its own home, and real data where `TLCORE_DATA_DIR` names it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

# How long an example takes says nothing here, and on a busy machine it would fail a test.
settings.register_profile("tlcore", deadline=None)
settings.load_profile("tlcore")

# Before anything of the project is imported: no test may read or write the developer's own files. One home for all
# processes of a run (what xdist starts inherits the variable): drawing and decoding datasets and measuring number
# formats take minutes.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _home = tempfile.TemporaryDirectory(prefix="tlcore-tests-", ignore_cleanup_errors=True)
    os.environ["TLCORE_HOME"] = _home.name
HOME = Path(os.environ["TLCORE_HOME"])
(HOME / "datasets").mkdir(exist_ok=True)
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


@pytest.fixture(scope="session")
def share_datasets() -> Callable[[Path], Path]:
    """Give a home of a test's own the datasets that were drawn or decoded for all; it returns that home."""

    def share(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "datasets").symlink_to(HOME / "datasets")
        return folder

    return share


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the real datasets where they are not."""
    from tlcore.data import DATASETS

    if all(DATASETS[name].looks() for name in ("mnist", "fashion_mnist", "cifar10")):
        return
    skip = pytest.mark.skip(reason="the real datasets are not on this machine: set TLCORE_DATA_DIR to their folder")
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(skip)
