"""Datasets kept on disk: what comes back is what was read, and whatever is wrong with a file, it is read anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcore.data import DATASETS, kept, load
from tlcore.data.kept import Kept, find, hash_of, keep, key_of

ROOT = Path(__file__).parent.parent.parent
KEY, OTHER = "0" * 16, "1" * 16


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it."""
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    return tmp_path / "datasets"


def sample(count: int = 5, seed: int = 0) -> Kept:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, count, 4, 4, 1), dtype=np.uint8)
    labels = rng.integers(0, 3, (2, count))
    arrays = (images[0], labels[0], images[1], labels[1])
    return Kept(arrays, "made up", hash_of(arrays))


@given(st.integers(1, 30), st.integers(0, 9))
def test_what_is_kept_comes_back(count: int, seed: int) -> None:
    made = sample(count, seed)
    keep("made_up", KEY, made)
    back = find("made_up", KEY)
    assert back is not None
    assert (back.provenance, back.sha256) == (made.provenance, made.sha256)
    for was, now in zip(made.arrays, back.arrays, strict=True):
        assert now.dtype == was.dtype
        np.testing.assert_array_equal(now, was)
        assert isinstance(now.base, np.memmap), "mapped, not copied"
        with pytest.raises(ValueError, match="read-only"):
            now[0] = 0


def test_another_key_takes_its_place_and_no_other_name_does(place: Path) -> None:
    keep("made_up", KEY, sample())
    keep("made", KEY, sample(seed=1))
    keep("made_up", OTHER, sample(seed=2))
    assert find("made_up", KEY) is None
    assert find("made_up", OTHER) is not None
    assert find("made", KEY) is not None
    assert sorted(path.name for path in place.iterdir()) == [f"made-{KEY}", f"made_up-{OTHER}"]


@pytest.mark.parametrize("part", ["about.json", "x_train.npy", "y_test.npy"])
@pytest.mark.parametrize("how", ["gone", "empty", "half", "changed"])
def test_a_damaged_file_is_not_used(place: Path, part: str, how: str) -> None:
    keep("made_up", KEY, sample())
    path = place / f"made_up-{KEY}" / part
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "changed": whole[:-2] + b"\x07\x07"}[how])
    assert find("made_up", KEY) is None


def test_no_room_keeps_nothing(place: Path) -> None:
    place.write_text("a file where the folder should be", encoding="utf-8")
    keep("made_up", KEY, sample())
    assert find("made_up", KEY) is None
    before = load.__wrapped__("uci_digits")
    assert before.x_train.base is None or not isinstance(before.x_train.base, np.memmap)
    assert len(before.x_train) == 1201


def test_a_disk_that_fills_up_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    keep("made_up", KEY, sample())
    assert list(place.iterdir()) == []


def test_a_dataset_is_read_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load.__wrapped__("uci_digits")
    assert isinstance(first.x_train.base, np.memmap)

    def never() -> None:
        raise AssertionError("it is kept")

    # The specification is frozen for everybody else.
    monkeypatch.setitem(DATASETS["uci_digits"].__dict__, "load", never)
    again = load.__wrapped__("uci_digits")
    assert (again.sha256, again.provenance) == (first.sha256, first.provenance)
    monkeypatch.undo()


def test_a_file_that_changes_is_another_dataset(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    path.write_bytes(b"one")
    key = key_of("mnist", str(path))
    assert key_of("mnist", str(path)) == key
    assert key_of("fashion_mnist", str(path)) != key
    os.utime(path, ns=(1, 1))
    assert key_of("mnist", str(path)) != key
    assert key_of("uci_digits", "scikit-learn") == key_of("uci_digits", "scikit-learn")


def test_other_code_to_read_it_is_another_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of("uci_digits", "scikit-learn")
    monkeypatch.setattr(kept, "_code", lambda: "other")
    assert key_of("uci_digits", "scikit-learn") != key


def test_several_processes_that_want_it_at_once_agree(place: Path) -> None:
    script = (
        "import json; from tlcore.data import load; d = load('uci_digits');"
        "print(json.dumps([d.sha256, type(d.x_train.base).__name__]))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TLCORE_HOME": str(place.parent)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    said = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert said == [[load.__wrapped__("uci_digits").sha256, "memmap"]] * 3
    assert not list(place.glob("*.partial"))
